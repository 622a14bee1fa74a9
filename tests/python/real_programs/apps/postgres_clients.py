"""Fifty greenlets ask PostgreSQL for an answer that takes 0.2 s: by psycopg2, and by SQLAlchemy's pool."""

# mypy: ignore-errors
# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import json
import sys
import time
from collections.abc import Callable

import gevent
import psycogreen.gevent
import psycopg2
import sqlalchemy
import underneath
from gevent.pool import Pool

psycogreen.gevent.patch_psycopg()
url = sys.argv[1]
QUESTION = "select {} from pg_sleep(0.2)"


def psycopg2_connections(number: int) -> int:
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(QUESTION.format("%s"), (number,))
        (answer,) = cursor.fetchone()
    connection.close()
    return answer


# Fewer connections than greenlets, which wait for their turn.
engine = sqlalchemy.create_engine(url.replace(":", "+psycopg2:", 1), pool_size=25, max_overflow=0)


def sqlalchemy_pool(number: int) -> int:
    with engine.connect() as connection:
        return connection.scalar(sqlalchemy.text(QUESTION.format("cast(:number as int)")), {"number": number})


def seconds_of(ask: Callable[[int], int]) -> float:
    begun = time.monotonic()
    answers = Pool(50).map(ask, range(50))
    assert answers == list(range(50)), answers
    return time.monotonic() - begun


def is_cut_short() -> bool:
    """Whether a time-out ends a query, which would take a minute."""
    connection = psycopg2.connect(url)
    begun = time.monotonic()
    with gevent.Timeout(0.2, False):
        connection.cursor().execute("select pg_sleep(60)")
    connection.close()
    return time.monotonic() - begun < 30


assert underneath.is_greenloom()
facts = {ask.__name__: seconds_of(ask) for ask in (psycopg2_connections, sqlalchemy_pool)}
print(json.dumps({**facts, "cut short": is_cut_short()}))
