"""The event loop under the hub: what it calls, when, and in which order."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from greenloom._loop import loop as Loop
from greenloom.greenlet import getcurrent, greenlet

READ, WRITE = 1, 2


@pytest.fixture
def loop() -> Iterator[Any]:
    made = Loop(default=False)
    yield made
    made.destroy()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


def test_callbacks_run_in_the_order_they_were_given(loop: Any) -> None:
    seen: list[int] = []
    for number in range(5):
        loop.run_callback(seen.append, number)
    loop.run()
    assert seen == [0, 1, 2, 3, 4]


def test_a_callback_that_was_stopped_is_not_called(loop: Any) -> None:
    seen: list[str] = []
    callback = loop.run_callback(seen.append, "stopped")
    assert callback.pending
    assert bool(callback)
    callback.stop()
    loop.run_callback(seen.append, "kept")
    loop.run()
    assert seen == ["kept"]
    assert not callback
    assert callback.args is None


def test_what_is_not_callable_is_refused_where_it_is_given(loop: Any) -> None:
    with pytest.raises(TypeError, match="Expected callable"):
        loop.run_callback(5)
    with pytest.raises(TypeError, match="Expected callable"):
        loop.timer(1).start(None)


def test_timers_fire_in_the_order_of_their_deadlines_and_never_early(loop: Any) -> None:
    seen: list[float] = []
    timers = [loop.timer(after) for after in (0.03, 0.01, 0.02)]
    began = time.monotonic()
    for timer, after in zip(timers, (0.03, 0.01, 0.02), strict=True):
        timer.start(lambda after=after: seen.append(time.monotonic() - began - after))
    loop.run()
    assert len(seen) == 3
    assert all(late >= 0 for late in seen)


def test_a_repeating_timer_repeats_until_it_is_stopped(loop: Any) -> None:
    times = 0
    timer = loop.timer(0.001, 0.001)

    def tick() -> None:
        nonlocal times
        times += 1
        if times == 3:
            timer.stop()

    timer.start(tick)
    loop.run()
    assert times == 3
    assert not timer.active


def test_a_timer_that_fired_lets_go_of_its_callback(loop: Any) -> None:
    timer = loop.timer(0)
    timer.start(int)
    loop.run()
    assert timer.callback is None
    assert timer.args is None
    assert not timer.active


def test_very_many_timers_started_and_stopped_leave_none_behind(loop: Any) -> None:
    class Held:
        def __call__(self) -> None:
            raise AssertionError("it was stopped")

    held = Held()
    reference = weakref.ref(held)
    for _ in range(10_000):
        timer = loop.timer(60)
        timer.start(held)
        timer.stop()
    assert loop.activecnt == 0
    del held, timer
    gc.collect()
    assert reference() is None


def test_the_loop_does_not_wait_for_what_is_unreferenced(loop: Any) -> None:
    timer = loop.timer(60, ref=False)
    timer.start(int)
    began = time.monotonic()
    loop.run()
    assert time.monotonic() - began < 30
    assert timer.active
    timer.ref = True
    assert timer.ref
    timer.stop()


def test_a_reader_is_called_again_as_long_as_there_is_something_to_read(
    loop: Any, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    read: list[bytes] = []
    watcher = loop.io(one.fileno(), READ)

    def take() -> None:
        read.append(one.recv(1))
        if len(read) == 3:
            watcher.stop()

    watcher.start(take)
    other.send(b"abc")
    loop.run()
    assert read == [b"a", b"b", b"c"]


def test_readers_and_writers_of_one_descriptor_do_not_disturb_each_other(
    loop: Any, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    seen: list[str] = []
    reader, writer = loop.io(one.fileno(), READ), loop.io(one.fileno(), WRITE)

    def readable() -> None:
        seen.append("readable")
        reader.stop()

    def writable() -> None:
        seen.append("writable")
        writer.stop()
        other.send(b"x")

    reader.start(readable)
    writer.start(writable)
    loop.run()
    assert seen == ["writable", "readable"]


def test_a_number_that_was_closed_and_given_anew_is_watched_anew(loop: Any) -> None:
    for _ in range(3):
        reader, writer = os.pipe()
        seen: list[bytes] = []
        with loop.io(reader, READ) as watcher:
            watcher.start(lambda reader=reader, seen=seen: seen.append(os.read(reader, 1)))
            os.write(writer, b"x")
            loop.run(once=True)
        os.close(reader)
        os.close(writer)
        assert seen == [b"x"]


def test_a_number_is_watched_anew_though_a_stopped_watcher_of_the_old_file_is_left(loop: Any) -> None:
    kept = []
    for _ in range(3):
        reader, writer = os.pipe()
        seen: list[bytes] = []
        watcher = loop.io(reader, READ)
        watcher.start(lambda reader=reader, seen=seen: seen.append(os.read(reader, 1)))
        os.write(writer, b"x")
        loop.run(once=True)
        watcher.stop()
        kept.append(watcher)
        os.close(reader)
        os.close(writer)
        assert seen == [b"x"]


def test_a_regular_file_is_always_ready(loop: Any, tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    seen: list[str] = []
    with path.open("rb") as file, loop.io(file.fileno(), READ) as watcher:
        watcher.start(seen.append, "ready")
        loop.run(once=True)
    assert seen == ["ready"]


def test_a_descriptor_that_is_none_calls_its_watcher_which_finds_out(loop: Any) -> None:
    reader, writer = os.pipe()
    os.close(writer)
    os.close(reader)
    seen: list[str] = []
    with loop.io(reader, READ) as watcher:
        watcher.start(seen.append, "called")
        loop.run(once=True)
    assert seen == ["called"]


def test_events_are_handed_over_when_they_are_asked_for(
    loop: Any, pair: tuple[socket.socket, socket.socket]
) -> None:
    seen: list[tuple[int, str]] = []
    with loop.io(pair[0].fileno(), WRITE) as watcher:
        watcher.start(lambda *args: seen.append(args), "more", pass_events=True)
        loop.run(once=True)
    assert seen == [(WRITE, "more")]


def test_closing_a_descriptor_calls_those_who_watch_it(
    loop: Any, pair: tuple[socket.socket, socket.socket]
) -> None:
    seen: list[str] = []
    watcher = loop.io(pair[0].fileno(), READ)
    assert not loop.closing_fd(pair[0].fileno())
    watcher.start(seen.append, "closing")
    assert loop.closing_fd(pair[0].fileno())
    loop.run(nowait=True)
    watcher.close()
    assert seen == ["closing"]


def test_another_thread_wakes_a_loop_that_sleeps(loop: Any) -> None:
    seen: list[str] = []
    keep = loop.timer(60)
    keep.start(int)

    def called() -> None:
        seen.append("called")
        keep.stop()

    threading.Timer(0.02, loop.run_callback_threadsafe, [called]).start()
    loop.run()
    assert seen == ["called"]


def test_an_async_watcher_is_sent_to_from_another_thread(loop: Any) -> None:
    watcher = loop.async_()
    seen: list[int] = []

    def came() -> None:
        seen.append(threading.get_ident())
        watcher.stop()

    watcher.start(came)
    threading.Timer(0.02, watcher.send).start()
    loop.run()
    assert seen == [threading.get_ident()]


def test_a_signal_is_told_and_the_handler_that_was_there_comes_back(loop: Any) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append("python"))
    seen: list[str] = []
    try:
        watcher = loop.signal(signal.SIGUSR1)

        def came() -> None:
            seen.append("watcher")
            watcher.stop()

        watcher.start(came)
        kick = loop.timer(0.01)
        kick.start(os.kill, os.getpid(), signal.SIGUSR1)
        loop.run()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert seen == ["watcher", "python"]
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("code", [0, 3])
def test_a_child_watcher_has_the_status_of_its_child(loop: Any, code: int) -> None:
    child = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"])
    watcher = loop.child(child.pid)
    ended: list[int] = []
    watcher.start(ended.append, child.pid)
    loop.run()
    child.returncode = 0  # It was waited for here.
    assert ended == [child.pid]
    assert (watcher.rpid, os.waitstatus_to_exitcode(watcher.rstatus)) == (child.pid, code)


def test_an_error_goes_to_the_error_handler_and_the_loop_goes_on(loop: Any) -> None:
    errors: list[tuple[Any, ...]] = []
    seen: list[str] = []

    class Handler:
        def handle_error(self, *error: Any) -> None:
            errors.append(error)

    loop.error_handler = Handler()
    loop.run_callback(int, "not a number")
    loop.run_callback(seen.append, "next")
    loop.run()
    assert seen == ["next"]
    assert errors[0][1] is ValueError


def test_a_fatal_error_of_the_handler_ends_the_loop(loop: Any) -> None:
    class Fatal(BaseException):
        pass

    def fail(*_: Any) -> None:
        raise Fatal

    seen: list[str] = []
    loop.error_handler = fail
    loop.run_callback(int, "not a number")
    loop.run_callback(seen.append, "next")
    with pytest.raises(Fatal):
        loop.run()
    assert seen == []


def test_endless_callbacks_starve_neither_timers_nor_descriptors(
    loop: Any, pair: tuple[socket.socket, socket.socket]
) -> None:
    pending = {"timer", "descriptor"}
    timer = loop.timer(0.001)
    timer.start(pending.discard, "timer")
    watcher = loop.io(pair[0].fileno(), READ)

    def readable() -> None:
        pending.discard("descriptor")
        watcher.stop()

    watcher.start(readable)
    pair[1].send(b"x")

    def again() -> None:
        if pending:
            loop.run_callback(again)

    loop.run_callback(again)
    loop.run()
    assert not pending


def test_greenlets_take_turns_by_way_of_the_greenlet_that_runs_the_loop(loop: Any) -> None:
    hub = greenlet(loop.run)
    main = getcurrent()
    seen: list[tuple[str, int]] = []

    def work(name: str) -> None:
        me = getcurrent()
        for turn in range(2):
            seen.append((name, turn))
            loop.run_callback(me.switch)
            hub.switch()

    for name in ("one", "two"):
        loop.run_callback(greenlet(work, parent=hub).switch, name)
    timer = loop.timer(0.01)
    timer.start(main.switch)
    hub.switch()
    assert seen == [("one", 0), ("two", 0), ("one", 1), ("two", 1)]


def test_a_forked_child_has_a_poller_of_its_own(loop: Any, pair: tuple[socket.socket, socket.socket]) -> None:
    seen: list[bytes] = []
    watcher = loop.io(pair[0].fileno(), READ)

    def take() -> None:
        seen.append(pair[0].recv(1))
        watcher.stop()

    watcher.start(take)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            loop.reinit()
            pair[1].send(b"c")
            loop.run()
            status = 0 if seen == [b"c"] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    pair[1].send(b"p")
    loop.run()
    assert seen == [b"p"]


def test_a_destroyed_loop_says_so(loop: Any) -> None:
    timer = loop.timer(1)
    assert loop.destroy()
    assert loop.destroy() is None
    for use in (loop.run, lambda: loop.run_callback(int), lambda: timer.start(int)):
        with pytest.raises(ValueError, match="destroyed loop"):
            use()


def test_a_loop_with_watchers_that_refer_to_it_is_collected() -> None:
    class Derived(Loop):
        pass

    made = Derived(default=False)
    made.timer(60).start(made.run)
    made.run_callback(made.now)
    reference = weakref.ref(made)
    del made
    gc.collect()
    assert reference() is None
