"""Every call of libc that waits, in every way that a bad day has for it; and all that in Pythons of several kinds."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bad_days_in_c.calls import CALLS
from bad_days_in_c.program import environment, status
from bad_days_in_c.ways import WAYS
from programs import run

#: What takes a second for each attempt: the kernel asks again after so long. Once is enough.
SLOW = "connect, a port"
#: Forks are among the ways, and threads are there.
QUIET = ("-W", "ignore::DeprecationWarning")
MATRIX = ("-m", "bad_days_in_c.matrix")


def failures(*words: str, python: str = sys.executable, env: dict[str, str] | None = None) -> dict[str, str]:
    """Run the program that tries them all, and return what went wrong."""
    done = status(*words, python=python, seconds=200, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    return failures(*QUIET, *MATRIX)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("way", WAYS)
def test_it_ends_or_goes_on_as_it_should(found: dict[str, str], call: str, way: str) -> None:
    assert found.get(f"{call}: {way}") is None, found[f"{call}: {way}"]


def with_python_inside() -> str | None:
    """A Python of this version that has libpython in its program, and not as a library; None if there is none."""
    maps = "import sys; print(sys.version_info[:2], 'libpython' in open('/proc/self/maps').read())"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        if shutil.which(python):
            said = run(python, "-c", maps).stdout.strip()
            if said == f"{sys.version_info[:2]} False":
                return python
    return None


def for_debugging() -> str | None:
    """A Python of this version that was built for debugging, if this greenloom was built for it."""
    python = sys.executable
    if not sysconfig.get_config_var("Py_DEBUG"):
        python = shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}-dbg") or ""
    if not python:
        return None
    return python if run(python, "-c", "import greenloom", env=environment()).returncode == 0 else None


VARIANTS = ("development mode", "traced", "bound at once", "Python inside", "debugging")


@pytest.fixture(scope="module")
def by_variant() -> Iterator[dict[str, dict[str, str] | str]]:
    """What each has found, or why it cannot be tried. At the same time, since they mostly wait."""
    words = (*MATRIX, "--without", SLOW)
    inside, debug = with_python_inside(), for_debugging()
    with ThreadPoolExecutor() as pool:
        tried = {
            "development mode": pool.submit(
                failures, *QUIET, "-X", "dev", "-X", "faulthandler", *QUIET, *words
            ),
            "traced": pool.submit(failures, *QUIET, *words, "--traced"),
            "bound at once": pool.submit(failures, *QUIET, *words, env={"LD_BIND_NOW": "1"}),
        }
        if inside:
            tried["Python inside"] = pool.submit(failures, *QUIET, *words, python=inside)
        if debug:
            tried["debugging"] = pool.submit(failures, "-W", "ignore", *words, python=debug)
        yield {name: future.result() for name, future in tried.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_so_it_does_in_a_python_that_is_special(
    by_variant: dict[str, dict[str, str] | str], variant: str
) -> None:
    if variant not in by_variant:
        pytest.skip(f"there is no Python of this version here that is it ({variant}) and has this greenloom")
    assert by_variant[variant] == {}
