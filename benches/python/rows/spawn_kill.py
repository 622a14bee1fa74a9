"""A greenlet is spawned, begins to sleep, and is killed. An operation is all of that.

The spawner gives way once, so that there is a greenlet that has started: one that has not is only dropped.
"""

from asyncio import AbstractEventLoop, CancelledError, sleep
from itertools import repeat

from apis import GreenletRun, TaskRun, compare
from measure import Module


def with_greenlets(gevent: Module) -> GreenletRun:
    """`spawn` and `kill`, which waits until the greenlet is dead."""
    spawn, give_way = gevent.spawn, gevent.sleep
    started = ended = 0

    def body() -> None:
        nonlocal started, ended
        started += 1
        try:
            give_way(3600)
        finally:
            ended += 1

    def run(turns: int) -> None:
        before = started
        for _ in repeat(None, turns):
            greenlet = spawn(body)
            give_way(0)
            greenlet.kill()
        if started - before != turns or ended != started:
            raise RuntimeError(f"{started - before} greenlets started and {ended} in all ended")

    return run


def with_tasks(loop: AbstractEventLoop) -> TaskRun:
    """`create_task` and `cancel`, and `await` of its end."""
    started = ended = 0

    async def body() -> None:
        nonlocal started, ended
        started += 1
        try:
            await sleep(3600)
        finally:
            ended += 1

    async def run(turns: int) -> None:
        before, cancelled = started, 0
        for _ in repeat(None, turns):
            task = loop.create_task(body())
            await sleep(0)
            task.cancel()
            try:
                await task
            except CancelledError:
                cancelled += 1
        if started - before != turns or cancelled != turns or ended != started:
            raise RuntimeError(f"{started - before} tasks started and {ended} in all ended")

    return run


if __name__ == "__main__":
    compare(with_greenlets, with_tasks)
