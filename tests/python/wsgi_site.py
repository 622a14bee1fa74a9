"""A WSGI server in this process and clients that speak to it byte by byte, for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

from greenloom import Timeout, socket
from greenloom.pywsgi import WSGIServer


class Site:
    """A running server, what it logged, and ways to ask it."""

    def __init__(self, server: Any, log: StringIO, errors: StringIO) -> None:
        self.server = server
        self.log = log
        self.errors = errors

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """A connected socket."""
        with socket.create_connection(("127.0.0.1", self.server.server_port)) as client:
            yield client

    def ask(self, request: bytes) -> bytes:
        """All that the server sends, until it closes, in answer to *request* and the end of it."""
        with self.connection() as client:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))


@contextmanager
def serving(application: Any, **options: Any) -> Iterator[Site]:
    """A site that serves *application* on a loopback port, for at most 10 seconds."""
    log, errors = StringIO(), StringIO()
    server = WSGIServer(("127.0.0.1", 0), application, **{"log": log, "error_log": errors, **options})
    with Timeout(10):
        server.start()
        try:
            yield Site(server, log, errors)
        finally:
            server.stop()


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Say hello."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def body(response: bytes) -> bytes:
    """What follows the headers."""
    return response.partition(b"\r\n\r\n")[2]


def status(response: bytes) -> int:
    """The status of the first response in it."""
    return int(response.split(b" ", 2)[1])
