"""A semaphore that nobody else wants is acquired and released. An operation is both."""

from asyncio import AbstractEventLoop, Semaphore
from itertools import repeat

from apis import GreenletRun, TaskRun, compare
from measure import Module


def with_greenlets(gevent: Module) -> GreenletRun:
    """`gevent.lock.Semaphore`."""
    semaphore = gevent.lock.Semaphore()
    acquire, release = semaphore.acquire, semaphore.release

    def run(turns: int) -> None:
        for _ in repeat(None, turns):
            acquire()
            release()
        if semaphore.locked():
            raise RuntimeError("it was not released")

    return run


def with_tasks(loop: AbstractEventLoop) -> TaskRun:
    """`asyncio.Semaphore`."""
    semaphore = Semaphore()
    acquire, release = semaphore.acquire, semaphore.release

    async def run(turns: int) -> None:
        for _ in repeat(None, turns):
            await acquire()
            release()
        if semaphore.locked():
            raise RuntimeError("it was not released")

    return run


if __name__ == "__main__":
    compare(with_greenlets, with_tasks)
