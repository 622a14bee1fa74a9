"""Child processes and descriptors: fork, waitpid, SIGCHLD, and reading and writing without blocking."""

from __future__ import annotations

import os as standard
import signal as standard_signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from greenloom import Timeout, os, signal, sleep, spawn, subprocess as greenloom_subprocess
from greenloom.socket import wait_read


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    with Timeout(10, ref=False):
        yield


def child(status: int, fork: Any = os.fork, after: float = 0.0) -> int:
    """Fork a child that ends with the status; return its id."""
    pid: int = fork()
    if pid == 0:
        time.sleep(after)
        standard._exit(status)
    return pid


@pytest.mark.parametrize("fork", [os.fork, standard.fork], ids=["watched", "unwatched"])
def test_only_the_one_who_waits_for_a_child_waits(fork: Any) -> None:
    ran: list[int] = []
    pid = child(3, fork, after=0.05)
    spawn(ran.append, 1)
    assert os.waitpid(pid, 0) == (pid, 3 << 8)
    assert ran == [1]
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_a_child_may_be_asked_for_without_waiting() -> None:
    pid = child(0, after=0.05)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    sleep(0.2)
    assert os.waitpid(pid, os.WNOHANG) == (pid, 0)


def test_any_child_means_watched_and_unwatched_ones() -> None:
    pids = {child(0, after=0.02), child(0, standard.fork, after=0.1)}
    assert {os.waitpid(-1, 0)[0] for _ in pids} == pids
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, 0)


def test_a_callback_is_called_with_the_status() -> None:
    seen: list[int] = []
    pid = os.fork_and_watch(lambda watcher: seen.append(watcher.rstatus))
    if pid == 0:
        standard._exit(5)
    os.waitpid(pid, 0)
    assert seen == [5 << 8]


def test_a_child_has_a_hub_that_works() -> None:
    read, write = standard.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            sleep(0.01)
            standard.write(write, b"%d" % spawn(lambda: 42).get(timeout=5))
        finally:
            standard._exit(0)
    os.waitpid(pid, 0)
    assert standard.read(read, 10) == b"42"
    standard.close(read)
    standard.close(write)


def test_a_terminal_may_be_forked_into() -> None:
    pid, master = os.forkpty()
    if pid == 0:
        standard.write(1, b"hello")
        standard._exit(0)
    os.make_nonblocking(master)
    assert os.nb_read(master, 100) == b"hello"
    os.waitpid(pid, 0)
    standard.close(master)


def test_spawned_programs_are_watched() -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], {})
    assert os.waitpid(pid, 0) == (pid, 4 << 8)


def test_the_handler_of_sigchld_may_wait() -> None:
    seen: list[int] = []

    def handler(number: int, _frame: Any) -> None:
        sleep(0.01)
        seen.append(number)

    before = signal.signal(signal.SIGCHLD, handler)
    try:
        assert signal.getsignal(signal.SIGCHLD) is handler
        os.waitpid(child(0), 0)
        sleep(0.05)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert seen == [standard_signal.SIGCHLD]
    assert signal.getsignal(signal.SIGCHLD) is before
    with pytest.raises(TypeError):
        signal.signal(signal.SIGCHLD, "text")  # type: ignore[arg-type]


def test_other_signals_are_the_standard_librarys() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    assert signal.signal(signal.SIGUSR1, standard_signal.SIG_IGN) is before
    assert standard_signal.getsignal(signal.SIGUSR1) is standard_signal.SIG_IGN
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(("read", "write"), [(os.nb_read, os.nb_write), (os.tp_read, os.tp_write)])
def test_reading_and_writing_let_others_run(read: Any, write: Any) -> None:
    source, target = standard.pipe()
    if read is os.nb_read:
        assert os.make_nonblocking(source)
        assert os.make_nonblocking(target)
        assert not os.make_nonblocking(target)
    reading = spawn(read, source, 10)
    sleep(0.01)
    assert not reading.ready()
    assert write(target, b"x") == 1
    assert reading.get() == b"x"
    standard.close(source)
    standard.close(target)


def test_close_wakes_who_waits_and_cannot_be_repeated() -> None:
    source, target = standard.pipe()
    waiting = spawn(wait_read, source)
    sleep(0)
    os.close(source)
    with pytest.raises(OSError, match="Bad file"):
        os.close(source)
    waiting.join()
    sleep(0.01)
    with pytest.raises(OSError, match="Bad file"):
        standard.fstat(source)
    os.close(target)


def test_patched_children_are_waited_for_cooperatively() -> None:
    program = """
from greenloom import monkey; monkey.patch_all()
import os, signal, time, greenloom
seen = []
signal.signal(signal.SIGCHLD, lambda number, frame: seen.append(number))
pid = os.fork()
if not pid:
    greenloom.sleep(.1)
    os._exit(7)
greenloom.spawn(print, "others run")
print(os.waitpid(pid, 0) == (pid, 7 << 8), len(seen))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stdout == "others run\nTrue 1\n", done.stderr


def test_asking_for_any_child_does_not_take_the_status_of_one_that_is_waited_for() -> None:
    process = greenloom_subprocess.Popen(["sh", "-c", "exit 3"])
    time.sleep(0.1)
    assert os.waitpid(-1, os.WNOHANG) == (0, 0)
    assert process.wait() == 3
