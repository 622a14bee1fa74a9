"""A deadlock is an error in the main greenlet, which says who waits, where, and on what."""

from __future__ import annotations

import pytest

import greenloom
from greenloom import sleep, spawn, spawn_raw
from greenloom.event import Event
from greenloom.hub import LoopExit
from greenloom.lock import Semaphore


def deadlock() -> LoopExit:
    with pytest.raises(LoopExit) as caught:
        Event().wait()
    return caught.value


def test_it_is_raised_where_the_main_greenlet_waits() -> None:
    error = deadlock()
    assert error.args[0] == "This operation would block forever"
    assert error.hub is greenloom.get_hub()
    assert str(error).startswith("This operation would block forever\n\tHub: <Hub")


def test_it_names_the_main_greenlet_with_its_line() -> None:
    (line,) = deadlock().waiting
    assert line.startswith("the main greenlet waits in ")
    assert "Event.wait of <greenloom.event.Event" in line
    assert f"{__file__}:{deadlock.__code__.co_firstlineno + 2} in deadlock: Event().wait()" in line


def test_it_names_the_other_greenlets_with_what_they_wait_on() -> None:
    lock = Semaphore(0)

    def locked() -> None:
        lock.acquire()

    worker = spawn(locked)
    worker.name = "the worker"
    plain = spawn_raw(locked)
    error = deadlock()
    try:
        (named,) = (line for line in error.waiting if '"the worker"' in line)
        assert "Semaphore" in named
        assert "in locked: lock.acquire()" in named
        assert len([line for line in error.waiting if "in locked" in line]) == 2
        assert named in str(error)
    finally:
        worker.kill()
        greenloom.kill(plain)
        sleep(0)


def test_many_are_counted_and_not_listed() -> None:
    crowd = [spawn(Event().wait) for _ in range(100)]
    error = deadlock()
    assert len(error.waiting) == 21
    assert error.waiting[-1] == "and 81 more"
    greenloom.killall(crowd)


def test_the_program_may_go_on_after_it() -> None:
    deadlock()
    assert spawn(lambda: 5).get() == 5
    deadlock()


def test_one_that_a_program_raises_itself_is_an_ordinary_exception() -> None:
    error = LoopExit("text")
    assert error.hub is None
    assert "text" in str(error)
