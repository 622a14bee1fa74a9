"""What runs between an interrupt of a C library and the return to Python is not hit by it."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import greenloom
from greenloom import GreenletExit, Timeout
from greenloom.event import Event
from greenloom.greenlet import greenlet as raw_greenlet
from interrupting import FOREVER, Stop, started


def test_a_callback_of_the_driver_is_not_interrupted(driver: ModuleType, quiet: int) -> None:
    seen = []

    def notice() -> None:
        try:
            raise KeyError
        except KeyError:
            seen.extend(sorted([1]))

    for propagates in (False, True):
        with pytest.raises(Timeout) as caught, Timeout(0.01):
            driver.calls(quiet, FOREVER, notice, propagates)
        assert isinstance(caught.value.__context__, driver.DriverError)
    assert seen == [1, 1]


def test_what_a_callback_raises_goes_the_way_of_the_driver(driver: ModuleType, quiet: int) -> None:
    def notice() -> None:
        raise KeyError("notice")

    with pytest.raises(Timeout) as caught, Timeout(0.01):
        driver.calls(quiet, FOREVER, notice, True)
    assert isinstance(caught.value.__context__, KeyError)


def test_a_callback_that_waits_is_interrupted_and_so_is_the_caller(driver: ModuleType, quiet: int) -> None:
    seen: list[BaseException] = []

    def notice() -> None:
        try:
            greenloom.sleep(10)
        except BaseException as error:
            seen.append(error)

    timeout = Timeout(0.01)
    with pytest.raises(Timeout) as caught, timeout:
        driver.calls(quiet, FOREVER, notice, False)
    assert seen == [timeout]
    assert caught.value is timeout


def test_a_driver_that_calls_back_for_ever_is_stopped_in_the_callback(driver: ModuleType, quiet: int) -> None:
    calls: list[None] = []
    with pytest.raises(Timeout), Timeout(0.01):
        driver.persists(quiet, FOREVER, lambda: calls.append(None))
    assert 0 < len(calls) < 100


def test_destructors_are_not_interrupted(
    driver: ModuleType, quiet: int, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = []

    class Ends:
        def __del__(self) -> None:
            ended.append(sum(each for each in range(3)))

    class Frees:
        """Called by C, frees an object, and so does what the collector finds."""

        def __call__(self) -> None:
            Ends()
            circle: list[Any] = [Ends()]
            circle.append(circle)
            del circle
            gc.collect()

    frees = Frees()
    with pytest.raises(Timeout), Timeout(0.01):
        driver.calls(quiet, FOREVER, frees, True)
    assert ended == [3, 3]
    assert capsys.readouterr().err == ""


def test_other_greenlets_are_spared(driver: ModuleType, quiet: int) -> None:
    """The one that is interrupted switches to others before it is back."""
    seen = []

    def other() -> str:
        for turn in range(100):
            with contextlib.suppress(KeyError):
                raise KeyError
            seen.append(turn)
        return "unharmed"

    def switches() -> None:
        raw = raw_greenlet(other)
        assert raw.switch() == "unharmed"

    with pytest.raises(Timeout), Timeout(0.01):
        driver.calls(quiet, FOREVER, switches, False)
    assert len(seen) == 100

    several = [greenloom.spawn(driver.raises, quiet, FOREVER) for _ in range(20)]
    bystanders = [greenloom.spawn(driver.raises, quiet, 50) for _ in range(20)]
    greenloom.sleep(0.01)
    greenloom.killall(several)
    assert all(isinstance(greenlet.get(), GreenletExit) for greenlet in several)
    assert [greenlet.get() for greenlet in bystanders] == [0] * 20


@pytest.fixture
def owner(driver: ModuleType) -> Iterator[Callable[[], int]]:
    """The driver's lock is held by a greenlet. Called: it lets go, and returns."""
    read, write = os.pipe()
    greenlet = started(driver.locks, read, FOREVER)

    def end() -> int:
        os.write(write, b"x")
        result: int = greenlet.get()
        return result

    yield end
    os.close(read)
    os.close(write)


def test_a_wait_for_a_lock_is_not_cut_short(driver: ModuleType, quiet: int, owner: Callable[[], int]) -> None:
    """Who is killed there gets the lock first, and lets go of it."""
    killed = started(driver.locks, quiet, FOREVER)
    patient = started(driver.locks, quiet, 1)
    killed.kill(Stop, block=False)
    greenloom.sleep(0)
    assert not killed.dead
    assert owner() == 1
    with pytest.raises(Stop) as caught:
        killed.get()
    assert isinstance(caught.value.__context__, driver.DriverError)
    assert patient.get() == 0


def test_two_kills_during_a_wait_for_a_lock(driver: ModuleType, quiet: int, owner: Callable[[], int]) -> None:
    seen: list[str] = []

    def function() -> str:
        for _ in range(3):
            try:
                driver.locks(quiet, 10)
                seen.append("done")
            except Stop as error:
                seen.append(str(error))
        return "ended"

    greenlet = started(function)
    greenlet.kill(Stop("first"), block=False)
    greenlet.kill(Stop("second"), block=False)
    greenloom.sleep(0)
    assert owner() == 1
    assert greenlet.get() == "ended"
    assert seen == ["first", "second", "done"]


def test_two_kills_are_two_throws(driver: ModuleType, quiet: int) -> None:
    seen: list[str] = []

    def function() -> None:
        try:
            driver.raises(quiet, FOREVER)
        except Stop as error:
            seen.append(str(error))
        try:
            greenloom.sleep(10)
        except Stop as error:
            seen.append(str(error))

    greenlet = started(function)
    greenlet.kill(Stop("first"), block=False)
    greenlet.kill(Stop("second"), block=False)
    greenlet.join(5)
    assert seen == ["first", "second"]


def test_a_greenlet_goes_on_after_it(driver: ModuleType, quiet: int) -> None:
    for _ in range(3):
        with Timeout(0.01, False):
            driver.raises(quiet, FOREVER)
        with Timeout(0.01, False):
            driver.swallows(quiet, FOREVER)
        assert driver.raises(quiet, 1) == 0
        with pytest.raises(KeyError):
            raise KeyError
        with Timeout(0.01, False):
            greenloom.sleep(10)
        event = Event()
        greenloom.spawn(event.set)
        assert event.wait(5)


def test_in_another_thread(driver: ModuleType, quiet: int) -> None:
    results: list[Any] = []
    busy = threading.Event()

    def spin() -> int:
        errors = 0
        while not busy.is_set():
            try:
                raise KeyError
            except KeyError:
                errors += 1
        return errors

    def work() -> None:
        for way in ("raises", "swallows") * 10:
            timeout = Timeout(0.01)
            try:
                with timeout:
                    getattr(driver, way)(quiet, FOREVER)
            except Timeout as error:
                results.append(error is timeout)

    other = threading.Thread(target=lambda: results.append(spin() > 0))
    worker = threading.Thread(target=work)
    other.start()
    worker.start()
    worker.join(30)
    busy.set()
    other.join(30)
    assert results == [True] * 21
