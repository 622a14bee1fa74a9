"""Programs under test, and the servers that they need: started, watched by what they log, and always stopped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest


class Program:
    """A process that goes on until it is told to end, and the file that has what it writes."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Wait until something that it writes matches ``pattern``, and return the match."""
        deadline = time.monotonic() + seconds
        while True:
            # Asked before what was written is read, so that its last words count.
            ended = self.process.poll() is not None
            if found := re.search(pattern, self.said):
                return found
            assert not ended, f"ended with {self.process.returncode} before {pattern!r}:\n{self.said}"
            assert time.monotonic() < deadline, f"no {pattern!r} within {seconds} s:\n{self.said}"
            time.sleep(0.02)

    def status_after(self, number: signal.Signals, seconds: float = 60) -> int:
        """Send it the signal, wait for its end, and return its exit status."""
        self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still there {seconds} s after {number.name}:\n{self.said}")


@contextmanager
def running(
    *command: str | Path,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    options: tuple[str, ...] = (),
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[Program]:
    """Run ``command`` while the block runs. It ends with the tests, even if they are killed.

    It inherits nothing but the path; its home is where its log is. ``options`` are for setpriv(1), and ``stop`` is
    the signal that ends it in an orderly way.
    """
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(log.parent)}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *options, *map(str, command)],
            cwd=cwd or log.parent,
            env={**environment, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Program(process, log)
    finally:
        process.send_signal(stop)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def server(name: str, package: str) -> str:
    """Return the path of a server's program.

    If there is none the test is skipped; with ``GREENLOOM_TEST_REQUIRE_SERVERS=1``, as in CI, it fails.
    """
    # Debian keeps PostgreSQL's programs out of the path, one directory for each version.
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    places = [os.environ["PATH"], "/usr/sbin", *(str(path) for path in reversed(versions))]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        missing = f"no {name}: apt-get install {package}"
        if os.environ.get("GREENLOOM_TEST_REQUIRE_SERVERS") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found
