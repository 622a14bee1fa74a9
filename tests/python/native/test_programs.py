"""Programs above the drivers: pools, a web server, curl for many transfers, and threads."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import pytest

from databases import Postgres
from processes import running
from programs import facts

APPS = Path(__file__).parent / "apps"

#: Seconds, on a busy machine. One after the other, twenty answers of half a second take 10.
LIMIT = 5


@pytest.mark.parametrize("way", ["native", "all"])
def test_curl_waits_for_many_transfers_in_several_greenlets(
    drivers_python: Path, slow_site: str, way: str
) -> None:
    told = facts(drivers_python, APPS / "curl_multi.py", way, slow_site)
    print(told)
    assert told["right"] is True
    # The seven of one greenlet at once, and the three greenlets one after the other, take 3 s; all together 1.
    assert told["seconds"] < 2.8


def test_a_pool_of_sqlalchemy_replaces_what_was_interrupted(drivers_python: Path, postgres: Postgres) -> None:
    told = facts(drivers_python, APPS / "sqlalchemy_pooled.py", "all", postgres.by_tcp)
    print(told)
    assert told["cut short"] == ["cut short"] * 10
    assert told["checked out"] == 0
    assert max(told["before"], told["after"]) < LIMIT


def test_the_pool_of_psycopg_runs_on_greenlets(drivers_python: Path, postgres: Postgres) -> None:
    told = facts(drivers_python, APPS / "psycopg_pooled.py", "all", postgres.by_tcp)
    print(told)
    assert told["right"] is True
    assert told["seconds"] < LIMIT


def test_one_worker_of_gunicorn_waits_for_twenty_answers(
    drivers_python: Path, postgres: Postgres, tmp_path: Path
) -> None:
    options = ["--workers", "1", "--worker-class", "gevent", "--bind", "127.0.0.1:0"]
    where = ["--chdir", str(APPS), "sleepy_site:application"]
    with running(
        *(str(drivers_python), "-m", "gunicorn", *options, *where),
        log=tmp_path / "log",
        env={"DATABASE": postgres.by_tcp},
    ) as gunicorn:
        url = gunicorn.wait_for(r"Listening at: (http://\S+)")[1]

        def get(_: int) -> bytes:
            with urlopen(url, timeout=60) as response:
                body: bytes = response.read()
                return body

        with ThreadPoolExecutor(20) as clients:
            # The worker imports the application before it serves the first.
            assert get(0) == b"slept"
            begun = time.monotonic()
            pages = list(clients.map(get, range(20)))
            took = time.monotonic() - begun
        print(took)
        assert pages == [b"slept"] * 20
        assert took < LIMIT
        assert "Traceback" not in gunicorn.said


def test_threads_use_a_patched_driver_as_if_it_were_not(drivers_python: Path, postgres: Postgres) -> None:
    told = facts(drivers_python, APPS / "threads_meanwhile.py", "native", postgres.by_tcp)
    print(told)
    # One after the other, the fifteen answers take 15 s.
    assert told["all at once"] < LIMIT
    assert told["while the hub is stuck"] == 5
    assert told["one connection"] == {"thread": list(range(5)), "greenlet": list(range(5))}


@pytest.mark.parametrize("way", ["native", "all"])
def test_psycopg2_cancels_copies_and_loses_its_server(
    drivers_python: Path, postgres: Postgres, way: str
) -> None:
    told = facts(drivers_python, APPS / "other_calls.py", way, postgres.by_tcp)
    assert told["cancelled"] == ["QueryCanceled", 7]
    assert told["copied"] == [5000] * 10
    assert told["abandoned"] == ["OperationalError", True]
