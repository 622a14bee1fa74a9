"""Takes the samples: a process each, in rounds over the implementations, so that a slow minute hits all."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from catalog import ROWS, Job
from implementations import Implementation
from machine import available

# Longest a sample may take, in seconds.
LIMIT = 120.0
LIMIT_SLOW = 900.0
# Operations between the two counts of instructions; the counter slows them down fifty times.
COUNTED = 20_000

# Variables of the environment that would change what is measured.
SETTINGS = ("PYTHON", "GREENLET", "GREENLOOM", "GEVENT", "UV_")

Metrics = dict[str, float]


@dataclass(frozen=True)
class Settings:
    """How much to measure."""

    rounds: int
    # CPU time that a sample of a timed row measures for.
    millis: int
    quick: bool

    def rounds_of(self, job: Job) -> int:
        """The rounds that a job gets."""
        return min(self.rounds, job.rounds)


@dataclass
class Samples:
    """The samples of one implementation."""

    name: str
    # By round; rounds after a failure are missing.
    rounds: list[Metrics] = field(default_factory=list)
    # Why there are no more.
    failure: str | None = None


class SampleError(Exception):
    """A sample's process did not deliver; the message is its reason in a line."""


def run(
    job: Job, implementations: list[Implementation], settings: Settings, step: Callable[[str], None]
) -> list[Samples]:
    """Runs a job's rounds. An implementation that fails is left out of the rounds after."""
    results = [Samples(implementation.name) for implementation in implementations]
    count = len(implementations)
    for number in range(settings.rounds_of(job)):
        # Each round starts with the next one, so that nobody always runs behind the same neighbour.
        for turn in range(count):
            index = (number + turn) % count
            implementation, samples = implementations[index], results[index]
            step(f"{job.name}: {implementation.name}")
            if samples.failure is not None:
                continue
            try:
                samples.rounds.append(sample(job, implementation, settings))
            except SampleError as failure:
                samples.failure = str(failure)
    return results


def sample(job: Job, implementation: Implementation, settings: Settings) -> Metrics:
    """One sample. Raises `SampleError`."""
    if available() < job.needs:
        raise SampleError(f"skipped: needs {job.needs / 1e9:.0f} GB of free memory")
    words = [*_command(job, implementation), "--millis", str(settings.millis)]
    out, _ = _child(words, LIMIT_SLOW if job.slow else LIMIT)
    return _metrics(out)


def instructions(job: Job, implementation: Implementation) -> float:
    """User instructions of one operation: what more operations take more. Raises `SampleError`."""
    counter = _counter()
    if counter is None:
        raise SampleError("not measurable here")
    if not job.countable:
        raise SampleError("nothing to count")

    def count(operations: int) -> int:
        words = [*counter.words, *_command(job, implementation), "--operations", str(operations)]
        _, err = _child(words, LIMIT)
        found = re.search(counter.pattern, err, re.MULTILINE)
        if found is None:
            raise SampleError("the counter said nothing")
        return int(found[1].replace(",", ""))

    # What comes before the first operation is in both counts alike.
    return (count(2 * COUNTED) - count(COUNTED)) / COUNTED


def counter_name() -> str:
    """What `--instructions` counts with here."""
    counter = _counter()
    return counter.name if counter else "not measurable here"


@dataclass(frozen=True)
class _Counter:
    """A program that runs another and says on standard error how many instructions it took."""

    name: str
    words: tuple[str, ...]
    pattern: str


@cache
def _counter() -> _Counter | None:
    """The processor's own where it may be read, which few virtual machines allow, or else valgrind's."""
    perf = _Counter("perf", ("perf", "stat", "-x,", "-e", "instructions:u", "--"), r"^(\d+),.*instructions:u")
    if shutil.which("perf") and shutil.which("true"):
        tried = subprocess.run([*perf.words, "true"], capture_output=True, text=True, check=False)
        if re.search(perf.pattern, tried.stderr, re.MULTILINE):
            return perf
    words = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
    grind = _Counter("cachegrind", words, r"I\s+refs:\s+([\d,]+)")
    return grind if shutil.which("valgrind") else None


def _command(job: Job, implementation: Implementation) -> list[str]:
    # The user's site-packages do not belong into a sample.
    words = [str(implementation.python), "-B", "-s", str(ROWS / job.file), "--module", implementation.module]
    words.extend(implementation.options)
    if job.number is not None:
        words += ["--number", str(job.number)]
    return [*words, *job.words]


def _child(words: list[str], limit: float) -> tuple[str, str]:
    """Standard output and error of a process that succeeded. Raises `SampleError`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    # The same layout of dictionaries in every process.
    environment["PYTHONHASHSEED"] = "0"
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SampleError(f"not done after {limit:.0f} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else "it said nothing"
        died = signal.Signals(-done.returncode).name + ": " if done.returncode < 0 else ""
        raise SampleError(died + reason)
    return done.stdout, done.stderr


def _metrics(out: str) -> Metrics:
    try:
        metrics = json.loads(out.splitlines()[-1])["metrics"]
        return {str(name): float(value) for name, value in metrics.items()}
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise SampleError(f"printed {out.strip()[-80:]!r}: {error}") from error


class Progress:
    """A line on standard error that says what is done; nothing at all in a pipe."""

    def __init__(self, total: int) -> None:
        """A run of so many steps."""
        self._total = total
        self._done = 0
        self._shown = sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        """One more step begins."""
        self._done += 1
        self._write(f"[{self._done}/{self._total}] {text}")

    def note(self, text: str) -> None:
        """What goes on apart from the steps."""
        self._write(text)

    def clear(self) -> None:
        """Makes room for other output."""
        self._write("")

    def _write(self, text: str) -> None:
        if self._shown:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
