"""Many suspended greenlets in a ring, each switching to the next; the last one hands over to main.

With so many of them it is the caches that are measured: each switch comes to a stack not seen for a whole
lap.
"""

from collections.abc import Callable
from itertools import repeat
from typing import Any

from measure import Module, ask, settle, timed

COUNT = 10_000


def prepare(module: Module, count: int) -> Callable[[int], None]:
    """Main's part: it sets off a lap and gets it back."""
    back = module.getcurrent().switch
    laps = 0

    def member(following: Callable[[], object]) -> None:
        back()
        while True:
            following()

    def last() -> None:
        nonlocal laps
        back()
        while True:
            laps += 1
            back()

    def started(body: Callable[..., None], *args: Callable[[], object]) -> Any:
        greenlet = module.greenlet(body)
        greenlet.switch(*args)
        return greenlet

    members = [started(last)]
    for _ in range(count - 1):
        members.append(started(member, members[-1].switch))
    first = members[-1].switch
    settle()

    def run(turns: int) -> None:
        before = laps
        for _ in repeat(None, turns):
            first()
        if laps - before != turns:
            raise RuntimeError(f"{laps - before} of {turns} laps came to their end")

    return run


if __name__ == "__main__":
    asked = ask(number=COUNT)
    # A lap is a switch to each member and one back to main.
    timed(asked, prepare(asked.module, asked.number), per_turn=asked.number + 1)
