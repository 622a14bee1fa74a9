"""gunicorn with gevent's workers: one process serves many slow requests at once, and stops as it is told."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import pytest

from processes import Program, running

APPS = Path(__file__).parent / "apps"


@pytest.fixture(params=["gevent", "gevent_pywsgi"])
def gunicorn(run_module: list[str], request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    """A gunicorn that has one worker of that class."""
    options = ["--workers", "1", "--worker-class", request.param, "--bind", "127.0.0.1:0", "--chdir", APPS]
    command = [*run_module, "gunicorn", *options, "slow_site:application"]
    with running(*command, log=tmp_path / "log") as program:
        program.wait_for("Booting worker")
        yield program


def _address(gunicorn: Program) -> str:
    return gunicorn.wait_for(r"Listening at: (http://\S+)")[1]


def test_fifty_requests_of_a_fifth_of_a_second_are_served_at_once(gunicorn: Program) -> None:
    url = _address(gunicorn)

    def get(_: int) -> bytes:
        with urlopen(url, timeout=60) as response:
            body: bytes = response.read()
            return body

    with ThreadPoolExecutor(50) as clients:
        # The worker imports the application before it serves the first.
        assert get(0) == b"on greenloom"
        begun = time.monotonic()
        pages = list(clients.map(get, range(50)))
        took = time.monotonic() - begun
    assert pages == [b"on greenloom"] * 50
    assert took < 3, "one after the other takes 10"
    assert gunicorn.status_after(signal.SIGTERM) == 0, gunicorn.said
    assert "Traceback" not in gunicorn.said


@pytest.mark.parametrize("run_module", ["stand-ins"], indirect=True)
def test_a_request_under_way_is_answered_before_it_stops(gunicorn: Program) -> None:
    with urlopen(_address(gunicorn) + "/long", timeout=60) as response:
        assert response.readline() == b"begun\n"
        gunicorn.process.send_signal(signal.SIGTERM)
        gunicorn.wait_for("Handling signal: term")
        assert response.read() == b"done\n"
    assert gunicorn.process.wait(60) == 0, gunicorn.said
