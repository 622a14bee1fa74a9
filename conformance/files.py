"""The parent of `cases.py` and `as_main.py`: runs one test file to its last case, however often that kills the child.

A child that dies leaves `crash` for the case that ran, one that is silent for too long is ended and leaves `hang`;
a new child goes on with the next case.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suites import HERE
from venvs import Environment

# What passes through to the tests. All else (CI, PYTHON*, GREENLET_*, ...) would make them depend on who runs them.
PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH")
# So much of a dead child's output is kept: a stack of faulthandler's or a C++ message.
TAIL = 4000
# After so many hangs in one file the rest of it is not worth the wait.
HANGS = 3


@dataclass(frozen=True)
class Outcome:
    """How a case ended: pass, skip, fail, error, crash, hang or absent, and the traceback or reason."""

    kind: str
    detail: str = ""


@dataclass(frozen=True)
class Manner:
    """How a file is run."""

    child: Path = HERE / "cases.py"
    folder: Path | None = None
    """The working directory; an empty one if there is none."""
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass
class FileResult:
    """The outcomes of one file's cases."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    broken: str = ""
    """Why the file, or a class in it, did not get to run its cases."""
    at_exit: Outcome | None = None
    """How the process ended where all cases did but it did not: a crash or a hang of the interpreter's shutdown."""
    program: Outcome | None = None
    """How the process ended where there were no cases at all."""


def run_file(
    env: Environment,
    module: str,
    timeout: float,
    cases: list[str] | None = None,
    manner: Manner = Manner(),
) -> FileResult:
    """Run a module's cases, or only `cases`; a case may take `timeout` seconds."""
    result = FileResult()
    known = cases
    left = list(cases or ())
    while True:
        events, ending = run_child(env, module, left, timeout, manner)
        running = ""
        complete = False
        for event in events:
            if event["event"] == "cases" and known is None:
                known = left = list(event["cases"])
            elif event["event"] == "start":
                running = event["case"]
            elif event["event"] == "end":
                running = ""
                result.outcomes[event["case"]] = Outcome(event["outcome"], event["detail"])
            elif event["event"] == "broken":
                known = known or []
                result.broken += event["detail"]
            elif event["event"] == "done":
                complete = True
                if ending.kind != "pass":
                    result.at_exit = ending
        if running:
            # Ending well in the middle of a case, by os._exit(0), is no better.
            result.outcomes[running] = ending if ending.kind == "hang" else Outcome("crash", ending.detail)
        elif known is None:
            result.program = ending
        elif not complete:
            # Between two cases there is none to blame, and the next child would very likely end the same way.
            result.broken += f"{ending.kind} outside of the cases\n{ending.detail}"
        left = [case for case in left if case not in result.outcomes]
        hangs = sum(outcome.kind == "hang" for outcome in result.outcomes.values())
        if complete or not running or not left or hangs >= HANGS:
            break
    for case in left:
        result.outcomes[case] = Outcome("error", result.broken) if result.broken else Outcome("absent")
    return result


def list_cases(env: Environment, module: str, timeout: float) -> list[str]:
    """The cases of a file, none of them run."""
    events, _ = run_child(env, module, ["none of them"], timeout, Manner())
    return [case for event in events if event["event"] == "cases" for case in event["cases"]]


def run_child(
    env: Environment, module: str, cases: list[str], timeout: float, manner: Manner
) -> tuple[list[dict[str, Any]], Outcome]:
    """One child: what it reported, and how it ended."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        report = Path(folder, "report")
        report.touch()
        output = Path(folder, "output")
        variables = dict(manner.variables)
        with output.open("wb") as sink:
            child = subprocess.Popen(
                [str(env.python), "-X", "faulthandler", str(manner.child), module, str(report), *cases],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=manner.folder or folder,
                env={name: os.environ[name] for name in PASSED_ON if name in os.environ} | variables,
                start_new_session=True,
            )
            try:
                hung = not wait(child, report, timeout)
                if hung:
                    show_stacks(child)
            finally:
                end_group(child)
        said = output.read_bytes()[-TAIL:].decode(errors="replace")
        events = [
            json.loads(line) for line in report.read_text().splitlines(keepends=True) if line.endswith("\n")
        ]
    if hung:
        return events, Outcome("hang", f"no end after {timeout:g} s\n{said}")
    kind = "pass" if child.returncode == 0 else "crash" if child.returncode < 0 else "error"
    return events, Outcome(kind, f"the process ended with {child.returncode}\n{said}")


def wait(child: subprocess.Popen[bytes], report: Path, timeout: float) -> bool:
    """Wait for the child's end; False if a case takes longer than `timeout` seconds, which its report shows."""
    seen = 0
    since = time.monotonic()
    while True:
        try:
            child.wait(0.1)
            return True
        except subprocess.TimeoutExpired:
            size = report.stat().st_size
            if size != seen:
                seen, since = size, time.monotonic()
            elif time.monotonic() - since > timeout:
                return False


def show_stacks(child: subprocess.Popen[bytes]) -> None:
    """Abort the child, for faulthandler to write into its output where each thread stands."""
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        child.send_signal(signal.SIGABRT)
        child.wait(5)


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End the child, if it has not ended, and what it left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
