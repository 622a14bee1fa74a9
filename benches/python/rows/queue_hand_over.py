"""Two greenlets hand an item back and forth through two queues. An operation is one of the two; a turn is both.

Each of them waits in `get` when the other puts, so every item is a switch. A single queue without a bound would
be filled in one go and emptied in one go.
"""

from asyncio import AbstractEventLoop, Queue
from itertools import repeat

from apis import GreenletRun, TaskRun, compare
from measure import Module


def with_greenlets(gevent: Module) -> GreenletRun:
    """`gevent.queue.Queue`."""
    forth, back = gevent.queue.Queue(), gevent.queue.Queue()
    item = object()

    def answer() -> None:
        while True:
            back.put(forth.get())

    answerer = gevent.spawn(answer)

    def run(turns: int) -> None:
        got = item
        for _ in repeat(None, turns):
            forth.put(got)
            got = back.get()
        if got is not item or answerer.dead:
            raise RuntimeError("the item did not come back")

    return run


def with_tasks(loop: AbstractEventLoop) -> TaskRun:
    """`asyncio.Queue`."""
    forth: Queue[object] = Queue()
    back: Queue[object] = Queue()
    item = object()

    async def answer() -> None:
        while True:
            await back.put(await forth.get())

    answerer = loop.create_task(answer())

    async def run(turns: int) -> None:
        got = item
        for _ in repeat(None, turns):
            await forth.put(got)
            got = await back.get()
        if got is not item or answerer.done():
            raise RuntimeError("the item did not come back")

    return run


if __name__ == "__main__":
    compare(with_greenlets, with_tasks, per_turn=2)
