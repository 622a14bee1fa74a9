"""kill and Timeout where the standard library waits, in a program that is patched."""

from __future__ import annotations

import json
import sys

import pytest

from bad_days.calls_patched import ALL_WAYS, CALLS
from programs import ROOT, output


@pytest.fixture(scope="module")
def failures() -> dict[str, str | None]:
    """What went wrong in the one program that tries them all."""
    paths = f"{ROOT / 'python'}:{ROOT / 'tests' / 'python'}"
    printed = output(sys.executable, "-m", "bad_days.calls_patched", env={"PYTHONPATH": paths})
    return json.loads(printed)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("way", ALL_WAYS)
def test_it_ends_where_it_waits_and_leaves_nothing_behind(
    failures: dict[str, str | None], way: str, name: str
) -> None:
    assert failures[f"{way}: {name}"] is None
