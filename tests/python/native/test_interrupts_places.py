"""Where an interrupt of a C library is raised, whatever lies between the call and who catches it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import greenloom
from greenloom import GreenletExit, Timeout
from greenloom.greenlet import greenlet as raw_greenlet
from interrupting import FOREVER, Stop, functions_of, started


def test_through_functions_generators_and_decorators(driver: ModuleType, quiet: int) -> None:
    left = []

    def decorate(function: Callable[[], Any]) -> Callable[[], Any]:
        @functools.wraps(function)
        def wrapper() -> Any:
            try:
                return function()
            finally:
                left.append("wrapper")

        return wrapper

    @decorate
    def generator() -> Iterator[Any]:
        try:
            yield driver.raises(quiet, FOREVER)
        finally:
            left.append("generator")

    @decorate
    def function() -> list[Any]:
        return [each for each in map(str, generator())]

    with pytest.raises(Timeout) as caught, Timeout(0.01):
        function()
    assert left == ["wrapper", "generator", "wrapper"]
    assert functions_of(caught.value)[-1] == "generator"


def test_finally_and_exit_of_other_managers_run_once(driver: ModuleType, quiet: int) -> None:
    seen: list[Any] = []

    @contextlib.contextmanager
    def manager() -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            seen.append(error)
            raise

    def call() -> None:
        try:
            with manager():
                driver.swallows(quiet, FOREVER)
        finally:
            seen.append("finally")

    timeout = Timeout(0.01)
    with pytest.raises(Timeout), timeout:
        call()
    assert seen == [timeout, "finally"]


def test_of_nested_timeouts_the_one_that_is_over_is_raised(driver: ModuleType, quiet: int) -> None:
    inner, outer = Timeout(10), Timeout(0.01)
    with pytest.raises(Timeout) as caught, outer, inner:
        driver.raises(quiet, FOREVER)
    assert caught.value is outer
    with Timeout(10), Timeout(0.01, False):
        driver.raises(quiet, FOREVER)
    assert not inner.pending


def test_an_iteration_that_raises(driver: ModuleType, quiet: int) -> None:
    with pytest.raises(Timeout), Timeout(0.01):
        list(driver.Rows(quiet, FOREVER, True))
    with pytest.raises(Timeout), Timeout(0.01):
        all(row for row in driver.Rows(quiet, FOREVER, True))


def test_an_iteration_or_an_attribute_that_swallows(driver: ModuleType, quiet: int) -> None:
    """Nothing looks after such an operation: the block's end, or the next call, raises."""

    def iterate() -> None:
        with Timeout(0.01):
            for _ in driver.Rows(quiet, FOREVER, False):
                pytest.fail("a row")

    with pytest.raises(Timeout):
        iterate()
    with Timeout(0.01, False):
        for _ in driver.Rows(quiet, FOREVER, False):
            pytest.fail("a row")
    with Timeout(0.01, False):
        driver.Rows(quiet, FOREVER, False).state  # noqa: B018

    def kill_me() -> str:
        try:
            assert driver.Rows(quiet, FOREVER, False).state == -1
            greenloom.sleep(10)
        except Stop:
            return "stopped"
        return "ended"

    greenlet = started(kill_me)
    greenlet.kill(Stop)
    assert greenlet.get() == "stopped"


def test_a_swallowed_one_is_raised_at_the_end_at_the_latest(driver: ModuleType, quiet: int) -> None:
    greenlet = started(lambda: driver.Rows(quiet, FOREVER, False).state)
    greenlet.kill(Stop)
    with pytest.raises(Stop):
        greenlet.get()


def test_it_is_raised_once(driver: ModuleType, quiet: int) -> None:
    seen = []

    def next_call() -> None:
        try:
            for _ in range(3):
                greenloom.sleep(0)
        except Stop:
            seen.append("next call")

    def function() -> None:
        try:
            assert driver.Rows(quiet, FOREVER, False).state == -1
            next_call()
            greenloom.sleep(0)
            driver.raises(quiet, 1)
        except Stop:
            seen.append("function")

    greenlet = started(function)
    greenlet.kill(Stop)
    greenlet.get()
    assert len(seen) == 1


def test_a_greenlet_that_is_the_call_itself(driver: ModuleType, quiet: int) -> None:
    for function in (driver.raises, driver.swallows):
        greenlet = started(function, quiet, FOREVER)
        given = LookupError()
        greenlet.kill(given)
        assert greenlet.exception is given
    results = []
    for function in (driver.raises, driver.swallows):
        raw = raw_greenlet(function, greenloom.get_hub())
        greenloom.get_hub().loop.run_callback(raw.switch, quiet, FOREVER)
        greenloom.sleep(0.01)
        assert not raw.dead
        greenloom.get_hub().loop.run_callback(raw.throw, GreenletExit)
        greenloom.sleep(0.01)
        results.append(raw.dead)
    assert results == [True, True]
