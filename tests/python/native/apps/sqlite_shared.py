"""WAY FILE: two share a connection of SQLite: one waits for a lock of the file in it when the other one comes.

With WAY ``nothing`` they are threads. Prints who came to an end when, and how a time limit ends such a wait.
"""

# mypy: ignore-errors
# ruff: noqa: I001
import patched

import json
import sqlite3
import sys
import threading
import time

import gevent

way, path = patched.way, sys.argv[1]


def connect(**options):
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, **options)


def begin():
    shared.execute("begin immediate")
    events.append("the lock")


def look():
    events.append(shared.execute("select count(*) from rows").fetchone()[0])


def two_at_once(first, second):
    if way == "nothing":
        start, sleep = (
            lambda function: [thread := threading.Thread(target=function), thread.start()][0],
            time.sleep,
        )
    else:
        start, sleep = gevent.spawn, gevent.sleep
    running = []
    for function in (first, second):
        running.append(start(function))
        sleep(0.2)
    events.append("unlocked")
    other.execute("commit")
    for one in running:
        one.join()


shared, other = connect(timeout=20), connect()
other.execute("create table rows (number)")
other.execute("begin immediate")
events = []
two_at_once(begin, look)
shared.execute("commit")
facts = {"events": events}

if way != "nothing":
    other.execute("begin immediate")
    begun = time.monotonic()
    with gevent.Timeout(0.3, False):
        shared.execute("begin immediate")
        raise AssertionError("it is locked")
    facts["seconds"] = time.monotonic() - begun
    other.execute("commit")
    # A time limit leaves the connection as it was.
    shared.execute("begin immediate")
    shared.execute("insert into rows values (1)")
    shared.execute("commit")
    facts["rows"] = other.execute("select count(*) from rows").fetchone()[0]
print(json.dumps(facts))
