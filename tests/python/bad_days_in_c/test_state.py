"""What a wait in C leaves as it was: Python's state of the greenlet, and C's errno."""

from __future__ import annotations

import pytest

from bad_days_in_c.program import program


def test_contexts_and_exceptions_that_are_handled_are_the_greenlets_own() -> None:
    program(
        """
        import contextvars
        variable = contextvars.ContextVar("variable")
        def work(number):
            variable.set(number)
            wait = Call("in_nanosleep", 0.001 * (number % 5))
            try:
                raise ValueError(number)
            except ValueError as error:
                wait()
                assert sys.exc_info()[1] is error
                try:
                    raise KeyError(number)
                except KeyError as inner:
                    wait()
                    assert sys.exc_info()[1] is inner and inner.__context__ is error
                assert sys.exc_info()[1] is error
            assert sys.exc_info() == (None, None, None)
            def generate():
                try:
                    raise IndexError(number)
                except IndexError as error:
                    for _ in range(3):
                        wait()
                        yield sys.exc_info()[1] is error
            assert all(generate())
            assert variable.get() == number
        working = [contextvars.copy_context().run(spawn, work, number) for number in range(50)]
        joinall(working, timeout=20, raise_error=True)
        """
    )


def test_errno_is_kept_as_c_knows_it_and_as_ctypes_does() -> None:
    text = program(
        """
        import errno
        own = ctypes.CDLL(path, use_errno=True)
        own.errno_after.argtypes = [ctypes.c_double]
        def succeed(number):
            ctypes.set_errno(number)
            return own.errno_after(0.001 * (number % 3)), ctypes.get_errno()
        waiting = [spawn(succeed, number) for number in range(20)]
        joinall(waiting, timeout=20)
        print({one.value for one in waiting} == {(errno.ENOTTY, errno.ENOTTY)})
        def fail(fd):
            told = ctypes.c_long()
            ctypes.set_errno(0)
            return own.in_read(fd, ctypes.byref(told)), ctypes.get_errno()
        mine, theirs = os.pipe()
        waiting = [spawn(fail, mine) for _ in range(3)]
        ways.let_run()
        own.in_close(mine, ctypes.byref(ctypes.c_long()))
        joinall(waiting, timeout=20)
        print({one.value for one in waiting} == {(-errno.EBADF, errno.EBADF)})
        """
    )
    assert text == "True\nTrue\n"


def test_what_c_sets_for_its_thread_is_the_threads() -> None:
    """Greenlets of one thread share it, as they would share it in C."""
    text = program(
        """
        libc = ctypes.CDLL(None, use_errno=True)
        libc.newlocale.restype = libc.uselocale.restype = ctypes.c_void_p
        libc.uselocale.argtypes = [ctypes.c_void_p]
        libc.newlocale.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p]
        locale = libc.newlocale(1 << 6, b"C", None)
        def set_and_wait():
            before = libc.uselocale(locale)
            Call("in_nanosleep", 0.01)()
            libc.uselocale(before)
        one = spawn(set_and_wait)
        ways.let_run()
        print(libc.uselocale(None) == locale)
        one.join()
        print(libc.uselocale(None) == locale)
        """
    )
    assert text == "True\nFalse\n"


CALLBACKS = """
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long)
"""


def test_c_calls_back_into_python_that_waits_in_c() -> None:
    program(f"""{CALLBACKS}
keep = []
def nested(depth):
    def back(number):
        Call("in_nanosleep", 0.001)()
        sleep(0)
        return waits.calls_back(nested(depth - 1), number, 0.001) if depth else number + 1
    keep.append(CALLBACK(back))
    return keep[-1]
def work(number):
    return [waits.calls_back(nested(depth), number, 0.001) for depth in range(4)]
def expected(depth, number):
    # What the library adds up of what it is told before its wait, and after it.
    step = (lambda value: expected(depth - 1, value)) if depth else (lambda value: value + 1)
    before = step(number)
    return before + step(before)
working = [spawn(work, number) for number in range(30)]
joinall(working, timeout=30, raise_error=True)
for number, one in enumerate(working):
    assert one.value == [expected(depth, number) for depth in range(4)], one.value
""")


def test_a_kill_that_arrives_between_callbacks_is_raised_where_the_library_was_called() -> None:
    program(f"""{CALLBACKS}
calls, caught = [], []
back = CALLBACK(lambda number: calls.append(number) or 1)
def outer():
    try:
        waits.calls_back(back, 1, 600)
    except BaseException as error:
        caught.append(type(error).__name__)
one = spawn(outer)
ways.let_run()
one.kill(timeout=20)
# The library was told that its sleep is over, and went on.
assert (one.ready(), calls, caught) == (True, [1, 1], ["GreenletExit"]), (calls, caught)
""")


def test_a_thread_of_the_librarys_own_calls_back() -> None:
    """It has a hub for as long as the callback lasts."""
    program(f"""{CALLBACKS}
threads = set()
def back(number):
    threads.add(threading.get_ident())
    assert Call("in_nanosleep", 0.002)() == 0
    sleep(0.001)
    others = [spawn(Call("in_nanosleep", 0.001)) for _ in range(5)]
    joinall(others, timeout=20)
    assert [one.value for one in others] == [0] * 5
    assert Call("in_mutex")() == 0
    # One that is waiting still when the thread's state goes.
    spawn(Call("in_nanosleep", 600))
    sleep(0)
    return number + 1
callback = CALLBACK(back)
calling = [spawn(waits.calls_from_thread, callback, number) for number in range(20)]
joinall(calling, timeout=30, raise_error=True)
assert [one.value for one in calling] == list(range(1, 21))
assert threading.get_ident() not in threads
""")


def test_deep_frames_of_c_are_as_they_were() -> None:
    program(
        """
        def wait(depth, fd):
            return waits.waits_deep(depth, fd, depth * 7, ctypes.byref(ctypes.c_long()))
        pipes = [os.pipe() for _ in range(40)]
        waiting = [spawn(wait, 2 * number, mine) for number, (mine, _) in enumerate(pipes)]
        ways.let_run()
        for _, theirs in reversed(pipes):
            os.write(theirs, b"x")
            sleep(0)
        joinall(waiting, timeout=20)
        assert [one.value for one in waiting] == [1] * 40
        """
    )


@pytest.mark.parametrize("holder", ["a greenlet", "a thread"])
def test_an_exception_that_is_set_meanwhile_is_not_mixed_up(holder: str) -> None:
    """Other greenlets, and threads, raise while C waits."""
    program(
        f"""
        def fail():
            for number in range(100):
                try:
                    raise LookupError(number)
                except LookupError:
                    time.sleep(0) if {holder!r} == "a thread" else sleep(0)
        failing = threading.Thread(target=fail) if {holder!r} == "a thread" else spawn(fail)
        failing.start()
        for number in range(50):
            try:
                raise ValueError(number)
            except ValueError as error:
                assert Call("in_nanosleep", 0.0002)() == 0
                assert sys.exc_info()[1] is error and error.__context__ is None
        failing.join()
        """
    )
