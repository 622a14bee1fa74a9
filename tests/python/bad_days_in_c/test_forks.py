"""Forks by Python and by C while greenlets wait in C: the child has a hub that works, the parent is not disturbed."""

from __future__ import annotations

import pytest

from bad_days_in_c.program import program

QUIET = ("-W", "ignore::DeprecationWarning")

FORK = """
import traceback
def fork(child):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid
def reap(*pids):
    for pid in pids:
        assert os.waitpid(pid, 0) == (pid, 0)
"""


@pytest.mark.parametrize("end", ["", "one.kill()", "get_hub().destroy(destroy_loop=True)", "del one, kept"])
def test_a_child_that_ends_leaves_the_parents_connection_alone(end: str) -> None:
    """An interrupted poll shuts the connection down; but what a child interrupts is a copy."""
    text = program(
        f"""
        mine, theirs = socket.socketpair()
        one = kept = spawn(Call("in_poll", mine.fileno()))
        ways.let_run()
        pid = os.fork()
        if pid == 0:
            {end or "pass"}
            sys.exit(0)
        assert os.waitpid(pid, 0) == (pid, 0)
        ways.let_run()
        assert not one.ready()
        theirs.send(b"x")
        print(one.get(timeout=20), mine.recv(9))
        """,
        *QUIET,
    )
    assert text == "1 b'x'\n"


def test_children_of_a_server_accept_in_turn() -> None:
    """Whichever accepts first makes the listener non-blocking, for all."""
    program(
        f"""{FORK}
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    ways.check_works()
    two = [spawn(Call("in_accept", listener.fileno())) for _ in range(2)]
    joinall(two, timeout=30)
    assert [one.value for one in two] == [0, 0], [one.value for one in two]
    ways.check_works()
children = [fork(serve) for _ in range(4)]
time.sleep(0.05)
clients = [socket.create_connection(listener.getsockname()) for _ in range(8)]
reap(*children)
# In a thread without a hub it blocks, as the program has asked for.
thread = threading.Thread(target=lambda: results.append(Call("in_accept", listener.fileno())()))
results = []
thread.start()
time.sleep(0.02)
assert not results
client = socket.create_connection(listener.getsockname())
thread.join(20)
assert results == [0], results
""",
        *QUIET,
    )


def test_a_child_patches_for_itself() -> None:
    program(
        f"""{FORK}
def child():
    monkey.patch_native([path])
    ways.check_works()
reap(fork(child))
sleep(0)
reap(fork(child))
assert not monkey.is_native_patched()
""",
        *QUIET,
        patched=False,
    )


def test_threads_fork_while_others_wait_in_c() -> None:
    program(
        f"""{FORK}
def wait():
    joinall([spawn(Call("in_nanosleep", 0.002 * number)) for number in range(50)], timeout=30)
threads = [threading.Thread(target=wait) for _ in range(4)]
for thread in threads: thread.start()
for _ in range(10):
    reap(fork(ways.check_works))
    sleep(0.002)
forking = threading.Thread(target=lambda: (sleep(0), reap(fork(ways.check_works))))
forking.start()
for thread in [*threads, forking]: thread.join(30)
ways.check_works()
""",
        *QUIET,
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing(method: str) -> None:
    # The others import this program's main module, which is none here.
    target = "ways.check_works" if method == "fork" else "os.getpid"
    text = program(
        f"""
        import multiprocessing
        one = spawn(Call("in_nanosleep", 0.2))
        with multiprocessing.get_context({method!r}).Pool(2) as pool:
            print(len([pool.apply({target}) for _ in range(4)]))
        print(one.get(timeout=20))
        """,
        *QUIET,
    )
    assert text == "4\n0\n"


def test_programs_are_run_meanwhile() -> None:
    text = program(
        """
        import subprocess
        from greenloom import subprocess as cooperative
        mine, theirs = os.pipe()
        one = spawn(Call("in_read", mine))
        ways.let_run()
        print(subprocess.check_output(["echo", "standard"]), cooperative.check_output(["echo", "ours"]))
        os.write(theirs, b"x")
        print(one.get(timeout=20))
        """
    )
    assert text == "b'standard\\n' b'ours\\n'\n1\n"


def test_a_child_that_c_has_forked_runs_no_greenlets() -> None:
    """It has copies of all, and waits in hooked calls."""
    program(
        """
        import tempfile
        file = tempfile.TemporaryFile()
        def tick():
            while True:
                sleep(0.001)
                os.write(file.fileno(), b"%d " % os.getpid())
        ticking = spawn(tick)
        assert Call("forks", 0.05)() == 7
        assert spawn(Call("forks", 0.05)).get(timeout=20) == 7
        # Threads that hold the GIL now and then, and not in the child.
        over = []
        def compute():
            while not over:
                sum(range(1000))
        threads = [threading.Thread(target=compute) for _ in range(2)]
        for thread in threads: thread.start()
        forking = [spawn(Call("forks", 0.01)) for _ in range(5)]
        joinall(forking, timeout=30)
        over.append(True)
        assert [one.value for one in forking] == [7] * 5
        for thread in threads: thread.join()
        ticking.kill()
        file.seek(0)
        assert set(file.read().split()) == {b"%d" % os.getpid()}
        """
    )
