"""Every call of libc that waits, as a C library makes it: what it waits for, how that comes, what the call says.

A *setting* is a generator that prepares something to wait for, yields a :class:`Wait`, and clears up.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import select
import socket
import tempfile
import tty
from collections.abc import Callable, Iterator
from contextlib import suppress
from errno import EBADF, ECANCELED
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import greenloom
from greenloom.event import Event

#: Longer than any test runs.
LONG = 600.0
#: Long enough for others to have their turn meanwhile.
BRIEF = 0.1

#: What is more than pipes and sockets take.
MUCH = 1 << 19


@cache
def library() -> Any:
    """The library, which lets go of the GIL around each call."""
    found = ctypes.CDLL(os.environ["WAITS_LIBRARY"])
    for name in ("in_nanosleep", "in_clock_nanosleep", "in_usleep"):
        getattr(found, name).argtypes = [ctypes.c_double, ctypes.c_void_p]
    for name in ("in_write", "in_writev", "in_send", "in_sendmsg"):
        getattr(found, name).argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
    found.errno_after.argtypes = [ctypes.c_double]
    found.forks.argtypes = [ctypes.c_double, ctypes.c_void_p]
    found.waits_deep.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
    found.calls_from_thread.argtypes = [ctypes.c_void_p, ctypes.c_long]
    found.calls_back.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_double]
    for name in CALLED:
        getattr(found, name).restype = ctypes.c_long
    return found


CALLED = (
    *("in_read", "in_readv", "in_recv", "in_recvfrom", "in_recvmsg"),
    *("in_poll", "in_poll_of_two", "in_ppoll", "in_select", "in_pselect", "in_epoll_wait"),
    *("in_write", "in_writev", "in_send", "in_sendmsg"),
    *("in_accept", "in_connect_to_a_path", "in_connect_to_a_port", "in_close"),
    *("in_nanosleep", "in_clock_nanosleep", "in_usleep"),
    *("in_waitpid", "in_waitid", "in_flock", "in_getaddrinfo"),
    *("in_mutex", "in_rwlock", "in_condition", "in_join"),
    *("errno_after", "calls_back", "waits_deep", "forks", "calls_from_thread"),
)


class Call:
    """A call of the library, and what it has said, which is the only witness where Python raises instead."""

    def __init__(self, name: str, *args: Any) -> None:
        self.name, self.args = name, args
        self.told = ctypes.c_long(NOTHING)

    def __call__(self) -> int:
        result: int = getattr(library(), self.name)(*self.args, ctypes.byref(self.told))
        return result


#: What a call has said that has said nothing so far.
NOTHING = -9999


class Wait(NamedTuple):
    """Something that a call waits for."""

    #: Waits until it is ended from outside, or by :attr:`finish`.
    call: Call
    #: Lets come what is waited for.
    finish: Callable[[], object]
    #: What the call returns then.
    result: int
    #: What it returns when it is interrupted.
    interrupted: int = -ECANCELED
    #: It does not let itself be interrupted.
    insists: bool = False
    #: In place of the call where that has to end by itself.
    brief: Call | None = None
    #: The descriptor that is waited for, and what the call returns when that is closed.
    fd: int = -1
    closed: int = -EBADF
    #: Whether what was waited for can be waited for again after an interrupt.
    again: bool = True


Setting = Callable[[], Iterator[Wait]]


def _nothing() -> None:
    pass


def closing(*fds: int) -> None:
    """Close what is not closed yet."""
    for fd in fds:
        with suppress(OSError):
            os.close(fd)


def reading(name: str, make: Callable[[], tuple[int, int]]) -> Iterator[Wait]:
    mine, theirs = make()
    yield Wait(Call(name, mine), partial(os.write, theirs, b"\n"), 1, fd=mine)
    closing(mine, theirs)


def readable(name: str, closed: int = -EBADF) -> Iterator[Wait]:
    mine, theirs = os.pipe()
    yield Wait(Call(name, mine), partial(os.write, theirs, b"\n"), 1, fd=mine, closed=closed)
    closing(mine, theirs)


def sockets() -> tuple[int, int]:
    left, right = socket.socketpair()
    return left.detach(), right.detach()


def connections() -> tuple[int, int]:
    """A pair of TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = socket.create_connection(listener.getsockname())
        right, _ = listener.accept()
    return left.detach(), right.detach()


