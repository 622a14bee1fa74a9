"""kill and Timeout at every call that blocks: it ends there, leaves nothing behind, and others go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bad_days import calls_among_greenlets, calls_on_descriptors
from bad_days.blocked import WAYS, Setting, end_everywhere, end_while_others_come, threads_that_stay

CALLS = {**calls_among_greenlets.CALLS, **calls_on_descriptors.CALLS}

every_call = pytest.mark.parametrize("setting", CALLS.values(), ids=CALLS)


@pytest.fixture(scope="module", autouse=True)
def _threads() -> Iterator[None]:
    with threads_that_stay():
        yield


@every_call
@pytest.mark.parametrize("way", WAYS)
def test_it_ends_where_it_waits_and_leaves_nothing_behind(setting: Setting, way: str) -> None:
    end_everywhere(setting, way)


@every_call
def test_others_that_come_while_it_is_being_killed_are_served(setting: Setting) -> None:
    end_while_others_come(setting)
