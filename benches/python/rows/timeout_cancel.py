"""A time-out is made, started, and cancelled long before its time. An operation is all of that."""

import asyncio
from asyncio import AbstractEventLoop
from itertools import repeat

from apis import GreenletRun, TaskRun, compare
from measure import Module


def with_greenlets(gevent: Module) -> GreenletRun:
    """`gevent.Timeout`."""
    make = gevent.Timeout

    def run(turns: int) -> None:
        for _ in repeat(None, turns):
            timeout = make(60)
            timeout.start()
            timeout.cancel()
            if timeout.pending:
                raise RuntimeError("it was not cancelled")

    return run


def with_tasks(loop: AbstractEventLoop) -> TaskRun:
    """`asyncio.timeout`."""
    if not hasattr(asyncio, "timeout"):
        raise SystemExit("asyncio.timeout came with Python 3.11")
    make = asyncio.timeout

    async def run(turns: int) -> None:
        for _ in repeat(None, turns):
            async with make(60) as timeout:
                pass
            if timeout.expired():
                raise RuntimeError("it was not cancelled")

    return run


if __name__ == "__main__":
    compare(with_greenlets, with_tasks)
