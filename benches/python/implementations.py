"""Who is measured: a Python and, in a virtual environment of its own, the original or greenloom."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ORIGINAL = "greenlet 3.5.6"
OURS = "greenloom"
REQUIREMENT = "greenlet==3.5.6"

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


def interpreter(path: Path) -> Interpreter:
    """Asks a Python what it is."""
    version, optimized, compiler = json.loads(_output([str(path), "-I", "-c", _FACTS], "ask for its version"))
    if not re.match(r"3\.\d+", version):
        raise SetupError(f"{path} is Python {version}")
    return Interpreter(path, version, optimized, compiler)


def original(python: Interpreter, cache: Path, name: str = ORIGINAL) -> Implementation:
    """The original, in an environment that is made once and then found again."""
    place = cache / f"original-{python.version}"
    ready = place / "ready.txt"
    if not ready.exists() or ready.read_text(encoding="utf-8") != REQUIREMENT:
        executable = _environment(python, place)
        _install(executable, REQUIREMENT)
        ready.write_text(REQUIREMENT, encoding="utf-8")
    return _checked(Implementation(name, _executable(place), "greenlet"))


def ours(python: Interpreter, cache: Path, repository: Path, built: list[Path]) -> Implementation:
    """greenloom: from one of the environments `built` that fits, or else built from the repository.

    That is done anew in each run, as the sources may have changed; cargo builds only what did.
    """
    for place in built:
        if interpreter(_executable(place)).minor == python.minor:
            return _checked(Implementation(OURS, _executable(place), "greenloom.greenlet"))
    place = cache / f"ours-{python.version}"
    executable = _executable(place) if _executable(place).exists() else _environment(python, place)
    _install(executable, "--force-reinstall", str(repository))
    return _checked(Implementation(OURS, executable, "greenloom.greenlet"))


def _checked(implementation: Implementation) -> Implementation:
    """Fails now rather than in each sample if the module cannot be imported."""
    code = f"import importlib; importlib.import_module({implementation.module!r}).getcurrent()"
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
