"""Sockets: what never waits, who is refused, who hears of a close, and which class a timeout has."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenloom import Timeout, sleep, socket, spawn
from greenloom.exceptions import ConcurrentObjectUseError
from greenloom.socket import cancel_wait_ex

Pair = tuple[Any, Any]
MUCH = b"x" * 10_000_000


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    with Timeout(10, ref=False):
        yield


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@pytest.fixture
def listener() -> Iterator[Any]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


# A timeout of zero.


@pytest.mark.parametrize(
    "call",
    [
        lambda sock: sock.recv(1),
        lambda sock: sock.recvfrom(1),
        lambda sock: sock.recv_into(bytearray(1)),
        lambda sock: [sock.send(MUCH) for _ in range(100)],
    ],
    ids=["recv", "recvfrom", "recv_into", "send"],
)
def test_a_timeout_of_zero_means_never_to_wait(pair: Pair, call: Callable[[Any], Any]) -> None:
    _left, right = pair
    ran: list[int] = []
    spawn(ran.append, 1)
    right.settimeout(0)
    assert (right.getblocking(), right.gettimeout()) == (False, 0.0)
    with pytest.raises(BlockingIOError) as caught:
        call(right)
    assert caught.value.errno == errno.EAGAIN
    assert ran == []
    right.settimeout(None)
    assert (right.getblocking(), right.gettimeout()) == (True, None)


def test_a_full_socket_with_a_timeout_of_zero_takes_nothing_from_sendall(pair: Pair) -> None:
    left, _right = pair
    left.settimeout(0.005)
    with pytest.raises(TimeoutError):
        left.sendall(MUCH)
    left.settimeout(0)
    with pytest.raises(BlockingIOError):
        left.sendall(b"x" * 100_000)


def test_a_timeout_of_zero_holds_for_accept_and_connect(listener: Any) -> None:
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()
    with socket.socket() as client:
        client.settimeout(0)
        with pytest.raises(BlockingIOError) as caught:
            client.connect(listener.getsockname())
        assert caught.value.errno == errno.EINPROGRESS
        listener.settimeout(None)
        server, _address = listener.accept()
        with server:
            assert client.connect_ex(listener.getsockname()) in (0, errno.EISCONN)


# Timeouts.


def test_a_timeout_of_a_socket_is_an_os_error_and_no_timeout_of_greenlets(pair: Pair, listener: Any) -> None:
    assert socket.timeout is TimeoutError
    assert not issubclass(TimeoutError, Timeout)
    left, _right = pair
    left.settimeout(0.005)
    listener.settimeout(0.005)
    start = time.monotonic()
    for call in lambda: left.recv(1), lambda: left.sendall(MUCH), listener.accept:
        with pytest.raises(TimeoutError, match="timed out") as caught:
            call()
        assert isinstance(caught.value, OSError)
    assert time.monotonic() - start >= 0.015


def test_create_connection_keeps_its_timeout_and_takes_a_source(listener: Any) -> None:
    with socket.create_connection(
        listener.getsockname(), timeout=3, source_address=("127.0.0.1", 0)
    ) as client:
        server, address = listener.accept()
        with server:
            assert (client.gettimeout(), address) == (3, client.getsockname())
            # Those of the listener are not taken over.
            assert server.gettimeout() is None


# Two of a kind, and close.


def test_two_writers_are_an_error_and_the_first_goes_on(pair: Pair) -> None:
    left, right = pair
    first = spawn(left.sendall, MUCH)
    sleep(0)
    with pytest.raises(ConcurrentObjectUseError):
        left.sendall(MUCH)
    received = 0
    while received < len(MUCH):
        received += len(right.recv(1_000_000))
    assert first.get() is None


def test_two_acceptors_are_an_error(listener: Any) -> None:
    first = spawn(listener.accept)
    sleep(0)
    with pytest.raises(ConcurrentObjectUseError):
        listener.accept()
    first.kill()


@pytest.mark.usefixtures("printed")
@pytest.mark.parametrize("what", ["recv", "sendall", "accept"])
def test_whoever_waits_hears_that_another_closed(what: str, pair: Pair, listener: Any) -> None:
    calls: dict[str, tuple[Any, Callable[[], Any]]] = {
        "recv": (pair[0], lambda: pair[0].recv(1)),
        "sendall": (pair[0], lambda: pair[0].sendall(MUCH)),
        "accept": (listener, listener.accept),
    }
    closed, call = calls[what]
    waiting = spawn(call)
    sleep(0)
    closed.close()
    with pytest.raises(cancel_wait_ex, match="closed in another greenlet") as caught:
        waiting.get()
    assert caught.value.errno == errno.EBADF
    assert isinstance(caught.value, OSError)


# Copies and files.


def test_a_pair_is_of_cooperative_sockets_and_may_be_asked_for_by_type() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        assert type(left) is type(right) is socket.socket
        reader = spawn(right.recv, 10)
        sleep(0)
        left.send(b"one")
        assert reader.get() == b"one"


def test_a_duplicate_and_a_detached_descriptor_outlive_the_socket(pair: Pair) -> None:
    left, right = pair
    twin = right.dup()
    assert twin.fileno() != right.fileno()
    right.close()
    left.sendall(b"to the twin")
    assert twin.recv(20) == b"to the twin"
    fd = twin.detach()
    assert twin.fileno() == -1
    twin.close()
    with socket.socket(fileno=fd) as last:
        last.sendall(b"still there")
    assert left.recv(20) == b"still there"
    assert left.recv(20) == b""


@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_file_of_a_socket_waits_cooperatively(buffering: int, pair: Pair) -> None:
    left, right = pair
    with right.makefile("rb", buffering) as reading, left.makefile("wb", buffering) as writing:
        line = spawn(reading.readline)
        sleep(0)
        writing.write(b"a line\nand a half")
        writing.flush()
        assert line.get() == b"a line\n"
        left.shutdown(socket.SHUT_WR)
        assert reading.read(100) == b"and a half"
