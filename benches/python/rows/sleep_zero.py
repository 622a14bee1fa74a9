"""The only greenlet there is gives way to the loop, and the loop comes back to it. An operation is both."""

from asyncio import AbstractEventLoop, sleep
from itertools import repeat

from apis import GreenletRun, TaskRun, compare
from measure import Module


def with_greenlets(gevent: Module) -> GreenletRun:
    """`gevent.sleep(0)`."""
    give_way = gevent.sleep

    def run(turns: int) -> None:
        for _ in repeat(None, turns):
            give_way(0)

    return run


def with_tasks(loop: AbstractEventLoop) -> TaskRun:
    """`asyncio.sleep(0)`."""

    async def run(turns: int) -> None:
        for _ in repeat(None, turns):
            await sleep(0)

    return run


if __name__ == "__main__":
    compare(with_greenlets, with_tasks)
