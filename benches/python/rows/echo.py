"""A TCP echo server in a process of its own, and the client that keeps it busy. An operation is one answer.

The client is this process: one thread and a bare epoll loop that keeps a message under way on each of its
connections, whatever the server is. None of its work is in the figure, which is the server's CPU clock.

Both have the same CPU, and neither may take it from the other, so they take turns: the client deals with all that
has come and sleeps, then the server does. So the server finds a message on every connection, however fast it is.
On two CPUs a fast one would have to wait for the client, for which the kernel has as much to do; it would sleep and
be woken the more often the faster it is, and whenever something else had the client's CPU.
"""

import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

from measure import Asked, ask, finish, measured, peak_rss

CONNECTIONS = 50
MESSAGE = bytes(range(64))
# CPU time of the server that one run should take at least: the first and the last lap do not count for much.
RUN_NS = 60_000_000
# Longest wait for an answer, in seconds.
PATIENCE = 20.0


class Client:
    """Connections to a server."""

    def __init__(self, port: int, connections: int) -> None:
        """Connects all of them."""
        self._epoll = select.epoll(connections)
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
        for connection in self._sockets:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setblocking(False)
            self._epoll.register(connection.fileno(), select.EPOLLIN)

    def run(self, messages: int) -> None:
        """Sends so many messages, each connection's next one as soon as it has its answer, and takes all answers."""
        poll, read, write, message = self._epoll.poll, os.read, os.write, MESSAGE
        size, connections = 2 * len(message), len(self._sockets)
        for connection in self._sockets[:messages]:
            connection.sendall(message)
        left, under_way = max(0, messages - connections), min(messages, connections)
        while under_way:
            events = poll(PATIENCE, connections)
            if not events:
                raise RuntimeError(f"no answer for {PATIENCE:.0f} s")
            for descriptor, _ in events:
                if read(descriptor, size) != message:
                    raise RuntimeError("the server sent back something else")
                if left:
                    write(descriptor, message)
                    left -= 1
                else:
                    under_way -= 1


def take_turns() -> None:
    """Binds this process, and those that it starts, to one CPU, where nobody who wakes up interrupts another."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def start(asked: Asked) -> "subprocess.Popen[str]":
    """A server, which will say its port."""
    words = [sys.executable, "-B", "-s", str(Path(__file__).with_name("echo_server.py"))]
    words += ["--module", asked.name, *(["--streams"] if asked.streams else [])]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def cpu_time(process: int) -> int:
    """Nanoseconds of CPU time that a process's threads have taken, once it sleeps.

    The kernel brings the clock of another process up to date when that leaves the CPU.
    """
    state = Path(f"/proc/{process}/stat")
    until = time.monotonic() + PATIENCE
    while state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "S":
        if time.monotonic() > until:
            raise RuntimeError("the server has nothing to do and does not sleep")
        time.sleep(0.0002)
    # The number of the process's clock, as Linux composes it.
    return time.clock_gettime_ns((~process << 3) | 2)


def main() -> None:
    """Starts the server, measures, and ends it."""
    asked = ask(number=CONNECTIONS)
    take_turns()
    with start(asked) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            if not line:
                raise RuntimeError("the server did not start")
            client = Client(int(line), asked.number)
            metrics = measured(asked, client.run, clock=lambda: cpu_time(server.pid), shortest=RUN_NS)
            metrics["peak_rss_bytes"] = peak_rss(server.pid)
        finally:
            server.kill()
    finish(metrics)


if __name__ == "__main__":
    main()
