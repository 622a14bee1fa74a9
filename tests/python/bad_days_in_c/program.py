"""Programs in a Python of their own, with the library of these tests patched."""

from __future__ import annotations

import sys
import textwrap
from subprocess import CompletedProcess

from programs import ROOT, run
from slow_library import library

#: What each program begins with.
PRELUDE = """
import ctypes, os, signal, socket, sys, threading, time
import greenloom
from greenloom import Timeout, get_hub, getcurrent, joinall, monkey, sleep, spawn
from bad_days_in_c import calls, ways
from bad_days_in_c.calls import CALLS, NOTHING, Call
path = os.environ["WAITS_LIBRARY"]
waits = calls.library()
"""

PATCH = "assert monkey.patch_native([path]) == [path]"


def environment() -> dict[str, str]:
    """What a program needs to find the library, these modules, and greenloom."""
    paths = [ROOT / "python", ROOT / "tests" / "python"]
    # Else some compilers have the loader bind it at once.
    built = library("libwaits", "bad_days_in_c/waits.c", "-Wl,-z,lazy")
    return {"WAITS_LIBRARY": str(built), "PYTHONPATH": ":".join(map(str, paths))}


def status(
    *words: str, python: str = sys.executable, seconds: float = 60, env: dict[str, str] | None = None
) -> CompletedProcess[str]:
    """Run Python with these words."""
    return run(python, *words, env={**environment(), **(env or {})}, seconds=seconds)


def program(code: str, *options: str, patched: bool = True, env: dict[str, str] | None = None) -> str:
    """Run a program; return what it prints. Fails if it fails, or writes to the standard error."""
    lines = [PRELUDE, PATCH if patched else "", textwrap.dedent(code)]
    done = status(*options, "-c", "\n".join(lines), env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
