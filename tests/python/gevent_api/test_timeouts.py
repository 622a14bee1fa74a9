"""Timeout: whose it is, what it raises, and that it ends with its block."""

from __future__ import annotations

from typing import Any

import pytest

import greenloom
from greenloom import Timeout, sleep, spawn, with_timeout


def test_it_raises_itself_in_the_greenlet_that_waits_too_long() -> None:
    with pytest.raises(Timeout) as caught, Timeout(0.001) as timeout:
        sleep(5)
    assert caught.value is timeout
    assert str(timeout) == "0.001 seconds"


def test_it_does_nothing_if_the_block_is_fast_enough() -> None:
    with Timeout(0.02) as timeout:
        assert timeout.pending
        sleep(0)
    assert not timeout.pending
    sleep(0.03)


def test_an_outer_one_passes_through_an_inner_block() -> None:
    def inner_block() -> None:
        with Timeout(5) as inner:
            try:
                sleep(5)
            except Timeout as error:
                seen.append(error is inner)
                raise

    seen: list[bool] = []
    with pytest.raises(Timeout) as caught, Timeout(0.001) as outer:
        inner_block()
    assert caught.value is outer
    assert seen == [False]


def test_false_silences_only_itself() -> None:
    with Timeout(0.001, False):
        sleep(5)
    with pytest.raises(Timeout) as caught, Timeout(0.001) as outer, Timeout(5, False):
        sleep(5)
    assert caught.value is outer


def test_a_text_is_its_message() -> None:
    with pytest.raises(Timeout, match="1 second: too slow"):
        raise Timeout(1, "too slow")
    assert str(Timeout(2)) == "2 seconds"
    assert str(Timeout(1, False)) == "1 second (silent)"
    assert str(Timeout()) == ""


@pytest.mark.parametrize("exception", [KeyError, KeyError("reason")])
def test_an_exception_is_raised_instead(exception: Any) -> None:
    with pytest.raises(KeyError), Timeout(0.001, exception):
        sleep(5)


def test_none_never_fires() -> None:
    with Timeout(None) as timeout:
        sleep(0.002)
        assert not timeout.pending


def test_zero_fires_at_the_first_real_wait() -> None:
    with pytest.raises(Timeout), Timeout(0):
        sleep(1)


def test_it_is_not_an_exception_that_except_exception_catches() -> None:
    assert not issubclass(Timeout, Exception)


def test_starting_it_twice_is_an_error_and_cancelling_allows_it() -> None:
    timeout = Timeout(5)
    timeout.start()
    with pytest.raises(AssertionError, match="already started"):
        timeout.start()
    timeout.cancel()
    timeout.start()
    timeout.close()
    assert not timeout.pending


def test_start_new_takes_seconds_or_a_timeout() -> None:
    timeout = Timeout.start_new(5)
    try:
        assert timeout.pending
        assert Timeout.start_new(timeout) is timeout
    finally:
        timeout.close()


def test_a_subclass_may_do_something_else_when_it_expires() -> None:
    expired: list[Any] = []

    class Counting(Timeout):
        def _on_expiration(self, prev_greenlet: Any, ex: Any) -> None:
            expired.append(ex)

    with Counting(0.001) as timeout:
        sleep(0.02)
    assert expired == [timeout]


def test_a_greenlet_ended_by_one_has_failed_with_it() -> None:
    def work() -> None:
        with Timeout(0.001):
            sleep(5)

    greenloom.get_hub().exception_stream = None
    try:
        one = spawn(work)
        with pytest.raises(Timeout):
            one.get()
    finally:
        del greenloom.get_hub().exception_stream


def test_with_timeout_returns_the_value_or_the_given_one() -> None:
    assert with_timeout(5, lambda x: x, 3) == 3
    assert with_timeout(0.001, sleep, 5, timeout_value="late") == "late"
    with pytest.raises(Timeout):
        with_timeout(0.001, sleep, 5)


def test_with_timeout_does_not_swallow_the_timeout_of_somebody_else() -> None:
    with pytest.raises(Timeout) as caught, Timeout(0.001) as outer:
        with_timeout(5, sleep, 5, timeout_value="late")
    assert caught.value is outer


def test_timeouts_and_numbers_compare_by_seconds() -> None:
    assert Timeout(1) < 2
    assert Timeout(1) < Timeout(2)
    assert not Timeout(3) < 2
    with pytest.raises(TypeError):
        assert Timeout(1) < "2"


def test_one_without_ref_does_not_keep_the_loop_running() -> None:
    timeout = Timeout(60, ref=False)
    timeout.start()
    assert greenloom.wait() is True
    timeout.close()