def terminals() -> tuple[int, int]:
    """The side of a program, and that of who types."""
    theirs, mine = pty.openpty()
    tty.setraw(mine)
    return mine, theirs


def lines() -> tuple[int, int]:
    """A terminal that gives a line at a time."""
    theirs, mine = pty.openpty()
    return mine, theirs


def polling() -> Iterator[Wait]:
    mine, theirs = os.pipe()
    with select.epoll() as epoll:
        epoll.register(mine, select.EPOLLIN)
        yield Wait(
            Call("in_epoll_wait", epoll.fileno()), partial(os.write, theirs, b"x"), 1, fd=epoll.fileno()
        )
        with suppress(OSError):
            epoll.unregister(mine)
    closing(mine, theirs)


def writing(name: str, make: Callable[[], tuple[int, int]]) -> Iterator[Wait]:
    theirs, mine = make()
    fill(mine)

    def read_all() -> None:
        os.set_blocking(theirs, False)
        while True:
            try:
                if os.read(theirs, MUCH) == b"":
                    return
            except BlockingIOError:
                greenloom.sleep(0.001)
            except OSError:
                return

    readers: list[Any] = []
    yield Wait(Call(name, mine, MUCH), lambda: readers.append(greenloom.spawn(read_all)), MUCH, fd=mine)
    greenloom.killall(readers)
    closing(theirs, mine)


def fill(fd: int) -> None:
    """Write until nothing more fits."""
    os.set_blocking(fd, False)
    with suppress(BlockingIOError):
        while True:
            os.write(fd, bytes(4096))
    with suppress(BlockingIOError):
        while True:
            os.write(fd, b"x")
    os.set_blocking(fd, True)


def accepting() -> Iterator[Wait]:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        call = Call("in_accept", listener.fileno())
        yield Wait(call, partial(client.connect, listener.getsockname()), 0, fd=listener.fileno())
        if call.told.value == -EBADF:
            listener.detach()


def connecting_to_a_path() -> Iterator[Wait]:
    """Nobody accepts, and the queue is full."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(directory) / "socket")
        listener.bind(path)
        listener.listen(0)
        listener.setblocking(False)
        others = []
        with suppress(BlockingIOError):
            while True:
                others.append(socket.socket(socket.AF_UNIX))
                others[-1].setblocking(False)
                others[-1].connect(path)

        def accept_all() -> None:
            with suppress(BlockingIOError):
                while True:
                    others.append(listener.accept()[0])

        mine = socket.socket(socket.AF_UNIX).detach()
        yield Wait(Call("in_connect_to_a_path", mine, path.encode()), accept_all, 0, fd=mine)
        closing(mine)
        for other in others:
            other.close()


def connecting_to_a_port() -> Iterator[Wait]:
    """The queue is full, and the kernel does not answer. It is asked again after a second."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        others = [socket.socket() for _ in range(4)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(listener.getsockname())

        def accept_all() -> None:
            listener.setblocking(False)
            for other in others[1:4]:
                other.close()
            with suppress(BlockingIOError):
                while True:
                    others.append(listener.accept()[0])

        mine = socket.socket().detach()
        call = Call("in_connect_to_a_port", mine, listener.getsockname()[1])
        yield Wait(call, accept_all, 0, fd=mine, again=False)
        closing(mine)
        for other in others:
            other.close()


def sleeping(name: str) -> Iterator[Wait]:
    # There is no error for it but EINTR, after which callers sleep on.
    yield Wait(Call(name, LONG), _nothing, 0, interrupted=0, brief=Call(name, BRIEF))


