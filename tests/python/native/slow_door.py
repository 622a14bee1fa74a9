"""A port behind which a server seems to be far away."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

#: Seconds that a connection waits at a slow door.
DELAY = 0.5


@contextmanager
def slow_door(to: int) -> Iterator[int]:
    """A port whose connections go on to the port ``to`` of 127.0.0.1, after ``DELAY``."""

    def serve(client: socket.socket) -> None:
        with closing(client):
            if over.wait(DELAY):
                return
            with socket.create_connection(("127.0.0.1", to)) as beyond:
                back = threading.Thread(target=_pass_on, args=(beyond, client), daemon=True)
                back.start()
                _pass_on(client, beyond)
                back.join()

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            if over.is_set():
                client.close()
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        porter = threading.Thread(target=accept)
        porter.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            # Whom it lets in last.
            socket.create_connection(listener.getsockname()).close()
            porter.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # One of the two has hung up, so does the other.
        for end in source, sink:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
