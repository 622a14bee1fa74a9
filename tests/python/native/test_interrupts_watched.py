"""Interrupts of C libraries under trace functions and the like; and nothing is left of them."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import greenloom
from greenloom import Timeout
from greenloom.greenlet import getcurrent
from interrupting import FOREVER, Stop, interrupt_both, started


def test_under_a_trace_function(driver: ModuleType, quiet: int) -> None:
    events: list[tuple[str, Any]] = []

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code is not interrupt_both.__code__:
            return None
        events.append((event, argument[0].__name__ if event == "exception" else None))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        assert interrupt_both(driver, quiet) == (True, True)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)
    assert ("exception", "DriverError") in events
    assert events[0][0] == "call"
    assert events[-1][0] == "return"
    assert sum(event == "line" for event, _ in events) > 10
    assert interrupt_both(driver, quiet) == (True, True)


def test_under_a_profile_function(driver: ModuleType, quiet: int) -> None:
    events = []
    before = sys.getprofile()
    sys.setprofile(lambda _frame, event, _argument: events.append(event))
    try:
        assert interrupt_both(driver, quiet) == (True, True)
    finally:
        sys.setprofile(before)
    assert {"c_call", "c_return", "c_exception", "call", "return"} <= set(events)
    assert "line" not in events


def test_no_trace_function_is_left_behind(driver: ModuleType, quiet: int) -> None:
    before = sys.gettrace()
    sys.settrace(None)
    try:
        assert interrupt_both(driver, quiet) == (True, True)
        assert sys.gettrace() is None
    finally:
        sys.settrace(before)


def test_a_trace_function_set_by_a_callback_stays(driver: ModuleType, quiet: int) -> None:
    def trace(_frame: Any, _event: str, _argument: Any) -> None:
        return None

    before = sys.gettrace()
    try:
        with pytest.raises(Timeout), Timeout(0.01):
            driver.calls(quiet, FOREVER, lambda: sys.settrace(trace), False)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("way", ["raises", "swallows"])
def test_in_a_trace_function(driver: ModuleType, quiet: int, way: str) -> None:
    """Nobody is told of exceptions in there: the driver's own may come first, but not instead."""

    def trace(frame: Any, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code is traced.__code__:
            getattr(driver, way)(quiet, FOREVER)
            sum(each for each in range(3))

    def traced() -> None:
        pass

    def call() -> None:
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            traced()
            greenloom.sleep(1)
        finally:
            sys.settrace(before)

    timeout = Timeout(0.01)
    with pytest.raises((Timeout, driver.DriverError)) as caught, timeout:
        call()
    assert caught.value is timeout or isinstance(caught.value, driver.DriverError)
    assert interrupt_both(driver, quiet) == (True, True)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in 3.12")
def test_beside_other_monitoring_tools(driver: ModuleType, quiet: int) -> None:
    monitoring = sys.monitoring  # type: ignore[attr-defined]
    seen = []
    monitoring.use_tool_id(monitoring.DEBUGGER_ID, "test")
    try:
        raised = monitoring.events.RAISE
        monitoring.register_callback(
            monitoring.DEBUGGER_ID, raised, lambda code, _offset, error: seen.append((code, type(error)))
        )
        monitoring.set_events(monitoring.DEBUGGER_ID, raised | monitoring.events.LINE)
        assert interrupt_both(driver, quiet) == (True, True)
        monitoring.set_events(monitoring.DEBUGGER_ID, 0)
    finally:
        monitoring.free_tool_id(monitoring.DEBUGGER_ID)
    assert (interrupt_both.__code__, Timeout) in seen
    assert interrupt_both(driver, quiet) == (True, True)


def test_a_thousand_kills_leak_nothing(driver: ModuleType, quiet: int) -> None:
    def function(way: str) -> None:
        getattr(driver, way)(quiet, FOREVER)

    given = Stop()

    def kill(count: int) -> None:
        for number in range(count):
            greenlet = greenloom.spawn(function, ("raises", "swallows")[number % 2])
            greenloom.sleep(0)
            greenlet.kill(given)
            assert greenlet.exception is given
            given.__traceback__ = given.__context__ = None

    greenloom.get_hub().exception_stream = None
    kill(20)
    gc.collect()
    before = len(gc.get_objects()), sys.getrefcount(given), sys.getrefcount(Stop), sys.getrefcount(None)
    kill(1000)
    gc.collect()
    after = len(gc.get_objects()), sys.getrefcount(given), sys.getrefcount(Stop), sys.getrefcount(None)
    assert after[0] - before[0] < 50
    assert after[1] == before[1]
    assert abs(after[2] - before[2]) < 5
    assert abs(after[3] - before[3]) < 100


def test_what_was_not_delivered_is_freed_with_its_thread(driver: ModuleType, quiet: int) -> None:
    class Marked(BaseException):
        pass

    marks = []

    def work() -> None:
        greenlet = started(lambda: driver.Rows(quiet, FOREVER, False).state)
        given = Marked()
        marks.append(weakref.ref(given))
        greenlet.kill(given, block=False)
        del given
        with contextlib.suppress(Marked):
            greenlet.get(timeout=5)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    gc.collect()
    assert marks[0]() is None


def test_the_current_greenlet_is_not_confused(driver: ModuleType, quiet: int) -> None:
    """A greenlet that begins where an interrupted one has ended gets nothing of it."""
    for _ in range(50):
        greenlet = started_now(driver.swallows, quiet)
        greenlet.kill()
        assert greenloom.spawn(lambda: getcurrent() is not None).get() is True


def started_now(function: Callable[..., Any], quiet: int) -> Any:
    greenlet = greenloom.spawn(function, quiet, FOREVER)
    greenloom.sleep(0)
    return greenlet
