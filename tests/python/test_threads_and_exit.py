"""Threads that end while greenlets wait, and the end of the interpreter. Most tests are processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from greenloom.greenlet import error, getcurrent, greenlet
from programs import python, run

SETTING = """
import atexit, ctypes, os, sys, threading, time
from greenloom.greenlet import GreenletExit, error, getcurrent, greenlet
main = getcurrent()
def wait():
    try:
        getcurrent().parent.switch()
    finally:
        print("ended", flush=True)
def suspended():
    new = greenlet(wait)
    new.switch()
    return new
def in_thread(function, **options):
    thread = threading.Thread(target=function, **options)
    thread.start()
    return thread
"""


def program(code: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-W", "ignore", "-c", SETTING + textwrap.dedent(code))


def wait() -> Any:
    return getcurrent().parent.switch()  # type: ignore[union-attr]


def left_by_a_thread() -> greenlet:
    kept: list[greenlet] = []

    def start() -> None:
        new = greenlet(wait)
        new.switch()
        kept.append(new)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    return kept[0]


# Threads.


def test_a_greenlet_left_by_its_thread_can_be_looked_at_and_is_dead() -> None:
    g = left_by_a_thread()
    frame = g.gr_frame
    assert frame is not None
    assert frame.f_code.co_name == "wait"
    assert frame.f_locals == {}
    assert not g
    assert g.dead
    assert "(thread exited) dead" in repr(g)
    assert g.gr_frame is None
    # Who holds it may go on looking.
    del g
    assert frame.f_code.co_name == "wait"
    assert frame.f_lineno > 0


def test_a_greenlet_left_by_its_thread_cannot_be_switched_to() -> None:
    g = left_by_a_thread()
    for attempt in g.switch, g.throw, greenlet(len, g).switch, left_by_a_thread().throw:
        with pytest.raises(
            error, match=r"cannot switch to a different thread \(which happens to have exited\)"
        ):
            attempt()


def test_a_greenlet_that_an_ended_thread_made_and_did_not_begin_may_begin_elsewhere() -> None:
    kept: list[greenlet] = []
    thread = threading.Thread(target=lambda: kept.append(greenlet(len)))
    thread.start()
    thread.join()
    with pytest.raises(error):
        kept[0].switch("abc")
    kept[0].parent = getcurrent()
    assert kept[0].switch("abc") == 3


def test_many_threads_switch_at_once() -> None:
    failures: list[str] = []

    def work() -> None:
        def count() -> None:
            for number in range(500):
                getcurrent().parent.switch(number)  # type: ignore[union-attr]

        several = [greenlet(count) for _ in range(10)]
        for number in range(500):
            if [g.switch() for g in several] != [number] * 10:
                failures.append(threading.current_thread().name)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_threads_that_were_not_started_by_python_may_use_greenlets_again_and_again() -> None:
    python("""
        import ctypes, gc, os
        from greenloom.greenlet import getcurrent, greenlet
        from greenloom.greenlet._greenlet import get_total_main_greenlets
        libc = ctypes.CDLL(None)
        Start = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
        libc.pthread_create.argtypes = [ctypes.POINTER(ctypes.c_ulong), ctypes.c_void_p, Start, ctypes.c_void_p]
        libc.pthread_join.argtypes = [ctypes.c_ulong, ctypes.c_void_p]
        done = 0
        def use(_):
            global done
            main = getcurrent()
            assert main.parent is None
            g = greenlet(lambda value: main.switch(value + 1))
            assert g.switch(1) == 2
            assert g.switch(3) == 3
            done += 1
        use_in_c = Start(use)
        def foreign_threads(times):
            for _ in range(times):
                thread = ctypes.c_ulong()
                assert libc.pthread_create(ctypes.byref(thread), None, use_in_c, None) == 0
                assert libc.pthread_join(thread, None) == 0
            gc.collect()
            return get_total_main_greenlets(), len(os.listdir("/proc/self/fd"))
        before = foreign_threads(10)
        assert foreign_threads(500) == before
        assert done == 510
    """)


# The end of the interpreter.


@pytest.mark.parametrize(
    "kept",
    [
        "g = suspended()",
        "g = suspended(); g.itself = g; del g",
        "kept = []; in_thread(lambda: kept.append(suspended())).join()",
        "in_thread(lambda: setattr(threading.current_thread(), 'g', suspended())).join()",
        "in_thread(lambda: (time.sleep(0.1), setattr(sys, 'late', suspended())))",
        "gen = (wait() for _ in '1'); g = greenlet(lambda: list(gen)); g.switch()",
    ],
)
def test_greenlets_that_wait_at_the_end_are_left_alone(kept: str) -> None:
    done = program(kept)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "inside",
    [
        "ready.set(); time.sleep(100)",
        "ready.set(); [time.sleep(0.0005) for _ in range(200_000)]",
        "ready.set(); held.acquire()",
        "ready.set()\n        while True: pass",
        "ready.set()\n        while True: greenlet(len).switch(())",
        "ready.set()\n        sorted([2, 1], key=lambda item: [time.sleep(0.0005) for _ in range(200_000)])",
        "ready.set()\n        while True: outside.switch()",
    ],
    ids=["sleeping", "often sleeping", "locked", "busy", "making", "called from C", "switching"],
)
def test_a_daemon_thread_that_is_in_a_greenlet_does_not_disturb_the_end(inside: str) -> None:
    done = program(f"""
