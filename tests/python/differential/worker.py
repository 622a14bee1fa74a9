"""A child process that runs programs, kept for many of them and replaced when it dies, hangs or is left unclean."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

# Where the package of the child lies.
FOLDER = Path(__file__).resolve().parents[1]
# Far beyond the milliseconds that a program takes.
TIMEOUT = 30.0


class Died(Exception):
    """The child crashed or hung; the message says which and holds its last words."""


class Worker:
    """Runs programs with one implementation: an interpreter, and the module that it imports as greenlet."""

    def __init__(self, python: Path, module: str) -> None:
        self.command = [str(python), "-X", "faulthandler", "-m", "differential.interpreter", module]
        self.child: subprocess.Popen[bytes] | None = None
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115, closed by close()

    def run(self, program: dict[str, Any]) -> list[Any]:
        """The log of a program."""
        if self.child is None:
            self.errors.seek(0)
            self.errors.truncate()
            self.child = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                cwd=FOLDER,
            )
        line = self.ask(self.child, json.dumps(program).encode() + b"\n")
        answer: dict[str, Any] = json.loads(line)
        if answer["survivors"]:
            # A greenlet that outlived its program could be heard of in the next one's log.
            self.stop()
        log: list[Any] = answer["log"]
        return log

    def ask(self, child: subprocess.Popen[bytes], request: bytes) -> bytes:
        """Send a line and read the answer's."""
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(request)
            child.stdin.flush()
        except BrokenPipeError:
            raise Died(self.last_words("would not take a program", self.stop())) from None
        # An answer is one write of a whole line, so what is left to wait for once it begins is its rest.
        if not select.select([child.stdout], [], [], TIMEOUT)[0]:
            # With faulthandler this writes where each thread stands.
            child.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(5)
            raise Died(self.last_words(f"hung for {TIMEOUT:g} s", self.stop()))
        line = child.stdout.readline()
        if not line.endswith(b"\n"):
            child.wait()
            raise Died(self.last_words("ended", self.stop()))
        return line

    def last_words(self, what: str, status: int | None) -> str:
        """What became of the child."""
        self.errors.seek(0)
        said = self.errors.read()[-4000:].decode(errors="replace")
        return f"the child {what} (exit status {status})\n{said}"

    def stop(self) -> int | None:
        """End the child, if there is one; the next program gets a new one."""
        if self.child is None:
            return None
        child, self.child = self.child, None
        child.kill()
        status = child.wait()
        for pipe in (child.stdin, child.stdout):
            # What it did not take is lost with it.
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        return status

    def close(self) -> None:
        """End it for good."""
        self.stop()
        self.errors.close()
