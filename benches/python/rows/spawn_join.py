"""A greenlet is spawned, runs a function that returns at once, and is joined. An operation is all of that."""

from asyncio import AbstractEventLoop
from itertools import repeat

from apis import GreenletRun, TaskRun, compare
from measure import Module


def with_greenlets(gevent: Module) -> GreenletRun:
    """`spawn` and `join`."""
    spawn = gevent.spawn
    result = object()

    def body() -> object:
        return result

    def run(turns: int) -> None:
        value = None
        for _ in repeat(None, turns):
            greenlet = spawn(body)
            greenlet.join()
            value = greenlet.value
        if value is not result:
            raise RuntimeError("the result did not come back")

    return run


def with_tasks(loop: AbstractEventLoop) -> TaskRun:
    """`create_task` and `await`."""
    result = object()

    async def body() -> object:
        return result

    async def run(turns: int) -> None:
        value = None
        for _ in repeat(None, turns):
            value = await loop.create_task(body())
        if value is not result:
            raise RuntimeError("the result did not come back")

    return run


if __name__ == "__main__":
    compare(with_greenlets, with_tasks)
