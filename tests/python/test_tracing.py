"""``settrace``: the function that hears of every switch, in order, before the target goes on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from greenloom.greenlet import GreenletExit, getcurrent, gettrace, greenlet, settrace

Events = list[tuple[str, str, str]]


def wait() -> Any:
    return getcurrent().parent.switch()  # type: ignore[union-attr]


def fail() -> None:
    raise ValueError("its own error")


@pytest.fixture(autouse=True)
def no_tracer() -> Iterator[None]:
    yield
    settrace(None)


class Tracer:
    """Notes who was left for whom, by the names that it is told."""

    def __init__(self, **named: greenlet) -> None:
        self.events: Events = []
        self.names = {id(g): name for name, g in named.items()}

    def __call__(self, event: str, pair: tuple[greenlet, greenlet]) -> None:
        origin, target = pair
        assert target is getcurrent(), "the target runs already"
        self.events.append((event, self.names[id(origin)], self.names[id(target)]))


def test_every_switch_is_told_in_order() -> None:
    main, outer = getcurrent(), greenlet(lambda: inner.switch())
    inner = greenlet(wait, outer)
    tracer = Tracer(main=main, outer=outer, inner=inner)
    settrace(tracer)
    outer.switch()
    inner.switch()
    settrace(None)
    assert tracer.events == [
        ("switch", "main", "outer"),
        ("switch", "outer", "inner"),
        ("switch", "inner", "outer"),
        ("switch", "outer", "main"),
        ("switch", "main", "inner"),
        ("switch", "inner", "main"),
    ]


def test_an_end_by_an_error_and_a_throw_are_told_as_throws() -> None:
    main, failing, waiting = getcurrent(), greenlet(fail), greenlet(wait)
    tracer = Tracer(main=main, failing=failing, waiting=waiting)
    waiting.switch()
    settrace(tracer)
    with pytest.raises(ValueError, match="its own error"):
        failing.switch()
    with pytest.raises(KeyError):
        waiting.throw(KeyError)
    settrace(None)
    assert tracer.events == [
        ("switch", "main", "failing"),
        ("throw", "failing", "main"),
        ("throw", "main", "waiting"),
        ("throw", "waiting", "main"),
    ]


def test_a_greenlet_exit_goes_in_as_a_throw_and_comes_out_as_a_switch() -> None:
    main, waiting = getcurrent(), greenlet(wait)
    waiting.switch()
    tracer = Tracer(main=main, waiting=waiting)
    settrace(tracer)
    assert isinstance(waiting.throw(), GreenletExit)
    settrace(None)
    assert tracer.events == [("throw", "main", "waiting"), ("switch", "waiting", "main")]


def test_a_switch_that_leads_nowhere_else_is_told() -> None:
    main, ended = getcurrent(), greenlet(len)
    ended.throw()
    tracer = Tracer(main=main, ended=ended)
    settrace(tracer)
    main.switch()
    ended.switch()
    settrace(None)
    assert tracer.events == [("switch", "main", "main"), ("switch", "main", "main")]


def test_the_drop_of_a_suspended_greenlet_is_told() -> None:
    events: list[str] = []
    g = greenlet(wait)
    g.switch()
    settrace(lambda event, pair: events.append(event))
    del g
    settrace(None)
    assert events == ["throw", "switch"]


def test_setting_a_tracer_returns_the_one_before() -> None:
    first, second = Tracer(), Tracer()
    assert settrace(first) is None
    assert gettrace() is first
    assert settrace(second) is first
    assert settrace(None) is second
    assert gettrace() is None


def test_an_error_of_the_tracer_is_raised_in_the_target_and_unsets_it() -> None:
    def tracer(event: str, pair: Any) -> None:
        raise RuntimeError(f"tracing a {event}")

    def run() -> str:
        with pytest.raises(RuntimeError, match="tracing a switch"):
            wait()
        return "caught"

    g = greenlet(run)
    g.switch()
    settrace(tracer)
    assert g.switch() == "caught"
    assert gettrace() is None
    # One that begins has no chance to catch it.
    g = greenlet(run)
    settrace(tracer)
    with pytest.raises(RuntimeError, match="tracing a switch"):
        g.switch()
    assert g.dead
    assert gettrace() is None


def test_an_error_of_the_tracer_takes_the_place_of_what_was_thrown() -> None:
    def tracer(event: str, pair: Any) -> None:
        raise RuntimeError(f"tracing a {event}")

    g = greenlet(wait)
    g.switch()
    settrace(tracer)
    with pytest.raises(RuntimeError, match="tracing a throw"):
        g.throw(KeyError)
    assert g.dead


def test_what_cannot_be_called_fails_as_a_tracer_that_raises() -> None:
    any_settrace: Any = settrace
    any_settrace(5)
    with pytest.raises(TypeError, match="not callable"):
        greenlet(wait).switch()
    assert gettrace() is None
    with pytest.raises(TypeError):
        any_settrace()


def test_a_tracer_may_switch_itself() -> None:
    seen: list[str] = []

    def tracer(event: str, pair: Any) -> None:
        seen.append(event)
        if len(seen) == 1:
            seen.append(f"{helper.switch()} helped")

    def help_out() -> None:
        wait()
        getcurrent().parent.switch("the helper")  # type: ignore[union-attr]

    helper = greenlet(help_out)
    helper.switch()
    # Back from the helper is back in the main greenlet, so the traced one begins when it is switched to again.
    traced = greenlet(lambda: "ran")
    settrace(tracer)
    assert traced.switch() == "the helper"
    settrace(None)
    assert seen == ["switch", "switch", "switch"]
    assert traced.switch() == "ran"
    assert seen[3:] == ["() helped"]
    assert helper.dead is False
    assert traced.dead


def test_a_tracer_is_its_threads_own() -> None:
    tracer = Tracer()
    found: list[Any] = []

    def other() -> None:
        found.append(gettrace())
        greenlet(len).throw()

    settrace(tracer)
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found == [None]
    assert tracer.events == []


def test_the_interpreters_trace_function_does_not_see_the_tracer() -> None:
    lines: list[str] = []

    def interpreters(frame: Any, event: str, argument: Any) -> None:
        lines.append(frame.f_code.co_name)

    def tracer(event: str, pair: Any) -> None:
        (lambda: None)()

    def run() -> None:
        pass

    before = sys.gettrace()
    settrace(tracer)
    sys.settrace(interpreters)
    try:
        greenlet(run).switch()
    finally:
        sys.settrace(before)
    assert lines == ["run"]
