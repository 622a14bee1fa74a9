"""What the package has for C extensions and for its own tests: ``_C_API``, counters, constants, failing switches."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import pytest

from greenloom import greenlet as module
from greenloom.greenlet import GreenletExit, _greenlet, error, getcurrent, greenlet
from programs import python

inner: Any = _greenlet


def wait(*args: Any, **kwargs: Any) -> Any:
    return getcurrent().parent.switch((args, kwargs))  # type: ignore[union-attr]


# The capsule, used as ``greenlet.h`` uses it.

_OBJECT, _INT = ctypes.py_object, ctypes.c_int
_NULL = ctypes.py_object()


def entries() -> list[int | None]:
    """The addresses in the capsule, in the order that extensions have compiled in."""
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = [_OBJECT, ctypes.c_char_p]
    address: Any = get_pointer(module._C_API, b"greenlet._C_API")
    return list((ctypes.c_void_p * 12).from_address(address))


def entry(number: int, result: Any, *arguments: Any) -> Callable[..., Any]:
    return ctypes.PYFUNCTYPE(result, *arguments)(entries()[number] or 0)


def object_at(number: int) -> Any:
    return ctypes.cast(entries()[number] or 0, _OBJECT).value


def test_the_capsule_begins_with_the_class_and_the_exceptions() -> None:
    assert all(entries())
    assert [object_at(number) for number in range(3)] == [greenlet, error, GreenletExit]


def test_the_capsule_makes_switches_and_throws() -> None:
    new = entry(3, _OBJECT, _OBJECT, _OBJECT)
    current = entry(4, _OBJECT)
    throw = entry(5, _OBJECT, _OBJECT, _OBJECT, _OBJECT, _OBJECT)
    switch = entry(6, _OBJECT, _OBJECT, _OBJECT, _OBJECT)
    assert current() is getcurrent()
    made = new(wait, _NULL)
    assert made.parent is getcurrent()
    assert switch(made, (1,), {"a": 2}) == ((1,), {"a": 2})
    with pytest.raises(KeyError, match="thrown"):
        throw(made, KeyError, "thrown", _NULL)
    assert made.dead
    # Without arguments and keywords at all.
    assert switch(new(wait, getcurrent()), _NULL, _NULL) == ((), {})


def test_the_capsule_tells_the_state() -> None:
    main, started, active = (entry(number, _INT, _OBJECT) for number in (8, 9, 10))

    def state(g: greenlet) -> tuple[bool, bool, bool]:
        return bool(main(g)), bool(started(g)), bool(active(g))

    g = greenlet(wait)
    assert state(getcurrent()) == (True, True, True)
    assert state(g) == (False, False, False)
    g.switch()
    assert state(g) == (False, True, True)
    g.throw()
    assert state(g) == (False, True, False)


def test_the_capsule_has_the_parent_and_sets_it() -> None:
    set_parent = entry(7, _INT, _OBJECT, _OBJECT)
    parent_of = entry(11, _OBJECT, _OBJECT)
    outer = greenlet(wait)
    g = greenlet(wait, outer)
    assert parent_of(g) is outer
    with pytest.raises(ValueError, match="cyclic parent chain"):
        set_parent(outer, g)
    assert set_parent(g, getcurrent()) == 0
    assert g.parent is getcurrent()


def test_what_the_capsule_returns_is_the_callers_own_reference() -> None:
    current, parent_of = entry(4, _OBJECT), entry(11, _OBJECT, _OBJECT)
    g = greenlet(wait)
    before = sys.getrefcount(getcurrent())
    for _ in range(100):
        current()
        parent_of(g)
    after = sys.getrefcount(getcurrent())
    assert after == before


# Switches that fail.


@pytest.mark.parametrize("begun", [False, True])
def test_a_switch_that_fails_leaves_the_greenlet_as_it_was(begun: bool) -> None:
    g = inner.UnswitchableGreenlet(wait)
    assert issubclass(inner.UnswitchableGreenlet, greenlet)
    if begun:
        assert g.switch(1) == ((1,), {})
    g.force_switch_error = True
    place = "a running greenlet" if begun else "a greenlet for the first time"
    with pytest.raises(SystemError, match=f"Failed to switch stacks into {place}"):
        g.switch(2)
    assert (bool(g), g.dead) == (begun, False)
    g.force_switch_error = False
    assert g.switch(3) == (3 if begun else ((3,), {}))
    assert g.dead is begun


# Constants and counters.


def test_the_constants_say_that_everything_is_supported() -> None:
    for name in "GC", "TRACING", "CONTEXT_VARS":
        assert getattr(module, f"GREENLET_USE_{name}") == 1
    assert inner.GREENLET_USE_STANDARD_THREADING == 1


def test_the_counters_follow_threads_and_return_to_where_they_were() -> None:
    assert (
        python("""
        import threading, time
        from greenloom.greenlet import _greenlet as inner, greenlet
        using, gate = threading.Semaphore(0), threading.Event()
        def use():
            greenlet(len).switch(())
            using.release()
            gate.wait(30)
        greenlet(len).switch(())
        print(inner.get_total_main_greenlets(), end=" ")
        threads = [threading.Thread(target=use) for _ in range(5)]
        for thread in threads: thread.start()
        for thread in threads: using.acquire()
        print(inner.get_total_main_greenlets(), end=" ")
        gate.set()
        for thread in threads: thread.join()
        until = time.monotonic() + 30
        while inner.get_total_main_greenlets() > 1 and time.monotonic() < until:
            # What a thread leaves may wait for the next greenlet that does anything.
            greenlet(len).switch(())
        print(inner.get_total_main_greenlets(), end=" ")
        print(inner.get_pending_cleanup_count())
        """)
        == "1 6 1 0\n"
    )


def test_nested_deallocations_are_counted_where_python_has_them() -> None:
    name = "get_tstate_trash_delete_nesting"
    if sys.version_info >= (3, 13):
        assert not hasattr(inner, name)
    else:
        assert getattr(inner, name)() == 0


def test_the_clock_of_the_cleanup_is_reset_and_stopped() -> None:
    module.enable_optional_cleanup(True)
    assert module.get_clocks_used_doing_optional_cleanup() == 0
    module.enable_optional_cleanup(False)
    assert module.get_clocks_used_doing_optional_cleanup() is None
    module.enable_optional_cleanup(True)
