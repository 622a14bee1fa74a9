"""Forked children keep the greenlets of the thread that forked, and know that those of the others are dead."""

from __future__ import annotations

import pytest

from programs import python

SETTING = """
import gc, multiprocessing, os, subprocess, sys, threading, warnings
from greenloom.greenlet import error, getcurrent, greenlet
warnings.simplefilter("ignore")

def wait():
    parent = getcurrent().parent
    try:
        return parent.switch()
    finally:
        ended.append(os.getpid())

def suspended():
    new = greenlet(wait)
    new.switch()
    return new

def others():
    theirs.extend(suspended() for _ in range(3))
    def inner():
        ready.set()
        assert end.wait(60)
    theirs.append(greenlet(inner))
    theirs[-1].switch()

ended, theirs, ready, end = [], [], threading.Event(), threading.Event()
other = threading.Thread(target=others)
other.start()
assert ready.wait(30)

def check(mine):
    # In the child.
    here = getcurrent()
    mine[0].parent = mine[1].parent = here
    assert mine[0].switch("value") == "value"
    del mine[1]
    assert ended == [os.getpid()] * 2
    assert [g.dead for g in theirs] == [True] * 4
    assert not any(theirs)
    try:
        theirs[0].switch()
    except error as caught:
        assert "happens to have exited" in str(caught)
    theirs.clear()
    gc.collect()
    for number in range(50):
        assert greenlet(lambda: number).switch() == number
    seen = []
    thread = threading.Thread(target=lambda: seen.append(greenlet(lambda: 1).switch()))
    thread.start()
    thread.join()
    assert seen == [1]

def fork(way):
    mine = [suspended(), suspended(), suspended()]
    if way == "multiprocessing":
        process = multiprocessing.get_context("fork").Process(target=check, args=(mine,))
        process.start()
        process.join()
        assert process.exitcode == 0
        return
    child = os.fork()
    if child == 0:
        status = 1
        try:
            check(mine)
            status = 0
        finally:
            if way == "os._exit" or status:
                os._exit(status)
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    # Nothing of it happened to the parent.
    assert ended == []
    assert [g.dead for g in mine + theirs] == [False] * 7
    assert [bool(g) for g in mine + theirs] == [True] * 7
    assert mine[0].switch("here") == "here"
"""

END = """
end.set()
other.join()
"""


@pytest.mark.parametrize("way", ["os._exit", "sys.exit", "multiprocessing"])
@pytest.mark.parametrize("place", ["the main greenlet", "a greenlet", "a greenlet in a greenlet"])
def test_a_child_uses_its_own_greenlets_and_ends_well(way: str, place: str) -> None:
    call = {
        "the main greenlet": f"fork({way!r})",
        "a greenlet": f"greenlet(fork).switch({way!r})",
        "a greenlet in a greenlet": f"greenlet(lambda: greenlet(fork).switch({way!r})).switch()",
    }[place]
    python(SETTING + call + END)


def test_a_child_forked_by_another_thread_has_only_that_threads_greenlets() -> None:
    python(f"""{SETTING}
def forks():
    greenlet(fork).switch("os._exit")
of_main = suspended()
thread = threading.Thread(target=forks)
thread.start()
thread.join()
assert not of_main.dead
{END}""")


def test_a_child_of_a_child_works_as_well() -> None:
    python(f"""{SETTING}
def generations(left):
    g = suspended()
    child = os.fork()
    if child == 0:
        if left:
            greenlet(generations).switch(left - 1)
        g.parent = getcurrent()
        os._exit(g.switch(0))
    assert os.waitpid(child, 0)[1] == 0
greenlet(generations).switch(3)
{END}""")


def test_a_greenlet_may_run_other_programs() -> None:
    python(f"""{SETTING}
def call():
    return subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, timeout=30).stdout
assert greenlet(call).switch() == b"42\\n"
{END}""")
