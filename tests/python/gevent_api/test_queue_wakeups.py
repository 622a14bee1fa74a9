"""Who is woken by a queue or a channel, when, and what is left if that one does not come."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from typing import Any

import pytest

import greenloom
from greenloom import queue
from greenloom.exceptions import InvalidSwitchError


def test_all_getters_are_served_before_others_have_their_turn() -> None:
    items = queue.Queue()
    got: list[Any] = []
    getters = [greenloom.spawn(lambda: got.append(items.get())) for _ in range(5)]
    greenloom.sleep(0)
    for n in range(5):
        items.put(n)
    assert got == []
    greenloom.sleep(0)
    assert got == [0, 1, 2, 3, 4]
    greenloom.joinall(getters, timeout=5)


def test_an_exchange_without_end_lets_others_run() -> None:
    items = queue.Queue(1)
    stop: list[Any] = []

    def produce() -> None:
        while not stop:
            items.put(1)

    def consume() -> None:
        while not stop:
            items.get()

    pair = [greenloom.spawn(produce), greenloom.spawn(consume)]
    for _ in range(10):
        greenloom.sleep(0)
    stop.append(True)
    greenloom.killall(pair, timeout=5)


def test_a_getter_that_is_killed_in_time_leaves_the_item_to_the_next() -> None:
    items = queue.Queue()
    first, second = greenloom.spawn(items.get), greenloom.spawn(items.get)
    greenloom.sleep(0)
    first.kill(block=False)
    items.put("item")
    assert second.get(timeout=5) == "item"
    assert (items.getters, items.putters) == ([], [])


def test_what_a_getter_was_promised_that_is_killed_goes_to_the_next() -> None:
    items = queue.Queue()
    first, second = greenloom.spawn(items.get), greenloom.spawn(items.get)
    greenloom.sleep(0)
    # From another thread, so that it is told before its turn comes; the kill is quicker.
    putter = threading.Thread(target=items.put, args=("item",))
    putter.start()
    putter.join(10)
    assert len(items.getters) == 1
    first.kill(block=False)
    assert second.get(timeout=5) == "item"
    assert isinstance(first.value, greenloom.GreenletExit)


@pytest.mark.parametrize("kind", [queue.Queue, queue.Channel])
def test_killed_ones_leave_nothing_behind(kind: Any) -> None:
    items = kind(1)
    if kind is queue.Queue:
        items.put("full")
    item = type("Item", (), {})()
    seen = weakref.ref(item)
    putters = [greenloom.spawn(items.put, item) for _ in range(3)]
    del item
    greenloom.sleep(0)
    assert len(items.putters) == 3
    greenloom.killall(putters)
    assert items.putters == []
    del putters
    gc.collect()
    assert seen() is None


def test_getting_by_a_look_leaves_the_item_to_the_next() -> None:
    items = queue.Queue()
    order: list[Any] = []
    for name, method in [("peek", items.peek), ("get", items.get), ("get", items.get)]:
        greenloom.spawn(lambda name=name, method=method: order.append((name, method())))
    greenloom.sleep(0)
    items.put(1)
    greenloom.sleep(0)
    assert (order, len(items.getters)) == ([("peek", 1), ("get", 1)], 1)
    items.put(2)
    greenloom.sleep(0)
    assert order[2:] == [("get", 2)]


def test_a_getter_that_finds_nothing_keeps_its_place() -> None:
    items = queue.Queue()
    order: list[Any] = []
    for name in "ab":
        greenloom.spawn(lambda name=name: order.append((name, items.get())))
    greenloom.sleep(0)
    items.put(1)
    assert items.get() == 1
    items.put(2)
    items.put(3)
    greenloom.sleep(0)
    assert order == [("a", 2), ("b", 3)]


@pytest.mark.parametrize("kind", [queue.Queue, queue.Channel])
def test_who_switches_into_a_wait_is_told_that_it_was_wrong(kind: Any) -> None:
    items = kind()
    failed: list[Any] = []

    def get() -> None:
        try:
            items.get()
        except InvalidSwitchError as error:
            failed.append(str(error))

    getter = greenloom.spawn(get)
    greenloom.sleep(0)
    greenloom.get_hub().loop.run_callback(getter.switch, "nonsense")
    getter.join(5)
    assert failed == ["Invalid switch into a waiting greenlet, with 'nonsense'"]
    assert items.getters == []


def test_a_raw_greenlet_that_waits_can_be_thrown_into() -> None:
    items = queue.Queue()
    ended: list[Any] = []

    def get() -> None:
        try:
            items.get()
        except greenloom.GreenletExit:
            ended.append(True)
            raise

    waiting = greenloom.spawn_raw(get)
    greenloom.sleep(0)
    greenloom.get_hub().loop.run_callback(waiting.throw)
    greenloom.sleep(0)
    assert (ended, items.getters, waiting.dead) == ([True], [], True)


@pytest.mark.parametrize("make", [queue.SimpleQueue, queue.Queue, queue.PriorityQueue, queue.Channel])
def test_a_cycle_through_a_queue_is_collected(make: Any) -> None:
    class Mine(make):  # type: ignore[misc]
        pass

    for kind in (make, Mine):
        items = kind()
        if make is not queue.Channel:
            items.put([items])
        else:
            # Only a subclass has room for it.
            if kind is make:
                continue
            items.me = items
        seen = weakref.ref(items)
        del items
        gc.collect()
        assert seen() is None


@pytest.mark.parametrize("make", [queue.SimpleQueue, queue.Queue, queue.LifoQueue, queue.Channel])
def test_a_queue_is_not_pickled(make: Any) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(make())
    with pytest.raises(TypeError):
        copy.copy(make())


def test_shutting_down_reaches_other_threads() -> None:
    items = queue.Queue(1, items=["full"])
    ended: list[Any] = []

    def wait(with_hub: bool) -> None:
        if with_hub:
            greenloom.get_hub()
        try:
            items.put("more")
        except queue.ShutDown:
            ended.append(with_hub)
        if with_hub:
            greenloom.get_hub().destroy(destroy_loop=True)

    threads = [threading.Thread(target=wait, args=(with_hub,), daemon=True) for with_hub in (True, False)]
    for thread in threads:
        thread.start()
    with greenloom.Timeout(10):
        while len(items.putters) < 2:
            greenloom.sleep(0.001)
    items.shutdown()
    for thread in threads:
        thread.join(10)
    assert (sorted(ended), items.putters, items.is_shutdown) == ([False, True], [], True)


def test_who_waits_in_a_thread_that_ends_is_passed_over() -> None:
    items = queue.Queue()

    def wait() -> None:
        greenloom.spawn(items.get)
        greenloom.sleep(0)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(10)
    assert len(items.getters) == 1
    getter = greenloom.spawn(items.get)
    greenloom.sleep(0)
    items.put("item")
    assert getter.get(timeout=5) == "item"


def test_an_own_timeout_leaves_no_waiter_and_an_outer_one_passes() -> None:
    for items in (queue.Queue(), queue.Channel()):
        with greenloom.Timeout(0.001) as outer, pytest.raises(greenloom.Timeout) as caught:
            items.get(timeout=10)
        assert caught.value is outer
        with pytest.raises(queue.Empty):
            items.get(timeout=0.001)
        mine = greenloom.Timeout(0.001)
        with pytest.raises(greenloom.Timeout) as caught:
            items.get(timeout=mine)
        assert caught.value is mine
        assert items.getters == []


def test_a_channel_brings_pairs_together_in_order() -> None:
    channel = queue.Channel()
    order: list[Any] = []

    def put(n: int) -> None:
        channel.put(n)
        order.append(("put", n))

    def get() -> None:
        order.append(("got", channel.get()))

    putters = [greenloom.spawn(put, n) for n in range(3)]
    greenloom.sleep(0)
    getters = [greenloom.spawn(get) for _ in range(3)]
    greenloom.joinall(putters + getters, timeout=5)
    assert order == [("got", 0), ("put", 0), ("got", 1), ("put", 1), ("got", 2), ("put", 2)]


def test_a_callback_of_the_loop_can_use_a_channel() -> None:
    channel = queue.Channel()
    loop = greenloom.get_hub().loop
    seen: list[Any] = []
    getter = greenloom.spawn(channel.get)
    greenloom.sleep(0)
    loop.run_callback(channel.put_nowait, "item")
    assert getter.get(timeout=5) == "item"
    putter = greenloom.spawn(channel.put, "brought")
    greenloom.sleep(0)

    def get() -> None:
        seen.append(channel.get_nowait())
        for use in (channel.get, lambda: channel.put(1)):
            try:
                use()
            except (queue.Empty, queue.Full) as error:
                seen.append(type(error))

    loop.run_callback(get)
    putter.get(timeout=5)
    assert seen == ["brought", queue.Empty, queue.Full]


def test_joining_sees_each_time_that_all_is_done() -> None:
    items = queue.Queue()
    for round_ in range(3):
        items.put(round_)
        joiner = greenloom.spawn(items.join)
        greenloom.sleep(0)
        assert not joiner.ready()
        items.get()
        items.task_done()
        assert joiner.get(timeout=5) is True
    assert items.join() is True


def test_many_threads_with_and_without_hubs_lose_nothing() -> None:
    items = queue.Queue(2)
    each, got = 150, []

    def put_all() -> None:
        for n in range(each):
            items.put(n)

    def produce(with_hub: bool) -> None:
        if with_hub:
            # Has a turn whenever the thread waits in its hub.
            other = greenloom.spawn(put_all)
        put_all()
        if with_hub:
            other.join(60)
            greenloom.get_hub().destroy(destroy_loop=True)

    def consume(with_hub: bool) -> None:
        if with_hub:
            greenloom.get_hub()
        for item in items:
            got.append(item)
        if with_hub:
            greenloom.get_hub().destroy(destroy_loop=True)

    producers = [threading.Thread(target=produce, args=(n % 2 == 0,), daemon=True) for n in range(4)]
    consumers = [threading.Thread(target=consume, args=(n % 2 == 0,), daemon=True) for n in range(4)]
    for thread in consumers + producers:
        thread.start()
    for thread in producers:
        thread.join(60)
    for _ in consumers:
        items.put(StopIteration, timeout=60)
    for thread in consumers:
        thread.join(60)
    assert sorted(got) == sorted([*range(each)] * 6)
    assert (items.getters, items.putters, len(items)) == ([], [], 0)
