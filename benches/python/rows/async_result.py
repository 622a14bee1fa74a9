"""A result is made, set, and asked for its value, which is there already. An operation is all of that."""

from asyncio import AbstractEventLoop
from itertools import repeat

from apis import GreenletRun, TaskRun, compare
from measure import Module


def with_greenlets(gevent: Module) -> GreenletRun:
    """`AsyncResult`."""
    make = gevent.event.AsyncResult
    given = object()

    def run(turns: int) -> None:
        value = None
        for _ in repeat(None, turns):
            result = make()
            result.set(given)
            value = result.get()
        if value is not given:
            raise RuntimeError("the value did not come back")

    return run


def with_tasks(loop: AbstractEventLoop) -> TaskRun:
    """`create_future`."""
    given = object()

    async def run(turns: int) -> None:
        value = None
        for _ in repeat(None, turns):
            future = loop.create_future()
            future.set_result(given)
            value = await future
        if value is not given:
            raise RuntimeError("the value did not come back")

    return run


if __name__ == "__main__":
    compare(with_greenlets, with_tasks)
