"""StreamServer and DatagramServer: addresses, handlers, limits, errors, the end."""

from __future__ import annotations

import errno
import socket as native
from _socket import AF_INET, AF_INET6
from contextlib import suppress
from typing import Any

import pytest

import greenloom
from greenloom import Timeout, socket
from greenloom.baseserver import BaseServer, parse_address
from greenloom.event import Event
from greenloom.pool import Pool
from greenloom.server import DatagramServer, StreamServer

LOOPBACK = ("127.0.0.1", 0)


def echo(client: Any, address: Any) -> None:
    client.sendall(client.recv(100))


def connect(server: BaseServer) -> Any:
    port = server.server_port
    assert port is not None
    return socket.create_connection(("127.0.0.1", port))


def ask(server: BaseServer, data: bytes = b"x") -> bytes:
    # Not as a context manager: mypy would take it for one that may swallow the Timeout.
    timeout = Timeout.start_new(5)
    try:
        with connect(server) as client:
            client.sendall(data)
            return b"".join(iter(lambda: client.recv(100), b""))
    finally:
        timeout.close()


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        (("127.0.0.1", 80), (AF_INET, ("127.0.0.1", 80))),
        (("::1", 80), (AF_INET6, ("::1", 80))),
        (("", 80), (AF_INET6, ("", 80))),
        (80, (AF_INET6, ("", 80))),
        ("80", (AF_INET6, ("", 80))),
        (":80", (AF_INET, ("", 80))),
        ("*:80", (AF_INET, ("", 80))),
        ("localhost:80", (AF_INET, ("localhost", 80))),
        ("[::1]:80", (AF_INET6, ("::1", 80))),
    ],
)
def test_addresses_may_be_written_in_many_ways(address: Any, parsed: object) -> None:
    assert parse_address(address) == parsed


def test_what_is_no_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="'host:port'"):
        parse_address("host:port")
    with pytest.raises(TypeError):
        parse_address(None)


def test_each_connection_gets_a_greenlet_and_is_closed_after_it() -> None:
    with StreamServer(LOOPBACK, echo) as server:
        server.start()
        clients = [greenloom.spawn(ask, server, b"%d" % number) for number in range(30)]
        greenloom.joinall(clients, timeout=5)
        assert [client.value for client in clients] == [b"%d" % number for number in range(30)]
    assert server.closed


def test_a_listener_of_the_standard_library_does_not_block_the_hub() -> None:
    with native.create_server(LOOPBACK) as listener, StreamServer(listener, echo) as server:
        server.start()
        assert ask(server) == b"x"


def test_a_subclass_may_have_the_handler_as_a_method() -> None:
    class Echo(StreamServer):
        def handle(self, client: Any, address: Any) -> None:
            echo(client, address)

    with Echo(LOOPBACK) as server:
        server.start()
        assert ask(server) == b"x"
    with pytest.raises(TypeError, match="handle"):
        StreamServer(LOOPBACK)


def test_a_full_pool_accepts_no_more() -> None:
    def handle(client: Any, address: Any) -> None:
        running.append(address)
        go.wait()

    running: list[object] = []
    go = Event()
    with StreamServer(LOOPBACK, handle, spawn=2) as server:
        server.start()
        clients = [greenloom.spawn(ask, server) for _ in range(4)]
        greenloom.sleep(0.03)
        assert len(running) == 2
        assert server.full()
        go.set()
        greenloom.joinall(clients, timeout=5)
        assert len(running) == 4


def test_stop_waits_for_the_pool_and_then_kills() -> None:
    def handle(client: Any, address: Any) -> None:
        try:
            greenloom.sleep(60)
        except greenloom.GreenletExit:
            ended.append(address)
            raise

    ended: list[object] = []
    server = StreamServer(LOOPBACK, handle, spawn=Pool(5))
    server.start()
    with connect(server):
        greenloom.sleep(0.01)
        with Timeout(5):
            server.stop(timeout=0.01)
    assert len(ended) == 1


def test_serve_forever_returns_when_the_server_is_stopped() -> None:
    server = StreamServer(LOOPBACK, echo)
    serving = greenloom.spawn(server.serve_forever)
    greenloom.sleep(0.01)
    assert ask(server) == b"x"
    server.stop()
    serving.join(timeout=5)
    assert serving.successful()


def test_a_server_can_be_started_again_on_its_address() -> None:
    server = StreamServer(LOOPBACK, echo)
    server.start()
    port = server.server_port
    assert port is not None
    server.stop()
    with StreamServer(("127.0.0.1", port), echo) as again:
        again.start()
        assert ask(again) == b"x"


def test_an_address_that_is_taken_is_named() -> None:
    with StreamServer(LOOPBACK, echo) as server:
        server.start()
        with pytest.raises(OSError, match=r"127\.0\.0\.1") as caught:
            StreamServer(("127.0.0.1", server.server_port), echo).start()
        assert caught.value.errno == errno.EADDRINUSE


def test_after_an_error_of_accept_the_server_pauses_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing(StreamServer):
        failures = 3

        def do_read(self) -> Any:
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EMFILE, "no more files")
            return super().do_read()

    with Failing(LOOPBACK, echo) as server:
        server.start()
        assert ask(server) == b"x"
        assert server.failures == 0
        assert server.delay == server.min_delay
    assert capsys.readouterr().err.count("no more files") == 3 * 2


def test_after_a_fatal_error_the_server_closes(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(StreamServer):
        def do_read(self) -> Any:
            raise OSError(errno.EBADF, "gone")

    server = Broken(LOOPBACK, echo)
    server.start()
    # The connection may be reset before it is seen to be there.
    with suppress(OSError):
        ask(server, b"")
    with Timeout(5):
        server._stop_event.wait()
    assert server.closed
    assert "ERROR: <Broken" in capsys.readouterr().err


def test_what_spawn_raises_closes_the_connection(capsys: pytest.CaptureFixture[str]) -> None:
    def spawn(*args: object) -> None:
        raise MemoryError("on purpose")

    with StreamServer(LOOPBACK, echo, spawn=spawn) as server:
        server.start()
        assert ask(server, b"") == b""
    assert "MemoryError: on purpose" in capsys.readouterr().err


def test_without_spawn_the_handler_runs_in_the_hub() -> None:
    where: list[object] = []
    with StreamServer(LOOPBACK, lambda client, _: where.append(greenloom.getcurrent()), spawn=None) as server:
        server.start()
        assert ask(server, b"") == b""
    assert where == [greenloom.get_hub()]


def test_datagrams_are_answered() -> None:
    class Echo(DatagramServer):
        def handle(self, data: bytes, address: Any) -> None:
            self.sendto(data.upper(), address)

    with Echo(LOOPBACK) as server, Timeout(5):
        server.start()
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            for word in (b"one", b"", b"two"):
                client.sendto(word, ("127.0.0.1", server.server_port))
                assert client.recv(100) == word.upper()


def test_a_server_says_what_it_is() -> None:
    server = StreamServer(LOOPBACK, echo)
    assert str(server).startswith("<StreamServer address=127.0.0.1:0 handle=<function echo at 0x")
    server.start()
    assert f"address=127.0.0.1:{server.server_port}" in repr(server)
    assert "fileno=" in repr(server)
    server.stop()
    assert "fileno=" not in repr(server)


def test_a_base_server_needs_what_a_subclass_has() -> None:
    with pytest.raises(NotImplementedError):
        BaseServer(LOOPBACK, echo).do_read()
