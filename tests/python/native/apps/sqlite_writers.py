"""WAY SECONDS FILE: three greenlets write to one database of SQLite, and keep it locked while they sleep.

SQLite asks every now and then whether the lock is free, for so many seconds, and sleeps in between, in C.
"""

# mypy: ignore-errors
# ruff: noqa: I001
import patched  # noqa: F401

import itertools
import json
import sqlite3
import sys
import time

import gevent

seconds, path = float(sys.argv[1]), sys.argv[2]


def write(writer):
    connection = sqlite3.connect(path, timeout=seconds, isolation_level=None)
    for number in range(5):
        connection.execute("begin immediate")
        connection.execute("insert into rows values (?, ?)", (writer, number))
        gevent.sleep(0.05)
        connection.execute("commit")
    connection.close()


def tick():
    while not over:
        gevent.sleep(0.01)
        ticks.append(time.monotonic())


setup = sqlite3.connect(path, isolation_level=None)
setup.execute("create table rows (writer, number)")
over, ticks = [], [time.monotonic()]
ticker = gevent.spawn(tick)
writers = [gevent.spawn(write, writer) for writer in range(3)]
gevent.joinall(writers)
over.append(True)
ticker.join()
facts = {
    "errors": sorted(str(writer.exception) for writer in writers if writer.exception),
    "rows": setup.execute("select writer, number from rows order by writer, number").fetchall(),
    "longest turn": max(after - before for before, after in itertools.pairwise(ticks)),
}
print(json.dumps(facts))
