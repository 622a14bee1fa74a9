"""Greenlet-local objects."""

from __future__ import annotations

import copy
import gc
import threading
import weakref
from typing import Any

import pytest

import greenloom
from greenloom._greenloom import greenlet as raw_greenlet
from greenloom.local import all_local_dicts_for_greenlet, local


def test_every_greenlet_and_thread_has_its_own_attributes() -> None:
    data = local()
    data.name = "main"

    def work() -> tuple[bool, str]:
        before = hasattr(data, "name")
        data.name = "other"
        return before, data.name

    assert greenloom.spawn(work).get(timeout=5) == (False, "other")
    raw: list[Any] = []
    raw_greenlet(lambda: raw.append(work())).switch()
    thread = threading.Thread(target=lambda: raw.append(work()))
    thread.start()
    thread.join(10)
    assert raw == [(False, "other")] * 2
    assert data.__dict__ == {"name": "main"}


def test_a_subclass_is_initialised_in_each_greenlet_with_its_arguments() -> None:
    calls: list[int] = []

    class Counter(local):
        step = 1

        def __init__(self, start: int) -> None:
            calls.append(start)
            self.value = start

        def up(self) -> int:
            self.value += self.step
            return self.value

    counter = Counter(5)
    assert (counter.up(), counter.up()) == (6, 7)
    assert greenloom.spawn(counter.up).get(timeout=5) == 6
    assert calls == [5, 5]
    with pytest.raises(TypeError, match="not supported"):
        local(1)


def test_descriptors_and_slots_win_over_attributes_and_slots_are_shared() -> None:
    class Special(local):
        __slots__ = ("shared",)

        @property
        def fixed(self) -> str:
            return "from the property"

    special: Any = Special()
    special.__dict__["fixed"] = special.__dict__["shared"] = "hidden"
    special.shared = 1
    assert (special.fixed, special.shared) == ("from the property", 1)
    assert greenloom.spawn(lambda: special.shared).get(timeout=5) == 1
    del special.shared
    assert not hasattr(special, "shared")
    with pytest.raises(AttributeError):
        special.__dict__ = {}
    with pytest.raises(AttributeError):
        del special.missing


def test_getattr_of_a_subclass_is_asked_last() -> None:
    class Lazy(local):
        def __getattr__(self, name: str) -> str:
            return f"no {name}"

    lazy: Any = Lazy()
    assert lazy.thing == "no thing"
    lazy.thing = "a thing"
    assert lazy.thing == "a thing"


def test_a_copy_has_attributes_of_its_own() -> None:
    data: Any = local()
    data.items = [1]
    twin = copy.copy(data)
    twin.more = True
    assert twin.items is data.items
    assert not hasattr(data, "more")


class _Sentinel:
    pass


def test_attributes_go_when_the_greenlet_ends_even_if_it_is_kept() -> None:
    data: Any = local()
    seen: list[weakref.ref[_Sentinel]] = []

    def work() -> None:
        data.sentinel = _Sentinel()
        seen.append(weakref.ref(data.sentinel))
        assert all_local_dicts_for_greenlet(greenloom.getcurrent()) == [((local, id(data)), data.__dict__)]

    greenlet = greenloom.spawn(work)
    greenlet.join(5)
    greenloom.sleep(0)
    gc.collect()
    assert seen[0]() is None


def test_attributes_go_with_the_object_in_a_greenlet_that_runs_on() -> None:
    def work() -> tuple[int, int]:
        current: Any = greenloom.getcurrent()
        alive = []
        for _ in range(100):
            data: Any = local()
            data.sentinel = _Sentinel()
            alive.append(weakref.ref(data.sentinel))
            del data
        gc.collect()
        return sum(one() is not None for one in alive), current.has_links()

    # Waiting for it would be a link of its own.
    greenlet = greenloom.spawn(work)
    with greenloom.Timeout(5):
        while not greenlet.ready():
            greenloom.sleep(0.001)
    assert greenlet.value == (0, 0)
