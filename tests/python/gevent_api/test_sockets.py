"""Cooperative sockets: who waits, who is woken, and what the one who must not wait gets."""

from __future__ import annotations

import errno
import io
import os
import socket as standard
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import greenloom
from greenloom import Timeout, sleep, socket, spawn
from greenloom.exceptions import ConcurrentObjectUseError
from greenloom.socket import cancel_wait_ex

Pair = tuple[Any, Any]


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
    with socket.create_server(("127.0.0.1", 0)) as raw:
        sock = socket.socket(fileno=raw.detach())
        with sock:
            yield sock


def test_only_the_reader_waits(pair: Pair) -> None:
    left, right = pair
    order: list[Any] = []
    reader = spawn(lambda: order.append(right.recv(10)))
    sleep(0)
    order.append("others run")
    left.sendall(b"data")
    reader.join()
    assert order == ["others run", b"data"]


def test_a_timeout_ends_the_wait_and_leaves_the_socket_usable(pair: Pair) -> None:
    left, right = pair
    right.settimeout(0.01)
    receivers: list[Callable[[], Any]] = [
        lambda: right.recv(1),
        lambda: right.recv_into(bytearray(1)),
        lambda: right.recvmsg(1),
    ]
    for receive in receivers:
        with pytest.raises(TimeoutError, match="timed out"):
            receive()
    left.sendall(b"x")
    assert right.recv(1) == b"x"


def test_a_non_blocking_socket_never_waits(pair: Pair) -> None:
    _left, right = pair
    right.setblocking(False)
    assert not right.getblocking()
    assert right.gettimeout() == 0.0
    with pytest.raises(BlockingIOError):
        right.recv(1)


def test_a_negative_timeout_is_refused(pair: Pair) -> None:
    for wrong, error in ((-1, ValueError), (float("nan"), ValueError), ("1", TypeError)):
        with pytest.raises(error):
            pair[0].settimeout(wrong)


def test_two_readers_are_an_error_and_a_reader_and_a_writer_are_not(pair: Pair) -> None:
    left, right = pair
    reader = spawn(right.recv, 1)
    sleep(0)
    with pytest.raises(ConcurrentObjectUseError):
        right.recv(1)
    writer = spawn(right.sendall, b"x" * 1_000_000)
    received = 0
    while received < 1_000_000:
        received += len(left.recv(65536))
    writer.get()
    left.sendall(b"y")
    assert reader.get() == b"y"


def test_close_raises_in_the_one_who_waits(pair: Pair) -> None:
    _left, right = pair
    fd = right.fileno()
    reader = spawn(right.recv, 1)
    sleep(0)
    right.close()
    assert right.fileno() == -1
    with pytest.raises(cancel_wait_ex) as caught:
        reader.get()
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_a_closed_socket_refuses_every_call(pair: Pair) -> None:
    left, _right = pair
    left.close()
    assert left.closed
    for call in (
        lambda: left.recv(1),
        lambda: left.send(b"x"),
        left.getsockname,
        lambda: left.setblocking(True),
    ):
        with pytest.raises(OSError, match="Bad file"):
            call()
    assert "[closed]" in repr(left)


def test_shutdown_wakes_who_waits_for_that_direction(pair: Pair) -> None:
    _left, right = pair
    reader = spawn(right.recv, 1)
    sleep(0)
    right.shutdown(socket.SHUT_RD)
    with pytest.raises(cancel_wait_ex):
        reader.get()


def test_detach_gives_the_descriptor_away(pair: Pair) -> None:
    left, right = pair
    fd = left.detach()
    assert left.fileno() == -1
    assert left.detach() == -1
    with socket.socket(fileno=fd) as again:
        again.sendall(b"x")
        assert right.recv(1) == b"x"


def test_the_kill_of_a_waiting_greenlet_leaves_the_socket_usable(pair: Pair) -> None:
    left, right = pair
    reader = spawn(right.recv, 1)
    sleep(0)
    reader.kill()
    left.sendall(b"x")
    assert right.recv(1) == b"x"


def test_connect_accept_and_addresses(listener: Any) -> None:
    accepted = spawn(listener.accept)
    with socket.create_connection(listener.getsockname(), timeout=5) as client:
        server, address = accepted.get()
        with server:
            assert address == client.getsockname()
            assert type(server) is socket.socket
            assert client.gettimeout() == 5
            client.sendall(b"x")
            assert server.recv(1) == b"x"


def test_a_refused_connection_is_the_systems_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = unused.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        with socket.socket() as sock:
            assert sock.connect_ex(address) == errno.ECONNREFUSED


