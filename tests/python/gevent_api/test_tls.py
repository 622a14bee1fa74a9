"""Cooperative TLS: contexts and sockets of the standard library, in which only the current greenlet waits."""

from __future__ import annotations

import ssl as standard
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenloom import Timeout, sleep, socket, spawn, ssl

CERTIFICATE = str(Path(__file__).with_name("localhost.pem"))


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    with Timeout(15, ref=False):
        yield


def server_context() -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def client_context() -> Any:
    return ssl.create_default_context(cafile=CERTIFICATE)


@pytest.fixture
def connected() -> Iterator[tuple[Any, Any]]:
    left, right = socket.socketpair()
    server = spawn(server_context().wrap_socket, left, server_side=True)
    client = client_context().wrap_socket(right, server_hostname="localhost")
    with client, server.get() as served:
        yield served, client


def test_both_sides_of_a_handshake_may_be_greenlets(connected: tuple[Any, Any]) -> None:
    server, client = connected
    reader = spawn(server.recv, 100)
    sleep(0)
    client.sendall(b"secret")
    assert reader.get() == b"secret"
    assert client.getpeercert()["subject"] == ((("commonName", "localhost"),),)
    assert client.version().startswith("TLS")


def test_a_timeout_is_a_timeout_error_and_nothing_is_lost(connected: tuple[Any, Any]) -> None:
    server, client = connected
    server.settimeout(0.01)
    with pytest.raises(TimeoutError, match="read operation timed out"):
        server.recv(1)
    client.sendall(b"x")
    server.settimeout(5)
    assert server.recv(1) == b"x"


def test_a_non_blocking_one_says_what_it_wants(connected: tuple[Any, Any]) -> None:
    server, _client = connected
    server.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        server.recv(1)


def test_much_data_both_ways_at_once(connected: tuple[Any, Any]) -> None:
    data = bytes(range(256)) * 10_000

    def everything(sock: Any) -> bytes:
        parts = bytearray()
        while len(parts) < len(data):
            parts += sock.recv(65536)
        return bytes(parts)

    readers = [spawn(everything, sock) for sock in connected]
    writers = [spawn(sock.sendall, data) for sock in connected]
    for writer in writers:
        writer.get()
    assert [reader.get() for reader in readers] == [data, data]


def test_unwrap_leaves_the_connection_in_the_clear(connected: tuple[Any, Any]) -> None:
    server, client = connected
    ending = spawn(server.unwrap)
    clear = client.unwrap()
    clear.sendall(b"plain")
    assert ending.get().recv(10) == b"plain"


def test_a_listening_socket_accepts_with_a_handshake() -> None:
    with socket.socket() as raw:
        raw.bind(("127.0.0.1", 0))
        raw.listen()
        listener = server_context().wrap_socket(raw, server_side=True)
        accepting = spawn(listener.accept)
        plain = socket.create_connection(listener.getsockname())
        with client_context().wrap_socket(plain, server_hostname="localhost") as client:
            served, address = accepting.get()
            with served:
                assert address == client.getsockname()
                served.sendall(b"hello")
                assert client.recv(10) == b"hello"
        listener.close()


def test_a_wrong_name_is_refused_and_the_socket_closed() -> None:
    left, right = socket.socketpair()
    server = spawn(server_context().wrap_socket, left, server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        client_context().wrap_socket(right, server_hostname="example.org")
    with pytest.raises(OSError, match=r".*"):
        server.get()


def test_the_server_name_is_seen_with_the_right_socket() -> None:
    seen: list[Any] = []
    context = server_context()
    context.sni_callback = lambda sock, name, _context: seen.extend((sock, name))
    left, right = socket.socketpair()
    server = spawn(context.wrap_socket, left, server_side=True)
    with client_context().wrap_socket(right, server_hostname="localhost"), server.get() as served:
        assert seen == [served, "localhost"]


def test_sockets_and_contexts_are_the_standard_librarys_too(connected: tuple[Any, Any]) -> None:
    _server, client = connected
    assert {standard.SSLSocket, socket.socket} <= set(type(client).__mro__)
    assert isinstance(client.context, standard.SSLContext)


def test_a_late_patch_makes_old_contexts_cooperative_and_none_recurses() -> None:
    program = """
import ssl
old_class, old = ssl.SSLContext, ssl.create_default_context()
import warnings
warnings.simplefilter("ignore")
from greenloom import monkey
monkey.patch_all()
for context in (old, old_class(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)):
    context.options |= ssl.OP_NO_SSLv3
    context.verify_flags = context.verify_flags
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    import greenloom.ssl
    assert context.sslsocket_class is greenloom.ssl.SSLSocket
print("done")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stdout == "done\n", done.stderr
