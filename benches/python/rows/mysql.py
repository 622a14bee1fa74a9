"""MariaDB with mysqlclient: `select 1` on each connection. An operation is a query.

gevent knows no way to make it cooperate: its greenlets wait one after the other.
"""

import drivers
from drivers import Connection
from measure import ask

CONNECTIONS = 20


def once(connection: Connection) -> None:
    """One query."""
    cursor = connection.cursor()
    cursor.execute("select 1")
    if cursor.fetchone() != (1,):
        raise RuntimeError("something else came back")
    cursor.close()


if __name__ == "__main__":
    asked = ask(number=CONNECTIONS)
    drivers.take_turns()
    import MySQLdb

    connections = [
        MySQLdb.connect(unix_socket=asked.server, user="root", autocommit=True) for _ in range(asked.number)
    ]
    drivers.patch_native(asked)
    drivers.timed(asked, drivers.blocking(asked, connections, once))
