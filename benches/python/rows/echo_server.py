"""The servers of the echo row: each a process that prints its port and answers until it is ended.

With greenlets it is blocking code on the patched `socket`, a greenlet for each connection. With tasks it is
a `Protocol`, which is asyncio's fastest way, or its streams. A bare loop shows what the kernel takes of it.
"""

import asyncio
import ctypes
import importlib
import os
import select
import signal
import socket
from asyncio import AbstractEventLoop, StreamReader, StreamWriter, WriteTransport
from typing import NoReturn, cast

from apis import is_bare, new_loop, uses_tasks
from measure import ask

# Bytes of a read: more than a message, so that a read empties the socket.
BUFFER = 1024
BACKLOG = 1024
PR_SET_PDEATHSIG = 1


def serve_with_greenlets(name: str) -> NoReturn:
    """`socket` as in a program for threads."""
    importlib.import_module(f"{name}.monkey").patch_all()
    spawn = importlib.import_module(name).spawn

    def answer(connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := connection.recv(BUFFER):
                connection.sendall(data)

    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    announce(listener)
    while True:
        connection, _ = listener.accept()
        spawn(answer, connection)


class Echo(asyncio.Protocol):
    """Answers from the loop's callback."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps where to write."""
        # uvloop's transports are none of asyncio's classes.
        self.write = cast(WriteTransport, transport).write

    def data_received(self, data: bytes) -> None:
        """Writes it back at once."""
        self.write(data)


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    """Answers from a task for each connection."""
    while data := await reader.read(BUFFER):
        writer.write(data)
        await writer.drain()
    writer.close()


def serve_with_tasks(loop: AbstractEventLoop, *, streams: bool) -> None:
    """A `Protocol`, or streams."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)

    async def serve() -> None:
        if streams:
            server = await asyncio.start_server(echo, sock=listener, backlog=BACKLOG)
        else:
            server = await loop.create_server(Echo, sock=listener, backlog=BACKLOG)
        announce(listener)
        await server.serve_forever()

    loop.run_until_complete(serve())


def serve_bare() -> NoReturn:
    """An epoll loop for messages that come in one piece and find room to go."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    announce(listener)
    while True:
        for descriptor, _ in poller.poll():
            if descriptor == listener.fileno():
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[connection.fileno()] = connection
                poller.register(connection, select.EPOLLIN)
            elif data := os.read(descriptor, BUFFER):
                os.write(descriptor, data)
            else:
                connections.pop(descriptor).close()


def announce(listener: socket.socket) -> None:
    """Says where the server is."""
    print(listener.getsockname()[1], flush=True)


def end_with_parent() -> None:
    """Whatever ends the client, even SIGKILL, ends the server."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    end_with_parent()
    asked = ask()
    if is_bare(asked):
        serve_bare()
    elif uses_tasks(asked):
        serve_with_tasks(new_loop(asked), streams=asked.streams)
    else:
        serve_with_greenlets(asked.name)
