"""WAY URL: twenty greenlets share the connections of SQLAlchemy's pool, and are interrupted while they wait."""

# mypy: ignore-errors
# ruff: noqa: I001
import patched  # noqa: F401

import json
import sys
import time

import gevent
import sqlalchemy

engine = sqlalchemy.create_engine(sys.argv[1].replace(":", "+psycopg2:", 1), pool_size=10, max_overflow=0)
QUESTION = sqlalchemy.text("select cast(:number as int) from pg_sleep(:seconds)")


def ask(number, seconds=0.5):
    with engine.connect() as connection:
        return connection.scalar(QUESTION, {"number": number, "seconds": seconds})


def at_once():
    begun = time.monotonic()
    greenlets = [gevent.spawn(ask, number) for number in range(20)]
    assert [greenlet.get() for greenlet in greenlets] == list(range(20))
    return time.monotonic() - begun


def cut_short(number):
    with gevent.Timeout(0.1, False):
        return ask(number, 30)
    return "cut short"


facts = {"before": at_once()}
greenlets = [gevent.spawn(cut_short, number) for number in range(10)]
facts["cut short"] = [greenlet.get() for greenlet in greenlets]
# Connections that were interrupted are replaced.
facts["after"] = at_once()
facts["checked out"] = engine.pool.checkedout()
print(json.dumps(facts))
