"""Killing greenlets: before they start, where they wait, themselves, and many at once."""

from __future__ import annotations

from typing import Any

import pytest

import greenloom
from greenloom import Greenlet, GreenletExit, Timeout, getcurrent, killall, sleep, spawn, spawn_raw
from greenloom.event import Event


def test_one_that_has_not_started_never_runs_and_is_successful() -> None:
    ran: list[int] = []
    one = spawn(ran.append, 1)
    one.kill()
    sleep(0)
    assert ran == []
    assert one.dead
    assert one.successful()
    assert isinstance(one.value, GreenletExit)
    assert one.exception is None


def test_one_that_was_never_scheduled_cannot_be_started_after_it() -> None:
    one = Greenlet(int)
    one.kill()
    one.start()
    sleep(0)
    assert isinstance(one.get(), GreenletExit)


@pytest.mark.usefixtures("printed")
def test_another_exception_makes_one_that_has_not_started_fail() -> None:
    one = spawn(int)
    one.kill(ValueError("why"))
    assert not one.successful()
    with pytest.raises(ValueError, match="why"):
        one.get()


def test_one_that_waits_is_ended_where_it_waits() -> None:
    seen: list[str] = []

    def wait() -> None:
        try:
            sleep(10)
        finally:
            seen.append("ended")

    one = spawn(wait)
    sleep(0)
    one.kill()
    assert seen == ["ended"]
    assert isinstance(one.value, GreenletExit)


def test_one_in_the_middle_of_sleep_0_is_not_switched_to_a_second_time() -> None:
    steps: list[Any] = []

    def yielding() -> None:
        current: Any = getcurrent()
        # It comes before the turn that `sleep` asks for.
        greenloom.get_hub().loop.run_callback(current.throw, GreenletExit)
        try:
            sleep(0)
        except GreenletExit:
            steps.append("killed")
        steps.append(Event().wait(0.02))

    spawn(yielding).join()
    assert steps == ["killed", False]


def test_without_block_it_returns_before_the_end() -> None:
    one = spawn(sleep, 10)
    sleep(0)
    one.kill(block=False)
    assert not one.dead
    sleep(0)
    assert one.dead


def test_the_timeout_ends_the_wait_without_an_error() -> None:
    def stubborn() -> None:
        try:
            sleep(10)
        except GreenletExit:
            sleep(0.05)

    one = spawn(stubborn)
    sleep(0)
    assert one.kill(timeout=0.001) is None
    assert not one.dead
    one.join()


def test_killing_oneself_raises_at_once() -> None:
    after: list[str] = []

    def suicide() -> None:
        current: Any = getcurrent()
        current.kill()
        after.append("still there")

    one = spawn(suicide)
    assert isinstance(one.get(), GreenletExit)
    assert after == []


def test_killing_a_dead_one_changes_nothing() -> None:
    one = spawn(lambda: 5)
    one.join()
    one.kill(ValueError)
    assert one.get() == 5


def test_gevent_kill_does_not_wait_and_takes_raw_greenlets() -> None:
    seen: list[str] = []

    def wait(name: str) -> None:
        try:
            sleep(10)
        except GreenletExit:
            seen.append(name)

    raw, full = spawn_raw(wait, "raw"), spawn(wait, "full")
    sleep(0)
    greenloom.kill(raw)
    greenloom.kill(full)
    assert seen == []
    sleep(0)
    assert seen == ["raw", "full"]


def test_killall_waits_for_all_and_starts_none() -> None:
    ran: list[int] = []
    waiting = [spawn(sleep, 10) for _ in range(3)]
    sleep(0)
    unstarted = [spawn(ran.append, number) for number in range(3)]
    killall(waiting + unstarted)
    assert all(one.dead for one in waiting + unstarted)
    assert ran == []


def test_killall_raises_when_its_time_is_over() -> None:
    def stubborn() -> None:
        try:
            sleep(10)
        except GreenletExit:
            sleep(0.05)

    one = spawn(stubborn)
    sleep(0)
    with pytest.raises(Timeout):
        killall([one], timeout=0.001)
    one.join()


def test_killall_of_nothing_is_nothing() -> None:
    killall([])
    killall(iter([]))


@pytest.mark.usefixtures("printed")
def test_leaving_a_with_block_by_an_error_kills_with_it() -> None:
    one = spawn(sleep, 10)

    def leave_by_an_error() -> None:
        with one:
            sleep(0)
            raise KeyError("reason")

    with pytest.raises(KeyError):
        leave_by_an_error()
    assert isinstance(one.exception, KeyError)


def test_leaving_a_with_block_joins() -> None:
    with spawn(sleep, 0.001) as one:
        assert not one.ready()
    assert one.ready()
