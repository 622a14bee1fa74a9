"""Twenty greenlets wait for twenty answers of a second by drivers written in C: it takes a second, and not twenty.

What it took is printed: ``pytest -rP`` shows it. On an idle machine both times are below 1.5 s.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from databases import MariaDB, Postgres
from native.slow_door import DELAY, slow_door
from programs import facts

AT_ONCE = Path(__file__).parent / "apps" / "at_once.py"

#: Seconds, on a busy machine. One after the other, the twenty answers take 20.
LIMIT = 5


def _check(python: Path, *arguments: str) -> None:
    told = facts(python, AT_ONCE, *arguments)
    print(arguments, told)
    assert told["right"] is True
    assert told["asking"] < LIMIT, told
    assert told["connecting"] < LIMIT, told


@pytest.fixture(params=["native", "all"])
def way(request: pytest.FixtureRequest) -> str:
    """What is patched: only the C code, or the standard library as well."""
    chosen: str = request.param
    return chosen


@pytest.mark.parametrize("where", ["by_socket", "by_tcp", "by_tls"])
@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_of_postgresql(drivers_python: Path, postgres: Postgres, driver: str, where: str, way: str) -> None:
    _check(drivers_python, way, driver, getattr(postgres, where))


@pytest.mark.parametrize("where", ["by_socket", "by_tcp"])
def test_of_mariadb(mysql_python: Path, mariadb: MariaDB, where: str, way: str) -> None:
    _check(mysql_python, way, "mysqlclient", getattr(mariadb, where))


def test_of_a_site(drivers_python: Path, slow_site: str, way: str) -> None:
    _check(drivers_python, way, "pycurl", slow_site)


@pytest.mark.parametrize(
    ("driver", "way"),
    # Psycopg waits for its connections in Python, by a selector.
    [("psycopg2", "native"), ("psycopg2", "all"), ("psycopg", "all")],
)
def test_slow_connections_to_postgresql_are_made_at_once(
    drivers_python: Path, postgres: Postgres, driver: str, way: str
) -> None:
    with slow_door(postgres.port) as port:
        told = facts(drivers_python, AT_ONCE, way, driver, postgres.at(port))
    print(driver, way, told)
    assert told["right"] is True
    assert DELAY <= told["connecting"] < LIMIT, "one after the other takes 10 s"


def test_slow_connections_to_mariadb_are_made_at_once(mysql_python: Path, mariadb: MariaDB, way: str) -> None:
    with slow_door(mariadb.port) as port:
        told = facts(mysql_python, AT_ONCE, way, "mysqlclient", mariadb.at(port))
    print(way, told)
    assert told["right"] is True
    assert DELAY <= told["connecting"] < LIMIT, "one after the other takes 10 s"


def test_drivers_that_are_loaded_already_are_patched_as_well(
    drivers_python: Path, mysql_python: Path, postgres: Postgres, mariadb: MariaDB, slow_site: str
) -> None:
    _check(drivers_python, "late", "psycopg2", postgres.by_tcp)
    _check(drivers_python, "late", "psycopg", postgres.by_tcp)
    _check(drivers_python, "late", "pycurl", slow_site)
    _check(mysql_python, "late", "mysqlclient", mariadb.by_tcp)


def test_without_patching_they_wait_for_each_other(drivers_python: Path, postgres: Postgres) -> None:
    told = facts(drivers_python, AT_ONCE, "nothing", "psycopg2", postgres.by_tcp)
    assert told["asking"] >= 20
