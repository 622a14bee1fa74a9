"""Environments with programs from PyPI, kept under ``target`` from one run of the tests to the next.

In some, distributions that pip knows as gevent and greenlet stand in for the originals; the others have neither, and
there ``python -m greenloom`` runs the programs.
"""

from __future__ import annotations

import fcntl
import hashlib
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import greenloom
from programs import ROOT, lend_greenloom, output, run

COMPAT = ROOT / "compat"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class CannotInstall(Exception):
    """Pip failed; the argument is what it said."""


def environment(name: str, requirements: Path, *, stand_ins: bool) -> Path:
    """Return the Python of the environment ``name``, which is made anew if it is not what is wanted now.

    Raise :exc:`CannotInstall` if pip cannot install what ``requirements`` name.
    """
    directory = ROOT / "target" / f"{name}-{PYTHON}"
    python = directory / "bin" / "python"
    stamp = directory / "made-for"
    wanted = _fingerprint(requirements)
    with _alone(directory):
        if stamp.is_file() and stamp.read_text() == wanted:
            return python
        venv.create(directory, with_pip=True, symlinks=True, clear=True)
        lend_greenloom(directory)
        if stand_ins:
            # First, so that pip finds the requirements of the programs met.
            _install(python, "--no-deps", COMPAT / "greenlet", COMPAT / "gevent")
        # Held, or pip might fetch an original because a program likes its version better.
        served = _served_by_name(python)
        held = directory / "held.txt"
        held.write_text(served)
        _install(python, "-r", requirements, "-c", held)
        assert _served_by_name(python) == served
        stamp.write_text(wanted)
    return python


def _fingerprint(requirements: Path) -> str:
    """Return what tells whether an environment that was made earlier is still the same one."""
    sources = [
        *COMPAT.rglob("*.toml"),
        *COMPAT.rglob("*.py"),
        # Files of requirements include each other.
        *requirements.parent.glob("requirements*.txt"),
        Path(__file__),
    ]
    read = b"".join(source.read_bytes() for source in sorted(sources))
    return f"{hashlib.sha256(read).hexdigest()}\n{sys.version}\n{greenloom.__file__}\n"


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other runs of the tests out while the environment is looked at and made."""
    directory.parent.mkdir(exist_ok=True)
    with directory.with_name(directory.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(python: Path, *what: str | Path) -> None:
    done = run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what, seconds=600)
    if done.returncode != 0:
        raise CannotInstall(done.stderr)


def _served_by_name(python: Path) -> str:
    """Return which versions of gevent and greenlet are installed there, as requirements."""
    code = (
        "from importlib.metadata import distributions\n"
        "for d in distributions():\n"
        "    if d.metadata['Name'] in ('gevent', 'greenlet'): print(f'{d.metadata[\"Name\"]}=={d.version}')\n"
    )
    return output(python, "-c", code)
