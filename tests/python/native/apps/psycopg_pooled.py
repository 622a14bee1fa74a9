"""WAY URL: twenty greenlets share the connections of psycopg's own pool, whose threads are greenlets too."""

# mypy: ignore-errors
# ruff: noqa: I001
import patched  # noqa: F401

import json
import sys
import time

import gevent
from psycopg_pool import ConnectionPool


def ask(number):
    with pool.connection() as connection:
        return connection.execute("select %s::int from pg_sleep(0.5)", (number,)).fetchone()[0]


with ConnectionPool(sys.argv[1], min_size=10, max_size=10, open=True) as pool:
    pool.wait()
    begun = time.monotonic()
    greenlets = [gevent.spawn(ask, number) for number in range(20)]
    answers = [greenlet.get() for greenlet in greenlets]
    seconds = time.monotonic() - begun
print(json.dumps({"right": answers == list(range(20)), "seconds": seconds}))
