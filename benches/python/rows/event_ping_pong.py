"""Two greenlets wake each other, by an event each. An operation is there and back."""

from asyncio import AbstractEventLoop, Event
from itertools import repeat

from apis import GreenletRun, TaskRun, compare
from measure import Module


def with_greenlets(gevent: Module) -> GreenletRun:
    """`set`, `wait` and `clear` of two events."""
    ping, pong = gevent.event.Event(), gevent.event.Event()
    answered = 0

    def answer() -> None:
        nonlocal answered
        while True:
            ping.wait()
            ping.clear()
            answered += 1
            pong.set()

    answerer = gevent.spawn(answer)

    def run(turns: int) -> None:
        before = answered
        for _ in repeat(None, turns):
            ping.set()
            pong.wait()
            pong.clear()
        if answered - before != turns or answerer.dead:
            raise RuntimeError(f"{answered - before} of {turns} came back")

    return run


def with_tasks(loop: AbstractEventLoop) -> TaskRun:
    """The same with `await`."""
    ping, pong = Event(), Event()
    answered = 0

    async def answer() -> None:
        nonlocal answered
        while True:
            await ping.wait()
            ping.clear()
            answered += 1
            pong.set()

    answerer = loop.create_task(answer())

    async def run(turns: int) -> None:
        before = answered
        for _ in repeat(None, turns):
            ping.set()
            await pong.wait()
            pong.clear()
        if answered - before != turns or answerer.done():
            raise RuntimeError(f"{answered - before} of {turns} came back")

    return run


if __name__ == "__main__":
    compare(with_greenlets, with_tasks)
