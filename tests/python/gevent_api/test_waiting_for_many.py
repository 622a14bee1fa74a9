"""joinall, wait and iwait: in the order in which things become ready, all or the first few, for a limited time."""

from __future__ import annotations

from typing import Any

import pytest

import greenloom
from greenloom import Timeout, iwait, joinall, sleep, spawn, wait
from greenloom.event import Event


class Mistake(Exception):
    pass


def fail() -> None:
    raise Mistake


def sleepers(*seconds: float) -> list[Any]:
    return [spawn(sleep, one) for one in seconds]


def test_joinall_returns_them_in_the_order_of_their_ends() -> None:
    slow, fast, middle = all_of_them = sleepers(0.03, 0.01, 0.02)
    assert joinall(all_of_them) == [fast, middle, slow]


def test_count_ends_the_wait_early() -> None:
    slow, fast, middle = all_of_them = sleepers(5, 0.01, 0.02)
    assert joinall(all_of_them, count=2) == [fast, middle]
    assert not slow.ready()
    assert not slow.has_links()
    slow.kill()


def test_a_timeout_returns_what_is_ready() -> None:
    slow, fast = sleepers(5, 0.001)
    assert joinall([slow, fast], timeout=0.05) == [fast]
    assert not slow.has_links()
    slow.kill()


def test_nothing_to_wait_for_returns_at_once() -> None:
    assert joinall([]) == []
    assert wait([]) == []
    assert list(iwait([])) == []
    assert wait(sleepers(0), count=0) == []


@pytest.mark.usefixtures("printed")
def test_raise_error_raises_the_first_and_lets_the_rest_go_on() -> None:
    bad, good = spawn(fail), spawn(sleep, 0.01)
    with pytest.raises(Mistake):
        joinall([bad, good], raise_error=True)
    assert not good.ready()
    assert not good.has_links()
    joinall([good])


@pytest.mark.usefixtures("printed")
def test_without_raise_error_the_errors_stay_in_the_greenlets() -> None:
    bad = spawn(fail)
    assert joinall([bad]) == [bad]
    assert isinstance(bad.exception, Mistake)


def test_those_that_are_done_already_count() -> None:
    done = spawn(int)
    done.join()
    later = spawn(sleep, 0.001)
    assert joinall([later, done]) == [done, later]


def test_iwait_yields_while_the_consumer_waits_for_other_things() -> None:
    got = []
    for one in iwait(sleepers(0.001, 0.002, 0.003)):
        sleep(0.005)
        got.append(one)
    assert len(got) == 3


def test_leaving_iwait_early_takes_the_links_back() -> None:
    slow, fast = sleepers(5, 0.001)
    with iwait([slow, fast]) as ready:
        assert next(ready) is fast
        assert slow.has_links()
    assert not slow.has_links()
    slow.kill()


def test_iwait_ends_with_its_timeout() -> None:
    slow, fast = sleepers(5, 0.001)
    assert list(iwait([slow, fast], timeout=0.05)) == [fast]
    slow.kill()


def test_events_and_greenlets_may_be_mixed() -> None:
    event = Event()
    setter = spawn(event.set)
    assert set(wait([event, setter])) == {event, setter}


def test_a_timeout_of_the_caller_passes_through() -> None:
    slow = spawn(sleep, 5)
    with pytest.raises(Timeout) as caught, Timeout(0.001) as outer:
        wait([slow])
    assert caught.value is outer
    assert not slow.has_links()
    slow.kill()


def test_wait_for_nothing_in_particular_waits_for_the_whole_loop() -> None:
    ran: list[int] = []
    greenloom.spawn_later(0.005, ran.append, 1)
    assert wait(timeout=0.0001) is False
    assert wait() is True
    assert ran == [1]
    assert wait() is True, "and again"
