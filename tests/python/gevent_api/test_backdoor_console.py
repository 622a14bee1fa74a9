"""The backdoor: a console for each connection, with names and streams of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import greenloom
from greenloom import Timeout, socket
from greenloom.backdoor import BackdoorServer


class Console:
    """A user of the backdoor."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock

    def until(self, end: bytes = b">>> ") -> str:
        """What the console writes up to *end*."""
        seen = b""
        while not seen.endswith(end):
            data = self.sock.recv(1)
            assert data, seen
            seen += data
        return seen.decode().removesuffix(end.decode())

    def type(self, line: str) -> str:
        """What the console writes after *line*."""
        self.sock.sendall(line.encode() + b"\r\n")
        return self.until()


@contextmanager
def backdoor(**options: Any) -> Iterator[BackdoorServer]:
    server = BackdoorServer(("127.0.0.1", 0), **options)
    with Timeout(10):
        server.start()
        try:
            yield server
        finally:
            server.stop(timeout=0)


@contextmanager
def console(server: BackdoorServer) -> Iterator[Console]:
    port = server.server_port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port)) as sock:
        yield Console(sock)


def test_what_is_typed_is_run() -> None:
    with backdoor(locals={"answer": 42}, banner="Welcome") as server, console(server) as user:
        assert user.until() == "Welcome\n"
        assert user.type("answer + 1") == "43\n"
        assert user.type("print('ä')") == "ä\n"
        assert "ZeroDivisionError" in user.type("1 / 0")


def test_the_streams_of_the_process_are_left_alone() -> None:
    before = sys.stdin, sys.stdout, sys.stderr
    with backdoor() as server, console(server) as one, console(server) as two:
        one.until()
        two.until()
        assert before == (sys.stdin, sys.stdout, sys.stderr)
        one.type("import greenloom")
        one.sock.sendall(b"print('before'); greenloom.sleep(0.05); print('after')\n")
        assert two.type("print('other')") == "other\n"
        assert before == (sys.stdin, sys.stdout, sys.stderr)
        assert one.until() == "before\nafter\n"


def test_names_are_not_shared() -> None:
    with backdoor() as server, console(server) as one, console(server) as two:
        one.until()
        two.until()
        one.type("x = 1")
        assert "NameError" in two.type("x")


@pytest.mark.parametrize("end", [b"quit()\n", b""])
def test_a_console_ends_when_its_user_wants(end: bytes) -> None:
    with backdoor() as server, console(server) as user:
        user.until()
        user.sock.sendall(end)
        user.sock.shutdown(socket.SHUT_WR)
        while user.sock.recv(100):
            pass
        while len(server.pool):
            greenloom.sleep(0.001)


def test_stopping_the_server_ends_the_consoles() -> None:
    before = sys.stdin, sys.stdout, sys.stderr
    with backdoor() as server, console(server) as user:
        user.until()
        server.stop(timeout=0)
        assert user.sock.recv(100) == b""
        assert not len(server.pool)
    assert before == (sys.stdin, sys.stdout, sys.stderr)
