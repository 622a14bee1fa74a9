"""An exception is thrown into a suspended greenlet, which catches it and switches back.

An operation is both switches. The exception is one and the same each time, so that making one is not part of
the figure.
"""

from collections.abc import Callable
from itertools import repeat

from measure import Module, ask, timed


class ThrownError(Exception):
    """What is thrown."""


def prepare(module: Module) -> Callable[[int], None]:
    """The thrower; the catcher waits already."""
    back = module.getcurrent().switch
    caught = object()
    thrown = ThrownError()

    def catcher() -> None:
        answer = None
        while True:
            try:
                back(answer)
            except ThrownError:
                answer = caught

    child = module.greenlet(catcher)
    child.switch()
    throw = child.throw

    def run(turns: int) -> None:
        value = None
        for _ in repeat(None, turns):
            value = throw(thrown)
        if value is not caught:
            raise RuntimeError("the exception was not caught")

    return run


if __name__ == "__main__":
    asked = ask()
    timed(asked, prepare(asked.module))
