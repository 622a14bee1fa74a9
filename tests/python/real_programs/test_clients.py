"""Clients that block, each in fifty greenlets of one patched process: they wait together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from programs import run

HERE = Path(__file__).parent
CERTIFICATE = HERE.parent / "gevent_api" / "localhost.pem"

#: Seconds. One after the other, fifty answers of 0.2 s take 10.
AT_ONCE = 5


def _facts(python: Path, app: str, *arguments: str | Path) -> dict[str, Any]:
    done = run(python, HERE / "apps" / app, *arguments, seconds=120)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_requests_and_httpx_fetch_fifty_slow_pages_at_once(programs_python: Path, slow_site: str) -> None:
    seconds = _facts(programs_python, "http_clients.py", slow_site, CERTIFICATE)
    assert set(seconds) == {"requests_get", "requests_session", "httpx_client"}
    assert max(seconds.values()) < AT_ONCE, seconds


def test_redis_operations_that_block_keep_nobody_else_waiting(programs_python: Path, redis_url: str) -> None:
    facts = _facts(programs_python, "redis_clients.py", redis_url)
    assert facts == {"pings": True, "blocking_pops": True, "subscriptions": True, "lock": True}


def test_psycopg2_and_a_pool_of_sqlalchemy_wait_for_fifty_queries_at_once(
    programs_python: Path, postgres_url: str
) -> None:
    facts = _facts(programs_python, "postgres_clients.py", postgres_url)
    assert facts.pop("cut short") is True
    assert set(facts) == {"psycopg2_connections", "sqlalchemy_pool"}
    assert max(facts.values()) < AT_ONCE, facts


def test_zeromq_sockets_are_watched_in_the_loop(programs_python: Path) -> None:
    facts = _facts(programs_python, "zmq_clients.py")
    assert facts["answers"] == list(range(50))
    assert facts["seconds"] < AT_ONCE
