"""Callbacks of every kind raise: each error is reported once, by the hub's ``handle_error``, and the loop goes on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import greenloom
from greenloom import Greenlet, get_hub, pool, signal_handler, sleep, socket, spawn, spawn_later, spawn_raw
from greenloom.event import AsyncResult, Event
from greenloom.lock import Semaphore
from programs import run


class Failure(Exception):
    """What the callbacks raise."""


Way = Callable[[Callable[..., Any]], Iterator[None]]


def callback(fail: Callable[..., Any]) -> Iterator[None]:
    get_hub().loop.run_callback(fail)
    yield


def callback_of_a_thread(fail: Callable[..., Any]) -> Iterator[None]:
    hub = get_hub()
    hub.threadpool.apply(hub.loop.run_callback_threadsafe, (fail,))
    yield


def timer(fail: Callable[..., Any]) -> Iterator[None]:
    with get_hub().loop.timer(0.001) as watcher:
        watcher.start(fail)
        yield


def io(fail: Callable[..., Any]) -> Iterator[None]:
    left, right = socket.socketpair()
    with left, right, get_hub().loop.io(right.fileno(), 1) as watcher:

        def fail_once() -> None:
            watcher.stop()
            fail()

        watcher.start(fail_once)
        left.send(b"x")
        yield


def from_a_thread(fail: Callable[..., Any]) -> Iterator[None]:
    hub = get_hub()
    with hub.loop.async_() as watcher:
        watcher.start(fail)
        hub.threadpool.apply(watcher.send)
        yield


def check(fail: Callable[..., Any]) -> Iterator[None]:
    with get_hub().loop.check() as watcher:

        def fail_once() -> None:
            watcher.stop()
            fail()

        watcher.start(fail_once)
        yield


def prepare(fail: Callable[..., Any]) -> Iterator[None]:
    with get_hub().loop.prepare() as watcher:

        def fail_once() -> None:
            watcher.stop()
            fail()

        watcher.start(fail_once)
        yield


def child(fail: Callable[..., Any]) -> Iterator[None]:
    pid = greenloom.os.fork_and_watch(lambda _watcher: fail())
    if pid == 0:
        os._exit(0)
    try:
        yield
    finally:
        greenloom.os.waitpid(pid, 0)


def signal_watcher(fail: Callable[..., Any]) -> Iterator[None]:
    with get_hub().loop.signal(signal.SIGUSR1) as watcher:
        watcher.start(fail)
        os.kill(os.getpid(), signal.SIGUSR1)
        yield


def link(fail: Callable[..., Any]) -> Iterator[None]:
    spawn(int).link(fail)
    yield


def link_of_a_value(fail: Callable[..., Any]) -> Iterator[None]:
    spawn(int).link_value(fail)
    yield


def raw_link(fail: Callable[..., Any]) -> Iterator[None]:
    spawn(int).rawlink(fail)
    yield


def link_of_an_event(fail: Callable[..., Any]) -> Iterator[None]:
    event = Event()
    event.rawlink(fail)
    event.set()
    yield


def link_of_a_result(fail: Callable[..., Any]) -> Iterator[None]:
    result: AsyncResult[int] = AsyncResult()
    result.rawlink(fail)
    result.set(1)
    yield


def link_of_a_semaphore(fail: Callable[..., Any]) -> Iterator[None]:
    semaphore = Semaphore(0)
    semaphore.rawlink(fail)
    semaphore.release()
    yield


def greenlet(fail: Callable[..., Any]) -> Iterator[None]:
    spawn(fail)
    yield


def greenlet_later(fail: Callable[..., Any]) -> Iterator[None]:
    spawn_later(0.001, fail)
    yield


def greenlet_of_a_pool(fail: Callable[..., Any]) -> Iterator[None]:
    of_one = pool.Pool(1)
    of_one.spawn(fail)
    yield
    assert len(of_one) == 0
    assert of_one.spawn(lambda: 5).get(timeout=10) == 5


def raw_greenlet(fail: Callable[..., Any]) -> Iterator[None]:
    spawn_raw(fail)
    yield


def asynchronous_apply(fail: Callable[..., Any]) -> Iterator[None]:
    pool.Group().apply_async(int, callback=fail)
    yield


WAYS: list[Way] = [
    callback,
    callback_of_a_thread,
    timer,
    io,
    from_a_thread,
    check,
    prepare,
    child,
    signal_watcher,
    link,
    link_of_a_value,
    raw_link,
    link_of_an_event,
    link_of_a_result,
    link_of_a_semaphore,
    greenlet,
    greenlet_later,
    greenlet_of_a_pool,
    raw_greenlet,
    asynchronous_apply,
]


@contextmanager
def reports() -> Iterator[list[BaseException]]:
    """Give the errors that come to the hub instead of printing them."""
    got: list[BaseException] = []
    hub = get_hub()
    hub.handle_error = lambda _context, _kind, value, _trace: got.append(value)
    try:
        yield got
    finally:
        del hub.handle_error


def wait_for(condition: Callable[[], object]) -> None:
    for _ in range(5000):
        if condition():
            return
        sleep(0.001)
    raise AssertionError("it did not come to that")


def turn_for_ten_seconds() -> None:
    """Let the loop have many turns: some have their time at the beginning of one or its end."""
    for _ in range(1000):
        sleep(0.01)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_an_error_is_reported_once_and_the_loop_goes_on(way: Way) -> None:
    error = Failure(way.__name__)

    def fail(*_: Any) -> None:
        raise error

    with reports() as got:
        with contextmanager(way)(fail):
            wait_for(lambda: got)
            sleep(0.002)
            assert spawn(lambda: 5).get(timeout=10) == 5
        assert got == [error]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_programs_reaches_main(way: Way, kind: type[BaseException]) -> None:
    error = kind(way.__name__)

    def fail(*_: Any) -> None:
        raise error

    get_hub().exception_stream = None
    try:
        with pytest.raises(kind) as caught, contextmanager(way)(fail):
            turn_for_ten_seconds()
        assert caught.value is error
        sleep(0.002)
        assert spawn(lambda: 5).get(timeout=10) == 5
    finally:
        del get_hub().exception_stream


def test_an_error_of_one_does_not_keep_the_others_from_being_told() -> None:
    told: list[int] = []

    def fail(_: object) -> None:
        raise Failure

    def fail_too(_: object) -> None:
        raise Failure

    source: Any
    for source in (spawn(int), Event(), AsyncResult()):
        told.clear()
        source.rawlink(fail)
        source.rawlink(lambda _: told.append(1))
        source.rawlink(fail_too)
        source.rawlink(lambda _: told.append(2))
        waiting = spawn(source.wait if not isinstance(source, Greenlet) else source.join)
        with reports() as got:
            if not isinstance(source, Greenlet):
                source.set()
            waiting.get(timeout=10)
            wait_for(lambda: len(told) == 2)
            sleep(0.001)
        assert told == [1, 2]
        assert [type(error) for error in got] == [Failure, Failure]


def test_thousands_of_errors_in_a_row_are_all_reported() -> None:
    loop = get_hub().loop

    def fail(*_: Any) -> None:
        raise Failure

    with reports() as got:
        for _ in range(1000):
            loop.run_callback(fail)
            spawn(fail)
            spawn_raw(fail)
        wait_for(lambda: len(got) == 3000)
        sleep(0.001)
    assert len(got) == 3000


def test_a_signal_handler_fails_in_main_and_the_next_signal_is_handled() -> None:
    calls: list[int] = []

    def handler() -> None:
        calls.append(1)
        raise Failure

    get_hub().exception_stream = None
    watching = signal_handler(signal.SIGUSR1, handler)
    try:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGUSR1)
            with pytest.raises(Failure):
                sleep(10)
    finally:
        watching.cancel()
        del get_hub().exception_stream
    assert len(calls) == 3


def test_a_handler_of_the_standard_module_fails_what_it_interrupts_and_that_is_reported() -> None:
    error = Failure()

    def handler(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with reports() as got:
            interrupted = spawn_later(0.001, os.kill, os.getpid(), signal.SIGUSR1)
            interrupted.join(10)
        assert interrupted.exception is error
        assert got == [error]
        assert spawn(lambda: 5).get(timeout=10) == 5
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_broken_stream_for_reports_does_not_end_the_loop() -> None:
    done = run(
        sys.executable,
        "-c",
        """
import sys, greenloom
class Broken:
    def write(self, text): raise ValueError("no more")
greenloom.get_hub().exception_stream = Broken()
for _ in range(3):
    one = greenloom.spawn(lambda: 1 / 0)
    one.join(10)
    assert isinstance(one.exception, ZeroDivisionError)
print(greenloom.spawn(lambda: 5).get(timeout=10))
""",
    )
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr
