"""The example with a driver in C, in the ways that the others are run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from databases import Postgres
from programs import ROOT, output, run

EXAMPLE = ROOT / "examples" / "python" / "native_postgres.py"


@pytest.mark.parametrize("options", [[], ["-m", "greenloom"]])
def test_twenty_questions_take_a_second(drivers_python: Path, postgres: Postgres, options: list[str]) -> None:
    said = output(drivers_python, *options, EXAMPLE, postgres.by_tcp)
    found = re.fullmatch(r"20 answers in ([\d.]+) s\n", said)
    assert found
    assert 1 <= float(found[1]) < 5, "one after the other takes 20"


def test_left_as_they_are_the_questions_wait_for_each_other(drivers_python: Path, postgres: Postgres) -> None:
    said = output(drivers_python, EXAMPLE, postgres.by_tcp, "--blocking", "--questions", "3")
    found = re.fullmatch(r"3 answers in ([\d.]+) s\n", said)
    assert found
    assert float(found[1]) >= 3


def test_it_fails_if_it_was_not_answered(drivers_python: Path, postgres: Postgres) -> None:
    nobody = postgres.by_tcp.replace("tests@", "nobody@")
    failed = run(drivers_python, EXAMPLE, nobody, "--questions", "2")
    assert failed.returncode == 1
    assert failed.stdout.startswith("0 answers in")
    assert failed.stderr.startswith("native_postgres.py: ")
    assert 'role "nobody" does not exist' in failed.stderr


def test_it_says_what_it_wants(drivers_python: Path) -> None:
    said = output(drivers_python, EXAMPLE, "--help")
    assert said.startswith("usage: native_postgres.py [-h] [--questions N] [--blocking] dsn\n")
    refused = run(drivers_python, EXAMPLE, "postgresql://", "--questions", "0")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.endswith("error: N is at least 1\n")
