"""The interpreter's trace and profile functions, and its recursion limit: the thread's, whichever greenlet runs."""

from __future__ import annotations

import cProfile
import pstats
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenloom.greenlet import getcurrent, greenlet


def wait() -> Any:
    return getcurrent().parent.switch()  # type: ignore[union-attr]


def leaf() -> None:
    pass


def two_turns() -> None:
    leaf()
    wait()
    leaf()


@pytest.fixture
def calls() -> Iterator[list[str]]:
    """Cleared, it holds the functions of this file that were called since."""
    found: list[str] = []
    before = sys.gettrace(), sys.getprofile()
    yield found
    sys.settrace(before[0])
    sys.setprofile(before[1])


def noting(calls: list[str]) -> Callable[[Any, str, Any], Any]:
    def note(frame: Any, event: str, argument: Any) -> Any:
        if event == "call" and frame.f_code.co_filename == __file__:
            calls.append(frame.f_code.co_name)

    return note


@pytest.mark.parametrize("set_function", [sys.settrace, sys.setprofile])
def test_a_function_set_in_the_starter_sees_new_and_waiting_greenlets(
    set_function: Any, calls: list[str]
) -> None:
    waiting = greenlet(two_turns)
    waiting.switch()
    set_function(noting(calls))
    waiting.switch()
    greenlet(two_turns).switch()
    set_function(None)
    assert calls == ["leaf", "two_turns", "leaf", "wait"]


@pytest.mark.parametrize("set_function", [sys.settrace, sys.setprofile])
def test_a_function_set_and_unset_in_a_greenlet_is_so_in_all(set_function: Any, calls: list[str]) -> None:
    def set_and_unset() -> None:
        set_function(noting(calls))
        wait()
        set_function(None)
        wait()

    waiting, setter = greenlet(two_turns), greenlet(set_and_unset)
    waiting.switch()
    setter.switch()
    leaf()
    waiting.switch()
    setter.switch()
    leaf()
    assert calls == ["wait", "leaf", "leaf"]


def test_a_profile_counts_calls_on_both_sides_of_switches() -> None:
    def work() -> None:
        for _ in range(3):
            leaf()
            wait()

    g = greenlet(work)
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(3):
        g.switch()
        leaf()
    profile.disable()
    g.switch()
    stats: Any = pstats.Stats(profile)
    assert {name: entry[1] for (_, _, name), entry in stats.stats.items() if name in ("leaf", "work")} == {
        "leaf": 6,
        "work": 1,
    }


def test_a_trace_function_may_switch(calls: list[str]) -> None:
    def helper() -> None:
        while True:
            calls.append("helped")
            wait()

    def trace(frame: Any, event: str, argument: Any) -> None:
        if frame.f_code.co_name == "leaf":
            helping.switch()

    helping = greenlet(helper)
    sys.settrace(trace)
    leaf()
    leaf()
    sys.settrace(None)
    assert calls == ["helped", "helped"]
    helping.throw()


def test_an_error_of_a_trace_function_is_raised_in_the_greenlet_that_runs(calls: list[str]) -> None:
    def trace(frame: Any, event: str, argument: Any) -> None:
        if frame.f_code.co_name == "leaf":
            raise ZeroDivisionError("traced")

    def run() -> str:
        with pytest.raises(ZeroDivisionError, match="traced"):
            leaf()
        return "caught"

    sys.settrace(trace)
    assert greenlet(run).switch() == "caught"
    assert sys.gettrace() is None


# The recursion limit.


@pytest.fixture
def limit() -> Iterator[None]:
    before = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(before)


def depth(levels: int = 0) -> int:
    """How many more calls fit."""
    try:
        return depth(levels + 1)
    except RecursionError:
        return levels


def at_depth(levels: int, function: Callable[[], int]) -> int:
    return function() if levels == 0 else at_depth(levels - 1, function)


#: The calls between here and there differ by a few.
CLOSE = 5


def test_a_new_greenlet_starts_as_deep_as_the_one_that_starts_it(limit: None) -> None:
    sys.setrecursionlimit(600)
    here = depth()
    assert greenlet(depth).switch() == pytest.approx(here, abs=CLOSE)
    deeper = at_depth(200, lambda: greenlet(depth).switch())
    assert deeper == pytest.approx(here - 200, abs=CLOSE)


def test_a_limit_that_changes_while_one_waits_holds_for_it_too(limit: None) -> None:
    def run() -> int:
        wait()
        return depth()

    sys.setrecursionlimit(600)
    here = depth()
    lower, higher = greenlet(run), greenlet(run)
    lower.switch()
    higher.switch()
    sys.setrecursionlimit(400)
    assert lower.switch() == pytest.approx(here - 200, abs=CLOSE)
    sys.setrecursionlimit(800)
    assert higher.switch() == pytest.approx(here + 200, abs=CLOSE)
    assert depth() == pytest.approx(here + 200, abs=CLOSE)


def test_a_limit_that_a_greenlet_sets_holds_outside(limit: None) -> None:
    sys.setrecursionlimit(600)
    here = depth()
    greenlet(lambda: sys.setrecursionlimit(500)).switch()
    assert depth() == pytest.approx(here - 100, abs=CLOSE)
    assert sys.getrecursionlimit() == 500


def test_recursion_errors_do_not_use_up_the_limit(limit: None) -> None:
    sys.setrecursionlimit(600)
    here = depth()
    for _ in range(50):
        greenlet(depth).switch()
        g = greenlet(lambda: at_depth(100, wait))
        g.switch()
        g.throw()
    assert depth() == here