def waiting_for_a_child(name: str) -> Iterator[Wait]:
    read, write = os.pipe()
    pid = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", "read line; exit 3"],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, read, 0)],
    )
    os.close(read)
    yield Wait(Call(name, pid), partial(closing, write), 3)
    closing(write)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def locking_a_file() -> Iterator[Wait]:
    with tempfile.NamedTemporaryFile() as file, Path(file.name).open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        mine = os.open(file.name, os.O_RDONLY)
        yield Wait(Call("in_flock", mine), partial(fcntl.flock, other, fcntl.LOCK_UN), 0, fd=mine)
        closing(mine)


def looking_up() -> Iterator[Wait]:
    """The file of aliases is a pipe that nobody writes to. A name that is none makes libc give up at once."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "aliases"
        os.mkfifo(path)
        name = f"looked-up-{Path(directory).name.replace('_', '-')}"
        os.environ["HOSTALIASES"] = str(path)

        def answer() -> None:
            with suppress(OSError):
                writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                os.write(writer, f"{name} {'x' * 70}.no\n".encode())
                os.close(writer)

        yield Wait(Call("in_getaddrinfo", name.encode()), answer, -1, again=False)
        answer()
        del os.environ["HOSTALIASES"]


def waiting_for_a_lock(name: str, lock: str, unlock: str) -> Iterator[Wait]:
    """Another greenlet has it."""
    end = Event()

    def hold() -> None:
        getattr(library(), lock)()
        try:
            end.wait()
        finally:
            getattr(library(), unlock)()

    holder = greenloom.spawn(hold)
    greenloom.sleep(0)
    yield Wait(Call(name), end.set, 0, insists=True)
    end.set()
    holder.join()


def waiting_for_a_gate(name: str) -> Iterator[Wait]:
    library().set_open(0)
    yield Wait(Call(name), partial(library().set_open, 1), 0, insists=True)
    library().set_open(1)


CALLS: dict[str, Setting] = {
    "read, a pipe": partial(reading, "in_read", os.pipe),
    "read, a socket": partial(reading, "in_read", sockets),
    "read, a terminal": partial(reading, "in_read", terminals),
    "read, a terminal's lines": partial(reading, "in_read", lines),
    "readv": partial(reading, "in_readv", os.pipe),
    "recv": partial(reading, "in_recv", sockets),
    "recv, TCP": partial(reading, "in_recv", connections),
    "recvfrom": partial(reading, "in_recvfrom", sockets),
    "recvmsg": partial(reading, "in_recvmsg", sockets),
    "poll": partial(readable, "in_poll", closed=1),
    "poll, two": partial(readable, "in_poll_of_two", closed=1),
    "ppoll": partial(readable, "in_ppoll", closed=1),
    "select": partial(readable, "in_select"),
    "pselect": partial(readable, "in_pselect"),
    "epoll_wait": polling,
    "write, a pipe": partial(writing, "in_write", os.pipe),
    "write, a socket": partial(writing, "in_write", sockets),
    "writev": partial(writing, "in_writev", os.pipe),
    "send": partial(writing, "in_send", sockets),
    "send, TCP": partial(writing, "in_send", connections),
    "sendmsg": partial(writing, "in_sendmsg", sockets),
    "accept": accepting,
    "connect, a path": connecting_to_a_path,
    "connect, a port": connecting_to_a_port,
    "nanosleep": partial(sleeping, "in_nanosleep"),
    "clock_nanosleep": partial(sleeping, "in_clock_nanosleep"),
    "usleep": partial(sleeping, "in_usleep"),
    "waitpid": partial(waiting_for_a_child, "in_waitpid"),
    "waitid": partial(waiting_for_a_child, "in_waitid"),
    "flock": locking_a_file,
    "getaddrinfo": looking_up,
    "pthread_mutex_lock": partial(waiting_for_a_lock, "in_mutex", "lock_mutex", "unlock_mutex"),
    "pthread_rwlock_rdlock": partial(waiting_for_a_lock, "in_rwlock", "lock_to_write", "unlock_to_write"),
    "pthread_cond_wait": partial(waiting_for_a_gate, "in_condition"),
    "pthread_join": partial(waiting_for_a_gate, "in_join"),
}
