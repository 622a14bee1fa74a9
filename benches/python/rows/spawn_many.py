"""Many greenlets are spawned, and joined when all are there. An operation is one of them; a turn is all."""

from asyncio import AbstractEventLoop, gather
from itertools import repeat

from apis import GreenletRun, TaskRun, prepare
from measure import Module, ask, timed

COUNT = 10_000


def with_greenlets(gevent: Module, count: int) -> GreenletRun:
    """`spawn` and `joinall`."""
    spawn, joinall = gevent.spawn, gevent.joinall
    ran = 0

    def body() -> None:
        nonlocal ran
        ran += 1

    def run(turns: int) -> None:
        before = ran
        for _ in repeat(None, turns):
            joinall([spawn(body) for _ in range(count)])
        if ran - before != turns * count:
            raise RuntimeError(f"{ran - before} of {turns * count} greenlets ran")

    return run


def with_tasks(loop: AbstractEventLoop, count: int) -> TaskRun:
    """`create_task` and `gather`."""
    ran = 0

    async def body() -> None:
        nonlocal ran
        ran += 1

    async def run(turns: int) -> None:
        before = ran
        for _ in repeat(None, turns):
            await gather(*[loop.create_task(body()) for _ in range(count)])
        if ran - before != turns * count:
            raise RuntimeError(f"{ran - before} of {turns * count} tasks ran")

    return run


if __name__ == "__main__":
    asked = ask(number=COUNT)
    run = prepare(
        asked,
        lambda gevent: with_greenlets(gevent, asked.number),
        lambda loop: with_tasks(loop, asked.number),
    )
    timed(asked, run, per_turn=asked.number)
