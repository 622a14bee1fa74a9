"""Two greenlets send each other a few bytes through a pair of sockets. An operation is there and back.

Each of them finds nothing to read, waits, and is woken by the loop, which asks epoll.
"""

import os
import select
import socket
from asyncio import AbstractEventLoop
from itertools import repeat

from apis import GreenletRun, TaskRun, compare
from measure import Module

MESSAGE = b"sixteen bytes it"


def with_greenlets(gevent: Module) -> GreenletRun:
    """`sendall` and `recv` of `gevent.socket`."""
    mine, other = gevent.socket.socketpair()

    def answer() -> None:
        while True:
            other.sendall(other.recv(64))

    answerer = gevent.spawn(answer)

    def run(turns: int) -> None:
        got = MESSAGE
        for _ in repeat(None, turns):
            mine.sendall(got)
            got = mine.recv(64)
        if got != MESSAGE or answerer.dead:
            raise RuntimeError(f"{got!r} came back")

    return run


def with_tasks(loop: AbstractEventLoop) -> TaskRun:
    """`sock_sendall` and `sock_recv` of the loop."""
    mine, other = socket.socketpair()
    mine.setblocking(False)
    other.setblocking(False)

    async def answer() -> None:
        while True:
            await loop.sock_sendall(other, await loop.sock_recv(other, 64))

    answerer = loop.create_task(answer())

    async def run(turns: int) -> None:
        got = MESSAGE
        for _ in repeat(None, turns):
            await loop.sock_sendall(mine, got)
            got = await loop.sock_recv(mine, 64)
        if got != MESSAGE or answerer.done():
            raise RuntimeError(f"{got!r} came back")

    return run


def bare() -> GreenletRun:
    """The system calls that it takes: a write, a look at epoll and a read, each way."""
    mine, other = socket.socketpair()
    poller = select.epoll()
    poller.register(mine, select.EPOLLIN)
    poller.register(other, select.EPOLLIN)
    here, there = mine.fileno(), other.fileno()

    def run(turns: int) -> None:
        poll, read, write = poller.poll, os.read, os.write
        got = MESSAGE
        for _ in repeat(None, turns):
            write(here, got)
            poll()
            write(there, read(there, 64))
            poll()
            got = read(here, 64)
        # Their descriptors are used, so they have to live as long.
        if got != MESSAGE or mine.fileno() != here or other.fileno() != there:
            raise RuntimeError(f"{got!r} came back")

    return run


if __name__ == "__main__":
    compare(with_greenlets, with_tasks, bare)
