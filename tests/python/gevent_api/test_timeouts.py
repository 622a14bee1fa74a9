"""Timeout: whose it is, what it raises, and that it ends with its block."""

from __future__ import annotations

import copy
import fractions
import gc
import pickle
import random
import threading
import time
import weakref
from typing import Any

import pytest

import greenloom
from greenloom import Timeout, sleep, spawn, with_timeout
from greenloom.exceptions import InvalidSwitchError


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


# What a program may look at, and do to, a Timeout.


def test_its_timer_answers_what_timers_answer() -> None:
    timeout = Timeout(5, KeyError)
    timer = timeout.timer
    assert (timer.active, timer.pending, timer.after, timer.repeat, timer.ref, timer.priority) == (
        (False, False, 5, 0, True, -1)
    )
    assert timer.loop is greenloom.get_hub().loop
    assert timer.callback is None
    assert timer.args is None
    with timeout:
        assert timeout.timer.active
        assert timeout.timer.callback == timeout._on_expiration
        assert timeout.timer.args == (greenloom.getcurrent(), KeyError)
        assert "active" in repr(timer)
        timer.stop()
        assert not timeout.pending
    assert not timeout.timer.active
    assert timeout.timer is Timeout().timer is Timeout._start_new_or_dummy(None)
    with pytest.raises(AssertionError, match="never fires"):
        timeout.start()


def test_its_texts() -> None:
    timeout = Timeout(5, "why")
    assert repr(timeout) == f"<Timeout at {id(timeout):#x} seconds=5 exception='why'>"
    timeout.start()
    assert repr(timeout).endswith(" pending>")
    timeout.close()

    class Mine(Timeout):
        def __str__(self) -> str:
            return "mine " + super().__str__()

    assert str(Mine(1.5)) == "mine 1.5 seconds"
    assert repr(Mine()).startswith("<Mine at 0x")
    assert Timeout(5).args == ()
    assert Timeout.__module__ == "greenloom.timeout"


def test_a_subclass_may_replace_each_method() -> None:
    called: list[str] = []

    class Mine(Timeout):
        def __init__(self, seconds: float | None = None, *more: Any) -> None:
            called.append("init")
            super().__init__(seconds, *more)
            self.own = 1

        def start(self) -> None:
            called.append("start")
            super().start()

        def close(self) -> None:
            called.append("close")
            super().close()

        def __enter__(self) -> Any:
            called.append("enter")
            return super().__enter__()

    with Mine(5) as mine:
        assert mine.pending
    assert called == ["init", "enter", "start", "close"]
    assert not mine.pending
    called.clear()
    started = Mine.start_new(5)
    assert type(started) is Mine
    assert started.own == 1
    assert called == ["init", "enter", "start"]
    Timeout.start_new(started).close()


def test_a_method_on_the_object_is_called_when_it_expires() -> None:
    expired: list[Any] = []
    with Timeout(0.001) as timeout:
        timeout._on_expiration = lambda *args: expired.append(args)  # type: ignore[method-assign]
        sleep(0.01)
    assert expired == [(greenloom.getcurrent(), timeout)]


def test_what_it_raises_is_decided_when_it_is_started() -> None:
    timeout = Timeout(0.001, KeyError("first"))
    timeout.start()
    timeout.exception = KeyError("second")
    with pytest.raises(KeyError, match="first"):
        sleep(5)


def test_one_that_is_due_can_still_be_stopped() -> None:
    # Both are due in one turn of the loop; the first stops the second.
    loop = greenloom.get_hub().loop
    second = Timeout(0.001)
    with loop.timer(0.0005) as first:
        first.start(second.close)
        second.start()
        until = time.monotonic() + 0.003
        while time.monotonic() < until:
            pass
        sleep(0.003)
    assert not second.pending


def test_one_that_is_due_can_be_started_anew() -> None:
    loop = greenloom.get_hub().loop
    greenlet = greenloom.getcurrent()
    timeout = Timeout(0.001)

    def again() -> None:
        timeout.cancel()
        timeout.seconds = 10
        greenlet.switch()

    with loop.timer(0.0005) as first:
        first.start(again)
        timeout.start()
        until = time.monotonic() + 0.003
        while time.monotonic() < until:
            pass
        greenloom.get_hub().switch()
        timeout.start()
        assert timeout.pending
        timeout.close()


def test_timeouts_fire_by_their_deadlines_among_timers_and_sleepers() -> None:
    order: list[Any] = []

    def sleeper() -> None:
        sleep(0.002)
        order.append("sleeper")

    def limited() -> None:
        with Timeout(0.003, False):
            sleep(5)
        order.append("timeout")

    one, two = spawn(sleeper), spawn(limited)
    with greenloom.get_hub().loop.timer(0.001) as timer:
        timer.start(order.append, "timer")
        sleep(0)
        until = time.monotonic() + 0.005
        while time.monotonic() < until:
            pass
        greenloom.joinall([one, two])
    assert order == ["timer", "sleeper", "timeout"]


def test_very_many_started_and_closed_in_any_order_leave_nothing_behind() -> None:
    class Held:
        pass

    loop = greenloom.get_hub().loop
    active = loop.activecnt
    chance = random.Random(1)
    held = Held()
    gone = weakref.ref(held)
    started: list[Timeout] = []
    for step in range(20_000):
        timeout = Timeout(60 + chance.random())
        timeout.held = held  # type: ignore[attr-defined]
        timeout.start()
        started.append(timeout)
        if len(started) > 50 or chance.random() < 0.5:
            started.pop(chance.randrange(len(started))).close()
        if step % 1000 == 0:
            sleep(0)
            sleep(1e-6)
    for timeout in started:
        timeout.cancel()
    del held, timeout, started
    assert gone() is None
    assert loop.activecnt == active


