"""Two greenlets want the same of one descriptor, or one closes what another waits for."""

from __future__ import annotations

import errno
import os as standard
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from io import StringIO
from typing import Any

import pytest

import greenloom
from bad_days.blocked import let_run, open_descriptors, soon
from bad_days.calls_on_descriptors import MUCH, fill_pipe, full_listener, pipe, server_context, tls
from greenloom import get_hub, os, select, sleep, socket, spawn
from greenloom.exceptions import ConcurrentObjectUseError
from greenloom.fileobject import FileObjectPosix, FileObjectThread
from greenloom.server import StreamServer
from greenloom.socket import cancel_wait_ex


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(autouse=True)
def printed() -> Iterator[StringIO]:
    """What the hub prints: that the greenlets of these tests fail is no news."""
    hub = greenloom.get_hub()
    stream = hub.exception_stream = StringIO()
    yield stream
    del hub.exception_stream


Opened = tuple[Any, Callable[[], object]]
Open = Callable[[ExitStack], Opened]

# What is opened, and a call on it that waits.


def a_socket(call: Callable[[Any], object], kind: int = socket.SOCK_STREAM) -> Open:
    def make(opened: ExitStack) -> Opened:
        left, right = (opened.enter_context(one) for one in socket.socketpair(socket.AF_UNIX, kind))
        # Closed first, so that nobody hears of the end of the other side.
        opened.callback(left.close)
        return left, lambda: call(left) if right.fileno() > 0 else None

    return make


def a_listener(opened: ExitStack) -> Opened:
    listener = opened.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener, listener.accept


def a_client(opened: ExitStack) -> Opened:
    listener = opened.enter_context(full_listener(socket.AF_INET, ("127.0.0.1", 0)))
    client = opened.enter_context(socket.socket())
    return client, lambda: client.connect(listener.getsockname())


def a_file_of_a_socket(opened: ExitStack) -> Opened:
    left, right = (opened.enter_context(one) for one in socket.socketpair())
    opened.callback(left.close)
    file = opened.enter_context(left.makefile("rb", buffering=0))
    return left, lambda: file.read(1) if right.fileno() > 0 else None


def a_tls_socket(call: Callable[[Any], object]) -> Open:
    def make(opened: ExitStack) -> Opened:
        _server, client = opened.enter_context(tls())
        return client, lambda: call(client)

    return make


def a_handshake(opened: ExitStack) -> Opened:
    left, right = (opened.enter_context(one) for one in socket.socketpair())
    server = server_context().wrap_socket(left, server_side=True, do_handshake_on_connect=False)
    opened.enter_context(server)
    return server, lambda: server.do_handshake() if right.fileno() > 0 else None


def a_file_to_read(opened: ExitStack) -> Opened:
    read, _ = opened.enter_context(pipe())
    file = FileObjectPosix(read, "rb", 0)
    opened.callback(file.close)
    return file, lambda: file.read(1)


def a_file_to_write(opened: ExitStack) -> Opened:
    _, write = opened.enter_context(pipe())
    fill_pipe(write)
    file = FileObjectPosix(write, "wb", 0)
    opened.callback(file.close)
    return file, lambda: file.write(b"x")


SOCKETS: dict[str, Open] = {
    "recv": a_socket(lambda sock: sock.recv(1)),
    "recv_into": a_socket(lambda sock: sock.recv_into(bytearray(1))),
    "recvfrom": a_socket(lambda sock: sock.recvfrom(1), socket.SOCK_DGRAM),
    "recvmsg": a_socket(lambda sock: sock.recvmsg(1)),
    "sendall": a_socket(lambda sock: sock.sendall(MUCH)),
    "accept": a_listener,
    "connect": a_client,
    "TLS recv": a_tls_socket(lambda sock: sock.recv(1)),
    "TLS sendall": a_tls_socket(lambda sock: sock.sendall(MUCH)),
    "TLS handshake": a_handshake,
}
CLOSED_BY_ONE = {**SOCKETS, "file read": a_file_to_read, "file write": a_file_to_write}
EVERYTHING = {**CLOSED_BY_ONE, "makefile": a_file_of_a_socket}

every_socket = pytest.mark.parametrize("make", SOCKETS.values(), ids=SOCKETS)
everything = pytest.mark.parametrize("make", EVERYTHING.values(), ids=EVERYTHING)


# Two who want the same.


