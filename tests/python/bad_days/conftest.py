"""Fixtures for the bad days."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from greenloom import Timeout


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """Let no test of these wait for ever."""
    with Timeout(30, ref=False):
        yield


@pytest.fixture(scope="package", autouse=True)
def _collected_quickly() -> Iterator[None]:
    """Keep what the test runner has made out of the many collections of these tests."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
