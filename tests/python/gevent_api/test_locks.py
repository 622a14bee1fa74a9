"""Semaphores and locks: who gets them, in what order, and between threads."""

from __future__ import annotations

import threading
import time

import pytest

import greenloom
from greenloom._hub_local import get_hub_if_exists
from greenloom.lock import BoundedSemaphore, DummySemaphore, RLock, Semaphore
from greenloom.thread import LockType


def test_a_release_does_not_hand_over() -> None:
    lock, order = Semaphore(), []
    lock.acquire()

    def take() -> None:
        lock.acquire()
        order.append("waiter")

    waiter = greenloom.spawn(take)
    greenloom.sleep(0)
    lock.release()
    # The releaser may have it again, as the waiter has not been woken yet.
    assert lock.acquire(blocking=False)
    greenloom.sleep(0)
    assert order == []
    lock.release()
    waiter.join(5)
    assert order == ["waiter"]


def test_waiters_get_it_in_the_order_they_came() -> None:
    lock, order = Semaphore(0), []

    def take(n: int) -> None:
        with lock:
            order.append(n)

    waiters = [greenloom.spawn(take, n) for n in range(5)]
    greenloom.sleep(0)
    lock.release()
    greenloom.joinall(waiters, timeout=5)
    assert order == list(range(5))


def test_as_many_wake_as_can_have_it() -> None:
    semaphore = Semaphore(0)
    waiters = [greenloom.spawn(semaphore.acquire) for _ in range(5)]
    greenloom.sleep(0)
    for _ in range(3):
        semaphore.release()
    greenloom.sleep(0.01)
    assert [waiter.ready() for waiter in waiters] == [True] * 3 + [False] * 2
    assert (semaphore.counter, semaphore.linkcount()) == (0, 2)
    greenloom.killall(waiters)
    assert semaphore.linkcount() == 0


def test_acquire_says_false_when_it_takes_too_long_and_lets_other_timeouts_through() -> None:
    semaphore = Semaphore(0)
    assert semaphore.acquire(timeout=0.001) is False
    assert semaphore.acquire(blocking=False) is False
    assert semaphore.wait(0.001) == 0
    with greenloom.Timeout(0.001) as outer, pytest.raises(greenloom.Timeout) as caught:
        semaphore.acquire(timeout=5)
    assert caught.value is outer
    assert semaphore.linkcount() == 0


def test_a_killed_waiter_does_not_swallow_a_release() -> None:
    semaphore = Semaphore(0)
    first, second = greenloom.spawn(semaphore.acquire), greenloom.spawn(semaphore.acquire)
    greenloom.sleep(0)
    first.kill(block=False)
    semaphore.release()
    assert second.get(timeout=5) is True


def test_a_bound_is_checked_and_a_value_below_zero_refused() -> None:
    with pytest.raises(ValueError, match="too many times"):
        BoundedSemaphore(2).release()
    with pytest.raises(ValueError, match=">= 0"):
        Semaphore(-1)
    with pytest.raises(RuntimeError):
        LockType().release()


def test_a_dummy_never_blocks() -> None:
    dummy = DummySemaphore(0)
    assert dummy.acquire() is True
    assert (dummy.locked(), dummy.ready(), dummy.wait()) == (False, True, 1)


def test_a_reentrant_lock_belongs_to_a_greenlet() -> None:
    lock = RLock()
    lock.acquire()
    assert lock.acquire() is True
    other = greenloom.spawn(lock.acquire, blocking=False)
    assert other.get(timeout=5) is False
    assert greenloom.spawn(_outcome_of_release, lock).get(timeout=5) is RuntimeError
    lock.release()
    assert lock.locked()
    lock.release()
    assert not lock.locked()


def _outcome_of_release(lock: RLock) -> type[BaseException] | None:
    try:
        lock.release()
    except RuntimeError as error:
        return type(error)
    return None


def test_a_lock_lets_others_run_where_a_loop_tries_it() -> None:
    lock = LockType()
    lock.acquire()
    greenloom.spawn(lock.release)
    tries = 0
    while not lock.acquire(blocking=False):
        tries += 1
        assert tries < 100
    with pytest.raises(ValueError, match="timeout"):
        lock.acquire(False, 1)
    with pytest.raises(ValueError, match="timeout"):
        lock.acquire(True, -2)
    with pytest.raises(OverflowError):
        lock.acquire(True, 1e20)


@pytest.mark.parametrize("with_hub", [False, True])
@pytest.mark.parametrize("timeout", [None, 10])
def test_threads_exclude_each_other(with_hub: bool, timeout: float | None) -> None:
    lock = Semaphore()
    inside, most, done = 0, 0, []

    def work() -> None:
        nonlocal inside, most
        if with_hub:
            greenloom.get_hub()
        for _ in range(300):
            assert lock.acquire(timeout=timeout)
            inside += 1
            most = max(most, inside)
            if _ % 50 == 0:
                time.sleep(0.0005)
            inside -= 1
            lock.release()
        done.append(get_hub_if_exists() is not None)
        if with_hub:
            greenloom.get_hub().destroy(destroy_loop=True)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert done == [with_hub] * 4
    assert (most, lock.counter, lock.linkcount()) == (1, 1, 0)


def test_greenlets_and_threads_share_a_lock() -> None:
    lock = BoundedSemaphore()
    inside, most = 0, 0

    def work(pause: object) -> int:
        nonlocal inside, most
        for _ in range(100):
            with lock:
                inside += 1
                most = max(most, inside)
                if _ % 20 == 0:
                    pause(0.0005)  # type: ignore[operator]
                inside -= 1
        return 1

    done: list[int] = []
    threads = [threading.Thread(target=lambda: done.append(work(time.sleep)), daemon=True) for _ in range(3)]
    greenlets = [greenloom.spawn(work, greenloom.sleep) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        greenloom.sleep(0.005)
    greenloom.joinall(greenlets, timeout=30)
    assert ([greenlet.value for greenlet in greenlets], done) == ([1] * 3, [1] * 3)
    assert (most, lock.counter, lock.linkcount()) == (1, 1, 0)


def test_the_owners_busy_thread_does_not_hold_up_other_threads() -> None:
    lock = Semaphore()
    lock.acquire()
    # A greenlet that waits makes this thread's hub the owner.
    here = greenloom.spawn(lock.acquire)
    greenloom.sleep(0)
    got: list[bool] = []
    thread = threading.Thread(target=lambda: got.append(lock.acquire(timeout=10)), daemon=True)
    thread.start()
    time.sleep(0.05)
    lock.release()
    # This thread's loop does not turn.
    thread.join(10)
    assert got == [True]
    lock.release()
    assert here.get(timeout=5) is True


def test_a_thread_that_gives_up_passes_its_turn_on() -> None:
    semaphore = Semaphore(0)
    got: list[bool] = []
    threads = [
        threading.Thread(target=lambda t=t: got.append(semaphore.acquire(timeout=t)), daemon=True)
        for t in (0.01, 0.01, 10)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    semaphore.release()
    for thread in threads:
        thread.join(10)
    assert sorted(got) == [False, False, True]
