"""Timeouts in the corners: zero and ``sleep(0)``, whose exception is raised, and that leaving the block is the end."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from greenloom import Timeout, sleep, spawn, with_timeout


def later() -> None:
    """Wait long enough for whatever was left behind to fire."""
    sleep(0.02)


def test_zero_does_not_fire_at_a_sleep_of_zero() -> None:
    with Timeout(0) as timeout:
        for _ in range(3):
            sleep(0)
        assert timeout.pending
        with pytest.raises(Timeout) as caught:
            sleep(0.0001)
        assert caught.value is timeout


def test_an_inner_except_must_compare_to_know_its_own() -> None:
    kept: list[str] = []

    def inner(own: Timeout) -> None:
        try:
            sleep(5)
        except Timeout as caught:
            if caught is not own:
                raise
            kept.append("its own")

    with pytest.raises(Timeout) as caught, Timeout(0.001) as outer, Timeout(5) as own:
        inner(own)
    assert caught.value is outer
    with Timeout(5), Timeout(0.001) as own:
        inner(own)
    assert kept == ["its own"]


def test_a_silent_one_does_not_silence_an_error_or_its_like() -> None:
    with pytest.raises(KeyError), Timeout(5, False):
        raise KeyError
    with pytest.raises(Timeout) as caught, Timeout(5, False):
        raise Timeout(1, False)
    assert caught.value.seconds == 1
    reached: list[str] = []
    with Timeout(0.001, False):
        sleep(5)
        reached.append("the end of the block")
    assert reached == []


def test_the_very_instance_is_raised_and_of_a_class_a_new_one() -> None:
    error = KeyError("the reason")
    with pytest.raises(KeyError) as caught, Timeout(0.001, error):
        sleep(5)
    assert caught.value is error
    with pytest.raises(KeyError) as caught, Timeout(0.001, KeyError):
        sleep(5)
    assert caught.value.args == ()


def test_a_text_is_no_exception_to_raise() -> None:
    with pytest.raises(Timeout, match="too slow") as caught, Timeout(0.001, "too slow") as timeout:
        sleep(5)
    assert caught.value is timeout


def test_a_careless_except_stops_errors_but_not_a_timeout() -> None:
    reached: list[str] = []

    def careless(what: Callable[[], object]) -> None:
        try:
            what()
        except Exception:
            reached.append("swallowed")

    careless({}.popitem)
    with pytest.raises(Timeout), Timeout(0.001):
        careless(lambda: sleep(5))
    assert reached == ["swallowed"]
    assert Timeout.__bases__ == (BaseException,)


def test_leaving_the_block_by_an_error_cancels_it() -> None:
    timeout = Timeout(0.005)
    with pytest.raises(KeyError), timeout:
        raise KeyError
    assert not timeout.pending
    later()


@pytest.mark.parametrize("close", ["close", "cancel"])
def test_closing_cancels_and_may_be_repeated(close: str) -> None:
    timeout = Timeout.start_new(0.005)
    for _ in range(2):
        getattr(timeout, close)()
        assert not timeout.pending
    later()


def test_with_timeout_leaves_nothing_behind() -> None:
    assert with_timeout(0.005, lambda: "done") == "done"
    with pytest.raises(KeyError):
        with_timeout(0.005, {}.__getitem__, "missing")
    later()


def test_a_killed_greenlet_takes_its_timeout_with_it() -> None:
    timeouts: list[Timeout] = []

    def work() -> None:
        with Timeout(0.005) as timeout:
            timeouts.append(timeout)
            sleep(5)

    one = spawn(work)
    sleep(0)
    one.kill()
    assert not timeouts[0].pending
    later()
    assert one.successful()


def test_it_fires_only_in_who_started_it() -> None:
    def other() -> float:
        start = time.monotonic()
        sleep(0.02)
        return time.monotonic() - start

    one = spawn(other)
    with pytest.raises(Timeout), Timeout(0.001):
        sleep(5)
    assert one.get() >= 0.02
