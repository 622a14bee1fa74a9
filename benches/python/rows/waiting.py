"""What a greenlet takes that waits for an event: memory, page tables, and the time to spawn it and get it there.

All of them wait for one event, each in a Python function of its own.
"""

import time
from asyncio import AbstractEventLoop, Event, sleep

from apis import GreenletRun, TaskRun, prepare
from measure import Module, ask, finish, memory, settle

COUNT = 100_000
# Made before the first look at the memory: what greenlets need once is not a cost of each.
WARM_UP = 100


def with_greenlets(gevent: Module) -> GreenletRun:
    """`Event.wait` in greenlets; a turn is a greenlet more that waits."""
    event = gevent.event.Event()
    waiting: list[object] = []
    started = 0

    def body() -> None:
        nonlocal started
        started += 1
        event.wait()

    def run(turns: int) -> None:
        waiting.extend(gevent.spawn(body) for _ in range(turns))
        # The loop does not start so many in one go.
        while started < len(waiting):
            gevent.sleep(0)

    return run


def with_tasks(loop: AbstractEventLoop) -> TaskRun:
    """`Event.wait` in tasks."""
    event = Event()
    waiting: list[object] = []
    started = 0

    async def body() -> None:
        nonlocal started
        started += 1
        await event.wait()

    async def run(turns: int) -> None:
        waiting.extend(loop.create_task(body()) for _ in range(turns))
        while started < len(waiting):
            await sleep(0)

    return run


def main() -> None:
    """Makes them, looks at the memory before and after, and leaves them to the process's end."""
    asked = ask(number=COUNT)
    make = prepare(asked, with_greenlets, with_tasks)
    make(WARM_UP)
    settle()
    before = memory()
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    make(asked.number)
    cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
    after = memory()
    finish(
        {
            "rss": (after["rss"] - before["rss"]) / asked.number,
            "page_tables": (after["page_tables"] - before["page_tables"]) / asked.number,
            "cpu_ns": cpu / asked.number,
            "wall_ns": wall / asked.number,
        }
    )


if __name__ == "__main__":
    main()
