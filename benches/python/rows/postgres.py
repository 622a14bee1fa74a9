"""PostgreSQL with psycopg2, or asyncpg for those who await: `select 1` on each connection. An operation is a query.

Both in autocommit, as asyncpg is anyway. psycopg2 sends the text; asyncpg has prepared it before and sends numbers.
"""

from collections.abc import Callable

import drivers
from apis import new_loop, uses_tasks
from drivers import Connection
from measure import Asked, ask

CONNECTIONS = 20


def prepare(asked: Asked, query: str, answer: object) -> Callable[[int], None]:
    """What does so many turns of `query`."""
    drivers.take_turns()
    if uses_tasks(asked):
        return _with_asyncpg(asked, query, answer)
    import psycopg2

    if asked.name == "gevent":
        from psycogreen.gevent import patch_psycopg

        patch_psycopg()
    connections = [psycopg2.connect(asked.server) for _ in range(asked.number)]
    for connection in connections:
        connection.autocommit = True
    drivers.patch_native(asked)

    def once(connection: Connection) -> None:
        with connection.cursor() as cursor:
            cursor.execute(query)
            if cursor.fetchone() != (answer,):
                raise RuntimeError("something else came back")

    return drivers.blocking(asked, connections, once)


def _with_asyncpg(asked: Asked, query: str, answer: object) -> Callable[[int], None]:
    import asyncpg

    loop = new_loop(asked)

    async def connect() -> list[Connection]:
        return [await asyncpg.connect(asked.server) for _ in range(asked.number)]

    async def once(connection: Connection) -> None:
        if await connection.fetchval(query) != answer:
            raise RuntimeError("something else came back")

    return drivers.with_tasks(loop, loop.run_until_complete(connect()), once)


if __name__ == "__main__":
    asked = ask(number=CONNECTIONS)
    drivers.timed(asked, prepare(asked, "select 1", 1))
