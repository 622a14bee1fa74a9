"""The standard library's calls that wait, in a program that is patched: run as such a program, it reports as JSON."""

from __future__ import annotations

if __name__ == "__main__":
    from greenloom import monkey

    monkey.patch_all()

import asyncio
import http.client
import json
import multiprocessing
import os
import queue
import select
import selectors
import signal
import socket
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent import futures
from functools import partial
from typing import Any

from bad_days.blocked import (
    LONG,
    WAYS,
    Call,
    Setting,
    end_everywhere,
    end_while_others_come,
    let_run,
    soon,
    threads_that_stay,
)
from greenloom import spawn


def sleeping() -> Iterator[Call]:
    yield Call(partial(time.sleep, LONG))
    soon(time.sleep, 0.001)


def joining_a_thread(kind: Callable[[Callable[[], object]], threading.Thread]) -> Iterator[Call]:
    end = threading.Event()
    thread = kind(end.wait)
    thread.start()
    let_run(0.01)
    yield Call(thread.join)
    other = spawn(thread.join)
    let_run(0)
    assert not other.ready()
    end.set()
    other.get(timeout=10)
    assert not thread.is_alive()


def starts_soon(function: Callable[[], object]) -> threading.Thread:
    return threading.Timer(0.001, function)


def waiting_for_a_lock(make: Callable[[], Any]) -> Iterator[Call]:
    lock, end = make(), threading.Event()

    def hold() -> bool:
        with lock:
            return end.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    let_run(0)
    yield Call(lock.acquire)
    other = spawn(hold)
    let_run(0)
    end.set()
    assert other.get(timeout=10) is True
    holder.join()


def waiting_for_a_condition(method: str, *args: Any) -> Iterator[Call]:
    condition = threading.Condition()

    def wait() -> Any:
        with condition:
            return getattr(condition, method)(*args)

    yield Call(wait, lambda: len(condition._waiters))  # type: ignore[attr-defined]

    def wait_for_one() -> bool:
        with condition:
            return condition.wait()

    other = spawn(wait_for_one)
    let_run(0)
    with condition:
        condition.notify()
    assert other.get(timeout=10) is True


def waiting_for_an_event() -> Iterator[Call]:
    event = threading.Event()
    yield Call(event.wait)
    other = spawn(event.wait)
    let_run(0)
    event.set()
    assert other.get(timeout=10) is True


def waiting_at_a_barrier() -> Iterator[Call]:
    barrier = threading.Barrier(2)
    yield Call(barrier.wait, lambda: barrier.n_waiting)
    let_run(0)
    two = [spawn(barrier.wait) for _ in range(2)]
    assert sorted(one.get(timeout=10) for one in two) == [0, 1]


def getting(make: Callable[[], Any]) -> Iterator[Call]:
    items = make()
    yield Call(items.get)
    other = spawn(items.get)
    let_run(0)
    items.put(5)
    assert other.get(timeout=10) == 5
    assert items.empty()


def putting() -> Iterator[Call]:
    items: queue.Queue[int] = queue.Queue(1)
    items.put(1)
    yield Call(partial(items.put, 0))
    other = spawn(items.put, 2)
    let_run(0)
    assert [soon(items.get), soon(items.get)] == [1, 2]
    other.get(timeout=10)


def joining_a_queue() -> Iterator[Call]:
    items: queue.Queue[int] = queue.Queue()
    items.put(1)
    yield Call(items.join)
    other = spawn(items.join)
    let_run(0)
    items.task_done()
    other.get(timeout=10)


def waiting_for_a_future(begin: Callable[[Any], object]) -> Iterator[Call]:
    end = threading.Event()
    with futures.ThreadPoolExecutor(1) as executor:
        future = executor.submit(end.wait)
        yield Call(partial(begin, future))
        other = spawn(future.result)
        end.set()
        assert other.get(timeout=10) is True


def shutting_down_an_executor() -> Iterator[Call]:
    end = threading.Event()
    executor = futures.ThreadPoolExecutor(1)
    future = executor.submit(end.wait)
    let_run(0)
    yield Call(executor.shutdown)
    end.set()
    assert future.result(timeout=10) is True
    soon(executor.shutdown)


def receiving() -> Iterator[Call]:
    left, right = socket.socketpair()
    with left, right:
        yield Call(partial(right.recv, 10))
        other = spawn(right.recv, 10)
        let_run(0)
        left.sendall(b"data")
        assert other.get(timeout=10) == b"data"


def selecting(wait: Callable[[Any], object]) -> Iterator[Call]:
    left, right = socket.socketpair()
    with left, right:
        yield Call(partial(wait, right))
        other = spawn(wait, right)
        let_run(0)
        left.sendall(b"x")
        assert other.get(timeout=10)


def by_poll(sock: Any) -> object:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll.poll()


def by_selector(kind: Any, sock: Any) -> object:
    with kind() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return selector.select()


