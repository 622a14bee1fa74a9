"""The end of a program, of a hub, of a thread, of a greenlet, while C waits: soon, and with the right status."""

from __future__ import annotations

import textwrap

import pytest

from bad_days_in_c.program import PATCH, PRELUDE, program, status

#: A greenlet in each call, and what each waits for.
ALL_WAIT = """
from contextlib import contextmanager
keep = []
def all_wait():
    for setting in CALLS.values():
        context = contextmanager(setting)()
        wait = context.__enter__()
        keep.extend([context, wait, spawn(wait.call)])
    ways.let_run(0.02)
    waiting = [one for one in keep if isinstance(one, greenloom.Greenlet) and not one.ready()]
    assert len(waiting) == len(CALLS), len(waiting)
"""

#: How a program ends, and with which status.
ENDS = {
    "its end": ("all_wait()", 0),
    "sys.exit": ("all_wait(); sys.exit(3)", 3),
    "an error": ("all_wait(); 1 / 0", 1),
    "sys.exit in a greenlet": ("all_wait(); spawn(sys.exit, 3); sleep(600)", 3),
    "sys.exit in a greenlet while main waits in C": ("all_wait(); spawn(sys.exit, 3); keep[1].call()", 3),
    "os._exit": ("all_wait(); os._exit(4)", 4),
    "os._exit in a greenlet": ("all_wait(); spawn(os._exit, 4); keep[1].call()", 4),
    "SIGTERM while main waits in C": (
        "all_wait(); threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGTERM)).start(); keep[1].call()",
        -15,
    ),
    "its end, the hub destroyed before": ("all_wait(); get_hub().destroy(destroy_loop=True)", 0),
    "its end, a thread with a hub waits": (
        """
        begun = threading.Event()
        def run():
            all_wait()
            begun.set()
            keep[1].call()
        threading.Thread(target=run, daemon=True).start()
        assert begun.wait(20)
        """,
        0,
    ),
    "its end, threads with hubs wait again and again": (
        """
        begun = threading.Event()
        def again():
            while True:
                Call("in_nanosleep", 0.0002)()
                Call("in_mutex")()
        def run():
            working = [spawn(again) for _ in range(20)]
            sleep(0.002)
            begun.set()
            joinall(working)
        for _ in range(3):
            threading.Thread(target=run, daemon=True).start()
        assert begun.wait(20)
        """,
        0,
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_program_ends_while_all_calls_wait(end: str) -> None:
    code, expected = ENDS[end]
    lines = [PRELUDE, PATCH, ALL_WAIT, textwrap.dedent(code)]
    done = status("-c", "\n".join(lines), seconds=30)
    assert done.returncode == expected, done.stderr
    assert done.stderr == "" or (end == "an error" and done.stderr.endswith("division by zero\n"))


#: In a thread: a greenlet waits in a call, and what it says afterwards.
ONE_WAITS = """
import gc, weakref
from contextlib import contextmanager
said = {}
def one_waits(name, how):
    with contextmanager(CALLS[name])() as wait:
        raised = []
        def suffer():
            try:
                raised.append(wait.call())
            except BaseException as error:
                raised.append(type(error).__name__)
        one = spawn(suffer)
        ways.let_run()
        assert not raised
        how(one)
        del one
        gc.collect()
        said[name] = raised, wait.call.told.value
        assert Call("in_nanosleep", 0.001)() == 0
    if said[name] == ([], NOTHING):
        assert wait.insists
    else:
        assert said[name] == (["GreenletExit"], wait.interrupted), said[name]
def in_threads(how):
    # What insists is left where it is, which is said.
    sys.stderr = open(os.devnull, "w")
    for name in CALLS:
        thread = threading.Thread(target=one_waits, args=(name, how), daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive(), name
    sys.stderr = sys.__stderr__
    assert len(said) == len(CALLS), CALLS.keys() - said.keys()
"""


def test_a_greenlet_that_nobody_can_reach_any_more_is_ended_in_c() -> None:
    """The hub is destroyed, and with it goes the last that has kept the greenlet."""
    program(f"""{ONE_WAITS}
in_threads(lambda one: get_hub().destroy(destroy_loop=True))
""")


def test_a_greenlet_is_kept_by_what_it_waits_for() -> None:
    program("""
import gc, weakref
mine, theirs = os.pipe()
for call in Call("in_read", mine), Call("in_select", mine), Call("in_mutex"):
    waits.lock_mutex()
    one = spawn(call)
    ways.let_run()
    alive = weakref.ref(one)
    one.itself = one
    del one
    gc.collect()
    assert alive() is not None and call.told.value == NOTHING
    os.write(theirs, b"x")
    waits.unlock_mutex()
    ways.let_run()
    gc.collect()
    assert alive() is None and call.told.value in (0, 1), (alive(), call.told.value)
""")


def test_a_thread_ends_although_its_greenlets_wait_for_locks() -> None:
    code = """
        waits.set_open(0)
        def run():
            waits.lock_mutex()
            spawn(Call("in_mutex"))
            spawn(Call("in_condition"))
            spawn(Call("in_nanosleep", 600))
            ways.let_run()
            waits.unlock_mutex()
        threads = [threading.Thread(target=run, daemon=True) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(20)
        print([thread.is_alive() for thread in threads])
        """
    done = status("-c", "\n".join([PRELUDE, PATCH, textwrap.dedent(code)]), seconds=40)
    assert (done.returncode, done.stdout) == (0, "[False, False, False]\n"), done.stderr
    # They cannot be ended, and are left where they are.
    assert all(line.startswith("GreenletExit did not kill") for line in done.stderr.splitlines())
