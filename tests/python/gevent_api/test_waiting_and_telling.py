"""Events, results and locks in the corners: subclasses, kills, garbage, strays, wrong arguments, threads."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import greenloom
from greenloom._abstract_linkable import AbstractLinkable
from greenloom.event import AsyncResult, Event
from greenloom.exceptions import InvalidSwitchError
from greenloom.lock import BoundedSemaphore, RLock, Semaphore
from greenloom.thread import LockType

KINDS: list[Callable[[], Any]] = [Event, AsyncResult, Semaphore, BoundedSemaphore, RLock, LockType]


# --- subclasses ---


@pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore, RLock])
def test_a_with_statement_calls_what_a_subclass_has_replaced(kind: Any) -> None:
    calls = []

    class Mine(kind):  # type: ignore[misc]
        def acquire(self, *args: Any, **kwargs: Any) -> Any:
            calls.append("acquire")
            return super().acquire(*args, **kwargs)

        def release(self) -> Any:
            calls.append("release")
            return super().release()

    lock = Mine()
    with lock:
        assert lock.locked()
    assert calls == ["acquire", "release"]
    assert not lock.locked()


def test_a_subclass_may_say_itself_when_it_is_ready() -> None:
    class Open(Event):
        opened = False

        def ready(self) -> bool:
            return self.opened or super().ready()

    one = Open()
    waiter = greenloom.spawn(one.wait)
    greenloom.sleep(0)
    one.opened = True
    assert one.wait() is True
    one._check_and_notify()
    assert waiter.get(timeout=5) is True


def test_an_error_in_ready_is_raised_where_it_is_asked() -> None:
    class Broken(Event):
        def ready(self) -> bool:
            raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        Broken().wait()
    with pytest.raises(KeyError, match="broken"):
        Broken().rawlink(print)


def test_results_use_the_methods_of_a_subclass() -> None:
    class Mine(AsyncResult[int]):
        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

        def set(self, value: int | None = None) -> None:
            super().set((value or 0) + self.step)

        def get(self, block: bool = True, timeout: Any = None) -> int:
            return super().get(block, timeout) * 10

    result = Mine(1)
    greenloom.spawn(lambda: 1).link(result)
    assert result.result(timeout=5) == 20
    assert result.get_nowait() == 20


def test_a_class_of_pythons_is_waited_for_by_its_links() -> None:
    class Ready(AbstractLinkable):
        is_it = False

        def ready(self) -> bool:
            return self.is_it

    one = Ready()
    waiter = greenloom.spawn(greenloom.wait, [one])
    greenloom.sleep(0)
    assert one.linkcount() == 1
    one.is_it = True
    one._check_and_notify()
    assert waiter.get(timeout=5) == [one]
    with pytest.raises(NotImplementedError):
        AbstractLinkable().ready()


def test_a_subclass_has_attributes_and_arguments_of_its_own() -> None:
    class Named(Event):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    assert Named("n").name == "n"
    with pytest.raises(TypeError):
        Event("n")  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        Event().name = "n"  # type: ignore[attr-defined]


# --- kills and strays ---


def test_who_comes_after_a_killed_waiter_is_not_told_what_was_meant_for_that() -> None:
    event = Event()

    def kill_one_and_wait(*others: Callable[[], object]) -> bool:
        first = greenloom.spawn(event.wait)
        greenloom.sleep(0)
        first.kill(block=False)
        second = greenloom.spawn(event.wait, 0.01)
        for other in others:
            greenloom.spawn(other)
        # Told after all those, when nobody is left of whom it was meant for.
        event.set()
        event.clear()
        return bool(second.get(timeout=5))

    assert kill_one_and_wait() is False
    # But it is told if the event is set once more before.
    assert kill_one_and_wait(event.set, event.clear) is True
    assert event.linkcount() == 0


def test_a_released_semaphore_goes_to_the_next_if_the_first_is_killed_at_once() -> None:
    for order in (0, 1):
        semaphore = Semaphore(0)
        first, second = greenloom.spawn(semaphore.acquire), greenloom.spawn(semaphore.acquire)
        greenloom.sleep(0)
        if order:
            first.kill(block=False)
        semaphore.release()
        if not order:
            first.kill(block=False)
            semaphore.release()
        assert second.get(timeout=5) is True
        assert semaphore.linkcount() == 0


def test_one_that_waits_without_acquiring_leaves_it_to_the_next() -> None:
    semaphore, order = Semaphore(0), []

    def look() -> None:
        order.append(("look", semaphore.wait()))

    def take() -> None:
        semaphore.acquire()
        order.append(("take", semaphore.counter))

    all_ = [greenloom.spawn(look), greenloom.spawn(take), greenloom.spawn(take)]
    greenloom.sleep(0)
    semaphore.release()
    greenloom.joinall(all_[:2], timeout=5)
    assert order == [("look", 1), ("take", 0)]
    semaphore.release()
    all_[2].join(5)
    assert (order[2], semaphore.linkcount()) == (("take", 0), 0)


@pytest.mark.parametrize(
    ("make", "wait"),
    [
        (Event, lambda one: one.wait()),
        (AsyncResult, lambda one: one.get()),
        (lambda: Semaphore(0), lambda one: one.acquire()),
    ],
)
def test_a_switch_into_a_wait_is_refused_and_leaves_nothing(
    make: Callable[[], Any], wait: Callable[[Any], object]
) -> None:
    one, caught = make(), []

    def run() -> None:
        try:
            wait(one)
        except InvalidSwitchError as error:
            caught.append(str(error))

    stray = greenloom.spawn_raw(run)
    greenloom.sleep(0)
    assert one._parked() == [stray]
    greenloom.get_hub().loop.run_callback(stray.switch, "stray")
    greenloom.sleep(0.001)
    assert len(caught) == 1
    assert "'stray'" in caught[0]
    assert one.linkcount() == 0


def test_those_who_wait_may_be_killed_while_others_are_being_told() -> None:
    event, told = Event(), []

    def wait(n: int) -> None:
        event.wait()
        told.append(n)
        for other in waiters[n + 1 :: 2]:
            other.kill(block=False)
        greenloom.sleep(0)

    waiters = [greenloom.spawn(wait, n) for n in range(20)]
    greenloom.sleep(0)
    event.set()
    greenloom.joinall(waiters, timeout=5)
    assert told[0] == 0
    assert event.linkcount() == 0


def test_a_thousand_waiters_are_told_in_order_and_may_wait_again() -> None:
    event, told = Event(), []

    def wait(n: int) -> None:
        for _ in range(2):
            event.wait()
            event.clear()
            told.append(n)

    waiters = [greenloom.spawn(wait, n) for n in range(1000)]
    greenloom.sleep(0)
    event.set()
    greenloom.sleep(0)
    greenloom.sleep(0)
    assert told == list(range(1000))
    assert event.linkcount() == 1000
    event.set()
    greenloom.joinall(waiters, timeout=5)
    assert told == list(range(1000)) * 2


# --- links ---


def test_a_function_is_called_once_a_round_and_bound_methods_each_time() -> None:
    event, called = Event(), []

    def link(_: object) -> None:
        called.append("function")

    event.rawlink(link)
    event.rawlink(link)
    event.rawlink(called.append)
    event.rawlink(called.append)
    event.set()
    greenloom.sleep(0.001)
    assert called == ["function", event, event]


def test_unlink_finds_what_equals_even_if_comparing_changes_the_links() -> None:
    event = Event()

    class Odd:
        def __call__(self, _: object) -> None:
            """Do nothing."""

        def __eq__(self, other: object) -> bool:
            event.unlink(print)
            return True

        __hash__ = None  # type: ignore[assignment]

    event.rawlink(print)
    event.rawlink(Odd())
    event.unlink(len)
    assert event.linkcount() == 0
    event.unlink(None)

    class Broken(Odd):
        def __eq__(self, other: object) -> bool:
            raise KeyError("broken")

    event.rawlink(Broken())
    with pytest.raises(KeyError):
        event.unlink(len)


def test_a_link_may_add_and_take_back_links() -> None:
    event, called = Event(), []

    def first(_: object) -> None:
        called.append("first")
        event.unlink(second)
        event.rawlink(third)

    def second(_: object) -> None:
        called.append("second")

    def third(_: object) -> None:
        called.append("third")

    event.rawlink(first)
    event.rawlink(second)
    event.set()
    greenloom.sleep(0.001)
    assert called == ["first", "third"]


# --- arguments ---


@pytest.mark.parametrize(
    "call",
    [
        lambda: Event().wait(1, 2),  # type: ignore[call-arg]
        lambda: Event().wait(time_out=1),  # type: ignore[call-arg]
        lambda: AsyncResult().get(True, None, 1),  # type: ignore[call-arg]
        lambda: AsyncResult().set(1, 2),  # type: ignore[call-arg, arg-type]
        lambda: AsyncResult().set_exception(),  # type: ignore[call-arg]
        lambda: AsyncResult()(),  # type: ignore[call-arg]
        lambda: Semaphore().acquire(True, blocking=True),  # type: ignore[misc]
        lambda: Semaphore("1"),  # type: ignore[arg-type]
        lambda: Semaphore(hub="no hub"),
        lambda: RLock("no hub"),
        lambda: RLock()._acquire_restore(None),  # type: ignore[arg-type]
        lambda: Event().rawlink(None),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        call()


def test_a_timeout_object_counts_where_it_is_given() -> None:
    event = Event()
    limit = greenloom.Timeout(0.001)
    assert event.wait(limit) is False
    assert Semaphore(0).acquire(timeout=greenloom.Timeout(0.001)) is False
    with pytest.raises(greenloom.Timeout) as caught, greenloom.Timeout(0.001) as limit:
        AsyncResult().get(timeout=limit)
    assert caught.value is limit
    with pytest.raises(ValueError, match="over"):
        event.wait(greenloom.Timeout(0.001, ValueError("over")))


def test_a_result_that_failed_with_no_exception_says_so() -> None:
    result: AsyncResult[int] = AsyncResult()
    not_an_exception: Any = "text"
    result.set_exception(not_an_exception)
    assert result.exception is not_an_exception
    with pytest.raises(TypeError, match="derive from BaseException"):
        result.get()


# --- garbage ---


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_referred_to_weakly_and_not_be_copied(kind: Callable[[], Any]) -> None:
    one = kind()
    gone = weakref.ref(one)
    assert gone() is one
    for use in (copy.copy, pickle.dumps):
        with pytest.raises(TypeError):
            use(one)
    del one
    assert gone() is None


def test_cycles_are_collected() -> None:
    result: AsyncResult[Any] = AsyncResult()
    result.set(result)
    event = Event()
    event.rawlink(event.wait)
    semaphore = Semaphore(0)
    failed: AsyncResult[Any] = AsyncResult()
    failed.set_exception(ValueError(failed))

    class Mine(RLock):
        """With attributes."""

    lock = Mine()
    lock.self = lock  # type: ignore[attr-defined]
    waiter = greenloom.spawn_raw(lambda: semaphore.acquire())
    greenloom.sleep(0)
    gone = [weakref.ref(one) for one in (result, event, failed, lock)]
    del result, event, failed, lock
    gc.collect()
    assert [one() for one in gone] == [None] * 4
    greenloom.kill(waiter)


def test_a_long_chain_of_results_is_freed() -> None:
    chain: AsyncResult[Any] = AsyncResult()
    for _ in range(200_000):
        longer: AsyncResult[Any] = AsyncResult()
        longer.set(chain)
        chain = longer
    del longer
    gone = weakref.ref(chain)
    del chain
    assert gone() is None


def test_a_finalizer_may_use_a_lock() -> None:
    class Owner:
        def __init__(self) -> None:
            self.lock = RLock()
            self.me = self

        def __del__(self) -> None:
            with self.lock:
                done.append(self.lock.locked())

    done: list[bool] = []
    Owner()
    gc.collect()
    assert done == [True]


# --- threads ---


def test_a_hub_that_is_gone_is_no_owner() -> None:
    event = Event()

    def leave_behind() -> None:
        greenloom.spawn(event.wait)
        greenloom.sleep(0)
        greenloom.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=leave_behind)
    thread.start()
    thread.join(10)
    here = greenloom.spawn(event.wait, 5)
    greenloom.sleep(0)
    event.set()
    assert here.get(timeout=5) is True


def test_results_cross_threads_in_all_directions() -> None:
    rounds, errors = 200, []

    def answer(questions: list[AsyncResult[int]], answers: list[AsyncResult[int]], with_hub: bool) -> None:
        try:
            if with_hub:
                greenloom.get_hub()
            for question, reply in zip(questions, answers, strict=True):
                reply.set(question.get(timeout=20) + 1)
            if with_hub:
                greenloom.get_hub().destroy(destroy_loop=True)
        except BaseException as error:
            errors.append(error)

    pairs = []
    threads = []
    for with_hub in (False, True, False, True):
        questions: list[AsyncResult[int]] = [AsyncResult() for _ in range(rounds)]
        answers: list[AsyncResult[int]] = [AsyncResult() for _ in range(rounds)]
        pairs.append((questions, answers))
        threads.append(threading.Thread(target=answer, args=(questions, answers, with_hub), daemon=True))

    def ask(questions: list[AsyncResult[int]], answers: list[AsyncResult[int]]) -> int:
        for n, (question, reply) in enumerate(zip(questions, answers, strict=True)):
            question.set(n)
            assert reply.get(timeout=20) == n + 1
        return rounds

    for thread in threads:
        thread.start()
    asking = [greenloom.spawn(ask, *pair) for pair in pairs]
    assert [one.get(timeout=30) for one in asking] == [rounds] * 4
    for thread in threads:
        thread.join(10)
    assert errors == []


def test_a_reentrant_lock_excludes_threads_and_greenlets() -> None:
    lock, inside, most = RLock(), 0, 0

    def work(pause: Callable[[float], object]) -> None:
        nonlocal inside, most
        for turn in range(100):
            with lock, lock:
                inside += 1
                most = max(most, inside)
                if turn % 25 == 0:
                    pause(0.0005)
                inside -= 1

    threads = [threading.Thread(target=work, args=(time.sleep,), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    greenlets = [greenloom.spawn(work, greenloom.sleep) for _ in range(3)]
    greenloom.joinall(greenlets, timeout=30, raise_error=True)
    for thread in threads:
        thread.join(30)
    assert (most, lock.locked()) == (1, False)


def test_threads_that_end_while_they_block_do_not_harm_the_interpreter() -> None:
    program = """
import threading, time
from greenloom.event import Event
from greenloom.lock import Semaphore
import greenloom
event, lock = Event(), Semaphore(0)
def hub_waits():
    greenloom.get_hub()
    event.wait(100)
for target in (event.wait, lock.acquire, hub_waits, lambda: event.wait(100)):
    threading.Thread(target=target, daemon=True).start()
time.sleep(0.2)
print("end")
"""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


# --- tracing ---


def test_a_trace_function_sees_nothing_of_a_with_statement_of_a_lock() -> None:
    seen: list[tuple[str, str]] = []

    def trace(frame: Any, event: str, _: object) -> Any:
        seen.append((frame.f_code.co_name, event))
        return trace

    before = sys.gettrace()
    for kind in KINDS[2:]:
        try:
            with kind():
                sys.settrace(trace)
        finally:
            sys.settrace(before)
    assert seen == []
