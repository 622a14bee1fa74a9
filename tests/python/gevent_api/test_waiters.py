"""Waiters: one value from the hub to one greenlet, whatever happens to that meanwhile."""

from __future__ import annotations

import gc
import inspect
import pickle
import weakref
from typing import Any, ClassVar

import pytest

import greenloom
from greenloom import get_hub, getcurrent, sleep, spawn, spawn_raw
from greenloom._waiter import MultipleWaiter
from greenloom.exceptions import ConcurrentObjectUseError
from greenloom.hub import Waiter


def later(function: Any, *args: Any) -> None:
    get_hub().loop.run_callback(function, *args)


def test_what_has_arrived_is_shown() -> None:
    waiter = Waiter()
    assert str(waiter) == "<Waiter greenlet=None>"
    assert (waiter.value, waiter.exc_info, waiter.greenlet, waiter.hub) == (None, None, None, get_hub())
    waiter.switch(5)
    assert str(waiter) == "<Waiter greenlet=None value=5>"
    waiter.clear()
    waiter.throw(KeyError, "x")
    assert waiter.exc_info == (KeyError, "x")
    assert str(waiter).startswith("<Waiter greenlet=None exc_info=(<class 'KeyError'>, 'x')")


def test_what_is_handed_to_one_that_waits_is_not_kept() -> None:
    waiter = Waiter()
    for value in ("first", "second"):
        later(waiter.switch, value)
        assert waiter.get() == value
        assert not waiter.ready()
        assert waiter.greenlet is None
    later(waiter.switch_args, 1, 2)
    assert waiter.get() == (1, 2)
    later(waiter.throw, KeyError("thrown"))
    with pytest.raises(KeyError, match="thrown"):
        waiter.get()
    assert waiter.greenlet is None


def test_a_killed_waiter_leaves_the_place_to_another() -> None:
    waiter = Waiter()
    one = spawn(waiter.get)
    sleep(0)
    assert waiter.greenlet is one
    one.kill()
    assert waiter.greenlet is None
    later(waiter.switch, 7)
    assert waiter.get() == 7


def test_an_error_that_ends_a_raw_greenlet_goes_to_the_hub() -> None:
    reported: list[Any] = []

    def wait() -> None:
        waiter.get()
        raise KeyError("raw")

    waiter = Waiter()
    hub = get_hub()
    hub.handle_error = lambda *what: reported.append(what)
    try:
        spawn_raw(wait)
        sleep(0)
        later(waiter.switch, 1)
        sleep(0)
    finally:
        del hub.handle_error
    ((_, kind, value, _),) = reported
    assert kind is KeyError
    assert str(value) == "'raw'"


def test_a_greenlet_with_its_own_switch_is_asked() -> None:
    class Counting(greenloom.Greenlet):
        switches: ClassVar[list[Any]] = []

        def switch(self, *args: Any) -> Any:
            self.switches.append(args)
            return super().switch(*args)

    waiter = Waiter()
    one = Counting.spawn(waiter.get)
    sleep(0)
    later(waiter.switch, "value")
    assert one.get() == "value"
    assert ("value",) in Counting.switches


def test_a_subclass_may_have_more() -> None:
    class Named(Waiter):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def switch(self, value: Any) -> None:
            super().switch((self.name, value))

    named = Named("n")
    later(named.switch_args, 1)
    assert named.get() == ("n", (1,))
    spawn(lambda: 5).rawlink(named)
    assert named.get() == ("n", 5)
    with pytest.raises(TypeError):
        Waiter(1, 2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Waiter(nonsense=1)  # type: ignore[call-arg]


def test_several_values_come_in_order() -> None:
    waiter = MultipleWaiter()
    waiter.switch(1)
    waiter.switch(2)
    assert [waiter.get(), waiter.get()] == [1, 2]
    one = spawn(waiter.get)
    sleep(0)
    with pytest.raises(ConcurrentObjectUseError):
        waiter.get()
    later(waiter.switch, 3)
    assert one.get() == 3


def test_a_cycle_through_one_is_collected() -> None:
    class Held:
        pass

    waiter = Waiter()
    held: Any = Held()
    held.waiter = waiter
    waiter.switch(held)
    gone = weakref.ref(held)
    del held, waiter
    gc.collect()
    assert gone() is None


def test_one_cannot_be_pickled_and_says_what_its_methods_take() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Waiter())
    assert str(inspect.signature(Waiter.switch)) == "(self, value, /)"
    assert str(inspect.signature(sleep)) == "(seconds=0, ref=True)"


def test_only_the_current_greenlet_is_left_behind_by_one_that_waits_for_ever() -> None:
    def wait() -> None:
        try:
            Waiter().get()
        finally:
            ended.append(getcurrent())

    ended: list[Any] = []
    one = spawn(wait)
    sleep(0)
    one.kill()
    assert ended == [one]