def test_a_sleeper_that_is_killed_leaves_nothing_behind() -> None:
    loop = greenloom.get_hub().loop
    active = loop.activecnt
    sleepers = [spawn(sleep, 60) for _ in range(200)]
    sleep(0)
    assert loop.activecnt == active + 200
    gone = weakref.ref(sleepers[0])
    greenloom.killall(sleepers)
    assert loop.activecnt == active
    sleepers.clear()
    # The hub has the list until it is switched to.
    sleep(0)
    gc.collect()
    assert gone() is None
    assert greenloom.wait(timeout=1)


def test_a_sleep_is_no_shorter_than_asked_for() -> None:
    for seconds in (1e-9, 1e-6, 5e-6, 2e-5, 1e-3):
        for _ in range(20):
            began = time.monotonic()
            sleep(seconds)
            assert time.monotonic() - began >= seconds


def test_a_sleep_that_somebody_else_ends_is_an_error() -> None:
    one = spawn(sleep, 5)
    sleep(0)
    greenloom.get_hub().exception_stream = None
    try:
        greenloom.get_hub().loop.run_callback(one.switch, "wrong")
        with pytest.raises(InvalidSwitchError, match="'wrong'"):
            one.get()
    finally:
        del greenloom.get_hub().exception_stream


@pytest.mark.parametrize("wrong", ["1", None, [], {}])
def test_wrong_arguments(wrong: Any) -> None:
    with pytest.raises(TypeError):
        sleep(wrong)
    if wrong is not None:
        with pytest.raises(TypeError):
            Timeout(wrong)
    with pytest.raises(TypeError):
        sleep(1, True, wrong)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Timeout(nonsense=wrong)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Timeout._start_new_or_dummy()  # type: ignore[call-arg]


def test_odd_numbers() -> None:
    sleep(-1)
    sleep(float("nan"))
    sleep(False)
    sleep(fractions.Fraction(1, 10_000))  # type: ignore[arg-type]
    for never in (float("inf"), 1e300):
        with Timeout(never):
            sleep(0)
        with pytest.raises(Timeout), Timeout(0.001):
            sleep(never)
    with pytest.raises(Timeout), Timeout(-5):
        sleep(1)


def test_a_closed_one_can_be_pickled_and_copied() -> None:
    with Timeout(5, "why") as timeout:
        with pytest.raises(TypeError):
            pickle.dumps(timeout)
        with pytest.raises(TypeError):
            copy.copy(timeout)
    timeout.extra = 1  # type: ignore[attr-defined]
    same = pickle.loads(pickle.dumps(timeout))
    assert (type(same), same.seconds, same.exception, same.extra) == (Timeout, 5, "why", 1)


def test_a_cycle_through_a_started_one_is_collected_once_it_is_stopped() -> None:
    timeout: Any = Timeout(60)
    timeout.me = timeout
    timeout.start()
    gone = weakref.ref(timeout)
    gc.collect()
    assert gone() is not None
    timeout.cancel()
    del timeout
    gc.collect()
    assert gone() is None


def test_it_goes_with_other_exceptions_as_a_base() -> None:
    class Late(Timeout, ValueError):
        pass

    with pytest.raises(ValueError, match="seconds"), Late(0.001):
        sleep(5)
    assert hash(Late()) is not None
    one = Timeout(1)
    assert one == one
    assert one != Timeout(1)


def test_a_long_chain_of_them_is_freed_in_a_greenlet() -> None:
    def work() -> int:
        last: Timeout | None = None
        for _ in range(200_000):
            one = Timeout()
            one.__context__ = last
            last = one
        return 1

    assert spawn(work).get() == 1


def test_it_may_be_closed_by_another_thread_and_outlive_its_loop() -> None:
    kept: list[Timeout] = []

    def work() -> None:
        timeout = Timeout(60)
        timeout.start()
        kept.append(timeout)
        other = threading.Thread(target=timeout.close)
        other.start()
        other.join()
        assert not timeout.pending
        late = Timeout(60)
        late.start()
        kept.append(late)
        greenloom.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(kept) == 2
    kept[1].close()
    assert not kept[1].pending
    with pytest.raises(AssertionError, match="never fires"):
        kept[1].start()


def test_the_end_of_the_hub_while_greenlets_sleep_in_it() -> None:
    def work() -> None:
        sleepers.extend(spawn(sleep, 60) for _ in range(3))
        sleep(0)
        greenloom.get_hub().destroy(destroy_loop=True)
        # In a hub of its own again.
        sleep(0.001)
        greenloom.get_hub().destroy(destroy_loop=True)
        done.append(True)

    sleepers: list[Any] = []
    done: list[bool] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
    sleepers.clear()
    gc.collect()


def test_a_loop_of_somebody_elses() -> None:
    class Proxy:
        def __init__(self, loop: Any) -> None:
            self._loop = loop
            self.asked: list[str] = []

        def __getattr__(self, name: str) -> Any:
            self.asked.append(name)
            return getattr(self._loop, name)

    hub = greenloom.get_hub()
    loop = hub.loop
    proxy = hub.loop = Proxy(loop)
    try:
        timeout = Timeout.start_new(0.001)
        assert timeout.pending
        assert timeout.timer.active
        with pytest.raises(Timeout):
            sleep(5)
        timeout.close()
        with Timeout(5) as timeout:
            sleep(0)
            sleep(0.001)
            timeout.cancel()
            assert not timeout.pending
    finally:
        hub.loop = loop
    assert "timer" in proxy.asked
