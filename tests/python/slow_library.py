"""A library in C that blocks, built for the tests, and programs that call it."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import greenloom
from programs import run

#: What each program begins with: the library, called with the GIL and without.
PRELUDE = """
import ctypes, os, signal, socket, sys, threading, time
import greenloom
greenloom.install_as_gevent()
import gevent
from gevent import monkey
path = os.environ["SLOW_LIBRARY"]
slow = ctypes.CDLL(path)     # lets go of the GIL around each call
held = ctypes.PyDLL(path)    # holds it
for library in (slow, held):
    library.slow_sleep.argtypes = library.slow_locked.argtypes = library.slow_ring.argtypes = [ctypes.c_double]
    library.slow_errno.argtypes = [ctypes.c_double]
    library.slow_send.argtypes, library.slow_send.restype = [ctypes.c_int, ctypes.c_long], ctypes.c_long

def took(function, *args):
    began = time.monotonic()
    function(*args)
    return time.monotonic() - began
"""


@cache
def library(name: str = "libslow", source: str = "native/slow.c", *options: str) -> Path:
    """The library, under a name of its own."""
    directory = Path(mkdtemp(prefix="greenloom-slow-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    built = directory / f"{name}.so.1"
    path = Path(__file__).parent / source
    command = ["cc", "-O1", "-shared", "-fPIC", "-pthread", *options, "-o", str(built), str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return built


def slow(code: str, *, patched: bool = True, stderr: str = "") -> str:
    """Run a program in a Python of its own, with the library patched unless said otherwise; return what it prints.

    Fails if it fails, or writes something else to the standard error than what begins with *stderr*.
    """
    patch = 'monkey.patch_native(["libslow"])' if patched else ""
    done = status("-c", f"{PRELUDE}\n{patch}\n{textwrap.dedent(code)}", seconds=30)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" if stderr == "" else done.stderr.startswith(stderr), done.stderr
    return done.stdout


def environment() -> dict[str, str]:
    """What a child needs to find the library and this greenloom."""
    return {"SLOW_LIBRARY": str(library()), "PYTHONPATH": str(_package())}


def status(*command: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    """Run Python with these words, where the library can be found."""
    return run(sys.executable, *command, env=environment(), seconds=seconds)


def _package() -> Path:
    return Path(greenloom.__file__).parents[1]
