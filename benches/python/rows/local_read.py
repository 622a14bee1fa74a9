"""An attribute of a greenlet-local object is read. An operation is one read; a turn is ten in a row.

It is done in a greenlet that has set the attribute, as main may be a special case.
"""

from itertools import repeat

from apis import GreenletRun, compare
from measure import Module

READS = 10


def with_greenlets(gevent: Module) -> GreenletRun:
    """`gevent.local.local`."""
    mine = gevent.local.local()
    given = object()

    def body(turns: int) -> object:
        mine.value = given
        value = None
        for _ in repeat(None, turns):
            value = mine.value
            value = mine.value
            value = mine.value
            value = mine.value
            value = mine.value
            value = mine.value
            value = mine.value
            value = mine.value
            value = mine.value
            value = mine.value
        return value

    def run(turns: int) -> None:
        if gevent.spawn(body, turns).get() is not given:
            raise RuntimeError("the value did not come back")

    return run


if __name__ == "__main__":
    compare(with_greenlets, per_turn=READS)
