"""Generated programs make the original greenlet and ours log the same.

    GREENLOOM_DIFFERENTIAL_EXAMPLES=5000      how many programs (the default takes less than a minute)
    GREENLOOM_DIFFERENTIAL_EXPLORE=1          other programs each time, instead of the same always
    GREENLOOM_DIFFERENTIAL_OURS=MODULE        what to test in the place of greenloom.greenlet

The original is what PyPI has, in a venv under target/ that is made once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

from differential import worker
from differential.programs import programs
from differential.worker import Died, Worker

ORIGINAL = "greenlet==3.5.6"
OURS = os.environ.get("GREENLOOM_DIFFERENTIAL_OURS", "greenloom.greenlet")
EXAMPLES = int(os.environ.get("GREENLOOM_DIFFERENTIAL_EXAMPLES", "600"))
EXPLORE = bool(os.environ.get("GREENLOOM_DIFFERENTIAL_EXPLORE"))
TARGET = Path(__file__).resolve().parents[2] / "target"

bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not EXPLORE,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)


@pytest.fixture(scope="session")
def original_python() -> Path:
    """An interpreter of this version that has the original."""
    folder = TARGET / "differential" / f"{sysconfig.get_python_version()}-{ORIGINAL}"
    python = folder / "bin" / "python"
    made = folder / "made"
    if not made.exists():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", ORIGINAL], check=True)
        made.touch()
    return python


@pytest.fixture(scope="module")
def original(original_python: Path) -> Iterator[Worker]:
    yield from serving(Worker(original_python, "greenlet"))


@pytest.fixture(scope="module")
def ours() -> Iterator[Worker]:
    yield from serving(Worker(Path(sys.executable), OURS))


def serving(served: Worker) -> Iterator[Worker]:
    yield served
    served.close()


def expected(original: Worker, program: dict[str, Any]) -> list[Any]:
    """What the original logs. A program that crashes it says nothing about ours."""
    try:
        return original.run(program)
    except Died:
        assume(False)
        raise


def check(original: Worker, other: Worker, program: dict[str, Any]) -> None:
    """Demand equal logs; a failure shows the program and where they part."""
    want = expected(original, program)
    try:
        got = other.run(program)
    except Died as death:
        pytest.fail(f"{death}\n{replay(other, program)}\nthe original logs\n{lines(want)}", pytrace=False)
    if got != want:
        same = next((i for i, pair in enumerate(zip(want, got, strict=False)) if pair[0] != pair[1]), -1)
        same = min(len(want), len(got)) if same < 0 else same
        pytest.fail(
            f"the logs part after\n{lines(want[:same])}\n"
            f"original:\n{lines(want[same : same + 3])}\nours:\n{lines(got[same : same + 3])}\n"
            f"{replay(other, program)}",
            pytrace=False,
        )


def lines(log: list[Any]) -> str:
    return "\n".join("  " + json.dumps(entry) for entry in log)


def replay(other: Worker, program: dict[str, Any]) -> str:
    """A command that runs a program once more."""
    command = f"(cd {worker.FOLDER} && {' '.join(other.command)})"
    return f"to replay:\n  {command} <<'END'\n{json.dumps(program)}\nEND"


@bounded
@given(program=programs())
def test_programs_log_the_same(original: Worker, ours: Worker, program: dict[str, Any]) -> None:
    check(original, ours, program)


@settings(bounded, max_examples=40)
@given(program=programs())
def test_the_original_agrees_with_itself(
    original: Worker, original_python: Path, program: dict[str, Any]
) -> None:
    # Else a difference could be chance: the log may hold nothing that is not the same in each process.
    fresh = Worker(original_python, "greenlet")
    try:
        check(original, fresh, program)
    finally:
        fresh.close()


def test_a_wrong_answer_is_noticed(original: Worker, original_python: Path) -> None:
    sabotaged = Worker(original_python, "differential.sabotaged")
    steps = [["create", 0, 0, "subclass", None], ["state", 0]]
    program = {
        "scripts": [{"steps": [], "end": "done"}],
        "main": [{"do": do, "catch": "all", "finally": None} for do in steps],
        "budget": 9,
    }
    try:
        # The state's first word is bool(greenlet), and nothing before it differs.
        with pytest.raises(
            pytest.fail.Exception, match=r"""(?s)'g1'.*ours:\n  \["main", "state", \["list", "True","""
        ):
            check(original, sabotaged, program)
    finally:
        sabotaged.close()


def test_a_crash_is_reported_with_its_program(original: Worker, original_python: Path) -> None:
    broken = Worker(original_python, "faulthandler")
    program = {"scripts": [], "main": [], "budget": 1}
    try:
        with pytest.raises(pytest.fail.Exception, match="to replay:"):
            check(original, broken, program)
    finally:
        broken.close()
