"""The calls that wait for sockets, files, children and watchers of the loop."""

from __future__ import annotations

import os as standard
import select as standard_select
import signal
import socket as standard_socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bad_days.blocked import LONG, Call, Setting, let_run, soon
from greenloom import get_hub, os, select, selectors, sleep, socket, spawn, ssl, subprocess
from greenloom.fileobject import FileObjectPosix, FileObjectThread
from greenloom.pool import Pool
from greenloom.pywsgi import WSGIServer
from greenloom.resolver.thread import Resolver
from greenloom.server import StreamServer
from greenloom.threadpool import ThreadPool

CERTIFICATE = str(Path(__file__).parents[1] / "gevent_api" / "localhost.pem")
MUCH = b"x" * 4_000_000

# Sockets.


@contextmanager
def two_sockets(kind: int = socket.SOCK_STREAM) -> Iterator[tuple[Any, Any]]:
    left, right = socket.socketpair(socket.AF_UNIX, kind)
    with left, right:
        yield left, right


def receiving(receive: Callable[[Any], object], kind: int = socket.SOCK_STREAM) -> Iterator[Call]:
    with two_sockets(kind) as (left, right):
        yield Call(partial(receive, right))
        other = spawn(right.recv, 10)
        let_run(0)
        left.sendall(b"data")
        assert other.get(timeout=10) == b"data"


@contextmanager
def not_waiting(sock: Any) -> Iterator[None]:
    """End the block where the socket would wait."""
    sock.setblocking(False)
    with suppress(BlockingIOError):
        yield
    sock.setblocking(True)


def fill(write: Callable[[bytes], int]) -> int:
    """Write until a call raises BlockingIOError; return how many bytes."""
    total = 0
    for size in (65536, 1):
        with suppress(BlockingIOError):
            while True:
                total += write(b"." * size)
    return total


def fill_socket(sock: Any) -> int:
    with not_waiting(sock):
        return fill(sock.send)


def fill_pipe(fd: int) -> int:
    standard.set_blocking(fd, False)
    return fill(partial(standard.write, fd))


def receive_exactly(sock: Any, size: int) -> bytes:
    """Receive so many bytes and check that there are no more."""
    data = bytearray()
    while len(data) < size:
        data += sock.recv(1_000_000)
    with not_waiting(sock):
        data += sock.recv(1)
    return bytes(data)


def sending(send: Callable[[Any], object]) -> Iterator[Call]:
    with two_sockets() as (left, right):
        filled = fill_socket(left)
        yield Call(partial(send, left))
        other = spawn(left.sendall, b"data")
        let_run(0)
        assert soon(receive_exactly, right, filled + 4) == b"." * filled + b"data"
        other.get(timeout=10)


def sending_much(send: Callable[[Any], object]) -> Iterator[Call]:
    """Some of it goes out before it blocks: how much, nobody knows. What comes after it is not lost."""
    with two_sockets() as (left, right):
        yield Call(partial(send, left))
        other = spawn(left.sendall, b"data!")
        let_run(0)
        received = b""
        while not received.endswith(b"data!"):
            received += soon(right.recv, 1_000_000)
        assert not received[:-5].strip(b"x")
        other.get(timeout=10)


def sending_datagrams() -> Iterator[Call]:
    with two_sockets(socket.SOCK_DGRAM) as (left, right), suppress(BlockingIOError):

        def send_for_ever() -> None:
            while True:
                left.send(b"again")

        yield Call(send_for_ever)
        other = spawn(left.send, b"last")
        while soon(right.recv, 10) != b"last":
            pass
        other.get(timeout=10)


def sending_a_file(sock: Any) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(MUCH)
        file.seek(0)
        sock.sendfile(file)


def accepting() -> Iterator[Call]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield Call(listener.accept)
        other = spawn(listener.accept)
        with soon(socket.create_connection, listener.getsockname()) as client:
            accepted, address = other.get(timeout=10)
            with accepted:
                assert address == client.getsockname()


