"""Events, results, locks, queues and pools: what each call promises beside the common cases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import greenloom
from greenloom import queue, sleep, spawn
from greenloom.event import AsyncResult, Event
from greenloom.lock import BoundedSemaphore, RLock, Semaphore
from greenloom.pool import Pool, PoolFull


def test_waiting_for_an_event_gives_true_or_false_and_nothing_else() -> None:
    event = Event()
    assert event.wait(0) is False
    assert event.wait(0.001) is False
    waiter = spawn(event.wait)
    sleep(0)
    event.set()
    assert waiter.get() is True
    assert [event.wait(), event.wait(0), event.wait(None)] == [True] * 3


# AsyncResult.


def test_a_result_that_failed_may_be_set_and_the_value_stays() -> None:
    result: AsyncResult[int] = AsyncResult()
    result.set_exception(KeyError("first"))
    with pytest.raises(KeyError, match="first"):
        result.get()
    assert (result.ready(), result.successful(), result.wait()) == (True, False, None)
    result.set(1)
    assert (result.get(), result.value, result.successful()) == (1, 1, True)
    late = ValueError("too late")
    result.set_exception(late)
    assert (result.get(), result.exception, result.successful()) == (1, late, True)
    result.set(2)
    assert result.get() == 2


@pytest.mark.usefixtures("printed")
def test_a_result_as_a_link_takes_a_failure_too() -> None:
    result: AsyncResult[int] = AsyncResult()
    source = spawn(int, "x")
    source.link(result)
    with pytest.raises(ValueError, match="invalid literal") as caught:
        result.get(timeout=5)
    assert caught.value is result.exception is source.exception


def test_a_result_cannot_be_cancelled_though_it_has_the_names() -> None:
    result: AsyncResult[str] = AsyncResult()
    assert (result.cancel(), result.cancelled(), result.done()) == (False, False, False)
    with pytest.raises(greenloom.Timeout):
        result.result(timeout=0.001)
    result.set("value")
    assert (result.cancel(), result.done(), result.result()) == (False, True, "value")


# Locks.


@pytest.mark.parametrize("make", [Semaphore, BoundedSemaphore, RLock])
def test_who_releases_takes_it_again_before_who_waits(make: Callable[[], Any]) -> None:
    lock, order = make(), []

    def take() -> None:
        with lock:
            order.append("the waiter")

    lock.acquire()
    waiter = spawn(take)
    sleep(0)
    for _ in range(3):
        lock.release()
        assert lock.acquire(blocking=False)
        order.append("the releaser")
    lock.release()
    waiter.join()
    assert order == ["the releaser"] * 3 + ["the waiter"]


def test_a_release_wakes_in_a_later_callback() -> None:
    lock, order = Semaphore(0), []

    def take() -> None:
        lock.acquire()
        order.append("woken")

    waiter = spawn(take)
    sleep(0)
    greenloom.get_hub().loop.run_callback(order.append, "given before")
    lock.release()
    order.append("the releaser goes on")
    waiter.join()
    assert order == ["the releaser goes on", "given before", "woken"]


@pytest.mark.parametrize("make", [Semaphore, BoundedSemaphore, RLock])
def test_a_lock_that_a_greenlet_has_keeps_a_thread_out(make: Callable[[], Any]) -> None:
    lock, order = make(), []

    def in_thread() -> None:
        assert lock.acquire(timeout=30)
        order.append("the thread")
        lock.release()

    lock.acquire()
    thread = threading.Thread(target=in_thread, daemon=True)
    thread.start()
    sleep(0.02)
    order.append("the greenlet")
    lock.release()
    while thread.is_alive():
        sleep(0.001)
    assert order == ["the greenlet", "the thread"]


# Queues.


@pytest.mark.parametrize("arguments", [(), (None,), (0,), (-1,)])
@pytest.mark.parametrize("kind", [queue.Queue, queue.LifoQueue, queue.PriorityQueue])
@pytest.mark.filterwarnings("ignore:Queue:DeprecationWarning")
def test_a_queue_that_is_given_no_real_limit_has_none(kind: Any, arguments: tuple[Any, ...]) -> None:
    items = kind(*arguments)
    for n in range(1000):
        items.put(n, block=False)
    assert (items.maxsize, items.full(), items.qsize()) == (None, False, 1000)


def test_only_the_class_itself_ends_an_iteration() -> None:
    instance = StopIteration()
    items = queue.Queue(items=[1, instance, StopIteration, 2])
    assert list(items) == [1, instance]
    assert items.get() == 2


def test_peek_waits_and_takes_nothing() -> None:
    items = queue.Queue()
    looking = spawn(items.peek)
    sleep(0)
    assert not looking.ready()
    items.put("item")
    assert looking.get(timeout=5) == "item"
    assert (items.qsize(), items.peek(), items.get()) == (1, "item", "item")


def test_a_copy_is_of_the_same_class_and_size_and_has_a_life_of_its_own() -> None:
    items = queue.Queue(3, items=[1, 2])
    twin = items.copy()
    twin.put(3)
    assert (type(twin), twin.maxsize, twin.full()) == (queue.Queue, 3, True)
    assert [items.get(), items.get(), items.empty()] == [1, 2, True]
    assert [twin.get() for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_ends_putting_at_once_and_getting_when_nothing_is_left(immediate: bool) -> None:
    items = queue.JoinableQueue(items=[1])
    items.shutdown(immediate=immediate)
    with pytest.raises(queue.ShutDown):
        items.put(2)
    if not immediate:
        assert items.get() == 1
        items.task_done()
    with pytest.raises(queue.ShutDown):
        items.get()
    assert items.join(timeout=5) is True


# Pools.


def test_a_full_pool_takes_another_as_soon_as_one_ends() -> None:
    pool, order = Pool(1), []

    def slow() -> None:
        sleep(0.005)
        order.append("the first ends")

    first = pool.spawn(slow)
    assert pool.full()
    with pytest.raises(PoolFull):
        pool.add(spawn(int), blocking=False)
    second = pool.spawn(order.append, "the second runs")
    order.append("spawn returned")
    assert first.ready()
    second.join()
    assert order == ["the first ends", "spawn returned", "the second runs"]


@pytest.mark.usefixtures("printed")
def test_the_error_of_map_is_the_first_by_position_and_imap_goes_on() -> None:
    def work(n: int) -> int:
        sleep(0.01 / (n + 1))
        if n in (1, 3):
            raise KeyError(n)
        return n

    with pytest.raises(KeyError, match="1"):
        Pool(5).map(work, range(5))
    results, seen = Pool(5).imap(work, range(5)), []
    while True:
        try:
            seen.append(next(results))
        except KeyError as error:
            seen.append(error.args)
        except StopIteration:
            break
    assert seen == [0, (1,), 2, (3,), 4]


def test_a_threads_hub_has_a_thread_pool_which_works_there() -> None:
    found: list[Any] = []

    def work() -> None:
        pool = greenloom.get_hub().threadpool
        found.append(pool)
        found.append(pool.apply(threading.get_ident))
        found.append(threading.get_ident())
        greenloom.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    pool, inside, outside = found
    assert pool is not greenloom.get_hub().threadpool
    assert len({inside, outside, threading.get_ident()}) == 3
