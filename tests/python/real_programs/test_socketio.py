"""Flask-SocketIO on gevent's WSGI server, with gevent-websocket, and fifty of its clients in one patched process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes import running
from programs import run

APPS = Path(__file__).parent / "apps"


@pytest.fixture
def shouting_site(programs_python: Path, tmp_path: Path) -> Iterator[str]:
    with running(programs_python, APPS / "shouting_site.py", log=tmp_path / "log") as site:
        port = site.wait_for(r"listening on (\d+)")[1]
        yield f"http://127.0.0.1:{port}"
        assert "Traceback" not in site.said


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_fifty_clients_are_answered_at_once(
    programs_python: Path, shouting_site: str, transport: str
) -> None:
    done = run(programs_python, APPS / "sayers.py", shouting_site, transport, seconds=120)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["shouts"] == [f"HELLO FROM {number}" for number in range(50)]
    assert facts["seconds"] < 5, "one after the other takes 10"