@contextmanager
def full_listener(family: int, address: Any) -> Iterator[Any]:
    """A listener with as many connections as it keeps waiting, so that the next to connect waits."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket(family))
        listener.bind(address)
        listener.listen(0)
        client = opened.enter_context(standard_socket.socket(family))
        client.connect(listener.getsockname())
        yield listener


def connecting() -> Iterator[Call]:
    with (
        tempfile.TemporaryDirectory() as directory,
        full_listener(socket.AF_UNIX, f"{directory}/socket") as listener,
        socket.socket(socket.AF_UNIX) as client,
    ):
        yield Call(partial(client.connect, f"{directory}/socket"))
        other = spawn(client.connect, f"{directory}/socket")
        for _ in range(2):
            soon(listener.accept)[0].close()
        other.get(timeout=10)


def creating_a_connection(connect: Callable[[Any], object]) -> Iterator[Call]:
    with full_listener(socket.AF_INET, ("127.0.0.1", 0)) as listener:
        # The address may still be looked up by a thread.
        yield Call(partial(connect, listener.getsockname()), goes_on=True)
        with soon(listener.accept)[0] as accepted:
            assert accepted.fileno() > 0


def connect_and_leave(address: Any) -> None:
    with socket.socket() as client:
        client.connect_ex(address)


def waiting_for_a_descriptor(wait: Callable[[int], object]) -> Iterator[Call]:
    with two_sockets() as (left, right):
        filled = fill_socket(right)
        yield Call(partial(wait, right.fileno()))
        other = spawn(wait, right.fileno())
        let_run(0)
        left.send(b"x")
        receive_exactly(left, filled)
        other.get(timeout=10)


def waiting_for_a_watcher_of_a_socket() -> Iterator[Call]:
    with two_sockets() as (left, right), get_hub().loop.io(right.fileno(), 1) as watcher:
        yield Call(partial(socket.wait, watcher), lambda: watcher.callback is not None)
        other = spawn(socket.wait, watcher)
        let_run(0)
        left.send(b"x")
        other.get(timeout=10)


def reading_a_line_of_a_socket() -> Iterator[Call]:
    with two_sockets() as (left, right), right.makefile("rb") as file:
        yield Call(file.readline)
        other = spawn(file.readline)
        let_run(0)
        left.send(b"data\n")
        assert other.get(timeout=10) == b"data\n"


# Names.


@contextmanager
def busy_resolver() -> Iterator[threading.Event]:
    """Let nobody get an answer before the event is set."""
    hub, end = get_hub(), threading.Event()
    before = hub.threadpool, hub.resolver
    pool = hub.threadpool = ThreadPool(1)
    hub.resolver = Resolver(hub)
    pool.spawn(end.wait, LONG)
    try:
        yield end
    finally:
        end.set()
        pool.kill()
        hub.threadpool, hub.resolver = before


def looking_up(look_up: Callable[[], object]) -> Iterator[Call]:
    with busy_resolver() as end:
        yield Call(look_up, goes_on=True)
        end.set()
        assert soon(socket.gethostbyname, "127.0.0.1") == "127.0.0.1"
        soon(look_up)


# TLS.


def server_context() -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def client_context() -> Any:
    return ssl.create_default_context(cafile=CERTIFICATE)


@contextmanager
def tls() -> Iterator[tuple[Any, Any]]:
    left, right = socket.socketpair()
    served = spawn(server_context().wrap_socket, left, server_side=True)
    with client_context().wrap_socket(right, server_hostname="localhost") as client, served.get() as server:
        # What the server says of its own accord after the handshake shall not wake the client later.
        server.sendall(b".")
        client.recv(1)
        yield server, client


def shaking_hands() -> Iterator[Call]:
    with two_sockets() as (left, right):
        wrapped = client_context().wrap_socket(
            right, server_hostname="localhost", do_handshake_on_connect=False
        )
        with wrapped:
            yield Call(wrapped.do_handshake)
            other = spawn(wrapped.do_handshake)
            with soon(partial(server_context().wrap_socket, left, server_side=True)) as server:
                other.get(timeout=10)
                soon(wrapped.sendall, b"x")
                assert soon(server.recv, 1) == b"x"


def accepting_with_tls() -> Iterator[Call]:
    """Somebody connects and says nothing."""
    with socket.socket() as raw:
        raw.bind(("127.0.0.1", 0))
        raw.listen()
        with (
            server_context().wrap_socket(raw, server_side=True) as listener,
            socket.create_connection(listener.getsockname()) as silent,
        ):
            yield Call(listener.accept)
            other = spawn(listener.accept)
            assert soon(silent.recv, 1) == b"", "it is closed"
            client = soon(socket.create_connection, listener.getsockname())
            with soon(partial(client_context().wrap_socket, client, server_hostname="localhost")):
                other.get(timeout=10)[0].close()


def reading_tls(receive: Callable[[Any], object]) -> Iterator[Call]:
    with tls() as (server, client):
        yield Call(partial(receive, client))
        other = spawn(client.recv, 10)
        let_run(0)
        server.sendall(b"data")
        assert other.get(timeout=10) == b"data"


def writing_tls() -> Iterator[Call]:
    """The stream is of no use after that, as a record may be out by half; the other side is."""
    with tls() as (server, client):
        yield Call(partial(client.sendall, MUCH))
        let_run(0)
        with suppress(OSError):
            client.setblocking(False)
            client.recv(1)
        assert soon(server.recv, 1) == b"x"


def unwrapping_tls() -> Iterator[Call]:
    with tls() as (server, client):
        yield Call(client.unwrap)
        other = spawn(server.unwrap)
        let_run(0)
        soon(client.unwrap)
        other.get(timeout=10).close()


# Selecting.


def selecting(make: Callable[[Any, Any], Callable[[], object]]) -> Iterator[Call]:
    with two_sockets() as (left, right), ExitStack() as opened:
        wait = make(right, opened)
        yield Call(wait)
        other = spawn(wait)
        let_run(0)
        left.send(b"x")
        assert other.get(timeout=10)


def by_select(sock: Any, _: Any) -> Callable[[], object]:
    return partial(select.select, [sock], [], [])


def by_poll(sock: Any, _: Any) -> Callable[[], object]:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll.poll


def by_selector(sock: Any, opened: Any) -> Callable[[], object]:
    selector: Any = opened.enter_context(selectors.DefaultSelector())
    selector.register(sock, selectors.EVENT_READ)
    return selector.select  # type: ignore[no-any-return]


# Descriptors and files.


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    read, write = standard.pipe()
    try:
        yield read, write
    finally:
        for end in (read, write):
            with suppress(OSError):
                standard.close(end)


def reading_a_descriptor() -> Iterator[Call]:
    with pipe() as (read, write):
        os.make_nonblocking(read)
        yield Call(partial(os.nb_read, read, 10))
        other = spawn(os.nb_read, read, 10)
        let_run(0)
        standard.write(write, b"data")
        assert other.get(timeout=10) == b"data"


def writing_to_a_descriptor() -> Iterator[Call]:
    with pipe() as (read, write):
        filled = fill_pipe(write)
        yield Call(partial(os.nb_write, write, b"never arrives"))
        other = spawn(os.nb_write, write, b"data")
        let_run(0)
        assert standard.read(read, filled) == b"." * filled
        assert other.get(timeout=10) == 4
        assert standard.read(read, 10) == b"data"


def reading_in_a_thread() -> Iterator[Call]:
    with pipe() as (read, write):
        yield Call(partial(os.tp_read, read, 10), goes_on=True)
        # The thread that nobody waits for any more takes what comes first.
        standard.write(write, b"lost")
        while standard_select.select([read], [], [], 0)[0]:
            sleep(0.001)
        standard.write(write, b"data")
        assert soon(os.tp_read, read, 10) == b"data"


def writing_in_a_thread() -> Iterator[Call]:
    with pipe() as (read, write):
        filled = fill_pipe(write)
        standard.set_blocking(write, True)
        yield Call(partial(os.tp_write, write, b"by the thread"), goes_on=True)
        received = b""
        while len(received) < filled + 13:
            received += soon(os.tp_read, read, 1_000_000)
        assert received == b"." * filled + b"by the thread"


def reading_a_file(kind: Any, method: str, *args: Any) -> Iterator[Call]:
    with pipe() as (read, write), kind(read, "rb", closefd=False) as file:
        yield Call(partial(getattr(file, method), *args), goes_on=kind is FileObjectThread)
        if kind is FileObjectThread:
            standard.write(write, b"for the thread\n")
            return
        other = spawn(file.readline)
        let_run(0)
        standard.write(write, b"data\n")
        assert other.get(timeout=10) == b"data\n"


def writing_to_a_file(kind: Any) -> Iterator[Call]:
    """What the file has in its buffer when the writer is killed comes before what is written next."""
    with pipe() as (read, write), kind(write, "wb", closefd=False) as file:
        yield Call(partial(file.write, MUCH), goes_on=kind is FileObjectThread)
        reading = spawn(read_up_to, read, b"end")
        let_run(0)
        file.write(b"end")
        file.flush()
        assert not reading.get(timeout=10).removesuffix(b"end").strip(b"x")


def read_up_to(fd: int, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += os.tp_read(fd, 1_000_000)
    return data


# Children.


def waiting_for_a_child(fork: Callable[[], int], wait: Callable[[int], object]) -> Iterator[Call]:
    with pipe() as (read, write):
        pid = fork()
        if pid == 0:
            standard.close(write)
            standard.read(read, 1)
            standard._exit(3)
        yield Call(partial(wait, pid))
        other = spawn(wait, pid)
        let_run(0)
        standard.close(write)
        assert other.get(timeout=10) == (pid, 3 << 8)


def wait_for_any(_: int) -> object:
    return os.waitpid(-1, 0)


@contextmanager
def cat(**streams: Any) -> Iterator[Any]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def waiting_for_a_process(begin: Callable[[Any], object]) -> Iterator[Call]:
    with cat() as process:
        yield Call(partial(begin, process), goes_on=True)
        other = spawn(process.wait)
        let_run(0)
        process.kill()
        assert other.get(timeout=10) == -signal.SIGKILL


def communicating() -> Iterator[Call]:
    with subprocess.Popen(["sleep", str(LONG)], stdout=subprocess.PIPE) as process:
        yield Call(process.communicate)
        other = spawn(process.communicate)
        let_run(0)
        process.kill()
        assert other.get(timeout=10) == (b"", None)


def reading_from_a_process() -> Iterator[Call]:
    with cat(bufsize=0) as process:
        yield Call(partial(process.stdout.read, 10))
        other = spawn(process.stdout.read, 10)
        let_run(0)
        process.stdin.write(b"data")
        assert other.get(timeout=10) == b"data"


def writing_to_a_process() -> Iterator[Call]:
    with cat(bufsize=0) as process:
        yield Call(partial(process.stdin.write, MUCH))
        data = spawn(process.stdout.read)
        let_run(0)
        process.stdin.write(b"data!")
        process.stdin.close()
        assert data.get(timeout=10)[-5:] == b"data!"


def running_a_program(run: Callable[..., object]) -> Iterator[Call]:
    """Whoever is killed in it takes the program along."""
    yield Call(partial(run, ["sleep", str(LONG)]))
    assert soon(subprocess.check_output, ["echo", "x"]) == b"x\n"


# The loop.


def waiting_in_the_hub(make: Callable[[Any, Any], tuple[Any, Callable[[], object]]]) -> Iterator[Call]:
    hub = get_hub()
    with ExitStack() as opened:
        watcher, happen = make(hub.loop, opened)
        opened.callback(watcher.close)
        yield Call(partial(hub.wait, watcher), lambda: watcher.active)
        other = spawn(hub.wait, watcher)
        let_run(0)
        assert not other.ready()
        happen()
        other.get(timeout=10)


def of_io(loop: Any, opened: Any) -> tuple[Any, Callable[[], object]]:
    left, right = opened.enter_context(two_sockets())
    return loop.io(right.fileno(), 1), partial(left.send, b"x")


def of_a_timer(loop: Any, opened: Any) -> tuple[Any, Callable[[], object]]:
    timer = loop.timer(0.1, 0.1)
    return timer, partial(sleep, 0)


def of_another_thread(loop: Any, opened: Any) -> tuple[Any, Callable[[], object]]:
    watcher = loop.async_()
    return watcher, lambda: threading.Thread(target=watcher.send).start()


def of_a_signal(loop: Any, opened: Any) -> tuple[Any, Callable[[], object]]:
    return loop.signal(signal.SIGUSR2), partial(standard.kill, standard.getpid(), signal.SIGUSR2)


def of_a_child(loop: Any, opened: Any) -> tuple[Any, Callable[[], object]]:
    loop.install_sigchld()
    read, write = opened.enter_context(pipe())
    pid = standard.fork()
    if pid == 0:
        standard.close(write)
        standard.read(read, 1)
        standard._exit(0)
    return loop.child(pid), partial(standard.close, write)


# Servers.


def starting_a_server() -> Iterator[Call]:
    """One that looks up its own name first."""
    server = WSGIServer(("127.0.0.1", 0), nobody_served)
    with busy_resolver():
        yield Call(server.start, goes_on=True)
        let_run(0)
        assert server.closed


def serving_for_ever(make: Callable[[], Any]) -> Iterator[Call]:
    server = make()
    yield Call(server.serve_forever, goes_on=True)
    let_run()
    assert server.closed
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.address)


def stopping_a_server() -> Iterator[Call]:
    """One that waits for its handlers, of which one does not end."""
    server = StreamServer(("127.0.0.1", 0), lambda client, _: client.recv(1), spawn=Pool(5))
    server.start()
    with socket.create_connection(server.address) as client:
        let_run()
        yield Call(partial(server.stop, LONG), goes_on=True)
        assert server.closed
        client.send(b"x")
        assert server.pool.join(timeout=10)


def nobody_served(*_: Any) -> Any:
    raise AssertionError("nobody connects")


CALLS: dict[str, Setting] = {
    "socket.recv": partial(receiving, lambda sock: sock.recv(10)),
    "socket.recv_into": partial(receiving, lambda sock: sock.recv_into(bytearray(10))),
    "socket.recvfrom": partial(receiving, lambda sock: sock.recvfrom(10), socket.SOCK_DGRAM),
    "socket.recvfrom_into": partial(
        receiving, lambda sock: sock.recvfrom_into(bytearray(10)), socket.SOCK_DGRAM
    ),
    "socket.recvmsg": partial(receiving, lambda sock: sock.recvmsg(10)),
    "socket.recvmsg_into": partial(receiving, lambda sock: sock.recvmsg_into([bytearray(10)])),
    "socket.send": partial(sending, lambda sock: sock.send(b"never arrives")),
    "socket.sendmsg": partial(sending, lambda sock: sock.sendmsg([b"never arrives"])),
    "socket.sendall": partial(sending, lambda sock: sock.sendall(b"never arrives")),
    "socket.sendall of much": partial(sending_much, lambda sock: sock.sendall(MUCH)),
    "socket.sendfile": partial(sending_much, sending_a_file),
    "socket.send of datagrams": sending_datagrams,
    "socket.accept": accepting,
    "socket.connect": connecting,
    "socket.connect_ex": partial(creating_a_connection, connect_and_leave),
    "create_connection": partial(creating_a_connection, socket.create_connection),
    "socket.makefile: readline": reading_a_line_of_a_socket,
    "wait_read": partial(waiting_for_a_descriptor, socket.wait_read),
    "wait_write": partial(waiting_for_a_descriptor, socket.wait_write),
    "wait_readwrite": partial(waiting_for_a_descriptor, socket.wait_readwrite),
    "socket.wait": waiting_for_a_watcher_of_a_socket,
    "getaddrinfo": partial(looking_up, lambda: socket.getaddrinfo("localhost", 80)),
    "gethostbyname": partial(looking_up, lambda: socket.gethostbyname("localhost")),
    "getnameinfo": partial(looking_up, lambda: socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)),
    "SSLSocket.do_handshake": shaking_hands,
    "SSLSocket.accept": accepting_with_tls,
    "SSLSocket.recv": partial(reading_tls, lambda sock: sock.recv(10)),
    "SSLSocket.recv_into": partial(reading_tls, lambda sock: sock.recv_into(bytearray(10))),
    "SSLSocket.read": partial(reading_tls, lambda sock: sock.read(10)),
    "SSLSocket.sendall": writing_tls,
    "SSLSocket.unwrap": unwrapping_tls,
    "select": partial(selecting, by_select),
    "poll": partial(selecting, by_poll),
    "selectors": partial(selecting, by_selector),
    "nb_read": reading_a_descriptor,
    "nb_write": writing_to_a_descriptor,
    "tp_read": reading_in_a_thread,
    "tp_write": writing_in_a_thread,
    "FileObjectPosix.read": partial(reading_a_file, FileObjectPosix, "read", 10),
    "FileObjectPosix.readinto": partial(reading_a_file, FileObjectPosix, "readinto", bytearray(10)),
    "FileObjectPosix.readline": partial(reading_a_file, FileObjectPosix, "readline"),
    "FileObjectPosix.write": partial(writing_to_a_file, FileObjectPosix),
    "FileObjectThread.readline": partial(reading_a_file, FileObjectThread, "readline"),
    "FileObjectThread.write": partial(writing_to_a_file, FileObjectThread),
    "waitpid": partial(waiting_for_a_child, os.fork, lambda pid: os.waitpid(pid, 0)),
    "waitpid of an unwatched child": partial(
        waiting_for_a_child, standard.fork, lambda pid: os.waitpid(pid, 0)
    ),
    "waitpid of any child": partial(waiting_for_a_child, os.fork, wait_for_any),
    "Popen.wait": partial(waiting_for_a_process, lambda process: process.wait()),
    "Popen.communicate": communicating,
    "Popen.stdout.read": reading_from_a_process,
    "Popen.stdin.write": writing_to_a_process,
    "subprocess.run": partial(running_a_program, subprocess.run),
    "subprocess.call": partial(running_a_program, subprocess.call),
    "subprocess.check_output": partial(running_a_program, subprocess.check_output),
    "hub.wait for io": partial(waiting_in_the_hub, of_io),
    "hub.wait for a timer": partial(waiting_in_the_hub, of_a_timer),
    "hub.wait for another thread": partial(waiting_in_the_hub, of_another_thread),
    "hub.wait for a signal": partial(waiting_in_the_hub, of_a_signal),
    "hub.wait for a child": partial(waiting_in_the_hub, of_a_child),
    "WSGIServer.start": starting_a_server,
    "serve_forever": partial(serving_for_ever, partial(StreamServer, ("127.0.0.1", 0), nobody_served)),
    "serve_forever of WSGI": partial(
        serving_for_ever, partial(WSGIServer, ("127.0.0.1", 0), nobody_served, log=None)
    ),
    "Server.stop": stopping_a_server,
}
