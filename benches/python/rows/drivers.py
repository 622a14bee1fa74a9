"""Many connections of a driver written in C, each in a greenlet, a thread or a task of its own.

The client is this process, and its CPU time is the figure. The server has the same CPU, and neither takes it from the
other (`SCHED_BATCH`): the client asks on all connections, then the server answers on all. So no answer is there
before it is waited for, as if the server were on another machine, and how fast that is does not matter.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any, NoReturn

from measure import Asked, finish, measured

# A connection, whatever the driver's type for it is.
Connection = Any
# Does one query, and checks what came.
Query = Callable[[Connection], object]
AsyncQuery = Callable[[Connection], Awaitable[object]]

# CPU time that one run should take at least: starting greenlets or threads is to cost little beside.
RUN_NS = 30_000_000


def take_turns() -> None:
    """Binds this process to the server's CPU, where nobody who wakes up interrupts another."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def timed(asked: Asked, run: Callable[[int], None], *, share: int = 1) -> NoReturn:
    """Measures `run(turns)`, a turn being a query on each connection, prints the sample and ends the process.

    Rows that sleep more than they work measure for a share of the time.
    """
    asked = replace(asked, time_ns=asked.time_ns // share)
    finish(measured(asked, run, per_turn=asked.number, shortest=RUN_NS // share))


def blocking(asked: Asked, connections: Sequence[Connection], query: Query) -> Callable[[int], None]:
    """The connections with code that waits: each in a thread, or in a greenlet of gevent or greenloom."""

    def repeated(connection: Connection, turns: int) -> None:
        for _ in repeat(None, turns):
            query(connection)

    def with_threads(turns: int) -> None:
        threads = [threading.Thread(target=repeated, args=(one, turns)) for one in connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def with_greenlets(turns: int) -> None:
        gevent = asked.module
        gevent.joinall([gevent.spawn(repeated, one, turns) for one in connections], raise_error=True)

    return with_threads if asked.name == "threading" else with_greenlets


def with_tasks(
    loop: asyncio.AbstractEventLoop, connections: Sequence[Connection], query: AsyncQuery
) -> Callable[[int], None]:
    """The same with code that awaits."""

    async def repeated(connection: Connection, turns: int) -> None:
        for _ in repeat(None, turns):
            await query(connection)

    async def all_of_them(turns: int) -> None:
        await asyncio.gather(*(repeated(one, turns) for one in connections))

    return lambda turns: loop.run_until_complete(all_of_them(turns))


def patch_native(asked: Asked) -> None:
    """Has drivers cooperate, if it is greenloom that is measured: they are not modified."""
    if asked.name == "greenloom":
        from greenloom import monkey

        if not monkey.patch_native():
            raise RuntimeError("nothing was patched")
