"""One greenlet puts items into a channel, another takes them. An operation is one item.

A channel holds nothing: `put` returns when somebody has the item.
"""

from itertools import repeat

from apis import GreenletRun, compare
from measure import Module


def with_greenlets(gevent: Module) -> GreenletRun:
    """`gevent.queue.Channel`."""
    channel = gevent.queue.Channel()
    item = object()
    taken = 0

    def take() -> None:
        nonlocal taken
        while True:
            if channel.get() is not item:
                raise RuntimeError("that was something else")
            taken += 1

    taker = gevent.spawn(take)

    def run(turns: int) -> None:
        before = taken
        for _ in repeat(None, turns):
            channel.put(item)
        # Whoever took the last item may not have come to count it.
        gevent.sleep(0)
        if taken - before != turns or taker.dead:
            raise RuntimeError(f"{taken - before} of {turns} items were taken")

    return run


if __name__ == "__main__":
    compare(with_greenlets)
