"""The interpreter ends while work is pending: soon, with the right status, and it says what it should and no more."""

from __future__ import annotations

import sys
import textwrap
import time

import pytest

from programs import run

SETTING = """
import atexit, os, signal, sys, threading, time
import greenloom
from greenloom import get_hub, joinall, sleep, socket, spawn, spawn_later, subprocess
from greenloom.event import Event
from greenloom.queue import Queue
"""

PATCHED = "from greenloom import monkey; monkey.patch_all()"

MODES = {"": (), "dev": ("-X", "dev")}


def program(code: str, *options: str) -> tuple[int, str, str]:
    """Return the exit status of a program, what it printed, and what it wrote to stderr."""
    begun = time.monotonic()
    done = run(sys.executable, *options, "-c", SETTING + textwrap.dedent(code), seconds=30)
    assert time.monotonic() - begun < 20, "it did not end by itself"
    return done.returncode, done.stdout, done.stderr


PENDING = {
    "greenlets that sleep": "ones = [spawn(sleep, 600) for _ in range(100)]; sleep(0)",
    "greenlets that nobody holds": "[spawn(sleep, 600) for _ in range(100)] and None; sleep(0)",
    "greenlets that have not begun": "ones = [spawn(sleep, 600) for _ in range(100)]",
    "a timer": "later = spawn_later(600, print, 'never')",
    "a timeout": "limit = greenloom.Timeout.start_new(600)",
    "a read": "a, b = socket.socketpair(); one = spawn(b.recv, 10); sleep(0.001)",
    "a server": """
        from greenloom.server import StreamServer
        server = StreamServer(("127.0.0.1", 0), lambda client, _: sleep(600))
        server.start()
        client = socket.create_connection(server.address)
        sleep(0.01)
        """,
    "greenlets that wait for each other": """
        queue, event = Queue(), Event()
        one = spawn(queue.get)
        two = spawn(one.join)
        three = spawn(event.wait)
        sleep(0)
        """,
    "a callback": "get_hub().loop.run_callback(print, 'never')",
    "watchers": """
        read, write = os.pipe()
        io = get_hub().loop.io(read, 1)
        io.start(print)
        timer = get_hub().loop.timer(600)
        timer.start(print)
        on_signal = greenloom.signal_handler(signal.SIGUSR1, print)
        sleep(0)
        """,
    "a thread's call": """
        one = get_hub().threadpool.spawn(time.sleep, 0.2)
        sleep(0.01)
        """,
    "idle threads": "assert get_hub().threadpool.map(abs, range(20)) == list(range(20))",
    "a thread with a hub": """
        begun = threading.Event()
        def wait():
            spawn(sleep, 600)
            spawn(begun.set)
            sleep(600)
        threading.Thread(target=wait, daemon=True).start()
        begun.wait(10)
        """,
    "a thread that waits for a greenlet": """
        queue = Queue()
        threading.Thread(target=queue.get, daemon=True).start()
        sleep(0.01)
        """,
    "a cycle": """
        class Node: pass
        node = Node()
        def wait(node):
            try:
                sleep(600)
            finally:
                node.ended = True
        node.self, node.greenlet = node, spawn(wait, node)
        sleep(0)
        del node
        """,
    "what ends by a finally": """
        def wait():
            try:
                sleep(600)
            finally:
                sleep(0)
        one = spawn(wait)
        sleep(0)
        """,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pending", PENDING)
def test_what_is_pending_does_not_keep_a_program_from_ending(pending: str, mode: str) -> None:
    code = textwrap.dedent(PENDING[pending]) + "\nprint('end of main')"
    options = (*MODES[mode], *(("-W", "ignore::ResourceWarning") if mode else ()))
    assert program(code, *options) == (0, "end of main\n", "")


@pytest.mark.parametrize("mode", MODES)
def test_a_running_child_process_lives_on(mode: str) -> None:
    code = """
        child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        one = spawn(child.wait)
        sleep(0.001)
        print(child.pid)
        """
    status, printed, errors = program(code, *MODES[mode], "-W", "ignore::ResourceWarning")
    assert (status, errors) == (0, "")
    assert run("kill", printed.strip()).returncode == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("daemon", [True, False])
def test_patched_threads_are_waited_for_unless_they_are_daemons(daemon: bool, mode: str) -> None:
    code = f"""
        {PATCHED}
        def work(seconds):
            time.sleep(seconds)
            print("thread ends", flush=True)
        threading.Thread(target=work, args=({600 if daemon else 0.05},), daemon={daemon}).start()
        time.sleep(0.01)
        print("end of main", flush=True)
        """
    expected = "end of main\n" if daemon else "end of main\nthread ends\n"
    assert program(code, *MODES[mode]) == (0, expected, "")


@pytest.mark.parametrize("patched", ["", PATCHED], ids=["", "patched"])
@pytest.mark.parametrize("mode", MODES)
def test_functions_at_exit_may_use_everything(patched: str, mode: str) -> None:
    code = f"""
        {patched}
        waiting = spawn(sleep, 600)
        def at_exit():
            sleep(0.001)
            assert spawn(lambda: 6 * 7).get(timeout=10) == 42
            a, b = socket.socketpair()
            one = spawn(b.recv, 10)
            sleep(0.001)
            a.sendall(b"x")
            assert one.get(timeout=10) == b"x"
            a.close()
            b.close()
            waiting.kill()
            print("at exit", waiting.dead)
        atexit.register(at_exit)
        print("end of main")
        """
    assert program(code, *MODES[mode]) == (0, "end of main\nat exit True\n", "")


ENDINGS = {
    "sys.exit in main": ("sys.exit(3)", 3, ""),
    "sys.exit with a text": ("sys.exit('text')", 1, "text\n"),
    "sys.exit in a greenlet": ("spawn(sys.exit, 3); sleep(600)", 3, ""),
    "sys.exit in a greenlet that is joined": ("spawn(sys.exit, 3).join()", 3, ""),
    "sys.exit in a greenlet of a greenlet": ("spawn(lambda: spawn(sys.exit, 3).join()); sleep(600)", 3, ""),
    "sys.exit in a callback": ("get_hub().loop.run_callback(sys.exit, 3); sleep(600)", 3, ""),
    "sys.exit in a raw greenlet": ("greenloom.spawn_raw(sys.exit, 3); sleep(600)", 3, ""),
    "os._exit in main": ("os._exit(3)", 3, ""),
    "os._exit in a greenlet": ("spawn(os._exit, 3).join()", 3, ""),
    "os._exit in a thread": ("get_hub().threadpool.spawn(os._exit, 3).get()", 3, ""),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_status_is_what_the_program_says(ending: str, mode: str) -> None:
    code, status, errors = ENDINGS[ending]
    before = "ones = [spawn(sleep, 600) for _ in range(10)]; sleep(0.001)\n"
    assert program(before + code, *MODES[mode]) == (status, "", errors)


@pytest.mark.parametrize("mode", MODES)
def test_an_error_in_main_is_printed_and_is_status_1(mode: str) -> None:
    code = """
        ones = [spawn(sleep, 600) for _ in range(10)]
        sleep(0)
        raise ValueError("no luck")
        """
    status, printed, errors = program(code, *MODES[mode])
    assert (status, printed) == (1, "")
    assert errors.startswith("Traceback (most recent call last):\n")
    assert errors.endswith("\nValueError: no luck\n")
    assert errors.count("Traceback") == 1


@pytest.mark.parametrize("mode", MODES)
def test_an_error_in_a_greenlet_is_printed_and_is_not_the_end(mode: str) -> None:
    code = """
        def fail():
            raise ValueError("no luck")
        spawn(fail).join()
        print("end of main")
        """
    status, printed, errors = program(code, *MODES[mode])
    assert (status, printed) == (0, "end of main\n")
    assert errors.count("Traceback") == errors.count("ValueError: no luck") == 1
    assert "failed with ValueError" in errors


@pytest.mark.parametrize("mode", MODES)
def test_an_error_in_a_thread_with_a_hub_is_printed_and_is_not_the_end(mode: str) -> None:
    code = """
        def work():
            spawn(sleep, 600)
            sleep(0.001)
            raise ValueError("no luck")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert spawn(lambda: 5).get() == 5
        print("end of main")
        """
    status, printed, errors = program(code, *MODES[mode])
    assert (status, printed) == (0, "end of main\n")
    assert errors.startswith("Exception in thread")
    assert errors.count("Traceback") == errors.count("ValueError: no luck") == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_deadlock_is_status_1_and_names_who_waits(mode: str) -> None:
    status, printed, errors = program("one = spawn(Event().wait)\none.join()", *MODES[mode])
    assert (status, printed) == (1, "")
    assert "LoopExit: This operation would block forever" in errors
    assert "<Greenlet" in errors
    assert errors.count("Traceback") == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_signal_that_ends_programs_ends_this_one(mode: str) -> None:
    code = """
        ones = [spawn(sleep, 600) for _ in range(10)]
        sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)
        sleep(600)
        """
    assert program(code, *MODES[mode]) == (-15, "", "")


@pytest.mark.parametrize("mode", MODES)
def test_a_hub_that_is_destroyed_at_the_end_is_no_harm(mode: str) -> None:
    code = """
        ones = [spawn(sleep, 600) for _ in range(10)]
        get_hub().threadpool.apply(abs, (-1,))
        sleep(0)
        hub = get_hub()
        hub.destroy(destroy_loop=True)
        print("end of main")
        """
    assert program(code, *MODES[mode]) == (0, "end of main\n", "")


def test_all_of_it_at_once() -> None:
    options = ("-X", "dev", "-W", "ignore::ResourceWarning")
    pending = "\n".join(textwrap.dedent(code) for code in PENDING.values())
    assert program(pending + "\nsys.exit(5)", *options) == (5, "never\n" * printed_by(pending), "")


def printed_by(pending: str) -> int:
    """How many callbacks get their turn, because something that is begun after them waits."""
    return pending.count("run_callback(print, 'never')")
