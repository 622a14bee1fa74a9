"""What is measured of unmodified drivers in C below `monkey.patch_native()`, beside what else one can do."""

from catalog import Job, Need, Peer, Row, Suite, Unit

POSTGRES = (Peer.THREADS, Peer.ASYNCPG, Peer.ASYNCPG_UVLOOP)

DRIVERS = Suite(
    "drivers",
    (
        Job(
            "select-1",
            "postgres.py",
            (Row("select-1", "psycopg2, select 1, 20 connections", "cpu_ns", Unit.NANOSECONDS),),
            "20 connections to PostgreSQL by its Unix socket, on each one `select 1` after the other; a query. gevent "
            "has psycogreen's callback for psycopg2; asyncpg is a driver without libpq",
            number=20,
            family="postgres",
            countable=False,
            peers=POSTGRES,
            need=Need.POSTGRES,
        ),
        Job(
            "select-sleep",
            "postgres_sleep.py",
            (Row("select-sleep", "psycopg2, pg_sleep(0.05), 100 connections", "cpu_ns", Unit.NANOSECONDS),),
            "the same with 100 connections and `select pg_sleep(0.05)`; a query",
            number=100,
            family="postgres",
            rounds=3,
            countable=False,
            peers=POSTGRES,
            need=Need.POSTGRES,
        ),
        Job(
            "mysql-select-1",
            "mysql.py",
            (Row("mysql-select-1", "mysqlclient, select 1, 20 connections", "cpu_ns", Unit.NANOSECONDS),),
            "20 connections to MariaDB by its Unix socket, with mysqlclient; a query. gevent has nothing for it: there "
            "the whole thread waits for each answer",
            number=20,
            countable=False,
            peers=(Peer.THREADS,),
            need=Need.MARIADB,
        ),
    ),
    module="gevent",
)
