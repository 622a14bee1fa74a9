"""What jobs need besides Python: database servers of the bench's own, and a compiler.

A server runs as long as the bench does, with its data in a directory that is gone in the end. It has the CPU of the
rows and takes turns with them; see `rows/turns.py`.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from catalog import Need

# Longest that a server takes to start, in seconds.
PATIENCE = 60.0
CONNECTIONS = 300


class Missing(Exception):
    """What a job needs is not on this machine; the message says what."""


class Servers:
    """Starts what is asked for, once, and ends it all."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._stack = ExitStack()
        self._urls: dict[Need, str] = {}

    def __enter__(self) -> "Servers":
        """They run as long as the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends them."""
        self._stack.close()

    def url(self, need: Need) -> str:
        """Where the server is; nothing for what is none. Raises `Missing`."""
        if need is Need.COMPILER:
            _program("cc", "gcc")
            return ""
        if need not in self._urls:
            start = self._postgres if need is Need.POSTGRES else self._mariadb
            self._urls[need] = start()
        return self._urls[need]

    def _postgres(self) -> str:
        initdb, program = (_program(name) for name in ("initdb", "postgres"))
        place = _Place(self._stack, "postgres")
        data = place.directory / "data"
        place.call(initdb, "--no-sync", "--auth=trust", "--username=bench", f"--pgdata={data}")
        place.start(
            [
                program,
                "-D",
                str(data),
                "-k",
                str(place.directory),
                "-h",
                "",
                "-F",
                "-c",
                f"max_connections={CONNECTIONS}",
            ],
            says="ready to accept connections",
            # SIGTERM would wait for clients.
            stop=signal.SIGINT,
        )
        return f"postgresql://bench@/postgres?host={place.directory}"

    def _mariadb(self) -> str:
        install, program = (_program(name) for name in ("mariadb-install-db", "mariadbd"))
        place = _Place(self._stack, "mysql")
        data, socket = place.directory / "data", place.directory / "socket"
        how = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        place.call(install, "--no-defaults", f"--datadir={data}", *how)
        options = [
            f"--datadir={data}",
            f"--socket={socket}",
            "--skip-networking",
            f"--max-connections={CONNECTIONS}",
        ]
        place.start([program, "--no-defaults", *options], says="ready for connections", stop=signal.SIGTERM)
        return str(socket)


class _Place:
    """A directory of a server's own, and the user that it runs as: root's servers refuse to run as root."""

    def __init__(self, stack: ExitStack, user: str) -> None:
        self._stack = stack
        # Paths of Unix sockets are short.
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{user}-")))
        self._user = user if os.getuid() == 0 else None
        if self._user:
            try:
                shutil.chown(self.directory, self._user, self._user)
            except LookupError:
                raise Missing(f"there is no user {user}, and root's servers do not run as root") from None

    def call(self, *words: str) -> None:
        """Runs a program to its end."""
        done = self._open(list(words), subprocess.PIPE)
        said, _ = done.communicate()
        if done.returncode != 0:
            raise Missing(f"{words[0]} failed: {said.decode(errors='replace').strip()[-500:]}")

    def start(self, words: list[str], says: str, stop: signal.Signals) -> None:
        """Starts a program and waits until it says so."""
        cpu = str(min(os.sched_getaffinity(0)))
        turns = ["taskset", "--cpu-list", cpu, "chrt", "--batch", "0"]
        # It ends with the bench, even if that is killed.
        guard = ["setpriv", "--pdeathsig", "KILL"]
        log = self.directory / "log"
        with log.open("wb") as out:
            server = self._open([*guard, *turns, *words], out)
        self._stack.callback(_end, server, stop)
        until = time.monotonic() + PATIENCE
        while says not in (said := log.read_text(encoding="utf-8", errors="replace")):
            if server.poll() is not None or time.monotonic() > until:
                raise Missing(f"{words[0]} did not start: {said.strip()[-500:]}")
            time.sleep(0.05)

    def _open(self, words: list[str], out: IO[bytes] | int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            words,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
        )


def _end(server: "subprocess.Popen[bytes]", stop: signal.Signals) -> None:
    """Ends a server in an orderly way, or at least ends it."""
    server.send_signal(stop)
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _program(*names: str) -> str:
    """The path of the first of these that is installed."""
    # Debian keeps PostgreSQL's programs out of the path, one directory for each version.
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    places = os.pathsep.join([os.environ["PATH"], "/usr/sbin", *(str(path) for path in reversed(versions))])
    for name in names:
        if found := shutil.which(name, path=places):
            return found
    raise Missing(f"there is no {names[0]} here")
