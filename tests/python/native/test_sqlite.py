"""SQLite of the standard library: who waits for a lock of the file sleeps in C, and keeps nobody else waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from programs import facts

APPS = Path(__file__).parent / "apps"


@pytest.mark.parametrize("way", ["native", "all"])
def test_three_writers_wait_for_each_other_and_for_nobody_else(
    drivers_python: Path, tmp_path: Path, way: str
) -> None:
    told = facts(drivers_python, APPS / "sqlite_writers.py", way, "20", tmp_path / "rows")
    print(told)
    assert told["errors"] == []
    assert told["rows"] == [[writer, number] for writer in range(3) for number in range(5)]
    assert told["longest turn"] < 1


def test_without_patching_the_lock_cannot_become_free(drivers_python: Path, tmp_path: Path) -> None:
    # Who has it sleeps, and who wants it keeps the thread until it has no patience left.
    told = facts(drivers_python, APPS / "sqlite_writers.py", "nothing", "1", tmp_path / "rows")
    assert told["errors"] == ["database is locked"] * 2
    assert told["longest turn"] > 1


@pytest.mark.parametrize("way", ["nothing", "native", "all"])
def test_who_shares_a_connection_waits_for_the_other_like_a_thread(
    drivers_python: Path, tmp_path: Path, way: str
) -> None:
    told = facts(drivers_python, APPS / "sqlite_shared.py", way, tmp_path / "rows")
    first, *rest = told.pop("events")
    assert first == "unlocked"
    assert sorted(map(str, rest)) == ["0", "the lock"]
    if way != "nothing":
        assert 0.3 <= told.pop("seconds") < 2
        assert told == {"rows": 1}
