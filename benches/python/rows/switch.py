"""Two greenlets hand a value back and forth in tight loops. An operation is one switch; a turn is two."""

from collections.abc import Callable
from itertools import repeat

from measure import Module, ask, timed


def prepare(module: Module) -> Callable[[int], None]:
    """The main greenlet's side of the game; the child's is running already."""
    back = module.getcurrent().switch
    ball = object()

    def child(value: object) -> None:
        while True:
            value = back(value)

    forth = module.greenlet(child).switch
    forth(ball)

    def run(turns: int) -> None:
        value: object = ball
        for _ in repeat(None, turns):
            value = forth(value)
        if value is not ball:
            raise RuntimeError("the value did not come back")

    return run


if __name__ == "__main__":
    asked = ask()
    timed(asked, prepare(asked.module), per_turn=2)