@everything
def test_the_second_is_refused_and_the_first_waits_on(make: Open, opened: ExitStack) -> None:
    _, call = make(opened)
    first = spawn(call)
    let_run(0)
    for _ in range(3):
        with pytest.raises(ConcurrentObjectUseError):
            soon(call)
    assert not first.ready()
    first.kill()


@everything
def test_when_the_first_is_killed_the_second_may_wait(make: Open, opened: ExitStack) -> None:
    _, call = make(opened)
    first = spawn(call)
    let_run(0)
    first.kill()
    second = spawn(call)
    let_run(0)
    assert not second.ready()
    second.kill()


def test_of_many_who_want_to_read_one_gets_the_data_and_the_others_an_error() -> None:
    left, right = socket.socketpair()
    with left, right:
        readers = [spawn(right.recv, 10) for _ in range(20)]
        let_run(0)
        left.sendall(b"data")
        greenloom.joinall(readers, timeout=10)
        assert [one.value for one in readers] == [b"data"] + [None] * 19
        assert {type(one.exception) for one in readers[1:]} == {ConcurrentObjectUseError}


def test_the_reader_and_the_writer_of_one_socket_do_not_disturb_each_other() -> None:
    left, right = socket.socketpair()
    with left, right:
        reader, writer = spawn(left.recv, 10), spawn(left.sendall, MUCH)
        let_run(0)
        reader.kill()
        received = 0
        while received < len(MUCH):
            received += len(right.recv(1_000_000))
        writer.get(timeout=10)
        again = spawn(left.recv, 10)
        right.sendall(b"data")
        assert again.get(timeout=10) == b"data"


def test_a_descriptor_by_its_number_may_be_waited_for_by_many() -> None:
    """They share nothing, so all are woken."""
    with pipe() as (read, write):
        waiting = [spawn(socket.wait_read, read) for _ in range(5)]
        selecting = [spawn(select.select, [read], [], []) for _ in range(5)]
        let_run(0)
        standard.write(write, b"x")
        greenloom.joinall(waiting + selecting, timeout=10, raise_error=True)
        assert all(one.value == ([read], [], []) for one in selecting)


# One closes what another waits for.


@pytest.mark.parametrize("make", CLOSED_BY_ONE.values(), ids=CLOSED_BY_ONE)
def test_close_raises_in_the_one_who_waits(make: Open, opened: ExitStack) -> None:
    closed, call = make(opened)
    waiting = spawn(call)
    let_run(0)
    number = closed.fileno()
    closed.close()
    waiting.join(timeout=10)
    assert isinstance(waiting.exception, OSError), repr(waiting.exception)
    assert waiting.exception.errno == errno.EBADF
    let_run(0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        standard.fstat(number)


@every_socket
def test_the_number_is_not_used_again_before_the_one_who_waits_has_heard(
    make: Open, opened: ExitStack
) -> None:
    closed, call = make(opened)
    waiting = spawn(call)
    let_run(0)
    number = closed.fileno()
    closed.close()
    fresh = [socket.socketpair() for _ in range(3)]
    numbers = {one.fileno() for two in fresh for one in two}
    assert waiting.ready() or number not in numbers
    waiting.join(timeout=10)
    for left, right in fresh:
        with left, right:
            reader = spawn(right.recv, 10)
            let_run(0)
            left.sendall(b"new")
            assert reader.get(timeout=10) == b"new"


@every_socket
def test_a_close_while_a_kill_is_on_its_way_leaves_no_descriptor(make: Open) -> None:
    before = open_descriptors()
    for order in ("kill", "close"), ("close", "kill"):
        with ExitStack() as opened:
            closed, call = make(opened)
            waiting = spawn(call)
            let_run(0)
            for step in order:
                if step == "kill":
                    waiting.kill(block=False)
                else:
                    closed.close()
            waiting.join(timeout=10)
        let_run()
        assert open_descriptors() == before


def test_both_the_reader_and_the_writer_hear_of_a_close() -> None:
    left, right = socket.socketpair()
    with left, right:
        both = [spawn(left.recv, 1), spawn(left.sendall, MUCH)]
        let_run(0)
        left.close()
        greenloom.joinall(both, timeout=10)
        assert [type(one.exception) for one in both] == [cancel_wait_ex] * 2


def test_who_closes_what_itself_waits_for_from_a_callback_hears_of_it() -> None:
    left, right = socket.socketpair()
    with left, right:
        get_hub().loop.run_callback(left.close)
        with pytest.raises(cancel_wait_ex):
            left.recv(1)


def test_a_closed_socket_with_a_file_is_open_until_the_file_is_closed() -> None:
    left, right = socket.socketpair()
    with right:
        file = left.makefile("rb")
        reading = spawn(file.readline)
        let_run(0)
        left.close()
        let_run(0)
        assert not reading.ready()
        right.sendall(b"line\n")
        assert reading.get(timeout=10) == b"line\n"
        file.close()
        assert right.recv(1) == b""


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR])
def test_shutdown_ends_the_waits_of_its_directions_only(how: int) -> None:
    left, right = socket.socketpair()
    with left, right:
        reader, writer = spawn(left.recv, 1), spawn(left.sendall, MUCH)
        let_run(0)
        left.shutdown(how)
        let_run()
        assert reader.ready() == (how != socket.SHUT_WR)
        assert writer.ready() == (how != socket.SHUT_RD)
        greenloom.killall([reader, writer])


