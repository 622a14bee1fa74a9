"""Time limits and kills end a wait in a driver's C code, and harm nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from databases import MariaDB, Postgres
from programs import facts

INTERRUPTED = Path(__file__).parent / "apps" / "interrupted.py"


@pytest.fixture(params=["native", "all"])
def way(request: pytest.FixtureRequest) -> str:
    """What is patched: only the C code, or the standard library as well."""
    chosen: str = request.param
    return chosen


def _check(told: dict[str, Any]) -> None:
    print(told)
    # Everything that was interrupted would have taken 30 s.
    assert 0.3 <= told["timed out"] < 1
    assert 0.2 <= told["limited silently"] < 1
    killed = told["killed"]
    assert killed.pop("seconds") < 0.7
    assert killed == {"dead": True, "met": ["GreenletExit"], "value": "GreenletExit()"}
    # Twenty milliseconds each, and a connection.
    assert told["a hundred"] < 30
    # The others went on all the time, each with an answer every 10 ms if the machine has the time.
    assert min(told["others"]) > 20
    assert told["turns"] > 20
    assert told["longest turn"] < 1


@pytest.mark.parametrize("where", ["by_socket", "by_tcp", "by_tls"])
@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_waits_for_postgresql(
    drivers_python: Path, postgres: Postgres, driver: str, where: str, way: str
) -> None:
    told = facts(drivers_python, INTERRUPTED, way, driver, getattr(postgres, where))
    _check(told)
    assert told["asked again"] == "error", "the answer to another question would be worse"


def test_waits_for_mariadb(mysql_python: Path, mariadb: MariaDB, way: str) -> None:
    told = facts(mysql_python, INTERRUPTED, way, "mysqlclient", mariadb.by_tcp)
    _check(told)
    assert told["asked again"] == "error"


def test_waits_for_a_site(drivers_python: Path, slow_site: str, way: str) -> None:
    told = facts(drivers_python, INTERRUPTED, way, "pycurl", slow_site)
    _check(told)
    # A handle connects anew.
    assert told["asked again"] == 2
