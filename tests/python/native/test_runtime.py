"""A C library that waits lets other greenlets run, where that may be, and is as before everywhere else."""

from __future__ import annotations

import pytest

from slow_library import slow


def test_many_sleeps_in_c_take_as_long_as_one() -> None:
    text = slow(
        """
        tasks = [gevent.spawn(slow.slow_sleep, 0.5) for _ in range(1000)]
        print(took(gevent.joinall, tasks) < 20, [task.value for task in tasks] == [0] * 1000)
        """
    )
    assert text == "True True\n"


def test_others_run_while_main_waits_in_c() -> None:
    text = slow(
        """
        task = gevent.spawn(lambda: order.append("task"))
        order = []
        slow.slow_sleep(0.05)
        order.append("main")
        print(order)
        """
    )
    assert text == "['task', 'main']\n"


def test_a_call_that_holds_the_gil_goes_to_libc() -> None:
    text = slow(
        """
        order = []
        task = gevent.spawn(order.append, "task")
        held.slow_sleep(0.05)
        order.append("main")
        task.join()
        print(order)
        """
    )
    assert text == "['main', 'task']\n"


def test_a_library_that_was_not_named_blocks_as_before() -> None:
    text = slow(
        """
        order = []
        task = gevent.spawn(order.append, "task")
        slow.slow_sleep(0.05)
        order.append("main")
        task.join()
        print(order)
        """,
        patched=False,
    )
    assert text == "['main', 'task']\n"


def test_a_thread_without_a_hub_blocks_alone() -> None:
    text = slow(
        """
        began = time.monotonic()
        threads = [threading.Thread(target=slow.slow_sleep, args=(0.3,)) for _ in range(20)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(time.monotonic() - began < 3)
        """
    )
    assert text == "True\n"


def test_each_thread_has_its_own_hub() -> None:
    text = slow(
        """
        def work():
            gevent.joinall([gevent.spawn(slow.slow_sleep, 0.5) for _ in range(20)])
        began = time.monotonic()
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(time.monotonic() - began < 5)
        """
    )
    assert text == "True\n"


@pytest.mark.parametrize("call", ["slow_read", "slow_receive"])
def test_several_greenlets_wait_for_one_descriptor(call: str) -> None:
    text = slow(
        f"""
        mine, theirs = socket.socketpair()
        readers = [gevent.spawn(slow.{call}, mine.fileno()) for _ in range(5)]
        gevent.sleep(0.05)
        for byte in b"abcde":
            theirs.send(bytes([byte]))
            gevent.sleep(0)
        gevent.joinall(readers, timeout=10)
        print(bytes(sorted(reader.value for reader in readers)))
        """
    )
    assert text == "b'abcde'\n"


def test_reading_and_writing_one_descriptor_at_once() -> None:
    text = slow(
        """
        mine, theirs = socket.socketpair()
        size = 4 << 20
        reader = gevent.spawn(slow.slow_receive, mine.fileno())
        writer = gevent.spawn(slow.slow_send, mine.fileno(), size)
        gevent.sleep(0.05)
        theirs.setblocking(False)
        left = size
        while left:
            try:
                left -= len(theirs.recv(1 << 20))
            except BlockingIOError:
                gevent.sleep(0.001)
        theirs.send(b"x")
        gevent.joinall([reader, writer], timeout=10)
        print(reader.value, writer.value == size)
        """
    )
    assert text == "120 True\n"


def test_a_regular_file_is_read_as_before() -> None:
    text = slow(
        """
        with open(path, "rb") as file:
            print(gevent.spawn(slow.slow_read, file.fileno()).get(timeout=10))
        """
    )
    assert text == f"{0x7F}\n"


def test_poll_comes_back_with_its_time_out() -> None:
    text = slow(
        """
        mine, theirs = socket.socketpair()
        polls = [gevent.spawn(slow.slow_poll, mine.fileno(), 300) for _ in range(20)]
        print(took(gevent.joinall, polls) < 3, {poll.value for poll in polls})
        polls = [gevent.spawn(slow.slow_poll, mine.fileno(), 60_000) for _ in range(3)]
        gevent.sleep(0.01)
        theirs.send(b"x")
        gevent.joinall(polls, timeout=10)
        print({poll.value for poll in polls})
        """
    )
    assert text == "True {0}\n{1}\n"


