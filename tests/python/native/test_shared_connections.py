"""Two greenlets on one connection get what two threads get: their turns, or the driver's error. Never a deadlock."""

from __future__ import annotations

from pathlib import Path

import pytest

from databases import MariaDB, Postgres
from programs import facts

SHARED = Path(__file__).parent / "apps" / "shared.py"


@pytest.mark.parametrize(
    ("way", "driver"),
    # The lock of psycopg is one of Python's: greenlets have to know of it.
    [("native", "psycopg2"), ("all", "psycopg2"), ("all", "psycopg")],
)
def test_of_postgresql_they_take_turns(
    drivers_python: Path, postgres: Postgres, way: str, driver: str
) -> None:
    told = facts(drivers_python, SHARED, way, driver, postgres.by_tcp)
    assert told["answers"] == [list(range(5)), list(range(100, 105))]
    # Nobody else waited for the lock with them.
    assert told["ticks"] > 20
    assert told["seconds"] >= 1, "ten answers of 0.1 s, one after the other"


@pytest.mark.parametrize("way", ["native", "all"])
def test_of_mariadb_both_come_to_an_end(mysql_python: Path, mariadb: MariaDB, way: str) -> None:
    # The driver's threads must not share one. It says so, or mixes up their answers.
    told = facts(mysql_python, SHARED, way, "mysqlclient", mariadb.by_tcp)
    print(told)
    assert [len(answers) for answers in told["answers"]] == [5, 5]


@pytest.mark.parametrize("way", ["native", "all"])
def test_a_handle_of_curl_is_in_use(drivers_python: Path, slow_site: str, way: str) -> None:
    told = facts(drivers_python, SHARED, way, "pycurl", slow_site)
    first, second = told["answers"]
    assert first == list(range(5))
    assert set(second) <= {"error", *range(100, 105)}
    assert "error" in second
