"""A hundred connections under load, kills and time limits thrown in: the table has what the clients were told."""

from __future__ import annotations

from pathlib import Path

import pytest

from databases import Postgres
from programs import facts

POOL = Path(__file__).parent / "apps" / "pool_under_kills.py"


@pytest.mark.parametrize(("way", "where"), [("native", "by_tcp"), ("all", "by_socket"), ("native", "by_tls")])
def test_no_row_is_lost_and_none_comes_from_nowhere(
    drivers_python: Path, postgres: Postgres, way: str, where: str
) -> None:
    told = facts(drivers_python, POOL, way, getattr(postgres, where), "5", "20")
    print(told)
    assert told["lost"] == []
    assert told["never committed"] == []
    assert told["never sent"] == []
    assert told["connections too many"] == 0
    # It was a test: there was a load, and there were interruptions everywhere.
    assert told["rows"]["committed"] > 100
    assert told["rows"]["not committed"] > 20
    assert told["rows"]["unknown"] > 0
    assert min(told["events"][event] for event in ("killed", "timed out", "replaced", "kept")) > 5