@pytest.mark.parametrize(
    "come",
    [
        "theirs.send(b'x')",
        "theirs.shutdown(socket.SHUT_WR)",
        "theirs.send(b'x'); theirs.close()",
        "theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); theirs.close()",
        "mine.shutdown(socket.SHUT_RDWR)",
    ],
)
def test_poll_says_after_a_wait_what_it_says_without(come: str) -> None:
    text = slow(
        f"""
        import select, struct
        def says(wanted):
            with socket.create_server(("127.0.0.1", 0)) as door:
                mine = socket.create_connection(door.getsockname())
                theirs, _ = door.accept()
            with mine, theirs:
                waits = [gevent.spawn(slow.slow_poll_events, mine.fileno(), wanted) for _ in range(2)]
                gevent.sleep(0.01)
                assert not any(wait.ready() for wait in waits)
                {come}
                gevent.joinall(waits, timeout=10)
                at_once = select.poll()
                at_once.register(mine, wanted)
                return {{wait.value for wait in waits}} == {{event for _, event in at_once.poll(0)}}
        plain, more = select.POLLIN, select.POLLIN | select.POLLRDNORM | select.POLLRDHUP
        print([says(wanted) for wanted in (plain, plain | select.POLLERR, more)])
        """
    )
    assert text == "[True, True, True]\n"


def test_poll_says_that_there_is_room() -> None:
    text = slow(
        """
        import select
        mine, theirs = socket.socketpair()
        mine.setblocking(False), theirs.setblocking(False)
        def until_it_would_block(call, *args):
            try:
                while True: call(*args)
            except BlockingIOError:
                pass
        until_it_would_block(mine.send, bytes(65536))
        waits = [gevent.spawn(slow.slow_poll_events, mine.fileno(), select.POLLOUT) for _ in range(2)]
        gevent.sleep(0.01)
        print([wait.ready() for wait in waits])
        until_it_would_block(theirs.recv, 65536)
        gevent.joinall(waits, timeout=10)
        print({wait.value for wait in waits} == {select.POLLOUT})
        """
    )
    assert text == "[False, False]\nTrue\n"


@pytest.mark.parametrize("where", ["here", "in another thread", "by greenloom's socket"])
def test_a_close_ends_the_waits(where: str) -> None:
    close = {
        "here": "slow.slow_close(mine.detach())",
        "in another thread": (
            "fd = mine.detach(); thread = threading.Thread(target=slow.slow_close, args=(fd,)); "
            "thread.start(); thread.join()"
        ),
        "by greenloom's socket": "mine.close()",
    }[where]
    text = slow(
        f"""
        import gevent.socket
        mine, theirs = gevent.socket.socketpair()
        os.set_blocking(mine.fileno(), True)
        readers = [gevent.spawn(slow.slow_read, mine.fileno()) for _ in range(3)]
        gevent.sleep(0.05)
        {close}
        gevent.joinall(readers, timeout=10)
        print([reader.value for reader in readers])
        """
    )
    assert text == "[-9, -9, -9]\n"


def test_many_that_are_closed_at_once_end_all_waits() -> None:
    text = slow(
        """
        pairs = [socket.socketpair() for _ in range(200)]
        readers = [gevent.spawn(slow.slow_read, mine.fileno()) for mine, _ in pairs]
        gevent.sleep(0.05)
        fds = (ctypes.c_int * 200)(*(mine.detach() for mine, _ in pairs))
        print(slow.slow_close_all(fds, 200))
        gevent.joinall(readers, timeout=10)
        print({reader.value for reader in readers})
        """
    )
    assert text == "200\n{-9}\n"


def test_a_child_of_vfork_leaves_the_greenlets_alone() -> None:
    text = slow(
        """
        mine, theirs = socket.socketpair()
        reader = gevent.spawn(slow.slow_read, mine.fileno())
        processes = set()
        def count():
            while not reader.ready():
                processes.add(os.getpid())
                gevent.sleep(0.001)
        counter = gevent.spawn(count)
        gevent.sleep(0.01)
        print(slow.slow_vfork(mine.fileno(), ctypes.c_double(0.05)))
        gevent.sleep(0.01)
        print(reader.ready())
        theirs.send(b"z")
        print(reader.get(timeout=10))
        counter.join()
        print(processes == {os.getpid()})
        """
    )
    assert text == "0\nFalse\n122\nTrue\n"


