"""The same game as in `switch`, but both sides play it below nested calls through C.

Since 3.11 a Python function that calls another takes no C stack, so the nesting has to go through C: `map`
calls the next level. Who keeps stacks by copying them has to copy all of these frames at each switch: one
side's away and the other's back.
"""

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import TypeVar

from measure import Module, ask, timed

LEVELS = 20

T = TypeVar("T")


def below(levels: int, call: Callable[[], T]) -> T:
    """What `call` returns, called below so many levels of `next` and `map`."""
    if levels == 0:
        return call()
    deeper: Iterator[T] = map(below, (levels - 1,), (call,))
    return next(deeper)


def prepare(module: Module, levels: int) -> Callable[[int], None]:
    """The main greenlet's side; it goes down once per run, as the child did once."""
    back = module.getcurrent().switch
    ball = object()

    def child(value: object) -> None:
        def play() -> None:
            nonlocal value
            while True:
                value = back(value)

        below(levels, play)

    # The child starts here, above main's nested calls: were it started below them, its stack would not
    # overlap them, and there would be nothing of main's to copy.
    forth = module.greenlet(child).switch
    forth(ball)

    def run(turns: int) -> None:
        def play() -> object:
            value: object = ball
            for _ in repeat(None, turns):
                value = forth(value)
            return value

        if below(levels, play) is not ball:
            raise RuntimeError("the value did not come back")

    return run


if __name__ == "__main__":
    asked = ask(number=LEVELS)
    timed(asked, prepare(asked.module, asked.number), per_turn=2)
