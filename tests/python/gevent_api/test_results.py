"""How a greenlet ends: its value, its error, and what is printed."""

from __future__ import annotations

import gc
import re
import traceback
import weakref
from io import StringIO
from typing import Any

import pytest

import greenloom
from greenloom import Greenlet, GreenletExit, Timeout, sleep, spawn


class Mistake(Exception):
    pass


def fail(*args: object) -> None:
    raise Mistake("on purpose")


@pytest.mark.usefixtures("printed")
def test_get_raises_the_very_exception_each_time() -> None:
    one = spawn(fail)
    errors = []
    for _ in range(3):
        with pytest.raises(Mistake) as caught:
            one.get()
        errors.append(caught.value)
    assert errors == [one.exception] * 3
    assert not one.successful()
    assert one.value is None


@pytest.mark.usefixtures("printed")
def test_the_traceback_ends_where_it_was_raised_and_does_not_grow() -> None:
    one = spawn(fail)
    lengths = []
    for _ in range(3):
        with pytest.raises(Mistake) as caught:
            one.get()
        stack = traceback.extract_tb(caught.value.__traceback__)
        assert stack[-1].name == "fail"
        lengths.append(len(stack))
    assert len(set(lengths)) == 1
    kind, value, tb = one.exc_info or (None, None, None)
    assert (kind, value) == (Mistake, one.exception)
    assert traceback.extract_tb(tb)[-1].name == "fail"


def test_one_that_succeeded_has_no_error() -> None:
    one = spawn(lambda: 5)
    assert one.get() == 5
    assert one.exception is None
    assert not one.exc_info


def test_an_error_is_printed_with_its_traceback_the_time_and_the_greenlet(printed: StringIO) -> None:
    one = spawn(fail, 1)
    one.name = "worker"
    one.join()
    text = printed.getvalue()
    assert "Traceback (most recent call last)" in text
    assert "Mistake: on purpose" in text
    last = text.rstrip().splitlines()[-1]
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ <Greenlet "worker" at 0x[0-9a-f]+: fail\(1\)> failed with Mistake',
        last,
    )


def test_greenlet_exit_is_a_value_and_prints_nothing(printed: StringIO) -> None:
    def leave() -> None:
        raise GreenletExit("bye")

    one = spawn(leave)
    assert str(one.get()) == "bye"
    assert one.successful()
    assert printed.getvalue() == ""


def test_get_without_block_raises_timeout_until_it_is_done() -> None:
    one = spawn(lambda: 5)
    with pytest.raises(Timeout):
        one.get(block=False)
    one.join()
    assert one.get(block=False) == 5


def test_get_raises_when_its_time_is_over_and_join_does_not() -> None:
    one = spawn(sleep, 10)
    with pytest.raises(Timeout):
        one.get(timeout=0.001)
    assert one.join(timeout=0.001) is None
    assert not one.ready()
    one.kill()


def test_a_timeout_of_the_caller_passes_through_join() -> None:
    one = spawn(sleep, 10)
    with pytest.raises(Timeout) as caught, Timeout(0.001) as outer:
        one.join(timeout=5)
    assert caught.value is outer
    assert not one.has_links()
    one.kill()


@pytest.mark.usefixtures("printed")
def test_a_failed_greenlet_is_freed_without_the_collector() -> None:
    gc.disable()
    try:
        one = spawn(fail)
        one.join()
        gone = weakref.ref(one)
        del one
        # The hub's own last callback may still hold it.
        sleep(0)
        sleep(0)
        assert gone() is None
    finally:
        gc.enable()


def test_throw_from_the_hub_ends_it_with_what_was_thrown(printed: StringIO) -> None:
    one = spawn(sleep, 10)
    sleep(0)
    greenloom.get_hub().loop.run_callback(one.throw, Mistake("thrown"))
    with pytest.raises(Mistake, match="thrown"):
        one.get()
    assert "thrown" in printed.getvalue()


@pytest.mark.usefixtures("printed")
@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ((), GreenletExit, ""),
        ((Mistake,), Mistake, ""),
        ((Mistake("x"),), Mistake, "x"),
        ((Mistake, Mistake("y"), None), Mistake, "y"),
        ((Mistake, "z"), Mistake, "z"),
    ],
)
def test_throw_into_one_that_has_not_started_ends_it(
    arguments: tuple[Any, ...], kind: type[BaseException], text: str
) -> None:
    one = Greenlet(int)
    one.throw(*arguments)
    assert one.dead
    end = one.value if kind is GreenletExit else one.exception
    assert isinstance(end, kind)
    assert str(end) == text
