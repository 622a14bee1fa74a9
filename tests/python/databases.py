"""Database servers of the tests: each with its data in a directory of its own, both gone in the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import running, server
from programs import run

#: A key and a certificate for ``localhost``.
CERTIFICATE = Path(__file__).parent / "gevent_api" / "localhost.pem"

#: How many connections a server takes.
CONNECTIONS = 500


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL that trusts everybody who says that he is ``tests``."""

    #: Where its Unix socket is.
    directory: Path
    #: Of 127.0.0.1.
    port: int

    @property
    def by_socket(self) -> str:
        """The URL that has its Unix socket."""
        return f"postgresql://tests@/postgres?host={self.directory}&port={self.port}"

    @property
    def by_tcp(self) -> str:
        """The URL that has its port."""
        return self.at(self.port)

    @property
    def by_tls(self) -> str:
        """The URL that has its port, and demands encryption."""
        return self.by_tcp.replace("sslmode=disable", "sslmode=require")

    def at(self, port: int) -> str:
        """Return the URL for something that passes on to it what comes to ``port``."""
        return f"postgresql://tests@localhost:{port}/postgres?sslmode=disable&gssencmode=disable"


@dataclass(frozen=True)
class MariaDB:
    """A MariaDB with a user ``tests`` who needs no password."""

    #: Its Unix socket.
    socket: Path
    #: Of 127.0.0.1.
    port: int

    @property
    def by_socket(self) -> str:
        """The URL that has its Unix socket."""
        return f"mysql://tests@/tests?unix_socket={self.socket}"

    @property
    def by_tcp(self) -> str:
        """The URL that has its port."""
        return self.at(self.port)

    def at(self, port: int) -> str:
        """Return the URL for something that passes on to it what comes to ``port``."""
        return f"mysql://tests@127.0.0.1:{port}/tests"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL while the block runs."""
    initdb, program = (server(name, package="postgresql") for name in ("initdb", "postgres"))
    with _directory("postgres") as (directory, user):
        data = directory / "data"
        cluster = (initdb, "--no-sync", "--auth", "trust", "--username", "tests", "--pgdata", data)
        made = run("setpriv", *user, *cluster, cwd=directory)
        assert made.returncode == 0, made.stderr
        # It refuses a key that others may read.
        key = directory / "localhost.pem"
        shutil.copy(CERTIFICATE, key)
        shutil.chown(key, *_owner(directory))
        key.chmod(0o600)
        port = _free_port()
        settings = {
            "ssl": "on",
            "ssl_cert_file": key,
            "ssl_key_file": key,
            "max_connections": CONNECTIONS,
            "shared_buffers": "32MB",
            "synchronous_commit": "off",
            # A client that is gone does not keep its connection busy until the end of pg_sleep.
            "client_connection_check_interval": "100ms",
        }
        options = [f"-c{name}={value}" for name, value in settings.items()]
        where: tuple[str | Path, ...] = ("-D", data, "-k", directory, "-h", "127.0.0.1", "-p", str(port))
        # SIGTERM would wait for clients.
        with running(
            *(program, *where, "-F", *options), log=directory / "log", options=user, stop=signal.SIGINT
        ) as database:
            database.wait_for("ready to accept connections")
            yield Postgres(directory, port)


@contextmanager
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB while the block runs."""
    install, program = (server(name, package="mariadb-server") for name in ("mariadb-install-db", "mariadbd"))
    with _directory("mysql") as (directory, user):
        data, path = directory / "data", directory / "socket"
        made = run(
            *("setpriv", *user, install, "--no-defaults", f"--datadir={data}"),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
            cwd=directory,
            seconds=120,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        at_start = directory / "at-start.sql"
        # One without a host would come after the nameless user of localhost. It reads a statement a line.
        at_start.write_text(
            "create user tests@localhost;\ngrant all on *.* to tests@localhost;\ncreate database tests;\n"
        )
        port = _free_port()
        settings = {
            "datadir": data,
            "socket": path,
            "bind-address": "127.0.0.1",
            "port": port,
            "init-file": at_start,
            "pid-file": directory / "pid",
            "max-connections": CONNECTIONS,
            "innodb-buffer-pool-size": "16M",
            "innodb-flush-log-at-trx-commit": 0,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        with running(*(program, "--no-defaults", *options), log=directory / "log", options=user) as database:
            database.wait_for("ready for connections")
            yield MariaDB(path, port)


@contextmanager
def _directory(user: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A directory for the server, and what setpriv(1) is told so that the server may write there.

    Root's servers refuse to run as root; they run as ``user``, whom Debian's packages make.
    """
    # Not below pytest's directory: another user must come to it. Paths of Unix sockets are short.
    with tempfile.TemporaryDirectory(prefix=f"{user}-") as name:
        if os.getuid() != 0:
            yield Path(name), ()
        else:
            shutil.chown(name, user=user)
            yield Path(name), ("--reuid", user, "--regid", user, "--init-groups")


def _owner(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
