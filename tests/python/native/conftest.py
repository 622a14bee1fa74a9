"""Pythons with drivers written in C, and the servers that they talk to."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

import databases
import interrupting
from environments import CannotInstall, environment
from greenloom import monkey

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def drivers_python() -> Path:
    """The Python of an environment with drivers whose wheels bring all that they need."""
    return environment("drivers", HERE / "requirements.txt", stand_ins=True)


@pytest.fixture(scope="session")
def mysql_python() -> Path:
    """The Python of an environment with mysqlclient."""
    try:
        return environment("drivers-mysql", HERE / "requirements-mysql.txt", stand_ins=True)
    except CannotInstall as error:
        missing = f"mysqlclient cannot be built: apt-get install libmariadb-dev pkg-config\n{error}"
    if os.environ.get("GREENLOOM_TEST_REQUIRE_SERVERS") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def postgres() -> Iterator[databases.Postgres]:
    with databases.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[databases.MariaDB]:
    with databases.mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def slow_site() -> Iterator[str]:
    """The URL of a site that answers ``/NUMBER/SECONDS`` with that number after so long, by threads."""
    over = threading.Event()

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _, number, seconds = self.path.split("/")
            over.wait(float(seconds))
            try:
                self.send_response(200)
                self.send_header("Content-Length", str(len(number)))
                self.end_headers()
                self.wfile.write(number.encode())
            except ConnectionError:
                # The client was interrupted.
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Site(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    with Site(("127.0.0.1", 0), Answer) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            # A name, so that it has to be looked up.
            yield f"http://localhost:{site.server_port}"
        finally:
            over.set()
            site.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The driver in C of :mod:`interrupting`, patched."""
    built = interrupting.build(tmp_path_factory.mktemp("driver"))
    module = interrupting.load(built)
    assert monkey.patch_native([str(built)]) == [str(built)]
    yield module
    monkey.unpatch_native()


@pytest.fixture
def quiet() -> Iterator[int]:
    """A descriptor that never has anything to read."""
    read, write = os.pipe()
    yield read
    os.close(read)
    os.close(write)
