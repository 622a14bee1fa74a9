"""WAY URL SECONDS SEED: workers insert rows over a pool of connections, and are killed and timed out at random.

In the end the table is compared with what the workers were told. Of each row one knows its fate: its transaction
was committed, because ``commit()`` returned; or it was not, because nobody came to call it; or that is unknown.
"""

# mypy: ignore-errors
# ruff: noqa: I001
import patched  # noqa: F401

import json
import sys
from collections import Counter
from itertools import count
from random import Random

import gevent
import psycopg2
from gevent.queue import Queue

url, seconds, seed = sys.argv[1:]
CONNECTIONS, WORKERS = 100, 300
chance = Random(int(seed))
numbers = count()
fates = {}
events = Counter()
pool = Queue()
over = False


class Slow(BaseException):
    """A worker had too little time."""


def connect():
    connection = psycopg2.connect(url)
    pool.put(connection)


def give_back(connection):
    """Do what pools do after an error: keep what can be rolled back and answers, replace what does not."""
    try:
        connection.rollback()
        number = next(numbers)
        # Not for the answer to what was interrupted. Where that was BEGIN, rolling back asks nothing.
        with connection.cursor() as cursor:
            cursor.execute("select %s", (number,))
            answer = cursor.fetchone()[0]
            assert answer == number, f"{number} was asked, and {answer} answered"
        connection.rollback()
    except psycopg2.Error:
        events["replaced"] += 1
        connection.close()
        connect()
    else:
        events["kept"] += 1
        pool.put(connection)


def transact(connection, rows):
    with connection.cursor() as cursor:
        for row in rows:
            cursor.execute("insert into told values (%s) returning id", (row,))
            answer = cursor.fetchone()[0]
            assert answer == row, f"{row} was asked, and {answer} answered"
            # Here nobody is in C code.
            gevent.sleep(chance.choice((0, 0, 0, 0.01)))
        if chance.random() < 0.2:
            cursor.execute("select pg_sleep(%s)", (chance.random() / 10,))
    fates.update(dict.fromkeys(rows, "unknown"))
    connection.commit()
    fates.update(dict.fromkeys(rows, "committed"))


def work():
    while not over:
        connection = pool.get()
        rows = [next(numbers) for _ in range(chance.randint(1, 3))]
        fates.update(dict.fromkeys(rows, "not committed"))
        patience = chance.random() / 20 if chance.random() < 0.3 else None
        try:
            with gevent.Timeout(patience, Slow):
                transact(connection, rows)
        except Slow:
            events["timed out"] += 1
            gevent.spawn(give_back, connection)
        except BaseException:
            # Who is killed leaves that to another.
            gevent.spawn(give_back, connection)
            raise
        else:
            pool.put(connection)


def kill():
    """Kill a worker every few milliseconds, and let another take its place."""
    while not over:
        gevent.sleep(chance.random() / 100)
        place = chance.randrange(WORKERS)
        workers[place].kill(block=False)
        events["killed"] += 1
        ended.append(workers[place])
        workers[place] = gevent.spawn(work)


def table():
    """Return the rows that there are when every other connection has ended."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        others = True
        while others:
            gevent.sleep(0.05)
            cursor.execute("select count(*) - 1 from pg_stat_activity where backend_type = 'client backend'")
            others = cursor.fetchone()[0]
        cursor.execute("select id from told")
        return {row for (row,) in cursor}


setup = psycopg2.connect(url)
with setup, setup.cursor() as cursor:
    cursor.execute("drop table if exists told; create table told (id bigint primary key)")
setup.close()
gevent.joinall([gevent.spawn(connect) for _ in range(CONNECTIONS)], raise_error=True)
workers, ended = [gevent.spawn(work) for _ in range(WORKERS)], []
killer = gevent.spawn(kill)
gevent.sleep(float(seconds))
over = True
# A worker that waits for a connection gets one from those that end.
gevent.joinall([killer, *workers, *ended], raise_error=True)
with gevent.Timeout(10):
    returned = [pool.get() for _ in range(CONNECTIONS)]
for connection in returned:
    connection.close()

there = table()
of_fate = {
    fate: {row for row in fates if fates[row] == fate} for fate in ("committed", "not committed", "unknown")
}
print(
    json.dumps(
        {
            "lost": sorted(of_fate["committed"] - there),
            "never committed": sorted(there & of_fate["not committed"]),
            "never sent": sorted(there - fates.keys()),
            "rows": {fate: len(rows) for fate, rows in of_fate.items()},
            "connections too many": pool.qsize(),
            "events": events,
        }
    )
)
