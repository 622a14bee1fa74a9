"""Signals by the thousand while greenlets work, and Ctrl-C at any moment."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from programs import python

SETTING = """
import os, signal, socket as standard, sys, threading, time
import greenloom
from greenloom import Timeout, get_hub, joinall, signal_handler, sleep, socket, spawn
from greenloom.queue import Queue
here = os.getpid()
calls = [0]

def count(*_):
    calls[0] += 1

def work(number):
    # Sockets, queues, timers and events, in turn.
    left, right = socket.socketpair()
    queue = Queue(1)
    def echo():
        for piece in iter(lambda: right.recv(100), b""):
            right.sendall(piece)
            queue.put(piece)
    echoing = spawn(echo)
    for turn in range(50):
        text = b"%d:%d" % (number, turn)
        left.sendall(text)
        assert left.recv(100) == text
        assert queue.get() == text
        with Timeout(0.0005, False):
            sleep(5)
    left.close()
    echoing.get(timeout=10)
    return number

def works_meanwhile():
    working = [spawn(work, number) for number in range(10)]
    joinall(working, timeout=40, raise_error=True)
    assert [one.value for one in working] == list(range(10))

def from_a_thread(times=3000):
    def storm():
        for number in range(times):
            os.kill(here, signal.SIGUSR1)
            if number % 50 == 0:
                time.sleep(0.001)
    thread = threading.Thread(target=storm)
    thread.start()
    return thread.join

def from_a_child(times=3000):
    pid = os.fork()
    if pid == 0:
        for number in range(times):
            os.kill(here, signal.SIGUSR1)
            if number % 50 == 0:
                time.sleep(0.001)
        os._exit(0)
    return lambda: greenloom.os.waitpid(pid, 0)
"""


@pytest.mark.parametrize("sender", ["from_a_thread", "from_a_child"])
@pytest.mark.parametrize(
    "handle", ["signal_handler(signal.SIGUSR1, count)", "signal.signal(signal.SIGUSR1, count)"]
)
def test_greenlets_work_on_in_a_storm(sender: str, handle: str) -> None:
    options = ["-W", "ignore"]
    python(
        f"""{SETTING}
handling = {handle}
ended = {sender}()
works_meanwhile()
ended()
sleep(0.01)
assert 1 <= calls[0] <= 3000, calls
# The last one is not lost either.
before = calls[0]
os.kill(here, signal.SIGUSR1)
for _ in range(1000):
    if calls[0] > before:
        break
    sleep(0.001)
assert calls[0] == before + 1
""",
        *options,
    )


def test_handlers_that_wait_are_greenlets_of_their_own() -> None:
    python(f"""{SETTING}
done = []
def slow():
    sleep(0.005)
    done.append(greenloom.getcurrent())
handling = signal_handler(signal.SIGUSR1, slow)
for _ in range(200):
    os.kill(here, signal.SIGUSR1)
    sleep(0)
works_meanwhile()
sleep(0.05)
assert 1 <= len(done) <= 200
assert len(set(map(id, done))) == len(done)
handling.cancel()
before = len(done)
signal.signal(signal.SIGUSR1, count)
os.kill(here, signal.SIGUSR1)
sleep(0.02)
assert len(done) == before and calls == [1]
""")


def test_several_signals_each_reach_their_own_handler() -> None:
    python(f"""{SETTING}
seen = dict()
def note(number):
    seen[number] = seen.get(number, 0) + 1
numbers = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGWINCH, signal.SIGALRM, signal.SIGTERM]
handling = [signal_handler(number, note, number) for number in numbers]
for round in range(1, 101):
    for number in numbers:
        os.kill(here, number)
    for _ in range(1000):
        if all(seen.get(number) == round for number in numbers):
            break
        sleep(0.001)
    else:
        raise AssertionError((round, seen))
""")


def test_a_hundred_children_that_end_at_once_are_all_seen() -> None:
    python(f"""{SETTING}
from greenloom import signal as cooperative, subprocess
from greenloom.os import fork, waitpid
cooperative.signal(signal.SIGCHLD, count)
waitpid(fork() or os._exit(0), 0)
subprocess.call(["true"])
calls.clear()
calls.append(0)
before = len(os.listdir("/proc/self/fd"))
read, write = os.pipe()
children = []
for number in range(100):
    pid = fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(number)
    children.append(pid)
os.close(write)
statuses = [spawn(waitpid, pid, 0) for pid in children]
working = spawn(works_meanwhile)
joinall(statuses, timeout=30, raise_error=True)
assert [one.value for one in statuses] == [(pid, number << 8) for number, pid in enumerate(children)]
working.get(timeout=40)
sleep(0.01)
assert calls == [100], calls
os.close(read)
programs = [spawn(subprocess.call, ["sh", "-c", f"exit {{number}}"]) for number in range(30)]
joinall(programs, timeout=30, raise_error=True)
assert [one.value for one in programs] == list(range(30))
sleep(0.01)
after = len(os.listdir("/proc/self/fd"))
assert after == before, (before, after)
""")


PROGRAMS = {
    "sleeping": "sleep(60)",
    "working": "while True: works_meanwhile()",
    "switching": "[spawn(lambda: [sleep(0) for _ in iter(int, 1)]) for _ in range(10)]; sleep(60)",
    "spawning": "while True: joinall([spawn(sleep, 0) for _ in range(100)])",
    "computing": "one = spawn(lambda: [None for _ in iter(int, 1)]); one.join()",
    "in a thread's call": "get_hub().threadpool.apply(time.sleep, (0.3,)); sleep(60)",
    "serving": "greenloom.server.StreamServer(('127.0.0.1', 0), lambda *_: None).serve_forever()",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_interrupt_ends_a_program_cleanly(program: str) -> None:
    code = f"{SETTING}\nimport greenloom.server\nprint('begun', flush=True)\n{PROGRAMS[program]}"
    chance = random.Random(program)
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
        for process in running:
            time.sleep(chance.uniform(0, 0.05))
            process.send_signal(signal.SIGINT)
        for process in running:
            _, errors = process.communicate(timeout=30)
            # CPython ends itself by the signal, so that shells see it.
            assert process.returncode == -signal.SIGINT, errors
            assert errors.rstrip().endswith("KeyboardInterrupt"), errors
            assert "Fatal" not in errors
    finally:
        for process in running:
            process.kill()
            process.communicate()


def test_interrupts_that_are_caught_leave_a_program_that_works() -> None:
    python(f"""{SETTING}
get_hub().exception_stream = None
begin = threading.Event()
def interrupt():
    begin.wait()
    for _ in range(100):
        time.sleep(0.001)
        os.kill(here, signal.SIGINT)
interrupting = threading.Thread(target=interrupt)
interrupting.start()
caught = 0
def work_until_interrupted():
    global caught
    try:
        begin.set()
        joinall([spawn(work, number) for number in range(3)])
    except KeyboardInterrupt:
        caught += 1
while interrupting.is_alive():
    # Twice, as the first may be interrupted while it counts.
    try:
        work_until_interrupted()
    except KeyboardInterrupt:
        pass
signal.signal(signal.SIGINT, signal.SIG_IGN)
assert caught >= 1, caught
works_meanwhile()
""")
