"""Patched threads: what existed before, who is current, and how the program ends."""

from __future__ import annotations

from pathlib import Path

from programs import python


def test_threads_are_greenlets_with_identities_of_their_own() -> None:
    assert (
        python("""
        from greenloom import monkey; monkey.patch_all()
        import threading, time, greenloom
        idents, natives = set(), set()
        def work():
            time.sleep(0.01)
            idents.add(threading.get_ident())
            natives.add(threading.get_native_id())
        threads = [threading.Thread(target=work) for _ in range(50)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(len(idents), len(natives), isinstance(threading.main_thread(), threading._MainThread))
        """)
        == "50 1 True\n"
    )


def test_the_main_greenlet_is_the_main_thread_and_others_are_dummies() -> None:
    assert (
        python("""
        import threading
        from greenloom import monkey; monkey.patch_all()
        import greenloom
        name = lambda: threading.current_thread().name
        print(name(), threading.current_thread() is threading.main_thread(), end=" ")
        print(threading.main_thread().ident == threading.get_ident(), end=" ")
        one, two = greenloom.spawn(name), greenloom.spawn(name)
        greenloom.joinall([one, two])
        print(one.value, two.value)
        """)
        == "MainThread True True Dummy-1 Dummy-2\n"
    )


def test_the_program_waits_for_its_threads_but_not_for_daemons_or_greenlets() -> None:
    assert (
        python("""
        from greenloom import monkey; monkey.patch_all()
        import threading, time, greenloom
        def late(word, seconds):
            time.sleep(seconds)
            print(word, flush=True)
        def starter():
            late("one", 0.01)
            threading.Thread(target=late, args=("two", 0.01)).start()
        threading.Thread(target=starter).start()
        threading.Thread(target=late, args=("daemon", 5), daemon=True).start()
        greenloom.spawn(late, "greenlet", 5)
        """)
        == "one\ntwo\n"
    )


def test_the_main_thread_can_be_joined() -> None:
    assert (
        python("""
        from greenloom import monkey; monkey.patch_all()
        import threading
        def late():
            threading.main_thread().join()
            print("after main", flush=True)
        threading.Thread(target=late).start()
        print("main ends", flush=True)
        """)
        == "main ends\nafter main\n"
    )


def test_a_thread_that_nothing_can_wake_does_not_hold_the_end() -> None:
    python("""
        from greenloom import monkey; monkey.patch_all()
        import threading
        lock = threading.Lock(); lock.acquire()
        threading.Thread(target=lock.acquire).start()
        """)


def test_exit_functions_come_before_the_threads_end() -> None:
    assert (
        python("""
        from greenloom import monkey; monkey.patch_all()
        import time
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(2)
        pool.submit(lambda: (time.sleep(0.01), print("done", flush=True)))
        """)
        == "done\n"
    )


def test_locks_that_are_held_can_be_released_by_the_main_greenlet() -> None:
    python("""
        import threading
        lock = threading._PyRLock()
        lock.acquire()
        from greenloom import monkey; monkey.patch_all()
        assert lock._is_owned()
        lock.acquire(); lock.release(); lock.release()
        """)


def test_a_module_that_is_being_imported_can_be_imported_by_a_greenlet(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "from greenloom import monkey; monkey.patch_all()\n"
        "import greenloom\n"
        "def again():\n    import slow\n    return slow.value\n"
        "other = greenloom.spawn(again)\n"
        "greenloom.sleep(0.01)\n"
        "assert not other.ready()\n"
        "value = 42\n"
    )
    assert (
        python(f"""
        import sys; sys.path.insert(0, {str(tmp_path)!r})
        import slow
        slow.other.join(timeout=5)
        print(slow.other.value)
        """)
        == "42\n"
    )


def test_the_locks_of_logging_are_replaced() -> None:
    python("""
        import logging
        handler, null = logging.StreamHandler(), logging.NullHandler()
        old = handler.lock, logging._lock
        from greenloom import monkey; monkey.patch_all()
        assert handler.lock is not old[0] and logging._lock is not old[1]
        assert type(handler.lock) is type(logging._lock)
        assert null.lock is None
        logging.getLogger().addHandler(handler)
        """)


def test_a_thread_that_ran_before_can_be_joined_by_a_greenlet() -> None:
    assert (
        python("""
        import threading
        end = threading.Lock()
        end.acquire()
        thread = threading.Thread(target=end.acquire)
        thread.start()
        from greenloom import monkey; monkey.patch_all()
        import greenloom
        ticks = []
        def tick():
            for _ in range(4):
                ticks.append(0)
                greenloom.sleep(0.005)
            end.release()
        ticking = greenloom.spawn(tick)
        thread.join(0)
        assert thread.is_alive()
        thread.join()
        assert not thread.is_alive() and len(ticks) == 4
        """)
        == ""
    )


def test_a_fork_leaves_one_thread() -> None:
    assert (
        python("""
        from greenloom import monkey; monkey.patch_all()
        import os, threading, time
        threading.Thread(target=time.sleep, args=(0.2,), daemon=True).start()
        def fork():
            pid = os.fork()
            if not pid:
                print(threading.active_count(), threading.current_thread() is threading.main_thread(), flush=True)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        fork()
        thread = threading.Thread(target=fork)
        thread.start(); thread.join()
        """)
        == "1 True\n1 True\n"
    )


def test_patching_in_another_thread_warns_and_the_program_ends() -> None:
    assert (
        python("""
        import threading, warnings
        from greenloom import monkey
        def patch():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                monkey.patch_thread()
            print(len(caught), all("main" in str(warning.message) for warning in caught))
        thread = threading.Thread(target=patch)
        thread.start(); thread.join()
        """)
        == "2 True\n"
    )
