"""WAY URL: what psycopg2 can do besides asking: cancel, copy by way of Python functions, and lose its server."""

# mypy: ignore-errors
# ruff: noqa: I001
import patched  # noqa: F401

import io
import json
import sys

import gevent
import psycopg2

url = sys.argv[1]
LINES = 5000


def connect():
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection


def ask(connection, question):
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]


def error_of_a_long_question(connection):
    try:
        ask(connection, "select pg_sleep(30)")
    except psycopg2.Error as error:
        return type(error).__name__


def cancelled():
    """Cancel a question, and return what its greenlet was told, and whether the connection is in order."""
    connection = connect()
    asking = gevent.spawn(error_of_a_long_question, connection)
    gevent.sleep(0.2)
    connection.cancel()
    return [asking.get(timeout=10), ask(connection, "select 7")]


class Thoughtful(io.StringIO):
    """A file that waits each time when libpq's caller reads it."""

    def read(self, size=-1):
        gevent.sleep(0.001)
        return super().read(size)


def copied(_):
    """Copy lines into a table and out again, and return how many there were."""
    connection = connect()
    out = io.StringIO()
    with connection.cursor() as cursor:
        cursor.execute("create temp table lines (number int)")
        cursor.copy_expert("copy lines from stdin", Thoughtful("".join(f"{line}\n" for line in range(LINES))))
        cursor.copy_expert("copy lines to stdout", out)
    connection.close()
    return out.getvalue().count("\n")


def abandoned():
    """End the server's process of a connection, and return what its greenlet was told."""
    connection = connect()
    process = ask(connection, "select pg_backend_pid()")
    asking = gevent.spawn(error_of_a_long_question, connection)
    gevent.sleep(0.2)
    ask(connect(), f"select pg_terminate_backend({process})")
    return [asking.get(timeout=10), connection.closed != 0]


copies = [gevent.spawn(copied, number) for number in range(10)]
facts = {"cancelled": cancelled(), "copied": [copy.get() for copy in copies], "abandoned": abandoned()}
print(json.dumps(facts))
