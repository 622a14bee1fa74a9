"""Switching: what is handed over, where a greenlet's end leads, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenloom.greenlet import GreenletExit, error, getcurrent, greenlet


def wait() -> Any:
    """Goes back to the parent, and returns what it is switched to with."""
    return getcurrent().parent.switch()  # type: ignore[union-attr]


def echo() -> None:
    """Hands each value that it gets back to its parent."""
    value = wait()
    while True:
        value = getcurrent().parent.switch(value)  # type: ignore[union-attr]


def show(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    return args, kwargs


def started(run: Callable[..., Any] = wait, parent: greenlet | None = None) -> greenlet:
    new = greenlet(run, parent)
    new.switch()
    return new


def dead() -> greenlet:
    ended = greenlet(show)
    ended.switch()
    return ended


# Values.


@pytest.mark.parametrize(
    ("args", "kwargs", "received"),
    [
        ((), {}, ()),
        ((1,), {}, 1),
        ((None,), {}, None),
        (((),), {}, ()),
        (((1, 2),), {}, (1, 2)),
        ((1, 2), {}, (1, 2)),
        ((), {"a": 1}, {"a": 1}),
        ((1,), {"a": 2}, ((1,), {"a": 2})),
        ((1, 2), {"a": 3}, ((1, 2), {"a": 3})),
    ],
)
def test_what_is_passed_to_switch_is_what_the_other_switch_returns(
    args: tuple[Any, ...], kwargs: dict[str, Any], received: Any
) -> None:
    assert started(echo).switch(*args, **kwargs) == received
    # Through a dead greenlet, it comes to the parent: here.
    assert dead().switch(*args, **kwargs) == received
    assert getcurrent().switch(*args, **kwargs) == received


def test_the_first_switch_calls_run_with_its_arguments() -> None:
    assert greenlet(show).switch() == ((), {})
    assert greenlet(show).switch(1, (), a=2) == ((1, ()), {"a": 2})


def test_what_run_returns_is_what_the_parents_switch_returns() -> None:
    value = object()
    assert greenlet(lambda: value).switch() is value
    assert greenlet(lambda: (1, 2)).switch() == (1, 2)


@pytest.mark.parametrize("value", [5, None, (1, 2), {"a": 1}])
def test_what_run_returns_is_the_one_argument_of_a_parent_that_has_not_begun(value: Any) -> None:
    assert greenlet(lambda: value, greenlet(show)).switch() == ((value,), {})


def test_it_is_true_between_its_first_switch_and_its_end() -> None:
    g = greenlet(wait)
    assert (bool(g), g.dead) == (False, False)
    g.switch()
    assert (bool(g), g.dead) == (True, False)
    g.switch()
    assert (bool(g), g.dead) == (False, True)
    assert bool(getcurrent())


def test_the_current_greenlet_is_the_one_that_runs() -> None:
    main = getcurrent()
    g = greenlet(getcurrent)
    assert g.switch() is g
    assert greenlet.getcurrent() is getcurrent() is main
    assert main.parent is None


# Ends.


def test_an_error_that_ends_a_greenlet_is_raised_in_its_parent() -> None:
    def fail() -> None:
        raise LookupError("here")

    def catch() -> str:
        with pytest.raises(LookupError) as caught:
            greenlet(fail).switch()
        return str(caught.value)

    assert greenlet(catch).switch() == "here"
    inner = greenlet(fail, started())
    with pytest.raises(LookupError, match="here"):
        inner.switch()
    assert inner.parent is not None
    assert inner.dead
    assert inner.parent.dead


def test_a_dead_greenlet_hands_over_to_the_first_parent_that_lives() -> None:
    grandparent = started(echo)
    parent = greenlet(wait, grandparent)
    child = greenlet(wait, parent)
    parent.throw()
    child.throw()
    assert parent.dead
    assert child.dead
    assert child.switch(7) == 7


@pytest.mark.parametrize(
    "make", [lambda: greenlet(wait), started, dead], ids=["unstarted", "suspended", "dead"]
)
def test_what_is_thrown_into_a_greenlet_ends_it_and_reaches_the_parent(make: Callable[[], greenlet]) -> None:
    g = make()
    with pytest.raises(ZeroDivisionError, match="thrown"):
        g.throw(ZeroDivisionError("thrown"))
    assert g.dead
    with pytest.raises(KeyError) as caught:
        make().throw(KeyError, ("a", 1))
    assert caught.value.args == ("a", 1)


@pytest.mark.parametrize(
    "make", [lambda: greenlet(wait), started, dead], ids=["unstarted", "suspended", "dead"]
)
def test_a_greenlet_exit_that_is_thrown_is_returned(make: Callable[[], greenlet]) -> None:
    g = make()
    thrown = GreenletExit("bye")
    assert g.throw(thrown) is thrown
    assert g.dead
    assert type(make().throw()) is GreenletExit


def test_throwing_into_the_current_greenlet_raises_there() -> None:
    def throw_into_itself() -> str:
        with pytest.raises(KeyError):
            getcurrent().throw(KeyError)
        return "caught"

    assert greenlet(throw_into_itself).switch() == "caught"
    with pytest.raises(GreenletExit):
        getcurrent().throw()


def test_what_is_thrown_can_be_caught_and_answered() -> None:
    def catch() -> Any:
        try:
            return wait()
        except KeyError as caught:
            return caught

    thrown = KeyError("k")
    assert started(catch).throw(thrown) is thrown


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((1,), "exceptions must be classes, or instances, not int"),
        ((int,), "exceptions must be classes, or instances, not type"),
        ((KeyError, None, 5), "third argument must be a traceback object"),
        ((KeyError("a"), "b"), "instance exception may not have a separate value"),
        ((KeyError, None, None, None), "takes at most 3 arguments"),
    ],
)
def test_what_is_no_exception_is_not_thrown(args: tuple[Any, ...], message: str) -> None:
    g = started()
    throw: Any = g.throw
    with pytest.raises(TypeError, match=message):
        throw(*args)
    assert not g.dead


@pytest.mark.parametrize(
    "make", [lambda: greenlet(wait), started, dead], ids=["unstarted", "suspended", "dead"]
)
def test_a_greenlet_exit_begins_a_parent_without_arguments(make: Callable[[], greenlet]) -> None:
    g = make()
    g.parent = greenlet(show)
    assert g.throw() == ((), {})


# Parents.


def test_a_cycle_of_parents_is_refused() -> None:
    first = greenlet(wait)
    second = greenlet(wait, first)
    for child in first, second:
        with pytest.raises(ValueError, match="cyclic parent chain"):
            first.parent = child
    assert first.parent is getcurrent()


def test_a_parent_is_a_greenlet_and_a_main_greenlet_has_none() -> None:
    g: Any = greenlet(wait)
    for value in None, 3:
        with pytest.raises(TypeError, match="Expected any type of greenlet"):
            g.parent = value
    with pytest.raises(AttributeError):
        del g.parent
    with pytest.raises(AttributeError, match="cannot set the parent of a main greenlet"):
        getcurrent().parent = g


class Elsewhere:
    """Greenlets of another thread, which lives until it is told to end."""

    def __init__(self) -> None:
        self._ready, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(30)

    def _run(self) -> None:
        self.main, self.suspended, self.unstarted = getcurrent(), started(), greenlet(show)
        self._ready.set()
        self._end.wait(30)

    def end(self) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    made = Elsewhere()
    yield made
    made.end()


@pytest.mark.parametrize("name", ["main", "suspended", "unstarted"])
def test_another_threads_greenlets_cannot_be_switched_to(elsewhere: Elsewhere, name: str) -> None:
    g = getattr(elsewhere, name)
    before = g.dead, bool(g)
    with pytest.raises(error, match="Cannot switch to a different thread"):
        g.switch()
    with pytest.raises(error, match="Cannot switch to a different thread"):
        g.throw()
    assert (g.dead, bool(g)) == before
    assert greenlet(show).switch() == ((), {})


def test_a_greenlet_that_has_begun_stays_with_its_thread(elsewhere: Elsewhere) -> None:
    with pytest.raises(ValueError, match="parent cannot be on a different thread"):
        started().parent = elsewhere.main
    g = greenlet(show)
    g.parent = elsewhere.main
    with pytest.raises(error, match="Cannot switch to a different thread"):
        g.switch()
    g.parent = getcurrent()
    assert g.switch(1) == ((1,), {})