held = threading.Lock()
held.acquire()
ready = threading.Event()
def daemon():
    outside = getcurrent()
    other = suspended()
    def inner():
        {inside}
    g = greenlet(inner)
    while True:
        g.switch()
for _ in range(4):
    ready.clear()
    in_thread(daemon, daemon=True)
    assert ready.wait(30)
time.sleep(0.01)
""")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("code", "status", "error_end"),
    [
        ("greenlet(lambda: sys.exit(7)).switch()", 7, ""),
        ("greenlet(lambda: greenlet(lambda: sys.exit(7)).switch()).switch()", 7, ""),
        ("greenlet(lambda: main.throw(SystemExit, 7)).switch()", 7, ""),
        ("greenlet(lambda: os._exit(7)).switch()", 7, ""),
        ("greenlet(lambda: 1 / 0).switch()", 1, "ZeroDivisionError: division by zero\n"),
        ("greenlet(lambda: os.kill(os.getpid(), 2)).switch()", -signal.SIGINT, "KeyboardInterrupt\n"),
    ],
)
def test_a_process_can_end_from_inside_a_greenlet(code: str, status: int, error_end: str) -> None:
    # Whoever runs the tests may have it ignored.
    done = program("import signal\nsignal.signal(2, signal.default_int_handler)\ng = suspended()\n" + code)
    assert done.returncode == status
    assert done.stderr.endswith(error_end)
    assert bool(done.stderr) == bool(error_end)


def test_functions_that_run_at_exit_may_use_greenlets() -> None:
    done = program("""
        g = suspended()
        def bye():
            print(greenlet(lambda: "made late").switch())
            g.switch()
            assert g.dead
            global kept
            kept = suspended()
        greenlet(lambda: atexit.register(bye)).switch()
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "made late\nended\n", "")


def test_destructors_during_the_end_get_errors_and_no_crash() -> None:
    done = program("""
        class Last:
            def __init__(self, **kept):
                self.__dict__.update(kept)
            def __del__(self):
                try:
                    self.getcurrent()
                except RuntimeError as error:
                    self.write(1, f"{error}\\n".encode())
                self.write(1, f"{self.g.throw()!r} {self.g.dead}\\n".encode())
        sys.last = Last(getcurrent=getcurrent, write=os.write, g=suspended())
    """)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "greenlet is being finalized"
    assert done.stdout.splitlines()[-1] == "GreenletExit() True"


def test_a_threads_dict_that_somebody_holds_may_outlive_the_thread() -> None:
    # As `gc.get_objects` does, for as long as its result lives: what ends the thread's greenlets is in that dict.
    python("""
        import gc, threading
        from greenloom.greenlet import getcurrent, greenlet
        from greenloom.greenlet._greenlet import set_thread_local
        def run():
            set_thread_local("tracked by the collector", [])
            g = greenlet(getcurrent().switch)
            g.switch()
            kept.append(g)
            held.append([one for one in gc.get_objects() if type(one) is dict and "greenloom.thread" in one])
        for _ in range(50):
            kept, held = [], []
            threads = [threading.Thread(target=run) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            threading.Thread(target=getcurrent).start()
            assert all(map(len, held))
            held.clear()
            assert all(g.dead for g in kept)
    """)
