"""Two greenlets release each other from a semaphore each. An operation is one of the two; a turn is both."""

from asyncio import AbstractEventLoop, Semaphore
from itertools import repeat

from apis import GreenletRun, TaskRun, compare
from measure import Module


def with_greenlets(gevent: Module) -> GreenletRun:
    """`release` of the other's and `acquire` of one's own, which waits."""
    forth, back = gevent.lock.Semaphore(0), gevent.lock.Semaphore(0)
    answered = 0

    def answer() -> None:
        nonlocal answered
        while True:
            forth.acquire()
            answered += 1
            back.release()

    answerer = gevent.spawn(answer)

    def run(turns: int) -> None:
        before = answered
        for _ in repeat(None, turns):
            forth.release()
            back.acquire()
        if answered - before != turns or answerer.dead:
            raise RuntimeError(f"{answered - before} of {turns} came back")

    return run


def with_tasks(loop: AbstractEventLoop) -> TaskRun:
    """The same with `await`."""
    forth, back = Semaphore(0), Semaphore(0)
    answered = 0

    async def answer() -> None:
        nonlocal answered
        while True:
            await forth.acquire()
            answered += 1
            back.release()

    answerer = loop.create_task(answer())

    async def run(turns: int) -> None:
        before = answered
        for _ in repeat(None, turns):
            forth.release()
            await back.acquire()
        if answered - before != turns or answerer.done():
            raise RuntimeError(f"{answered - before} of {turns} came back")

    return run


if __name__ == "__main__":
    compare(with_greenlets, with_tasks, per_turn=2)