def test_a_number_that_is_another_file_by_now_is_watched_anew() -> None:
    text = slow(
        """
        def once():
            mine, theirs = socket.socketpair()
            reader = gevent.spawn(slow.slow_read, mine.fileno())
            gevent.sleep(0.001)
            theirs.send(b"y")
            numbers.add(mine.fileno())
            value = reader.get(timeout=10)
            os.close(mine.detach())     # which nobody is told of
            theirs.close()
            return value
        numbers = set()
        print({once() for _ in range(50)}, len(numbers) < 5)
        """
    )
    assert text == "{121} True\n"


def test_errno_is_what_c_has_left_there() -> None:
    assert slow("print(gevent.spawn(slow.slow_errno, 0.01).get())") == "25\n"


def test_an_exception_that_is_set_stays_with_its_greenlet() -> None:
    text = slow(
        """
        class Closes:
            # Its end waits in C, while an exception is on its way.
            def __del__(self):
                slow.slow_sleep(0.05)
        def fail():
            kept = Closes()
            raise KeyError("mine")
        def catch():
            try:
                fail()
            except KeyError as error:
                return repr(error)
        def other():
            for _ in range(10):
                gevent.sleep(0.01)
            return "well"
        tasks = [gevent.spawn(other), gevent.spawn(catch), gevent.spawn(other)]
        gevent.joinall(tasks, timeout=10)
        print([task.value for task in tasks])
        """
    )
    assert text == "['well', \"KeyError('mine')\", 'well']\n"


def test_a_kill_ends_a_wait_in_c() -> None:
    text = slow(
        """
        def wait():
            try:
                slow.slow_forever()
                return "went on"
            except gevent.GreenletExit:
                return "killed"
        task, other = gevent.spawn(wait), gevent.spawn(slow.slow_sleep, 0.3)
        gevent.sleep(0.05)
        task.kill(timeout=10)
        print(task.value, other.get(timeout=10))
        """
    )
    assert text == "killed 0\n"


def test_a_timeout_ends_a_wait_in_c() -> None:
    text = slow(
        """
        mine, theirs = socket.socketpair()
        def limited(call, *args):
            try:
                with gevent.Timeout(0.1):
                    call(*args)
                    return "went on"
            except gevent.Timeout:
                return "late"
        other, _end = socket.socketpair()
        calls = [(slow.slow_forever,), (slow.slow_read, mine.fileno()), (slow.slow_poll, other.fileno(), -1)]
        tasks = [gevent.spawn(limited, *call) for call in calls]
        gevent.joinall(tasks, timeout=10)
        print([task.value for task in tasks])
        theirs.send(b"z")
        print(slow.slow_read(mine.fileno()))
        """
    )
    assert text == "['late', 'late', 'late']\n122\n"


def test_a_lock_that_is_held_across_a_wait_is_no_deadlock() -> None:
    text = slow(
        """
        tasks = [gevent.spawn(slow.slow_locked, 0.05) for _ in range(10)]
        gevent.joinall(tasks, timeout=20)
        print({task.value for task in tasks})
        """
    )
    assert text == "{1}\n"


def test_a_lock_that_is_held_across_a_wait_is_no_deadlock_even_with_the_gil() -> None:
    text = slow(
        """
        task = gevent.spawn(slow.slow_locked, 0.2)
        gevent.sleep(0.05)
        print(held.slow_locked(0.01), task.get(timeout=10))
        """
    )
    assert text == "1 1\n"


def test_another_thread_wakes_a_greenlet_and_the_loop_waits_for_it() -> None:
    text = slow(
        """
        ticks = []
        def tick():
            while True:
                gevent.sleep(0.01)
                ticks.append(1)
        ticker = gevent.spawn(tick)
        print(slow.slow_ring(0.3), len(ticks) > 5)
        ticker.kill()
        print(slow.slow_ring(0.2))      # with nothing else to wait for
        """
    )
    assert text == "1 True\n1\n"