def test_connect_to_a_full_backlog_of_a_unix_socket_waits(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        connecting = [spawn(client.connect, path) for client in clients]
        sleep(0.01)
        assert not all(one.ready() for one in connecting)
        for _ in clients:
            listener.accept()[0].close()
        greenloom.joinall(connecting, raise_error=True)
        for client in clients:
            client.close()


def test_sendall_sends_all_and_keeps_to_its_timeout(pair: Pair) -> None:
    left, right = pair
    data = bytes(range(256)) * 20_000
    sender = spawn(left.sendall, data)
    received = bytearray()
    while len(received) < len(data):
        received += right.recv(100_000)
    sender.get()
    assert received == data
    left.settimeout(0.05)
    with pytest.raises(TimeoutError):
        left.sendall(data)
    assert left.gettimeout() == 0.05


def test_sendall_takes_what_is_not_bytes(pair: Pair) -> None:
    import array

    left, right = pair
    numbers = array.array("I", [1, 2, 3])
    left.sendall(numbers)
    left.sendall(memoryview(b"abc"))
    assert right.recv(100) == numbers.tobytes() + b"abc"


def test_datagrams_come_with_their_sender() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        receiver = spawn(one.recvfrom, 100)
        sleep(0)
        two.sendto(b"hello", ("localhost", one.getsockname()[1]))
        assert receiver.get() == (b"hello", two.getsockname())


def test_messages_carry_descriptors(pair: Pair) -> None:
    left, right = pair
    receiver = spawn(socket.recv_fds, right, 10, 1)
    sleep(0)
    read, write = os.pipe()
    socket.send_fds(left, [b"fd"], [write])
    data, (passed,), _flags, _address = receiver.get()
    os.write(passed, b"through")
    assert (data, os.read(read, 10)) == (b"fd", b"through")
    for fd in (read, write, passed):
        os.close(fd)


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_a_file_is_sent_by_the_system(size: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    left, right = socket.socketpair()
    with left, right, path.open("rb") as file:
        sender = spawn(left.sendfile, file)
        received = 0
        while received < size:
            received += len(right.recv(1_000_000))
        assert sender.get() == size
        assert file.tell() == size


def test_a_file_without_a_descriptor_is_read_and_sent(pair: Pair) -> None:
    left, right = pair
    assert left.sendfile(io.BytesIO(b"some data"), offset=5) == 4
    assert right.recv(100) == b"data"


def test_makefile_keeps_the_connection_until_it_is_closed(pair: Pair) -> None:
    left, right = pair
    file = right.makefile("r", encoding="utf-8")
    right.close()
    writer = spawn(left.sendall, "zwei\nZeilen äöü\n".encode())
    assert file.readline() == "zwei\n"
    assert file.readline() == "Zeilen äöü\n"
    writer.get()
    file.close()
    assert left.recv(1) == b""


def test_dup_is_the_same_connection(pair: Pair) -> None:
    left, right = pair
    left.settimeout(3)
    with left.dup() as copy:
        assert copy.gettimeout() == 3
        copy.sendall(b"x")
    assert right.recv(1) == b"x"


def test_a_socket_may_be_used_in_another_thread(pair: Pair) -> None:
    left, right = pair
    got: list[bytes] = []

    def other() -> None:
        right.settimeout(5)
        got.append(right.recv(1))
        greenloom.get_hub().destroy()

    thread = threading.Thread(target=other)
    thread.start()
    sleep(0.05)
    left.sendall(b"x")
    thread.join(5)
    assert got == [b"x"]


def test_an_unreferenced_socket_does_not_keep_the_loop_running(pair: Pair) -> None:
    _left, right = pair
    assert right.ref
    right.ref = False
    spawn(right.recv, 1)
    assert greenloom.get_hub().join(timeout=1)


def test_it_is_a_socket_for_the_standard_library(pair: Pair) -> None:
    left, _right = pair
    assert standard.socket in type(left).__mro__
    assert left.family is socket.AF_UNIX
    assert left.type is socket.SOCK_STREAM
    assert not hasattr(left, "__dict__")
    # Without us: as the native calls are.
    with pytest.raises(BlockingIOError):
        left._sock.recv(1)


def test_waiting_for_a_descriptor_by_number(pair: Pair) -> None:
    left, right = pair
    with pytest.raises(TimeoutError):
        socket.wait_read(right.fileno(), timeout=0.01)
    left.sendall(b"x")
    socket.wait_read(right.fileno(), timeout=5)
    socket.wait_write(right.fileno(), timeout=5)
