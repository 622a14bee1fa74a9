"""The calls that wait for greenlets, primitives, queues, pools and threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from bad_days.blocked import LONG, Call, Setting, let_run, soon
from greenloom import Greenlet, GreenletExit, get_hub, iwait, joinall, killall, sleep, spawn, wait
from greenloom.event import AsyncResult, Event
from greenloom.hub import Waiter
from greenloom.lock import BoundedSemaphore, RLock, Semaphore
from greenloom.pool import Group, Pool
from greenloom.queue import Channel, JoinableQueue, LifoQueue, PriorityQueue, Queue, SimpleQueue
from greenloom.thread import allocate_lock
from greenloom.threadpool import ThreadPool, ThreadPoolExecutor


def sleeping() -> Iterator[Call]:
    yield Call(partial(sleep, LONG))
    soon(sleep, 0.001)


# Greenlets.


def waiting_for_a_greenlet(begin: Callable[[Greenlet], object]) -> Iterator[Call]:
    end = Event()
    other: Greenlet = spawn(end.wait)
    sleep(0)
    yield Call(partial(begin, other), lambda: int(other.has_links()))
    late = spawn(other.get)
    end.set()
    assert late.get(timeout=10) is True


def killing_one_that_does_not_end(kill: Callable[[Greenlet], object]) -> Iterator[Call]:
    end = Event()

    def stubborn() -> bool:
        try:
            Event().wait()
        except GreenletExit:
            return end.wait()
        return False

    other: Greenlet = spawn(stubborn)
    sleep(0)
    yield Call(partial(kill, other), lambda: int(other.has_links()))
    end.set()
    assert other.get(timeout=10) is True


def leaving_a_with_block() -> Iterator[Call]:
    other: Greenlet = spawn(Event().wait)
    sleep(0)

    def begin() -> None:
        with other:
            pass

    yield Call(begin, lambda: int(other.has_links()))
    other.join(timeout=10)
    assert isinstance(other.value, GreenletExit), "who leaves takes it along"


# Primitives.


def waiting_for_an_event() -> Iterator[Call]:
    event = Event()
    yield Call(event.wait, event.linkcount)
    other = spawn(event.wait)
    sleep(0)
    event.set()
    assert other.get(timeout=10) is True


def waiting_for_a_result(method: str) -> Iterator[Call]:
    result: AsyncResult[int] = AsyncResult()
    yield Call(getattr(result, method), result.linkcount)
    other = spawn(result.get)
    sleep(0)
    result.set(5)
    assert other.get(timeout=10) == 5


def waiting_for_a_lock(lock: Any, method: str = "acquire") -> Iterator[Call]:
    lock.acquire()
    yield Call(getattr(lock, method), getattr(lock, "linkcount", int))
    other = spawn(lock.acquire)
    sleep(0)
    assert not other.ready()
    lock.release()
    assert other.get(timeout=10)
    lock.release()


def entering_a_lock() -> Iterator[Call]:
    lock = Semaphore()
    lock.acquire()

    def enter() -> None:
        with lock:
            pass

    yield Call(enter, lock.linkcount)
    other = spawn(enter)
    lock.release()
    other.get(timeout=10)
    assert lock.counter == 1


def waiting_for_a_reentrant_lock() -> Iterator[Call]:
    lock, end = RLock(), Event()

    def hold_until(event: Event) -> bool:
        with lock:
            return event.wait()

    holder = spawn(hold_until, end)
    sleep(0)
    yield Call(lock.acquire)
    other = spawn(hold_until, end)
    sleep(0)
    end.set()
    assert holder.get(timeout=10)
    assert other.get(timeout=10)


def waiting_at_a_waiter() -> Iterator[Call]:
    waiter: Any = Waiter()
    yield Call(waiter.get, lambda: waiter.greenlet is not None)
    let_run(0)
    other = spawn(waiter.get)
    sleep(0)
    get_hub().loop.run_callback(waiter.switch, "for the other")
    assert other.get(timeout=10) == "for the other"


def waiting_for_many(begin: Callable[[list[Any]], object]) -> Iterator[Call]:
    end, event = Event(), Event()
    objects = [spawn(end.wait), event]
    sleep(0)
    yield Call(partial(begin, objects), lambda: int(objects[0].has_links()) + event.linkcount())
    other = spawn(wait, objects)
    sleep(0)
    end.set()
    event.set()
    assert len(other.get(timeout=10)) == 2


# Queues.


def somebody_waits_at(queue: Any) -> bool:
    return "getters[" in repr(queue) or "putters[" in repr(queue)


def getting(queue: Any, method: str) -> Iterator[Call]:
    yield Call(getattr(queue, method), partial(somebody_waits_at, queue))
    other = spawn(queue.get)
    let_run(0)
    queue.put(5)
    assert other.get(timeout=10) == 5
    assert len(queue) == 0
    assert not somebody_waits_at(queue)


def putting(queue: Any) -> Iterator[Call]:
    queue.put(1)
    yield Call(partial(queue.put, "never arrives"), partial(somebody_waits_at, queue))
    other = spawn(queue.put, 2)
    let_run(0)
    assert [soon(queue.get), soon(queue.get)] == [1, 2]
    other.get(timeout=10)
    assert len(queue) == 0
    assert not somebody_waits_at(queue)


def joining_a_queue(queue: Any) -> Iterator[Call]:
    queue.put(1)
    yield Call(queue.join)
    other = spawn(queue.join)
    sleep(0)
    queue.get()
    assert not other.ready()
    queue.task_done()
    other.get(timeout=10)


def getting_from_a_channel(method: str) -> Iterator[Call]:
    channel = Channel()
    yield Call(getattr(channel, method), lambda: channel.balance)
    other = spawn(channel.get)
    let_run(0)
    soon(channel.put, 5)
    assert other.get(timeout=10) == 5
    assert channel.balance == 0


def putting_into_a_channel() -> Iterator[Call]:
    channel = Channel()
    yield Call(partial(channel.put, "never arrives"), lambda: channel.balance)
    other = spawn(channel.put, 5)
    let_run(0)
    assert soon(channel.get) == 5
    other.get(timeout=10)
    assert channel.balance == 0


# Pools.


@contextmanager
def full_pool(kind: Callable[[], Any]) -> Iterator[tuple[Any, Event]]:
    """A pool of one with a task that is done when the event is set."""
    pool, end = kind(), Event()
    pool.spawn(end.wait)
    sleep(0)
    yield pool, end
    end.set()
    pool.join(timeout=10)
    assert len(pool) == 0
    assert soon(pool.apply, int) == 0


def waiting_for_a_pool(kind: Callable[[], Any], begin: Callable[[Any], object]) -> Iterator[Call]:
    with full_pool(kind) as (pool, end):
        yield Call(
            partial(begin, pool), lambda: getattr(getattr(pool, "_semaphore", None), "linkcount", int)()
        )
        other = spawn(pool.apply, int)
        sleep(0)
        end.set()
        assert other.get(timeout=10) == 0


def waiting_for_tasks_of_a_pool(kind: Callable[[], Any], method: str) -> Iterator[Call]:
    pool, end = kind(), Event()

    def work(number: int) -> int:
        end.wait()
        return number

    def begin() -> list[int]:
        return list(getattr(pool, method)(work, [1, 2, 3]))

    yield Call(begin)
    end.set()
    # What the killed one has begun is done by the pool all the same.
    assert sorted(soon(begin)) == [1, 2, 3]
    assert soon(pool.join, 10)


def killing_a_group_that_does_not_end() -> Iterator[Call]:
    group, end = Group(), Event()

    def stubborn() -> None:
        try:
            Event().wait()
        except GreenletExit:
            end.wait()

    group.spawn(stubborn)
    sleep(0)
    yield Call(group.kill)
    end.set()
    assert group.join(timeout=10)


# Thread pools.


@contextmanager
def busy_thread_pool(tasks: int) -> Iterator[tuple[ThreadPool, threading.Event]]:
    """A pool of one thread with some tasks that are done when the event is set."""
    pool, end = ThreadPool(1), threading.Event()
    for _ in range(tasks):
        pool.spawn(end.wait, LONG)
    yield pool, end
    end.set()
    assert soon(pool.apply, int) == 0
    pool.kill()


def waiting_for_a_thread_pool(tasks: int, begin: Callable[[ThreadPool], object]) -> Iterator[Call]:
    with busy_thread_pool(tasks) as (pool, end):
        yield Call(partial(begin, pool), goes_on=True)
        let_run(0)
        end.set()
        soon(pool.join)
        assert len(pool) == 0


def waiting_for_a_result_of_a_thread() -> Iterator[Call]:
    with busy_thread_pool(1) as (pool, end):
        result = pool.spawn(end.wait, LONG)
        yield Call(result.get, result.linkcount)
        other = spawn(result.get)
        end.set()
        assert other.get(timeout=10) is True


def waiting_for_an_executor(begin: Callable[[Any], object]) -> Iterator[Call]:
    end = threading.Event()
    executor = ThreadPoolExecutor(1)
    future = executor.submit(end.wait, LONG)
    yield Call(partial(begin, future))
    end.set()
    assert soon(future.result) is True
    executor.shutdown()


CALLS: dict[str, Setting] = {
    "sleep": sleeping,
    "Greenlet.join": partial(waiting_for_a_greenlet, Greenlet.join),
    "Greenlet.get": partial(waiting_for_a_greenlet, Greenlet.get),
    "Greenlet.kill": partial(killing_one_that_does_not_end, Greenlet.kill),
    "killall": partial(killing_one_that_does_not_end, lambda other: killall([other])),
    "with Greenlet": leaving_a_with_block,
    "Event.wait": waiting_for_an_event,
    "AsyncResult.get": partial(waiting_for_a_result, "get"),
    "AsyncResult.wait": partial(waiting_for_a_result, "wait"),
    "AsyncResult.result": partial(waiting_for_a_result, "result"),
    "Semaphore.acquire": lambda: waiting_for_a_lock(Semaphore()),
    "Semaphore.wait": lambda: waiting_for_a_lock(Semaphore(), "wait"),
    "with Semaphore": entering_a_lock,
    "BoundedSemaphore.acquire": lambda: waiting_for_a_lock(BoundedSemaphore()),
    "BoundedSemaphore.wait": lambda: waiting_for_a_lock(BoundedSemaphore(), "wait"),
    "allocate_lock().acquire": lambda: waiting_for_a_lock(allocate_lock()),
    "RLock.acquire": waiting_for_a_reentrant_lock,
    "Waiter.get": waiting_at_a_waiter,
    "joinall": partial(waiting_for_many, joinall),
    "wait": partial(waiting_for_many, wait),
    "iwait": partial(waiting_for_many, lambda objects: list(iwait(objects))),
    "next of iwait": partial(waiting_for_many, lambda objects: next(iwait(objects))),
    "Channel.get": partial(getting_from_a_channel, "get"),
    "next of Channel": partial(getting_from_a_channel, "__next__"),
    "Channel.put": putting_into_a_channel,
    "Pool.spawn": partial(waiting_for_a_pool, partial(Pool, 1), lambda pool: pool.spawn(int)),
    "Pool.start": partial(waiting_for_a_pool, partial(Pool, 1), lambda pool: pool.start(Greenlet(int))),
    "Pool.add": partial(waiting_for_a_pool, partial(Pool, 1), lambda pool: pool.add(Greenlet(int))),
    "Pool.apply": partial(waiting_for_a_pool, partial(Pool, 1), lambda pool: pool.apply(int)),
    "Pool.wait_available": partial(waiting_for_a_pool, partial(Pool, 1), Pool.wait_available),
    "Pool.join": partial(waiting_for_a_pool, partial(Pool, 1), Pool.join),
    "Group.join": partial(waiting_for_a_pool, Group, Group.join),
    "Group.kill": killing_a_group_that_does_not_end,
    "ThreadPool.spawn": partial(waiting_for_a_thread_pool, 2, lambda pool: pool.spawn(int)),
    "ThreadPool.apply": partial(waiting_for_a_thread_pool, 1, lambda pool: pool.apply(int)),
    "ThreadPool.apply when it is full": partial(waiting_for_a_thread_pool, 2, lambda pool: pool.apply(int)),
    "ThreadPool.map": partial(waiting_for_a_thread_pool, 1, lambda pool: pool.map(int, "123")),
    "ThreadPool.imap": partial(waiting_for_a_thread_pool, 1, lambda pool: list(pool.imap(int, "123"))),
    "ThreadPool.join": partial(waiting_for_a_thread_pool, 1, ThreadPool.join),
    "result of ThreadPool.spawn": waiting_for_a_result_of_a_thread,
    "ThreadPoolExecutor: result": partial(waiting_for_an_executor, lambda future: future.result()),
    "ThreadPoolExecutor: exception": partial(waiting_for_an_executor, lambda future: future.exception()),
    "ThreadPoolExecutor: wait": partial(waiting_for_an_executor, lambda future: wait([future])),
}
for _kind in (Queue, JoinableQueue, PriorityQueue, LifoQueue, SimpleQueue):
    for _method in ("get", "peek", "__next__"):
        CALLS[f"{_kind.__name__}.{_method}"] = lambda kind=_kind, method=_method: getting(kind(), method)  # type: ignore[misc]
    CALLS[f"{_kind.__name__}.put"] = lambda kind=_kind: putting(kind(1))  # type: ignore[misc]
    if hasattr(_kind, "join"):
        CALLS[f"{_kind.__name__}.join"] = lambda kind=_kind: joining_a_queue(kind())  # type: ignore[misc]
for _kind_of_pool in (Group, Pool):
    for _method in ("map", "imap", "imap_unordered"):
        CALLS[f"{_kind_of_pool.__name__}.{_method}"] = partial(
            waiting_for_tasks_of_a_pool, _kind_of_pool, _method
        )