def test_a_name_is_looked_up_and_a_child_waited_for_while_others_run() -> None:
    text = slow(
        """
        pid = os.fork()
        if pid == 0:
            time.sleep(0.3)
            os._exit(7)
        ticks = []
        def tick():
            while True:
                gevent.sleep(0.01)
                ticks.append(1)
        gevent.spawn(tick)
        waiter = gevent.spawn(slow.slow_wait, pid)
        name = gevent.spawn(slow.slow_look_up, b"127.0.0.1")
        print(waiter.get(timeout=10), name.get(timeout=10), len(ticks) > 5)
        """
    )
    assert text == "7 0 True\n"


def test_ctrl_c_reaches_main_in_a_wait_in_c() -> None:
    text = slow(
        """
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            slow.slow_forever()
            print("went on")
        except KeyboardInterrupt:
            print("interrupted")
        print(slow.slow_sleep(0.01))
        """,
        # The hub says so, as it does for Ctrl-C while it sleeps.
        stderr="KeyboardInterrupt",
    )
    assert text == "interrupted\n0\n"


def test_a_forked_child_goes_on() -> None:
    text = slow(
        """
        mine, theirs = socket.socketpair()
        reader = gevent.spawn(slow.slow_read, mine.fileno())
        sleeper = gevent.spawn(slow.slow_sleep, 0.5)
        gevent.sleep(0.05)
        pid = gevent.fork() if hasattr(gevent, "fork") else os.fork()
        if pid == 0:
            status = 1
            try:
                tasks = [gevent.spawn(slow.slow_sleep, 0.1) for _ in range(20)]
                gevent.joinall(tasks, timeout=10, raise_error=True)
                status = 0 if sleeper.get(timeout=10) == 0 and all(task.value == 0 for task in tasks) else 2
            finally:
                os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        theirs.send(b"x")
        print(reader.get(timeout=10), sleeper.get(timeout=10))
        """
    )
    assert text == "0\n120 0\n"


def test_daemon_threads_that_wait_in_c_do_not_hold_up_the_end() -> None:
    text = slow(
        """
        def work():
            gevent.joinall([gevent.spawn(slow.slow_forever) for _ in range(5)])
        for _ in range(4): threading.Thread(target=work, daemon=True).start()
        gevent.spawn(slow.slow_forever)
        gevent.sleep(0.1)
        print("end")
        """
    )
    assert text == "end\n"


def test_a_destroyed_hub_ends_the_waits() -> None:
    text = slow(
        """
        def work():
            gevent.spawn(slow.slow_forever)
            gevent.sleep(0.05)
            gevent.get_hub().destroy(destroy_loop=True)
            done.append(slow.slow_sleep(0.01))
        done = []
        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(10)
        print(done)
        """
    )
    assert text == "[0, 0, 0, 0, 0]\n"


def test_who_switches_into_a_wait_in_c_is_found_out() -> None:
    text = slow(
        """
        from gevent.exceptions import InvalidSwitchError
        def wait():
            try:
                slow.slow_forever()
            except InvalidSwitchError as error:
                return "found out"
        task = gevent.spawn(wait)
        gevent.sleep(0.05)
        gevent.get_hub().loop.run_callback(task.switch, "nothing")
        print(task.get(timeout=10))
        """
    )
    assert text == "found out\n"


def test_the_collector_sees_a_greenlet_that_waits_in_c() -> None:
    text = slow(
        """
        import gc, weakref
        mine, theirs = socket.socketpair()
        task = gevent.spawn(slow.slow_read, mine.fileno())
        gevent.sleep(0.01)
        alive = weakref.ref(task)
        task.itself = task
        del task
        gc.collect()
        print(alive() is not None)
        theirs.send(b"x")
        gevent.sleep(0.05)
        gc.collect()
        print(alive() is None)
        """
    )
    assert text == "True\nTrue\n"


def test_a_subinterpreter_blocks_the_thread() -> None:
    text = slow(
        """
        try:
            import _interpreters as interpreters
            number = interpreters.create("legacy")
        except ImportError:
            import _xxsubinterpreters as interpreters
            number = interpreters.create(isolated=False)
        order = []
        task = gevent.spawn(order.append, "task")
        code = f"import ctypes; library = ctypes.CDLL({path!r}); library.slow_receive(-1); library.slow_poll(-1, 50)"
        failed = interpreters.run_string(number, code)
        order.append("main")
        task.join()
        interpreters.destroy(number)
        print(failed, order)
        """
    )
    assert text == "None ['main', 'task']\n"
