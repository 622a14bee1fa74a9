"""The end of greenlets that nobody refers to any more, and the memory of many."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from greenloom.greenlet import GreenletExit, getcurrent, greenlet
from programs import python


def wait() -> Any:
    return getcurrent().parent.switch()  # type: ignore[union-attr]


class Ends:
    """Whose `run` waits, and notes how it ends."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def run(self, *kept: object) -> None:
        try:
            wait()
        except GreenletExit:
            self.seen.append("exit")
            raise
        finally:
            self.seen.append("finally")


def started(run: Callable[..., Any], *args: object) -> Any:
    new = greenlet(run)
    new.switch(*args)
    return new


def test_dropping_the_last_reference_runs_the_finally_blocks_at_once() -> None:
    ends = Ends()
    g = started(ends.run)
    reference = weakref.ref(g)
    del g
    assert ends.seen == ["exit", "finally"]
    assert reference() is None


def test_a_dropped_greenlet_ends_into_the_one_that_dropped_it() -> None:
    seen: list[Any] = []

    def run() -> None:
        try:
            wait()
        finally:
            seen.append(getcurrent().parent)

    def drop() -> None:
        held.clear()

    held = [started(run)]
    dropper = greenlet(drop)
    dropper.switch()
    assert seen == [dropper]


def test_what_a_dropped_greenlet_refers_to_is_let_go() -> None:
    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing)
    g = started(Ends().run, thing)
    del thing
    assert reference() is not None
    del g
    assert reference() is None


def test_one_that_has_not_begun_is_just_freed() -> None:
    ends = Ends()
    g = greenlet(ends.run)
    reference = weakref.ref(g)
    del g
    assert reference() is None
    assert ends.seen == []


def test_one_that_survives_its_exit_is_complained_about(capsys: pytest.CaptureFixture[str]) -> None:
    def stubborn() -> None:
        try:
            wait()
        except GreenletExit:
            wait()

    reference = weakref.ref(started(stubborn))
    assert capsys.readouterr().err.startswith("GreenletExit did not kill <greenlet.greenlet object at 0x")
    survivor = reference()
    assert survivor is not None
    assert bool(survivor)
    survivor.switch()
    assert survivor.dead


def test_one_that_is_brought_back_to_life_can_go_on_and_is_ended_again_later() -> None:
    saved: list[Any] = []
    seen: list[str] = []

    def run() -> None:
        try:
            wait()
        except GreenletExit:
            saved.append(getcurrent())
            seen.append(wait())
        try:
            wait()
        finally:
            seen.append("ended")

    g = started(run)
    del g
    assert len(saved) == 1
    assert bool(saved[0])
    saved[0].switch("gone on")
    saved.clear()
    assert seen == ["gone on", "ended"]


def test_an_error_in_a_dropped_greenlet_is_reported_and_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []

    def run() -> None:
        try:
            wait()
        finally:
            raise ValueError("while it ends")

    g = started(run)
    monkeypatch.setattr("sys.unraisablehook", lambda report: reported.append(report.exc_value))
    del g
    assert [str(error) for error in reported] == ["while it ends"]
    reported.clear()


def test_a_drop_keeps_the_exception_that_is_being_handled() -> None:
    try:
        raise KeyError("handled")
    except KeyError:
        g = started(Ends().run)
        del g
        with pytest.raises(KeyError, match="handled"):
            raise


def test_one_that_is_dropped_while_it_runs_ends_first() -> None:
    seen: list[str] = []

    def run() -> str:
        held.clear()
        gc.collect()
        seen.append("still here")
        return "done"

    held = [greenlet(run)]
    assert held[0].switch() == "done"
    assert seen == ["still here"]


def test_one_that_another_thread_drops_ends_on_its_own_at_its_next_call() -> None:
    held: list[Any] = []
    ended_on: list[int] = []
    suspended, dropped = threading.Event(), threading.Event()

    def run() -> None:
        try:
            wait()
        finally:
            ended_on.append(threading.get_ident())

    def owner() -> None:
        held.append(started(run))
        suspended.set()
        assert dropped.wait(30)
        before = list(ended_on)
        getcurrent()
        ended_on.append(-1)
        assert before == []

    thread = threading.Thread(target=owner)
    thread.start()
    assert suspended.wait(30)
    held.clear()
    dropped.set()
    ident = thread.ident
    thread.join()
    assert ended_on == [ident, -1]


@pytest.mark.parametrize(
    "state",
    [
        "unstarted",
        "dead",
        "suspended",
        "weakly referenced",
        "of a derived class",
    ],
)
def test_a_long_line_of_parents_is_freed_without_recursion(state: str) -> None:
    # Short, because each new link is checked for a cycle. On a small stack it is as long as 100,000 on a large one.
    python(f"""
        import greenloom, weakref
        from greenloom.greenlet import getcurrent, greenlet
        greenloom.set_stack_size(64 << 10)
        class Derived(greenlet):
            pass
        def line(length):
            last = main = getcurrent()
            made = []
            references = []
            for _ in range(length):
                last = (Derived if {state!r} == "of a derived class" else greenlet)(main.switch, last)
                made.append(last)
                if {state!r} == "suspended":
                    last.switch()
                if {state!r} == "weakly referenced":
                    references.append(weakref.ref(last))
            if {state!r} == "dead":
                for g in made:
                    g.throw()
                del g
            made.clear()
            del last
        greenlet(line).switch(5000)
    """)


def test_deep_structures_are_freed_in_a_greenlet_though_a_destructor_switches() -> None:
    assert (
        python("""
        from greenloom.greenlet import getcurrent, greenlet
        freed = 0
        class Freed:
            def __del__(self):
                global freed
                freed += 1
                if freed % 1000 == 0:
                    worker.parent.switch("in a destructor")
        def work():
            nest = None
            for _ in range(100_000):
                nest = (nest, Freed())
            del nest
            return "done"
        worker = greenlet(work)
        said = [worker.switch()]
        while not worker.dead:
            said.append(worker.switch())
        print(said.count("in a destructor"), said[-1], freed)
    """)
        == "100 done 100000\n"
    )


def test_twenty_thousand_dropped_at_once_all_end() -> None:
    ends = Ends()
    many = [started(ends.run) for _ in range(20_000)]
    many.clear()
    assert len(ends.seen) == 40_000
