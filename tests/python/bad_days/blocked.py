"""A greenlet in a call that blocks, the ways to end it there, and what must not be left behind.

A *setting* is a generator that prepares something to wait for, yields the :class:`Call` that waits, and goes on
when the call has been ended: then it shows that what was waited for is as good as before, and clears up.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import greenloom
from greenloom import Greenlet, GreenletExit, Timeout, sleep, spawn
from greenloom.threadpool import ThreadPool

#: Longer than any test runs: who is given this many seconds is to be ended before.
LONG = 600


def _nobody() -> int:
    return 0


class Call(NamedTuple):
    """A call that blocks until it is ended from outside."""

    #: Makes the call.
    begin: Callable[[], object]
    #: How many wait, as far as what is waited for can tell.
    waiting: Callable[[], int] = _nobody
    #: Whether something goes on when the call has ended, such as a thread, so that watchers are left.
    goes_on: bool = False


Setting = Callable[[], Iterator[Call]]


class Unwanted(Exception):
    """What a greenlet is killed with where GreenletExit would not do."""


def soon(function: Callable[..., Any], *args: Any) -> Any:
    """Return what ``function`` returns in a greenlet of its own; fail if that takes long."""
    return spawn(function, *args).get(timeout=10)


def let_run(seconds: float = 0.003) -> None:
    """Let others come to where they wait, in threads too."""
    for _ in range(3):
        sleep(0)
    sleep(seconds)


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextmanager
def threads_that_stay(count: int = 4) -> Iterator[None]:
    """Let the hub have a pool with so many threads, each with the descriptors that it needs.

    The threads of an ordinary pool end when they are idle, and what a call has left could not be told from that.
    """
    hub = greenloom.get_hub()
    before = hub.threadpool
    pool = hub.threadpool = ThreadPool(count)
    together = threading.Barrier(count)
    pool.map(lambda _: together.wait(), range(count))
    # It keeps the pool that it has.
    del hub.resolver
    yield
    hub.threadpool = before
    del hub.resolver
    pool.kill()


class _Victim:
    """A greenlet that makes the call, and what was raised in it there."""

    def __init__(self, begin: Callable[[], object], limit: Timeout | None = None) -> None:
        self.raised: list[BaseException] = []
        self.greenlet: Greenlet = spawn(_suffer, begin, limit, self.raised)
        if limit is None:
            let_run()
            assert not self.greenlet.ready(), "it does not wait"

    def check_freed(self) -> None:
        """Give up the greenlet and the error, and see that nobody else has kept it."""
        gone = weakref.ref(self.greenlet)
        self.raised.clear()
        del self.greenlet
        # The hub may still be in the callback that has woken us.
        sleep(0)
        gc.collect()
        assert gone() is None


def _suffer(begin: Callable[[], object], limit: Timeout | None, raised: list[BaseException]) -> None:
    context: AbstractContextManager[object] = nullcontext() if limit is None else limit
    try:
        with context:
            begin()
    except BaseException as error:
        raised.append(error)


def _kill(call: Call) -> _Victim:
    victim = _Victim(call.begin)
    victim.greenlet.kill(timeout=10)
    assert isinstance(victim.raised[0], GreenletExit)
    return victim


def _kill_with_an_error(call: Call) -> _Victim:
    victim, error = _Victim(call.begin), Unwanted()
    victim.greenlet.kill(error, timeout=10)
    assert victim.raised[0] is error
    return victim


def _time_out(call: Call) -> _Victim:
    limit = Timeout(0.005)
    victim = _Victim(call.begin, limit)
    victim.greenlet.join(timeout=10)
    assert victim.raised[0] is limit
    return victim


def _time_out_in_main(call: Call) -> None:
    with pytest.raises(Timeout) as caught, Timeout(0.005) as limit:
        call.begin()
    assert caught.value is limit


#: How a call is ended. Those that make a greenlet for it return that.
WAYS: dict[str, Callable[[Call], _Victim | None]] = {
    "kill": _kill,
    "kill with an error": _kill_with_an_error,
    "timeout": _time_out,
    "timeout in main": _time_out_in_main,
}


def end_everywhere(setting: Setting, way: str) -> None:
    """End the call of ``setting`` by one of the :data:`WAYS`; see that it ends there and leaves nothing behind."""
    with _nothing_left_open(), contextmanager(setting)() as call, _nothing_watched(call):
        victim = WAYS[way](call)
        assert call.waiting() == 0
        if victim is not None:
            assert victim.greenlet.dead
            victim.check_freed()


def end_while_others_come(setting: Setting) -> None:
    """End the call of ``setting`` by a kill that has yet to arrive when others come to wait for the same."""
    with _nothing_left_open():
        with contextmanager(setting)() as call:
            victim = _Victim(call.begin)
            victim.greenlet.kill(block=False)
        victim.greenlet.join(timeout=10)
        assert isinstance(victim.raised[0], GreenletExit)
        victim.check_freed()


@contextmanager
def _nothing_watched(call: Call) -> Iterator[None]:
    loop = greenloom.get_hub().loop
    before = loop.activecnt
    yield
    assert call.goes_on or loop.activecnt == before


@contextmanager
def _nothing_left_open() -> Iterator[None]:
    loop = greenloom.get_hub().loop
    before = loop.activecnt, open_descriptors()
    yield
    # What was killed or closed in the end ends in the loop.
    for _ in range(1000):
        if (loop.activecnt, open_descriptors()) == before:
            return
        let_run()
    assert (loop.activecnt, open_descriptors()) == before
