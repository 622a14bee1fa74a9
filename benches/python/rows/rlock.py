"""A lock that its owner may take again, and that nobody else wants, is taken and let go by `with`."""

from itertools import repeat

from apis import GreenletRun, compare
from measure import Module


def with_greenlets(gevent: Module) -> GreenletRun:
    """`gevent.lock.RLock`."""
    lock = gevent.lock.RLock()

    def run(turns: int) -> None:
        held = 0
        for _ in repeat(None, turns):
            with lock:
                held += 1
        if held != turns or lock.locked():
            raise RuntimeError("it was not released")

    return run


if __name__ == "__main__":
    compare(with_greenlets)
