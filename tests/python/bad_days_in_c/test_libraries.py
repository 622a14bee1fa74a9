"""Libraries that are patched, taken back, unloaded and loaded again while all goes on."""

from __future__ import annotations

from bad_days_in_c.program import program

COOPERATES = """
def cooperates(library):
    library.in_nanosleep.argtypes = [ctypes.c_double, ctypes.c_void_p]
    order = []
    one = spawn(order.append, "greenlet")
    library.in_nanosleep(0.01, ctypes.byref(ctypes.c_long()))
    order.append("main")
    one.join()
    return order == ["greenlet", "main"]
"""


def test_a_library_comes_and_goes() -> None:
    program(f"""{COOPERATES}
import _ctypes, shutil, tempfile
other = tempfile.mkdtemp() + "/libother.so.1"
shutil.copy(path, other)
monkey.patch_native(["libother"])
for _ in range(5):
    library = ctypes.CDLL(other)
    assert cooperates(library) and cooperates(waits)
    _ctypes.dlclose(library._handle)
    assert other not in open("/proc/self/maps").read()
    assert cooperates(waits)
monkey.unpatch_native()
assert not cooperates(ctypes.CDLL(other)) and not cooperates(waits)
shutil.rmtree(os.path.dirname(other))
""")


def test_patched_and_taken_back_again_and_again_while_greenlets_wait() -> None:
    program(
        """
        import random
        over, rounds = [], []
        def work(seed):
            chance = random.Random(seed)
            while not over:
                kind = chance.randrange(3)
                if kind == 0:
                    assert Call("in_nanosleep", 0.0005)() == 0
                elif kind == 1:
                    assert Call("in_mutex")() == 0
                else:
                    mine, theirs = os.pipe()
                    sleep(0)
                    os.write(theirs, b"x")
                    assert Call("in_read", mine)() == 1
                    os.close(mine)
                    os.close(theirs)
                rounds.append(1)
                sleep(0)
        def run(number):
            joinall([spawn(work, number * 1000 + one) for one in range(10)], raise_error=True)
        working = [spawn(work, number) for number in range(20)]
        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads: thread.start()
        for number in range(100):
            monkey.unpatch_native()
            if number % 3 == 0:
                sleep(0.001)
            assert monkey.patch_native([path]) == [path]
            sleep(0.001)
        over.append(True)
        joinall(working, timeout=30, raise_error=True)
        for thread in threads: thread.join(30)
        assert len(rounds) > 500
        """
    )


def test_everything_that_there_is_may_be_patched() -> None:
    """But for what must not be: Python itself, in whatever object it is."""
    text = program(
        """
        import sqlite3, ssl, subprocess
        patched = monkey.patch_native(["*", os.path.basename(os.path.realpath(sys.executable))])
        assert path in patched
        objects = {one["path"]: one for one in greenloom._greenloom.native_objects()}
        python = [one for one in objects.values() if one["refused"] and "interpreter" in one["refused"]]
        assert python and not any(one["path"] in patched for one in python)
        ways.check_works()
        threads = [threading.Thread(target=lambda: sum(range(100_000))) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert subprocess.check_output(["echo", "yes"]) == b"yes\\n"
        listener = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listener.getsockname())
        served, _ = listener.accept()
        client.sendall(b"question")
        assert served.recv(100) == b"question"
        monkey.unpatch_native()
        print("done")
        """,
        # That much is left alone.
        "-W",
        "ignore",
    )
    assert text == "done\n"


def test_closes_that_no_hook_sees_do_no_harm_to_others() -> None:
    program(
        """
        # The greenlet waits on, and can be ended.
        mine, theirs = os.pipe()
        one = spawn(Call("in_poll", mine))
        ways.let_run()
        os.close(mine)
        os.close(theirs)
        ways.check_works()
        one.kill(timeout=20)
        assert one.ready()
        # Its number is another's, for whom somebody waits.
        mine, theirs = os.pipe()
        one = spawn(Call("in_read", mine))
        ways.let_run()
        os.close(mine)
        other, far = os.pipe()
        assert other == mine
        two = spawn(Call("in_read", other))
        ways.let_run()
        os.write(far, b"xy")
        assert two.get(timeout=20) == 1
        one.kill(timeout=20)
        ways.check_works()
        """
    )