def wait_in_the_hub(fd: int) -> None:
    with get_hub().loop.io(fd, 1) as watcher:
        get_hub().wait(watcher)


def poll(fd: int) -> object:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return poller.poll()


@pytest.mark.parametrize(
    "wait",
    [
        lambda fd: os.nb_read(fd, 1),
        socket.wait_read,
        wait_in_the_hub,
        lambda fd: select.select([fd], [], []),
        poll,
    ],
    ids=["nb_read", "wait_read", "hub.wait", "select", "poll"],
)
def test_closing_a_number_wakes_who_waits_for_it(wait: Callable[[int], object]) -> None:
    """By an error or not: nobody waits for ever for a descriptor that is none."""
    read, write = standard.pipe()
    os.make_nonblocking(read)
    waiting = spawn(wait, read)
    let_run(0)
    os.close(read)
    waiting.join(timeout=10)
    assert waiting.ready()
    assert waiting.exception is None or waiting.exception.errno == errno.EBADF
    let_run(0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        standard.fstat(read)
    os.close(write)


def test_a_number_that_was_closed_natively_is_noticed_when_it_is_used_again() -> None:
    """Nobody told the loop: the next file with that number gets its events all the same."""
    for _ in range(20):
        read, write = standard.pipe()
        os.make_nonblocking(read)
        waiting = spawn(socket.wait_read, read)
        let_run(0)
        waiting.kill()
        standard.close(read)
        standard.close(write)
        read, write = standard.pipe()
        waiting = spawn(socket.wait_read, read)
        let_run(0)
        standard.write(write, b"x")
        waiting.get(timeout=10)
        standard.close(read)
        standard.close(write)


def test_a_file_that_is_closed_under_a_buffered_reader_ends_its_wait() -> None:
    with pipe() as (read, _):
        file = FileObjectPosix(read, "r")
        reading = spawn(file.readline)
        let_run(0)
        with suppress(RuntimeError, OSError):
            # The standard library's buffer may refuse to be closed while it is read.
            file.close()
        reading.join(timeout=10)
        assert reading.ready()


def test_a_server_that_is_stopped_keeps_its_clients_and_refuses_others() -> None:
    answered: list[bytes] = []

    def handle(client: Any, _: Any) -> None:
        answered.append(client.recv(1))
        client.sendall(b"!")

    server = StreamServer(("127.0.0.1", 0), handle)
    server.start()
    with socket.create_connection(server.address) as served:
        let_run()
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.address)
        served.sendall(b"?")
        assert served.recv(1) == b"!"
    assert answered == [b"?"]


def test_a_thousand_closes_of_waiting_sockets_leave_no_descriptor() -> None:
    before = open_descriptors()
    for _ in range(10):
        pairs = [socket.socketpair() for _ in range(100)]
        readers = [spawn(left.recv, 1) for left, _ in pairs]
        sleep(0)
        for left, right in pairs:
            left.close()
            right.close()
        greenloom.joinall(readers, timeout=10)
        assert {getattr(one.exception, "errno", None) for one in readers} == {errno.EBADF}
    let_run()
    assert open_descriptors() == before


def test_a_temporary_file_closed_while_a_thread_reads_it_does_no_harm() -> None:
    """A thread cannot be interrupted: the close waits or fails, and the reader ends with data or an error."""
    with tempfile.TemporaryFile() as real:
        real.write(MUCH)
        real.seek(0)
        file = FileObjectThread(real, "rb", closefd=False)
        reading = spawn(file.read)
        sleep(0)
        file.close()
        reading.join(timeout=10)
        assert reading.value == MUCH or isinstance(reading.exception, (OSError, ValueError))
