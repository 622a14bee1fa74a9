"""A pool of a hundred runs functions that return at once. An operation is one of them.

`spawn` waits when the pool is full, so the greenlets run while more are spawned.
"""

from itertools import repeat

from apis import GreenletRun, compare
from measure import Module

SIZE = 100


def with_greenlets(gevent: Module) -> GreenletRun:
    """`spawn` of the pool, and `join` at the end."""
    pool = gevent.pool.Pool(SIZE)
    spawn = pool.spawn
    ran = 0

    def body() -> None:
        nonlocal ran
        ran += 1

    def run(turns: int) -> None:
        before = ran
        for _ in repeat(None, turns):
            spawn(body)
        pool.join()
        if ran - before != turns:
            raise RuntimeError(f"{ran - before} of {turns} greenlets ran")

    return run


if __name__ == "__main__":
    compare(with_greenlets)
