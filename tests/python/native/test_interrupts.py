"""A kill or a timeout while a C library waits: raised by the Python function that has called the library."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

import greenloom
from greenloom import GreenletExit, Timeout
from interrupting import FOREVER, Stop, functions_of, started


@pytest.mark.parametrize("way", ["raises", "swallows"])
def test_a_timeout_is_raised_inside_its_block(driver: ModuleType, quiet: int, way: str) -> None:
    def block() -> None:
        with timeout:
            getattr(driver, way)(quiet, FOREVER)
            pytest.fail("the block went on")

    timeout = Timeout(0.01)
    with pytest.raises(Timeout) as caught:
        block()
    assert caught.value is timeout


@pytest.mark.parametrize("way", ["raises", "swallows"])
def test_it_can_be_caught_around_the_call(driver: ModuleType, quiet: int, way: str) -> None:
    seen: list[Any] = []
    timeout = Timeout.start_new(0.01)
    try:
        getattr(driver, way)(quiet, FOREVER)
        seen.append("the call returned")
    except driver.DriverError as error:
        seen.append(error)
    except Timeout as error:
        seen.append(error)
    assert seen == [timeout]


@pytest.mark.parametrize("way", ["raises", "swallows"])
def test_a_silent_timeout_ends_its_block(driver: ModuleType, quiet: int, way: str) -> None:
    after = False
    with Timeout(0.01, False):
        getattr(driver, way)(quiet, FOREVER)
        after = True
    assert not after


@pytest.mark.parametrize("way", ["raises", "swallows"])
def test_a_timeout_raises_what_it_was_given(driver: ModuleType, quiet: int, way: str) -> None:
    given = LookupError("too slow")
    with pytest.raises(LookupError) as caught, Timeout(0.01, given):
        getattr(driver, way)(quiet, FOREVER)
    assert caught.value is given
    with pytest.raises(LookupError), Timeout(0.01, LookupError):
        getattr(driver, way)(quiet, FOREVER)


@pytest.mark.parametrize("way", ["raises", "swallows"])
def test_a_return_of_the_call_stays_inside_its_block(driver: ModuleType, quiet: int, way: str) -> None:
    def call() -> Any:
        with Timeout(0.01, False):
            return getattr(driver, way)(quiet, FOREVER)
        return "timed out"

    def call_in_try() -> Any:
        timeout = Timeout.start_new(0.01)
        try:
            return getattr(driver, way)(quiet, FOREVER)
        except Timeout as error:
            return error is timeout

    assert call() == "timed out"
    assert call_in_try() is True


@pytest.mark.parametrize("way", ["raises", "swallows"])
def test_a_kill_ends_the_greenlet(driver: ModuleType, quiet: int, way: str) -> None:
    greenlet = started(getattr(driver, way), quiet, FOREVER)
    greenlet.kill()
    assert isinstance(greenlet.get(), GreenletExit)

    def function() -> None:
        getattr(driver, way)(quiet, FOREVER)
        pytest.fail("the call returned")

    greenlet = started(function)
    greenlet.kill()
    assert isinstance(greenlet.get(), GreenletExit)


@pytest.mark.parametrize("way", ["raises", "swallows"])
def test_a_kill_raises_the_very_exception(driver: ModuleType, quiet: int, way: str) -> None:
    given, seen = Stop("now"), []

    def function() -> str:
        try:
            getattr(driver, way)(quiet, FOREVER)
        except Stop as error:
            seen.append(error)
            return "stopped"
        return "ended"

    greenlet = started(function)
    greenlet.kill(given)
    assert greenlet.get() == "stopped"
    assert seen == [given]
    assert functions_of(given)[-1] == "function"


def test_the_error_of_the_driver_is_the_context(driver: ModuleType, quiet: int) -> None:
    with pytest.raises(Timeout) as caught, Timeout(0.01):
        driver.raises(quiet, FOREVER)
    assert isinstance(caught.value.__context__, driver.DriverError)
    assert "test_the_error_of_the_driver_is_the_context" in functions_of(caught.value)
    with pytest.raises(Timeout) as caught, Timeout(0.01):
        driver.swallows(quiet, FOREVER)
    assert caught.value.__context__ is None


def test_what_is_handled_is_a_context_as_well(driver: ModuleType, quiet: int) -> None:
    def handle(way: str) -> None:
        try:
            raise handled
        except KeyError:
            getattr(driver, way)(quiet, FOREVER)

    handled = KeyError("first")
    with pytest.raises(Timeout) as caught, Timeout(0.01):
        handle("raises")
    assert caught.value.__context__ is not None
    assert caught.value.__context__.__context__ is handled
    with pytest.raises(Timeout) as caught, Timeout(0.01):
        handle("swallows")
    assert caught.value.__context__ is handled


def test_a_driver_that_tries_again_is_interrupted_each_time(driver: ModuleType, quiet: int) -> None:
    with pytest.raises(Timeout), Timeout(0.01):
        driver.retries(quiet, FOREVER, 3)


def test_one_that_never_gives_up_is_left_to_its_wait(driver: ModuleType, quiet: int) -> None:
    turns: list[int] = []

    def tick() -> None:
        for turn in range(5):
            greenloom.sleep(0.01)
            turns.append(turn)

    ticking = greenloom.spawn(tick)
    with pytest.raises(Timeout), Timeout(0.01):
        driver.retries(quiet, 100, 1_000)
    ticking.join()
    assert len(turns) == 5
