"""Real threads, other interpreters, and very many greenlets."""

from __future__ import annotations

from bad_days_in_c.program import program


def test_threads_without_a_hub_block_alone_and_share_locks_with_greenlets() -> None:
    program(
        """
        from concurrent.futures import ThreadPoolExecutor
        begun = time.monotonic()
        pool = get_hub().threadpool
        results = [pool.spawn(Call("in_nanosleep", 0.2)) for _ in range(10)]
        assert [one.get(timeout=20) for one in results] == [0] * 10
        with ThreadPoolExecutor(5) as executor:
            assert list(executor.map(lambda _: Call("in_mutex")(), range(5))) == [0] * 5
        assert time.monotonic() - begun < 1.5
        # A greenlet has the lock, and threads want it.
        waits.lock_mutex()
        threads = [threading.Thread(target=Call("in_mutex")) for _ in range(4)]
        for thread in threads: thread.start()
        sleep(0.02)
        assert all(thread.is_alive() for thread in threads)
        waits.unlock_mutex()
        for thread in threads: thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
        # A thread has it, and greenlets want it.
        held, end = threading.Event(), threading.Event()
        def hold():
            waits.lock_mutex()
            held.set()
            end.wait()
            waits.unlock_mutex()
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        waiting = [spawn(Call("in_mutex")) for _ in range(10)]
        ways.let_run()
        assert not any(one.ready() for one in waiting)
        end.set()
        joinall(waiting, timeout=20)
        assert [one.value for one in waiting] == [0] * 10
        thread.join()
        """
    )


def test_another_interpreter_passes_through() -> None:
    text = program(
        """
        try:
            import _interpreters as interpreters
            inner = interpreters.create("legacy")
        except ImportError:
            import _xxsubinterpreters as interpreters
            inner = interpreters.create(isolated=False)
        code = "; ".join([
            "import ctypes",
            f"library = ctypes.CDLL({path!r})",
            "library.in_nanosleep.argtypes = [ctypes.c_double, ctypes.c_void_p]",
            "assert [library.in_nanosleep(0.02, ctypes.byref(ctypes.c_long())) for _ in range(3)] == [0] * 3",
        ])
        order = []
        one = spawn(order.append, "greenlet")
        interpreters.run_string(inner, code)
        order.append("inner")
        one.join()
        print(order)
        # Both at a time.
        thread = threading.Thread(target=interpreters.run_string, args=(inner, code))
        thread.start()
        waiting = [spawn(Call("in_nanosleep", 0.01)) for _ in range(10)]
        joinall(waiting, timeout=20)
        thread.join()
        interpreters.destroy(inner)
        print({one.value for one in waiting})
        ways.check_works()
        """
    )
    assert text == "['inner', 'greenlet']\n{0}\n"


def test_many_hubs_with_many_greenlets_in_all_sorts_of_calls() -> None:
    program(
        """
        import random
        errors, done = [], []
        def work(seed):
            chance = random.Random(seed)
            for _ in range(6):
                kind = chance.randrange(6)
                if kind == 0:
                    assert Call("in_nanosleep", chance.random() * 0.01)() == 0
                elif kind == 1:
                    assert Call("in_mutex")() == 0
                elif kind == 2:
                    waits.lock_mutex()
                    Call("in_nanosleep", 0.0005)()
                    waits.unlock_mutex()
                else:
                    mine, theirs = os.pipe()
                    one = spawn(Call(["in_read", "in_poll", "in_select"][kind - 3], mine))
                    sleep(chance.random() * 0.002)
                    if chance.random() < 0.3:
                        one.kill(timeout=20)
                    else:
                        os.write(theirs, b"x")
                        assert one.get(timeout=20) == 1
                    assert one.ready()
                    os.close(mine)
                    os.close(theirs)
        def run(number):
            working = [spawn(work, number * 1000 + one) for one in range(50)]
            joinall(working, timeout=50, raise_error=True)
            done.append(number)
        threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
        for thread in threads: thread.start()
        run(8)
        for thread in threads: thread.join(50)
        assert sorted(done) == list(range(9))
        """
    )


def test_ten_thousand_greenlets_sleep_in_c_at_once() -> None:
    program(
        """
        def resident():
            return int(open("/proc/self/statm").read().split()[1]) * 4
        before, begun = resident(), time.monotonic()
        waiting = [spawn(Call("in_nanosleep", 0.5)) for _ in range(10_000)]
        sleep(0.3)
        each = (resident() - before) / 10_000
        joinall(waiting, timeout=50)
        assert {one.value for one in waiting} == {0}
        assert time.monotonic() - begun < 20
        # Two pages of stack, and Python's objects.
        assert each < 20, f"{each} KiB for each"
        """
    )


def test_thousands_wait_for_one_thing() -> None:
    program(
        """
        mine, theirs = os.pipe()
        def check(call, finish):
            waiting = [spawn(Call(*call)) for _ in range(2000)]
            ways.let_run(0.02)
            assert not any(one.ready() for one in waiting)
            finish()
            joinall(waiting, timeout=30)
            assert {one.value for one in waiting} <= {0, 1}, {one.value for one in waiting}
        check(["in_read", mine], lambda: os.write(theirs, bytes(2000)))
        check(["in_poll", mine], lambda: os.write(theirs, b"x"))
        waits.lock_mutex()
        check(["in_mutex"], waits.unlock_mutex)
        waits.set_open(0)
        check(["in_condition"], lambda: waits.set_open(1))
        """
    )
