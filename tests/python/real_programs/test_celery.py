"""Celery's worker with its gevent pool, over Redis: fifty tasks at once in one process, and a warm shutdown."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from processes import Program, running
from programs import run

APPS = Path(__file__).parent / "apps"


@pytest.fixture
def worker(run_module: list[str], redis_url: str, tmp_path: Path) -> Iterator[Program]:
    """A worker with room for fifty tasks."""
    options = ["-A", "squares", "worker", "--pool", "gevent", "--concurrency", "50", "--loglevel", "INFO"]
    command = [*run_module, "celery", *options]
    with running(*command, log=tmp_path / "log", cwd=APPS, env={"REDIS": redis_url}) as program:
        program.wait_for(r"celery@\S+ ready")
        yield program


@pytest.fixture
def ask(programs_python: Path, redis_url: str) -> Callable[..., dict[str, Any]]:
    """Call a function of ``ask_for_squares`` in a process of its own, and return its answer."""

    def ask(*words: str) -> dict[str, Any]:
        done = run(
            programs_python, APPS / "ask_for_squares.py", *words, env={"REDIS": redis_url}, seconds=120
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return ask


def test_fifty_tasks_of_a_fifth_of_a_second_are_done_at_once(
    worker: Program, ask: Callable[..., dict[str, Any]]
) -> None:
    facts = ask("all_at_once")
    assert facts["on greenloom"] is True
    # Each of them had to wait for all.
    assert facts["places"] == list(range(50))
    assert facts["squares"] == [number * number for number in range(50)]
    # Most of it is the broker's and the worker's work, on a busy machine.
    assert facts["seconds"] < 8, "one after the other takes 10"
    assert worker.status_after(signal.SIGTERM) == 0, worker.said
    assert "Warm shutdown" in worker.said
    assert "Traceback" not in worker.said


@pytest.mark.parametrize("run_module", ["stand-ins"], indirect=True)
def test_a_task_under_way_is_finished_before_it_stops(
    worker: Program, ask: Callable[..., dict[str, Any]]
) -> None:
    begun = ask("begin_a_long_one")
    assert worker.status_after(signal.SIGTERM) == 0, worker.said
    assert begun["state"] in ("STARTED", "SUCCESS")
    assert ask("look_at", begun["id"]) == {"state": "SUCCESS", "result": "slept"}, worker.said


@pytest.mark.parametrize("run_module", ["stand-ins"], indirect=True)
def test_a_task_over_its_time_is_ended_and_the_next_is_done(
    worker: Program, ask: Callable[..., dict[str, Any]]
) -> None:
    assert ask("over_time") == {"ended": "TimeLimitExceeded(0.2,)", "next": 49}
