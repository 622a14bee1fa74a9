"""Patched programs: the order of patching, threads that are greenlets, forks, and settings from the environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from programs import python, run

#: What gevent reads; ``GEVENTARES_*`` are accepted, though there is no c-ares here.
VARIABLES = [
    *("GEVENT_BACKEND", "GEVENT_FILE", "GEVENT_FORMAT_CONTEXT", "GEVENT_LOOP", "GEVENT_MAX_BLOCKING_TIME"),
    *("GEVENT_MONITOR_MEMORY_MAX", "GEVENT_MONITOR_MEMORY_PERIOD", "GEVENT_MONITOR_PRINT_BLOCKING_REPORTS"),
    *("GEVENT_MONITOR_THREAD_ENABLE", "GEVENT_NOWAITPID", "GEVENT_RESOLVER", "GEVENT_RESOLVER_NAMESERVERS"),
    *("GEVENT_RESOLVER_TIMEOUT", "GEVENT_THREADPOOL", "GEVENT_THREADPOOL_IDLE_TASK_TIMEOUT"),
    *("GEVENT_TRACK_GREENLET_TREE", "GEVENTARES_FLAGS", "GEVENTARES_NDOTS", "GEVENTARES_SERVERS"),
    *("GEVENTARES_TCP_PORT", "GEVENTARES_TIMEOUT", "GEVENTARES_TRIES", "GEVENTARES_UDP_PORT"),
]


# The order.


def test_the_modules_are_patched_in_their_order() -> None:
    # There is nothing to replace in sys, builtins and contextvars: they are accepted, and nobody is told of them.
    assert (
        python("""
        from greenloom import events, monkey
        seen = []
        events.subscribers.append(seen.append)
        assert monkey.patch_all(sys=True, builtins=True, contextvars=True) is True
        will = [event.module_name for event in seen if isinstance(event, events.GeventWillPatchModuleEvent)]
        print(*will)
        kinds = [type(event).__name__ for event in seen]
        print(kinds[0], *kinds[-2:])
        """)
        == "os _thread threading time socket select selectors ssl subprocess signal queue\n"
        "GeventWillPatchAllEvent GeventDidPatchBuiltinModulesEvent GeventDidPatchAllEvent\n"
    )


def test_the_names_are_looked_up_cooperatively_with_the_sockets_or_not_at_all() -> None:
    assert (
        python("""
        import socket
        original = socket.getaddrinfo
        from greenloom import monkey
        monkey.patch_all(dns=False)
        print(monkey.is_module_patched("socket"), socket.getaddrinfo is original)
        """)
        == "True True\n"
    )


# Threads.


def test_a_thread_runs_in_a_greenlet_and_says_who_it_is() -> None:
    assert (
        python("""
        from greenloom import monkey; monkey.patch_all()
        import greenloom, os, threading
        native = monkey.get_original("threading", "get_native_id")
        def work():
            me = greenloom.getcurrent()
            assert isinstance(me, greenloom.Greenlet)
            assert threading.get_ident() == id(me) == threading.current_thread().ident
            assert threading.get_native_id() == native() == os.getpid()
            print(threading.current_thread().name)
        thread = threading.Thread(target=work, name="a name")
        thread.start(); thread.join()
        assert threading.get_ident() == id(greenloom.getcurrent()) == threading.main_thread().ident
        idents = [greenloom.spawn(threading.get_ident) for _ in range(3)]
        greenloom.joinall(idents)
        assert [one.value for one in idents] == [id(one) for one in idents]
        """)
        == "a name\n"
    )


@pytest.mark.parametrize("when", ["before", "after"])
def test_thread_locals_are_greenlet_locals(when: str) -> None:
    before, after = ("import threading", "") if when == "before" else ("", "import threading")
    assert (
        python(f"""
        {before}
        from greenloom import monkey; monkey.patch_all()
        {after}
        import greenloom, time
        data = threading.local()
        data.value = "main"
        def work(value):
            found = hasattr(data, "value")
            data.value = value
            time.sleep(0.001)
            return found, data.value
        one, two = greenloom.spawn(work, 1), greenloom.spawn(work, 2)
        print(one.get(), two.get(), data.value)
        """)
        == "(False, 1) (False, 2) main\n"
    )


def test_locks_of_logging_and_of_imports_that_were_there_are_shared_by_greenlets(tmp_path: Path) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.02)\nvalue = 42\n")
    assert (
        python(f"""
        import logging, sys, time
        sys.path.insert(0, {str(tmp_path)!r})
        class Slow(logging.Handler):
            inside = 0
            def emit(self, record):
                self.inside += 1
                assert self.inside == 1
                time.sleep(0.005)
                self.inside -= 1
        logger = logging.getLogger("made before")
        logger.propagate = False
        logger.addHandler(Slow())
        from greenloom import monkey; monkey.patch_all()
        import greenloom
        greenloom.joinall([greenloom.spawn(logger.error, "text") for _ in range(5)], raise_error=True)
        def load():
            import slow_to_import
            return slow_to_import.value
        ones = [greenloom.spawn(load) for _ in range(3)]
        greenloom.joinall(ones, raise_error=True)
        print([one.value for one in ones])
        """)
        == "[42, 42, 42]\n"
    )


# The command line.


@pytest.mark.parametrize("as_module", [False, True])
def test_a_program_run_patched_has_its_own_arguments_and_status(as_module: bool, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("value = 42\n")
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, time\n"
        "from greenloom import monkey\n"
        "import beside\n"
        "print(__name__, __file__, sys.argv, beside.value, monkey.is_object_patched('time', 'sleep'))\n"
        "sys.exit(7)\n"
    )
    what = ["--module", "program"] if as_module else [str(program)]
    done = run(sys.executable, "-m", "greenloom.monkey", *what, "--verbose", "-x", cwd=tmp_path)
    # As it was named: `python -m` would have given the path.
    argv = [what[-1], "--verbose", "-x"]
    assert done.stdout == f"__main__ {program} {argv} 42 True\n", done.stderr
    assert done.returncode == 7


# Processes.


def test_multiprocessing_forks_and_its_children_work() -> None:
    assert (
        python("""
        from greenloom import monkey; monkey.patch_all()
        import multiprocessing, os, time
        assert multiprocessing.get_start_method() == "fork"
        captured = [2]
        def work(results):
            time.sleep(0.001)
            results.put((os.getppid(), captured[0] * 21))
        results = multiprocessing.SimpleQueue()
        # A function that could not be pickled: only a fork has it.
        process = multiprocessing.Process(target=lambda: work(results))
        process.start()
        print(results.get() == (os.getpid(), 42))
        process.join()
        print(process.exitcode)
        """)
        == "True\n0\n"
    )


@pytest.mark.parametrize("place", ["fork()", "greenloom.spawn(fork).get()"])
def test_a_forked_child_goes_on_with_its_hub_and_without_the_parents_greenlets(place: str) -> None:
    assert (
        python(f"""
        from greenloom import monkey; monkey.patch_all()
        import greenloom, os, threading, time
        hub = greenloom.get_hub()
        def fork():
            pid = os.fork()
            if not pid:
                done = []
                threads = [threading.Thread(target=lambda n=n: (time.sleep(0.001), done.append(n))) for n in range(3)]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
                assert greenloom.get_hub() is hub
                assert greenloom.get_hub().threadpool.apply(os.getpid) == os.getpid()
                print(done, flush=True)
                os._exit(3)
            ticks = []
            ticking = greenloom.spawn(lambda: [(time.sleep(0.001), ticks.append(n)) for n in range(5)])
            assert os.waitpid(pid, 0) == (pid, 3 << 8)
            ticking.join()
            return len(ticks)
        print({place})
        """)
        == "[0, 1, 2]\n5\n"
    )


def test_the_programs_sigchld_handler_hears_of_children_that_the_hub_reaps() -> None:
    assert (
        python("""
        from greenloom import monkey; monkey.patch_all()
        import signal, subprocess, time
        seen = []
        signal.signal(signal.SIGCHLD, lambda number, frame: seen.append(number))
        assert subprocess.run(["sh", "-c", "exit 3"]).returncode == 3
        until = time.monotonic() + 10
        while not seen and time.monotonic() < until:
            time.sleep(0.001)
        print(seen == [signal.SIGCHLD])
        """)
        == "True\n"
    )


# The environment.


def test_every_variable_of_gevent_is_read() -> None:
    from greenloom._config import ALL_SETTINGS

    keys = [setting.environment_key for setting in ALL_SETTINGS]
    assert sorted(key for key in keys if key.startswith("GEVENT")) == sorted(VARIABLES)


def test_the_environment_of_a_process_decides_what_its_hub_uses() -> None:
    shown = python(
        """
        import greenloom
        from greenloom import fileobject
        hub = greenloom.get_hub()
        print(type(hub.resolver).__module__, fileobject.FileObject.__name__)
        print(greenloom.spawn(int).spawning_greenlet, greenloom.config.max_blocking_time)
        """,
        env={
            "GEVENT_RESOLVER": "block",
            "GEVENT_FILE": "block",
            "GEVENT_TRACK_GREENLET_TREE": "0",
            "GEVENT_MAX_BLOCKING_TIME": "3",
        },
    )
    assert shown == "greenloom.resolver.blocking FileObjectBlock\nNone 3.0\n"


@pytest.mark.parametrize(
    ("variable", "error"),
    [
        ("GEVENT_RESOLVER", "ImportError"),
        ("GEVENT_LOOP", "ImportError"),
        ("GEVENT_THREADPOOL", "ImportError"),
        ("GEVENT_MONITOR_THREAD_ENABLE", "ValueError"),
        ("GEVENT_NOWAITPID", "ValueError"),
    ],
)
def test_nonsense_in_the_environment_is_an_error_where_it_is_needed(variable: str, error: str) -> None:
    assert (
        python(
            """
            try:
                import greenloom
                hub = greenloom.get_hub()
                hub.resolver, hub.threadpool
                greenloom.config.monitor_thread, greenloom.config.disable_watch_children
            except (ImportError, ValueError) as error:
                print(type(error).__name__, "nonsense" in str(error))
            """,
            env={variable: "nonsense"},
        )
        == f"{error} True\n"
    )
