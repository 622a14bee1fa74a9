"""Events and results: who is woken, when, by whom, and what they get."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

import pytest

import greenloom
from greenloom.event import AsyncResult, Event


def in_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def in_thread_with_hub(function: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        hub = greenloom.get_hub()
        try:
            function()
        finally:
            hub.destroy(destroy_loop=True)

    return in_thread(run)


def test_waiters_wake_in_the_order_they_came_and_not_before_the_setter_waits() -> None:
    event, woken = Event(), []
    waiters = [greenloom.spawn(lambda n=n: woken.append((n, event.wait()))) for n in range(4)]
    greenloom.sleep(0)
    event.set()
    assert woken == []
    greenloom.joinall(waiters, timeout=5)
    assert woken == [(n, True) for n in range(4)]


def test_who_waited_hears_of_a_set_that_was_cleared_at_once() -> None:
    event = Event()
    waiters = [greenloom.spawn(event.wait, 5) for _ in range(3)]
    greenloom.sleep(0)
    event.set()
    event.clear()
    greenloom.joinall(waiters, timeout=5)
    assert [waiter.value for waiter in waiters] == [True] * 3
    assert event.wait(0.001) is False


def test_who_comes_to_a_set_event_goes_after_those_that_waited() -> None:
    event, order = Event(), []

    def wait(name: str) -> None:
        event.wait()
        order.append(name)

    first = greenloom.spawn(wait, "first")
    greenloom.sleep(0)
    event.set()
    wait("late")
    assert order == ["first", "late"]
    first.join()


def test_a_waiter_that_was_killed_or_timed_out_leaves_nothing_behind() -> None:
    event = Event()
    waiter = greenloom.spawn(event.wait)
    greenloom.sleep(0)
    assert event.linkcount() == 1
    waiter.kill()
    assert event.wait(0.001) is False
    assert event.linkcount() == 0


def test_an_outer_timeout_passes_through() -> None:
    with greenloom.Timeout(0.001) as outer, pytest.raises(greenloom.Timeout) as caught:
        Event().wait(5)
    assert caught.value is outer


def test_a_link_that_fails_does_not_keep_the_others_from_being_called(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event = Event()
    called: list[Event] = []

    def fail(_: object) -> None:
        raise ValueError("a link that fails")

    event.rawlink(fail)
    event.rawlink(called.append)
    event.set()
    greenloom.sleep(0.001)
    assert called == [event]
    assert "a link that fails" in capsys.readouterr().err


@pytest.mark.parametrize("run", [in_thread, in_thread_with_hub])
def test_an_event_wakes_waiters_in_every_thread(
    run: Callable[[Callable[[], object]], threading.Thread],
) -> None:
    event, woken = Event(), []
    here = greenloom.spawn(event.wait, 10)
    greenloom.sleep(0)
    threads = [run(lambda: woken.append(event.wait(10))) for _ in range(3)]
    greenloom.sleep(0.05)
    event.set()
    here.join(10)
    for thread in threads:
        thread.join(10)
    assert here.value is True
    assert woken == [True] * 3


@pytest.mark.parametrize("run", [in_thread, in_thread_with_hub])
def test_an_event_set_in_a_thread_wakes_greenlets_here(
    run: Callable[[Callable[[], object]], threading.Thread],
) -> None:
    for _ in range(50):
        event = Event()
        waiter = greenloom.spawn(event.wait, 10)
        greenloom.sleep(0)
        thread = run(event.set)
        assert waiter.get(timeout=10) is True
        thread.join(10)


def test_a_thread_without_a_hub_waits_without_making_one() -> None:
    event, found = Event(), []

    def wait() -> None:
        found.append(event.wait(0.01))
        found.append(greenloom._hub_local.get_hub_if_exists())

    in_thread(wait).join(10)
    assert found == [False, None]


def test_a_thread_that_waits_with_an_empty_loop_can_be_woken_from_outside() -> None:
    result: AsyncResult[str] = AsyncResult()
    got: list[str] = []
    ready = threading.Event()

    def wait() -> None:
        ready.set()
        got.append(result.get())

    thread = in_thread_with_hub(wait)
    ready.wait(10)
    greenloom.sleep(0.02)
    result.set("from outside")
    thread.join(10)
    assert got == ["from outside"]


def test_waiting_for_several_objects_works_in_a_thread_that_does_not_own_them() -> None:
    events = [Event() for _ in range(3)]
    for event in events:
        event.wait(0)
    got: list[int] = []
    thread = in_thread_with_hub(lambda: got.append(len(greenloom.wait(events, timeout=10))))
    greenloom.sleep(0.02)
    for event in events:
        event.set()
    thread.join(10)
    assert got == [3]


def test_a_result_gives_its_value_to_all_and_may_be_set_again() -> None:
    result: AsyncResult[int] = AsyncResult()
    getters = [greenloom.spawn(result.get) for _ in range(3)]
    greenloom.sleep(0)
    assert not result.ready()
    result.set(1)
    assert [getter.get(timeout=5) for getter in getters] == [1] * 3
    result.set(2)
    assert (result.get(), result.wait(), result.value, result.successful()) == (2, 2, 2, True)


def test_a_result_that_is_not_there_raises_timeout() -> None:
    result: AsyncResult[int] = AsyncResult()
    with pytest.raises(greenloom.Timeout):
        result.get(block=False)
    with pytest.raises(greenloom.Timeout):
        result.get_nowait()
    with pytest.raises(greenloom.Timeout):
        result.get(timeout=0.001)
    assert result.wait(0.001) is None


def test_a_failure_is_raised_as_the_same_object_with_a_traceback_that_does_not_grow() -> None:
    result: AsyncResult[int] = AsyncResult()
    error = ValueError("failed")
    result.set_exception(error)
    lengths = set()
    for _ in range(3):
        with pytest.raises(ValueError, match="failed") as caught:
            result.get()
        assert caught.value is error
    for _ in range(3):
        try:
            result.get()
        except ValueError as raised:
            lengths.add(len(traceback.extract_tb(raised.__traceback__)))
    assert len(lengths) == 1
    assert (result.wait(), result.value, result.exception, result.successful()) == (None, None, error, False)


def test_a_result_is_a_link_and_has_a_futures_names() -> None:
    result: AsyncResult[str] = AsyncResult()
    greenloom.spawn(lambda: "value").link(result)
    assert result.result(timeout=5) == "value"
    assert (result.done(), result.cancel(), result.cancelled()) == (True, False, False)


def test_waiting_for_what_nobody_sets_is_an_error_in_the_main_thread() -> None:
    with pytest.raises(greenloom.exceptions.LoopExit):
        Event().wait()
