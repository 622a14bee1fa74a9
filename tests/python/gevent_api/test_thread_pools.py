"""Native threads behind a pool's interface, and the executor on top of it."""

from __future__ import annotations

import concurrent.futures
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import greenloom
from greenloom.exceptions import InvalidThreadUseError
from greenloom.threadpool import ThreadPool, ThreadPoolExecutor
from programs import python


def after(seconds: float, value: Any) -> Any:
    time.sleep(seconds)
    return value


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    pool = ThreadPool(3)
    yield pool
    pool.kill()
    assert (pool.size, len(pool)) == (0, 0)


def test_tasks_run_in_threads_while_greenlets_run_here(pool: ThreadPool) -> None:
    ticks: list[int] = []

    def tick() -> None:
        while True:
            greenloom.sleep(0.005)
            ticks.append(1)

    def ident_after() -> int:
        time.sleep(0.05)
        return threading.get_ident()

    ticker = greenloom.spawn(tick)
    results = [pool.spawn(ident_after) for _ in range(3)]
    idents = {result.get(timeout=10) for result in results}
    assert len(idents) == 3
    assert threading.get_ident() not in idents
    assert ticks
    ticker.kill()


def test_errors_come_back(pool: ThreadPool) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        pool.apply(int, ("x",))
    with pytest.raises(ValueError, match="invalid literal"):
        pool.map(int, ["1", "x"])
    assert pool.map(int, ["1", "2"]) == [1, 2]
    assert sorted(pool.imap_unordered(int, ["1", "2"])) == [1, 2]


def test_spawn_waits_while_all_threads_are_busy_and_one_more_is_queued() -> None:
    pool = ThreadPool(1)
    gate = threading.Event()
    first, second = pool.spawn(gate.wait, 10), pool.spawn(gate.wait, 10)
    third = greenloom.spawn(pool.spawn, gate.wait, 10)
    greenloom.sleep(0.01)
    assert (third.ready(), len(pool), pool.size) == (False, 2, 1)
    gate.set()
    assert [first.get(timeout=10), second.get(timeout=10), third.get(timeout=10).get(timeout=10)] == [
        True
    ] * 3
    pool.join()
    assert len(pool) == 0
    pool.kill()


def test_sizes_can_be_changed(pool: ThreadPool) -> None:
    assert pool.size == 0
    pool.size = 2
    assert pool.size == 2
    pool.maxsize = 1
    greenloom.sleep(0.1)
    assert pool.size == 1
    for wrong in (-1, 2):
        with pytest.raises(ValueError, match="size"):
            pool.size = wrong
    with pytest.raises(TypeError):
        pool.maxsize = "3"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="negative"):
        ThreadPool(-1)


def test_an_idle_thread_ends_when_its_time_is_over() -> None:
    pool = ThreadPool(2, idle_task_timeout=0.02)
    assert pool.apply(int) == 0
    with greenloom.Timeout(10):
        while pool.size:
            greenloom.sleep(0.01)
    assert pool.apply(int) == 0
    pool.kill()


def test_another_thread_may_not_spawn_but_has_a_pool_of_its_own(pool: ThreadPool) -> None:
    other = ThreadPool(1)
    with pytest.raises(InvalidThreadUseError):
        other.apply(pool.spawn, (int,))
    own = other.apply(lambda: greenloom.get_hub().threadpool)
    assert own is not greenloom.get_hub().threadpool
    # Applying from one of its own threads runs the function there.
    assert pool.apply(lambda: pool.apply(int, ("4",))) == 4
    other.kill()


def test_a_task_keeps_the_loop_alive_until_it_is_done(pool: ThreadPool) -> None:
    assert pool.spawn(after, 0.02, "done").get() == "done"


def test_a_forked_child_has_a_working_pool(pool: ThreadPool) -> None:
    assert pool.apply(os.getpid) == os.getpid()
    assert (
        python("""
        import os, greenloom, greenloom.os
        pool = greenloom.get_hub().threadpool
        pool.apply(int)
        pid = greenloom.os.fork()
        if pid == 0:
            print(pool.apply(os.getpid) == os.getpid(), flush=True)
            os._exit(0)
        greenloom.os.waitpid(pid, 0)
        print(pool.apply(int))
        """)
        == "True\n0\n"
    )


def test_the_executor_gives_futures_that_cooperate() -> None:
    executor = ThreadPoolExecutor(2)
    slow = executor.submit(after, 0.05, "slow")
    with pytest.raises(concurrent.futures.TimeoutError):
        slow.result(timeout=0.001)
    called: list[object] = []
    slow.add_done_callback(called.append)
    assert greenloom.wait([slow], timeout=10) == [slow]
    assert (slow.result(), slow.exception(), slow.done(), called) == ("slow", None, True, [slow])
    failed = executor.submit(int, "x")
    assert type(failed.exception(timeout=10)) is ValueError
    assert list(executor.map(int, ["1", "2"])) == [1, 2]
    done, waiting = concurrent.futures.wait([slow, failed])
    assert (len(done), len(waiting)) == (2, 0)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(int)


def test_native_threads_serve_patched_programs() -> None:
    assert (
        python("""
        from greenloom import monkey
        start = monkey.get_original("_thread", "get_ident")
        monkey.patch_all()
        import greenloom, threading, time
        pool = greenloom.get_hub().threadpool
        lock = threading.Lock()
        def work():
            with lock:
                time.sleep(0.01)
            return start()
        idents = {task.get() for task in [pool.spawn(work) for _ in range(4)]}
        print(start() in idents, lock.locked())
        """)
        == "False False\n"
    )
