"""Greenlets that wait for what nobody can give them any more, and that nobody knows: the collector ends them.

It finds them by what they were spawned with. What only their frames refer to counts as known to somebody.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import greenloom
from greenloom import Greenlet, sleep, spawn
from greenloom.event import AsyncResult, Event
from greenloom.lock import Semaphore
from greenloom.pool import Group, Pool
from greenloom.queue import Channel, Queue

#: Each makes something and returns a call on it that waits for ever.
WAITS: dict[str, Callable[[], Callable[[], Any]]] = {
    "Event": lambda: Event().wait,
    "AsyncResult": lambda: AsyncResult().get,
    "Semaphore": lambda: Semaphore(0).acquire,
    "Queue.get": lambda: Queue().get,
    "Queue.put": lambda: partial(Queue(1, [1]).put, 2),
    "Channel": lambda: Channel().get,
}


def collect() -> None:
    gc.collect()
    # Links are called from the hub.
    sleep(0)
    sleep(0)


@pytest.mark.parametrize("make", WAITS.values(), ids=WAITS)
def test_one_that_waits_is_freed(make: Callable[[], Callable[[], Any]]) -> None:
    one: Greenlet = spawn(make())
    sleep(0)
    gone = weakref.ref(one)
    del one
    collect()
    assert gone() is None


@pytest.mark.parametrize("kind", ["link", "rawlink", "link_value"])
def test_its_links_are_called(kind: str) -> None:
    values: list[Any] = []
    one: Greenlet = spawn(Event().wait)
    getattr(one, kind)(lambda source: values.append(source.value))
    sleep(0)
    del one
    collect()
    assert [type(value) for value in values] == [greenloom.GreenletExit]


@pytest.mark.parametrize("kind", [Group, Pool])
def test_those_of_a_pool_that_nobody_has_are_freed(kind: type[Group]) -> None:
    pool = kind()
    gone = [weakref.ref(pool.spawn(Event().wait)) for _ in range(5)]
    sleep(0)
    del pool
    collect()
    assert [one() for one in gone] == [None] * 5
