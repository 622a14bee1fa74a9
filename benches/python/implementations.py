"""Who is measured: a Python and, in a virtual environment of its own, an original, a peer, or greenloom."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from catalog import Need, Peer, Suite

OURS = "greenloom"
# What is compared with, as one release each, so that figures of different days are of the same peers.
VERSIONS = {
    "greenlet": "3.5.6",
    "gevent": "26.9.0",
    "uvloop": "0.23.0",
    "psycopg2-binary": "2.9.13",
    "psycogreen": "1.0.2",
    "asyncpg": "0.32.0",
    "mysqlclient": "2.3.2",
}
# greenloom's modules in the places of the originals, by suite.
STAND_INS = {
    "greenlet": "greenloom.greenlet",
    "gevent": "greenloom",
    "drivers": "greenloom",
    "hooks": "greenloom",
}
# The drivers that a job has, with all that goes with them, by what it needs.
DRIVERS = {
    Need.POSTGRES: ("psycopg2-binary", "psycogreen", "asyncpg"),
    # Has to be built, with a compiler and MariaDB's headers.
    Need.MARIADB: ("mysqlclient",),
}
# The module that a peer's samples are told to measure, with more words for the row's command line.
PEERS = {
    Peer.ASYNCIO: ("asyncio",),
    Peer.UVLOOP: ("uvloop",),
    Peer.ASYNCIO_STREAMS: ("asyncio", "--streams"),
    Peer.UVLOOP_STREAMS: ("uvloop", "--streams"),
    Peer.EPOLL: ("select",),
    Peer.THREADS: ("threading",),
    Peer.ASYNCPG: ("asyncio",),
    Peer.ASYNCPG_UVLOOP: ("uvloop",),
}

_FACTS = """
import json, platform, sys, sysconfig
words = sysconfig.get_config_var("CONFIG_ARGS") or ""
print(json.dumps([platform.python_version(), "--enable-optimizations" in words, platform.python_compiler()]))
"""


class SetupError(Exception):
    """An implementation could not be made ready; the message says why in a line or a few."""


@dataclass(frozen=True)
class Interpreter:
    """A Python to measure with."""

    path: Path
    version: str
    # Whether it was built with profile-guided optimization, which makes the loops around the switch faster.
    optimized: bool
    compiler: str

    @property
    def minor(self) -> int:
        """The 11 of 3.11."""
        return int(self.version.split(".")[1])

    def line(self) -> str:
        """The facts in one line."""
        how = "with" if self.optimized else "without"
        return f"CPython {self.version}, {self.compiler}, {how} profile-guided optimization"


@dataclass(frozen=True)
class Implementation:
    """What a sample runs: the interpreter that has the module, and the module's name."""

    name: str
    python: Path
    module: str
    # More words for the row's command line.
    options: tuple[str, ...] = ()


def interpreter(path: Path) -> Interpreter:
    """Asks a Python what it is."""
    version, optimized, compiler = json.loads(_output([str(path), "-I", "-c", _FACTS], "ask for its version"))
    if not re.match(r"3\.\d+", version):
        raise SetupError(f"{path} is Python {version}")
    return Interpreter(path, version, optimized, compiler)


def original(python: Interpreter, cache: Path, suite: Suite) -> Implementation:
    """The suite's original. Raises `SetupError`, as all of these do."""
    module = suite.original
    if module not in VERSIONS:
        # Python's own, or nothing but libc.
        return Implementation(module, python.path, module)
    # gevent would take any newer greenlet.
    packages = ["gevent", "greenlet"] if module == "gevent" else [module]
    executable = _released(python, cache, packages)
    return _checked(Implementation(_release(module), executable, module), "getcurrent")


def ours(executable: Path, suite: Suite) -> Implementation:
    """greenloom in the original's place, in an environment that has it."""
    return _checked(Implementation(OURS, executable, STAND_INS[suite.name]), "getcurrent")


def environment_of_ours(python: Interpreter, cache: Path, repository: Path, built: list[Path]) -> Path:
    """The Python of one of the environments `built` that fits, or else of one with what the repository has.

    That one is installed anew in each run, as the sources may have changed; cargo builds only what did.
    """
    for place in built:
        if interpreter(_executable(place)).minor == python.minor:
            return _executable(place)
    place = cache / f"ours-{python.version}"
    executable = _executable(place) if _executable(place).exists() else _environment(python, place)
    _install(executable, "--force-reinstall", str(repository))
    return executable


def peer(python: Interpreter, cache: Path, which: Peer) -> Implementation:
    """One of the peers: what Python has itself, or uvloop."""
    module, *options = PEERS[which]
    name = which.value
    for package in ("asyncpg", "uvloop"):
        name = name.replace(package, _release(package))
    if module != "uvloop":
        return Implementation(name, python.path, module, tuple(options))
    executable = _released(python, cache, [module])
    return _checked(Implementation(name, executable, module, tuple(options)), "new_event_loop")


def drivers(python: Interpreter, cache: Path, need: Need) -> Path | None:
    """Where the drivers are installed that a job has besides what is measured, if it has any."""
    if need not in DRIVERS:
        return None
    executable = _released(python, cache, list(DRIVERS[need]))
    [place] = (executable.parent.parent / "lib").glob("python3*/site-packages")
    return place


def _release(package: str) -> str:
    return f"{package} {VERSIONS[package]}"


def _released(python: Interpreter, cache: Path, packages: list[str]) -> Path:
    """The Python of an environment with these packages, which is made once and then found again."""
    place = cache / f"{packages[0]}-{python.version}"
    wanted = [f"{package}=={VERSIONS[package]}" for package in packages]
    ready = place / "ready.txt"
    if not ready.exists() or ready.read_text(encoding="utf-8").split() != wanted:
        _install(_environment(python, place), *wanted)
        ready.write_text("\n".join(wanted), encoding="utf-8")
    return _executable(place)


def _checked(implementation: Implementation, attribute: str) -> Implementation:
    """Fails now rather than in each sample if the module cannot be imported."""
    code = f"import importlib; importlib.import_module({implementation.module!r}).{attribute}"
    _output([str(implementation.python), "-E", "-s", "-c", code], f"import {implementation.module}")
    return implementation


def _environment(python: Interpreter, place: Path) -> Path:
    _output([str(python.path), "-m", "venv", "--clear", str(place)], f"make the environment {place}")
    return _executable(place)


def _executable(place: Path) -> Path:
    return place.absolute() / "bin" / "python"


def _install(executable: Path, *what: str) -> None:
    words = [str(executable), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    _output(words, f"install {what[-1]}")


def _output(words: list[str], purpose: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    except OSError as error:
        raise SetupError(f"{words[0]}: could not {purpose}: {error.strerror}") from error
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise SetupError(f"{words[0]}: could not {purpose}:\n{last}")
    return done.stdout
