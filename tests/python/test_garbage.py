"""Cycles that greenlets are in, and the garbage collector while greenlets run and wait."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from greenloom.greenlet import getcurrent, greenlet
from programs import python


def wait() -> Any:
    return getcurrent().parent.switch()  # type: ignore[union-attr]


@pytest.mark.parametrize("where", ["main greenlet", "greenlet"])
def test_a_suspended_greenlet_in_a_cycle_is_ended_by_the_collector(where: str) -> None:
    ended: list[str] = []

    def run() -> None:
        try:
            wait()
        finally:
            ended.append("ended")

    def make() -> weakref.ref[Any]:
        g: Any = greenlet(run)
        g.switch()
        g.itself = [g]
        return weakref.ref(g)

    def collect() -> None:
        references = [make() for _ in range(10)]
        gc.collect()
        assert [reference() for reference in references] == [None] * 10

    if where == "greenlet":
        greenlet(collect).switch()
    else:
        collect()
    assert ended == ["ended"] * 10


def test_what_waiting_frames_hold_is_not_garbage() -> None:
    class Thing:
        pass

    def run(thing: Thing) -> None:
        itself = getcurrent()
        wait()
        assert (thing, itself) == (reference(), getcurrent())

    g = greenlet(run)
    thing = Thing()
    reference = weakref.ref(thing)
    g.switch(thing)
    del thing
    gc.collect()
    assert reference() is not None
    g.switch()
    del g
    assert reference() is None


def test_an_unstarted_and_a_dead_greenlet_in_a_cycle_are_freed() -> None:
    def make(dead: bool) -> weakref.ref[greenlet]:
        g: Any = greenlet(lambda: None)
        g.run = lambda: g
        g.itself = [g]
        if dead:
            g.switch()
        return weakref.ref(g)

    references = [make(True), make(False)]
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_the_context_of_a_greenlet_is_visited() -> None:
    python("""
        import contextvars, gc, weakref
        from greenloom.greenlet import getcurrent, greenlet
        variable = contextvars.ContextVar("variable")
        def run():
            variable.set(getcurrent())
            getcurrent().parent.switch()
        g = greenlet(run)
        g.switch()
        reference = weakref.ref(g)
        del g
        gc.collect()
        assert reference() is None
    """)


def test_collecting_at_every_allocation_changes_nothing() -> None:
    python("""
        import gc
        from greenloom.greenlet import getcurrent, greenlet
        gc.set_threshold(1, 1, 1)
        ended = []
        def run(number):
            try:
                for _ in range(3):
                    cycle = [number]
                    cycle.append(cycle)
                    getcurrent().parent.switch(number)
            finally:
                ended.append(number)
        for number in range(1000):
            g = greenlet(run)
            assert [g.switch(number) for _ in range(number % 3 + 1)][-1] == number
            g.itself = [g] if number % 2 else None
        del g
        gc.collect()
        assert sorted(ended) == list(range(1000))
    """)
