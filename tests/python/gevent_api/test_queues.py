"""Queues and channels: limits, order, waiting, the end, and use from threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import greenloom
from greenloom import queue


def ended(greenlet: Any) -> Any:
    """What a greenlet ended with: its value, or the class of its exception."""
    greenlet.join(5)
    assert greenlet.ready()
    return greenlet.value if greenlet.successful() else type(greenlet.exception)


@pytest.mark.parametrize("maxsize", [None, -1])
def test_without_a_limit_putting_never_waits(maxsize: int | None) -> None:
    items = queue.Queue(maxsize)
    for n in range(1000):
        items.put_nowait(n)
    assert (len(items), items.full(), items.maxsize, bool(queue.Queue())) == (1000, False, None, True)


def test_zero_is_no_limit_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="Channel"):
        assert queue.Queue(0).maxsize is None


def test_putters_wait_for_room_and_come_in_order() -> None:
    items = queue.Queue(1)
    putters = [greenloom.spawn(items.put, n) for n in range(4)]
    greenloom.sleep(0)
    assert len(items.putters) == 3
    assert [items.get(timeout=5) for _ in range(4)] == [0, 1, 2, 3]
    greenloom.joinall(putters, timeout=5)


def test_a_greater_limit_lets_putters_in() -> None:
    items = queue.Queue(1, items=[0])
    putter = greenloom.spawn(items.put, 1)
    greenloom.sleep(0)
    items.maxsize = 2
    putter.get(timeout=5)
    assert len(items) == 2


def test_getters_wait_for_items_and_get_them_in_order() -> None:
    items = queue.SimpleQueue()
    getters = [greenloom.spawn(items.get) for _ in range(3)]
    greenloom.sleep(0)
    for n in range(3):
        items.put(n)
    assert [getter.get(timeout=5) for getter in getters] == [0, 1, 2]


@pytest.mark.parametrize("kind", [queue.SimpleQueue, queue.Queue, queue.LifoQueue, queue.PriorityQueue])
def test_full_and_empty_are_raised_in_time(kind: Any) -> None:
    items = kind(1)
    with pytest.raises(queue.Empty):
        items.get(timeout=0.001)
    with pytest.raises(queue.Empty):
        items.peek_nowait()
    items.put(1)
    with pytest.raises(queue.Full):
        items.put(2, timeout=0.001)
    with pytest.raises(queue.Full):
        items.put_nowait(2)
    with pytest.raises(ValueError, match="non-negative"):
        items.put(2, timeout=-1)
    assert (items.peek(), items.get(), len(items.getters), len(items.putters)) == (1, 1, 0, 0)


def test_kill_and_timeout_leave_no_waiter() -> None:
    items = queue.Queue(1, items=["first"])
    putter = greenloom.spawn(items.put, "second")
    greenloom.sleep(0)
    putter.kill()
    assert len(items.putters) == 0
    with greenloom.Timeout(0.001) as outer, pytest.raises(greenloom.Timeout) as caught:
        items.put("third")
    assert caught.value is outer
    assert list(items.queue) == ["first"]


def test_iteration_ends_at_stop_iteration() -> None:
    items = queue.Queue(items=[1, 2, StopIteration])
    assert list(items) == [1, 2]


def test_order_of_the_kinds_and_copies() -> None:
    assert [queue.LifoQueue(items=[3, 1, 2]).get() for _ in range(1)] == [2]
    heap = queue.PriorityQueue(items=[3, 1, 2])
    twin = heap.copy()
    assert [heap.get() for _ in range(3)] == [1, 2, 3]
    assert (len(twin), twin.unfinished_tasks) == (3, 3)


def test_join_waits_until_all_items_are_done_with() -> None:
    items = queue.JoinableQueue()
    assert items.join(timeout=5) is True
    items.put(1)
    assert items.join(timeout=0.001) is False
    joiner = greenloom.spawn(items.join)
    items.get()
    items.task_done()
    assert joiner.get(timeout=5) is True
    with pytest.raises(ValueError, match="too many"):
        items.task_done()


def test_shutdown_raises_where_somebody_waits_and_when_nothing_is_left() -> None:
    items = queue.Queue(1, items=[1])
    putter = greenloom.spawn(items.put, 2)
    greenloom.sleep(0)
    items.shutdown()
    assert ended(putter) is queue.ShutDown
    assert items.get() == 1
    with pytest.raises(queue.ShutDown):
        items.get()
    waiting = queue.Queue()
    getter = greenloom.spawn(waiting.get)
    greenloom.sleep(0)
    waiting.shutdown(immediate=True)
    assert ended(getter) is queue.ShutDown


def test_a_callback_of_the_loop_can_use_a_queue_without_waiting() -> None:
    items = queue.Queue(1)
    getter = greenloom.spawn(items.get)
    greenloom.sleep(0)
    loop = greenloom.get_hub().loop
    seen: list[Any] = []
    loop.run_callback(items.put_nowait, "item")
    assert getter.get(timeout=5) == "item"
    putter = greenloom.spawn(items.put, "brought")
    putter.join(5)
    loop.run_callback(lambda: seen.append(items.get_nowait()))
    greenloom.sleep(0.001)
    assert seen == ["brought"]


def test_what_a_subclass_refuses_is_raised_in_the_putter() -> None:
    class Picky(queue.Queue):
        def _put(self, item: Any) -> None:
            if item == "bad":
                raise ValueError("refused")
            super()._put(item)

    items = Picky(1, items=["full"])
    putter = greenloom.spawn(items.put, "bad")
    greenloom.sleep(0)
    assert items.get(timeout=5) == "full"
    assert ended(putter) is ValueError


def test_a_channel_hands_over_and_waits_for_the_other_side() -> None:
    channel = queue.Channel()
    order: list[str] = []

    def put() -> None:
        channel.put("item")
        order.append("put")

    putter = greenloom.spawn(put)
    greenloom.sleep(0)
    assert (channel.balance, channel.qsize(), order) == (1, 0, [])
    assert channel.get(timeout=5) == "item"
    putter.join(5)
    assert order == ["put"]
    with pytest.raises(queue.Empty):
        channel.get(timeout=0.001)
    with pytest.raises(queue.Full):
        channel.put(1, timeout=0.001)
    assert channel.balance == 0


@pytest.mark.parametrize("make", [lambda: queue.Queue(5), queue.SimpleQueue, queue.Channel])
@pytest.mark.parametrize("with_hub", [False, True])
def test_threads_and_greenlets_exchange_items_without_loss(make: Callable[[], Any], with_hub: bool) -> None:
    items = make()
    per_thread, threads_count = 200, 3

    def produce(name: int) -> None:
        if with_hub:
            greenloom.get_hub()
        for n in range(per_thread):
            items.put((name, n))
        if with_hub:
            greenloom.get_hub().destroy(destroy_loop=True)

    threads = [threading.Thread(target=produce, args=(n,), daemon=True) for n in range(threads_count)]
    total = per_thread * threads_count
    getters = [greenloom.spawn(lambda: [items.get(timeout=30) for _ in range(total // 4)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    got = [item for getter in getters for item in getter.get(timeout=60)]
    for thread in threads:
        thread.join(30)
    assert sorted(got) == [(name, n) for name in range(threads_count) for n in range(per_thread)]
    assert (len(items.getters), len(items.putters)) == (0, 0)


def test_a_thread_gets_what_greenlets_put() -> None:
    items = queue.Queue(2)
    got: list[int] = []

    def consume() -> None:
        for item in items:
            got.append(item)

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()

    def produce() -> None:
        for n in range(300):
            items.put(n, timeout=30)
        items.put(StopIteration, timeout=30)

    greenloom.spawn(produce).get(timeout=60)
    thread.join(30)
    assert got == list(range(300))
