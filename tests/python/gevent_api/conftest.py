"""Fixtures for the tests of the gevent API."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

import pytest

import greenloom


@pytest.fixture
def printed() -> Iterator[StringIO]:
    """What the hub prints about errors while the test runs."""
    hub = greenloom.get_hub()
    stream = hub.exception_stream = StringIO()
    yield stream
    del hub.exception_stream