def requesting() -> Iterator[Call]:
    """From a server that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = http.client.HTTPConnection(*listener.getsockname())
        connection.connect()
        served, _ = listener.accept()

        def request() -> bytes:
            connection.request("GET", "/")
            return connection.getresponse().read()

        with served:
            yield Call(request)
        let_run(0)
        # A connection whose answer nobody has read cannot be used again; the object can.
        connection.close()
        other = spawn(request)
        served, _ = listener.accept()
        with served:
            served.recv(1000)
            served.sendall(b"HTTP/1.0 200 OK\r\n\r\nyes")
        assert other.get(timeout=10) == b"yes"
        connection.close()


def waiting_for_a_process() -> Iterator[Call]:
    with subprocess.Popen(["sleep", str(LONG)]) as process:
        try:
            yield Call(process.wait)
            other = spawn(process.wait)
            let_run(0)
        finally:
            process.kill()
        assert other.get(timeout=10) == -signal.SIGKILL


def waiting_for_a_child() -> Iterator[Call]:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(3)
    os.close(read)
    yield Call(partial(os.waitpid, pid, 0))
    os.close(write)
    assert soon(os.waitpid, pid, 0) == (pid, 3 << 8)


def joining_a_process() -> Iterator[Call]:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(LONG,))
    process.start()
    try:
        yield Call(process.join)
        other = spawn(process.join)
        let_run(0)
    finally:
        process.kill()
    other.get(timeout=10)
    assert process.exitcode == -signal.SIGKILL
    process.close()


def running_asyncio() -> Iterator[Call]:
    yield Call(lambda: asyncio.run(asyncio.sleep(LONG)))
    # A thread has one running loop of asyncio: the killed one has to clear up before.
    while asyncio._get_running_loop() is not None:
        let_run()
    assert soon(lambda: asyncio.run(asyncio.sleep(0.001, "slept"))) == "slept"


CALLS: dict[str, Setting] = {
    "time.sleep": sleeping,
    "Thread.join": partial(joining_a_thread, lambda function: threading.Thread(target=function)),
    "Timer.join": partial(joining_a_thread, starts_soon),
    "Lock.acquire": partial(waiting_for_a_lock, threading.Lock),
    "RLock.acquire": partial(waiting_for_a_lock, threading.RLock),
    "Semaphore.acquire": partial(waiting_for_a_lock, threading.Semaphore),
    "BoundedSemaphore.acquire": partial(waiting_for_a_lock, threading.BoundedSemaphore),
    "Condition.acquire": partial(waiting_for_a_lock, threading.Condition),
    "Condition.wait": partial(waiting_for_a_condition, "wait"),
    "Condition.wait with a timeout": partial(waiting_for_a_condition, "wait", LONG),
    "Condition.wait_for": partial(waiting_for_a_condition, "wait_for", bool),
    "Event.wait": waiting_for_an_event,
    "Barrier.wait": waiting_at_a_barrier,
    "queue.Queue.get": partial(getting, queue.Queue),
    "queue.LifoQueue.get": partial(getting, queue.LifoQueue),
    "queue.PriorityQueue.get": partial(getting, queue.PriorityQueue),
    "queue.SimpleQueue.get": partial(getting, queue.SimpleQueue),
    "queue.Queue.put": putting,
    "queue.Queue.join": joining_a_queue,
    "Future.result": partial(waiting_for_a_future, lambda future: future.result()),
    "Future.exception": partial(waiting_for_a_future, lambda future: future.exception()),
    "futures.wait": partial(waiting_for_a_future, lambda future: futures.wait([future])),
    "futures.as_completed": partial(
        waiting_for_a_future, lambda future: list(futures.as_completed([future]))
    ),
    "ThreadPoolExecutor.shutdown": shutting_down_an_executor,
    "socket.recv": receiving,
    "select.select": partial(selecting, lambda sock: select.select([sock], [], [])),
    "select.poll": partial(selecting, by_poll),
    "DefaultSelector": partial(selecting, partial(by_selector, selectors.DefaultSelector)),
    "SelectSelector": partial(selecting, partial(by_selector, selectors.SelectSelector)),
    "PollSelector": partial(selecting, partial(by_selector, selectors.PollSelector)),
    "HTTPConnection": requesting,
    "Popen.wait": waiting_for_a_process,
    "os.waitpid": waiting_for_a_child,
    "Process.join of multiprocessing": joining_a_process,
    "asyncio.run": running_asyncio,
}

#: The ways of :data:`bad_days.blocked.WAYS`, and one more.
ALL_WAYS = (*WAYS, "kill while others come")


def failure(setting: Setting, way: str) -> str | None:
    """End the call that way, and return what went wrong."""
    try:
        if way in WAYS:
            end_everywhere(setting, way)
        else:
            end_while_others_come(setting)
    except BaseException:
        return traceback.format_exc()
    return None


def main() -> None:
    """Print the failures of all calls in all ways, by the names of both."""
    with threads_that_stay():
        found = {f"{way}: {name}": failure(call, way) for way in ALL_WAYS for name, call in CALLS.items()}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
