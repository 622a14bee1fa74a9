"""A row in the two ways there are to say it: with greenlets, as gevent has them, and with asyncio's tasks.

gevent and greenloom run the same text, and so do asyncio and uvloop. A row that asks the kernel has a third: bare
system calls around epoll, which show how much of it is the kernel's.
"""

import importlib
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable

from measure import Asked, Module, ask, timed

# What `run(turns)` is in each of the two.
GreenletRun = Callable[[int], None]
TaskRun = Callable[[int], Awaitable[None]]
WithGreenlets = Callable[[Module], GreenletRun]
WithTasks = Callable[[AbstractEventLoop], TaskRun]

_TASKS = ("asyncio", "uvloop")
_BARE = "select"
_PARTS = ("event", "local", "lock", "pool", "queue", "socket")


def compare(
    greenlets: WithGreenlets,
    tasks: WithTasks | None = None,
    bare: Callable[[], GreenletRun] | None = None,
    *,
    per_turn: int = 1,
) -> None:
    """Measures the one that is asked for, and ends the process; a turn is `per_turn` operations."""
    asked = ask()
    run = bare() if bare and is_bare(asked) else prepare(asked, greenlets, tasks)
    timed(asked, run, per_turn)


def prepare(asked: Asked, greenlets: WithGreenlets, tasks: WithTasks | None) -> GreenletRun:
    """The one that is asked for, as a function that returns when its turns are done."""
    if not uses_tasks(asked):
        return greenlets(package(asked))
    if tasks is None:
        raise SystemExit(f"{asked.name} has nothing like it")
    loop = new_loop(asked)
    run_turns = tasks(loop)

    def run(turns: int) -> None:
        loop.run_until_complete(_awaited(run_turns, turns))

    return run


def uses_tasks(asked: Asked) -> bool:
    """Whether asyncio or uvloop is to be measured."""
    return asked.name in _TASKS


def is_bare(asked: Asked) -> bool:
    """Whether system calls alone are to be measured."""
    return asked.name == _BARE


def package(asked: Asked) -> Module:
    """gevent or greenloom, with the modules that the rows use imported as its attributes."""
    for part in _PARTS:
        importlib.import_module(f"{asked.name}.{part}")
    return asked.module


def new_loop(asked: Asked) -> AbstractEventLoop:
    """A loop of asyncio or uvloop."""
    loop: AbstractEventLoop = asked.module.new_event_loop()
    return loop


async def _awaited(run: TaskRun, turns: int) -> None:
    await run(turns)
