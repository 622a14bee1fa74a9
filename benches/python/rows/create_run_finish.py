"""A greenlet is made, runs a function that returns at once, and is gone. An operation is all of that."""

from collections.abc import Callable
from itertools import repeat

from measure import Module, ask, timed


def prepare(module: Module) -> Callable[[int], None]:
    """The loop that makes them."""
    greenlet = module.greenlet
    result = object()

    def body() -> object:
        return result

    def run(turns: int) -> None:
        value = None
        for _ in repeat(None, turns):
            value = greenlet(body).switch()
        if value is not result:
            raise RuntimeError("the result did not come back")

    return run


if __name__ == "__main__":
    asked = ask()
    timed(asked, prepare(asked.module))
