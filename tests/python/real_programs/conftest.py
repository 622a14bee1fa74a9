"""What the programs need: Pythons that have them, and servers on this machine that end with the tests."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import databases
from databases import CERTIFICATE
from environments import environment
from processes import running, server

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def programs_python() -> Path:
    """The Python of an environment with all the programs, where greenloom stands in for gevent and greenlet."""
    return environment("real-programs", HERE / "requirements.txt", stand_ins=True)


@pytest.fixture(scope="session")
def ordinary_python() -> Path:
    """The Python of an environment with programs, where nothing is called gevent or greenlet."""
    return environment("real-programs-alone", HERE / "requirements-alone.txt", stand_ins=False)


@pytest.fixture(params=["stand-ins", "python -m greenloom"])
def run_module(request: pytest.FixtureRequest) -> list[str]:
    """The words before the name of a module that is to run on greenloom, in each of two ways."""
    if request.param == "stand-ins":
        return [str(request.getfixturevalue("programs_python")), "-m"]
    return [str(request.getfixturevalue("ordinary_python")), "-m", "greenloom", "-m"]


@pytest.fixture(scope="session")
def redis_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[str]]:
    """The URLs of the databases of a Redis."""
    program = server("redis-server", package="redis-server")
    directory = tmp_path_factory.mktemp("redis")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = f"--bind 127.0.0.1 --port {port} --databases 64 --appendonly no --dir {directory}".split()
    with running(program, *settings, "--save", "", log=directory / "log") as redis:
        redis.wait_for("Ready to accept connections")
        yield iter([f"redis://127.0.0.1:{port}/{number}" for number in range(64)])


@pytest.fixture
def redis_url(redis_databases: Iterator[str]) -> str:
    """The URL of an empty database of that Redis."""
    return next(redis_databases)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL of the tests, by its Unix socket."""
    with databases.postgres() as server:
        yield server.by_socket


class _SlowAnswer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(0.2)
        answer = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _SlowSite(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


@pytest.fixture(params=["http", "https"])
def slow_site(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a site that answers each request with its path after 0.2 s, by a thread for each connection."""
    with _SlowSite(("localhost", 0), _SlowAnswer) as site:
        if request.param == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            # The handshake is the connection's thread's, who reads first.
            site.socket = context.wrap_socket(site.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"{request.param}://localhost:{site.server_port}"
        site.shutdown()
        thread.join()
