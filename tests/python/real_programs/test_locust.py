"""Locust, which is built on gevent: fifty users on a slow site at once, and a report in the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from programs import run

BROWSERS = Path(__file__).parent / "apps" / "browsers.py"


@pytest.mark.parametrize("slow_site", ["http"], indirect=True)
def test_fifty_users_load_a_slow_site(programs_python: Path, slow_site: str, tmp_path: Path) -> None:
    options = ["--headless", "--json", "-u", "50", "-r", "50", "-t", "2s", "--stop-timeout", "30"]
    done = run(
        *(programs_python, "-m", "locust", "-f", BROWSERS),
        *("--host", slow_site, *options),
        cwd=tmp_path,
        env={"HOME": str(tmp_path)},
        seconds=120,
    )
    assert done.returncode == 0, done.stderr
    report = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert set(report) == {"requests", "geventhttpclient"}
    assert [entry["num_failures"] for entry in report.values()] == [0, 0]
    requests = sum(entry["num_requests"] for entry in report.values())
    assert requests >= 50, "one after the other there is time for ten"
