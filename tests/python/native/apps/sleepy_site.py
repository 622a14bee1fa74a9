"""A site for gunicorn: each page is a question to PostgreSQL that takes half a second."""

# mypy: ignore-errors
# ruff: noqa: E402
from gevent import monkey

monkey.patch_native()

import os

import psycopg2


def application(environ, start_response):
    connection = psycopg2.connect(os.environ["DATABASE"])
    with connection.cursor() as cursor:
        cursor.execute("select 'slept' from pg_sleep(0.5)")
        answer = cursor.fetchone()[0]
    connection.close()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer.encode()]
