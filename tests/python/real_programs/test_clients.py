"""Clients that block, each in fifty greenlets of one patched process: they wait together."""

from __future__ import annotations

from pathlib import Path

from databases import CERTIFICATE
from programs import facts

APPS = Path(__file__).parent / "apps"

#: Seconds. One after the other, fifty answers of 0.2 s take 10.
AT_ONCE = 5


def test_requests_and_httpx_fetch_fifty_slow_pages_at_once(programs_python: Path, slow_site: str) -> None:
    seconds = facts(programs_python, APPS / "http_clients.py", slow_site, CERTIFICATE)
    assert set(seconds) == {"requests_get", "requests_session", "httpx_client"}
    assert max(seconds.values()) < AT_ONCE, seconds


def test_redis_operations_that_block_keep_nobody_else_waiting(programs_python: Path, redis_url: str) -> None:
    told = facts(programs_python, APPS / "redis_clients.py", redis_url)
    assert told == {"pings": True, "blocking_pops": True, "subscriptions": True, "lock": True}


def test_psycopg2_and_a_pool_of_sqlalchemy_wait_for_fifty_queries_at_once(
    programs_python: Path, postgres_url: str
) -> None:
    told = facts(programs_python, APPS / "postgres_clients.py", postgres_url)
    assert told.pop("cut short") is True
    assert set(told) == {"psycopg2_connections", "sqlalchemy_pool"}
    assert max(told.values()) < AT_ONCE, told


def test_zeromq_sockets_are_watched_in_the_loop(programs_python: Path) -> None:
    told = facts(programs_python, APPS / "zmq_clients.py")
    assert told["answers"] == list(range(50))
    assert told["seconds"] < AT_ONCE
