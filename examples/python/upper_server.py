"""A server that says everything in upper case: the standard `socket`, patched, and a greenlet for each connection."""

from gevent import monkey

monkey.patch_all()

import argparse
import contextlib
import signal
import socket

import gevent
from gevent.pool import Group

served, most = 0, 0


def answer(connection):
    with connection, contextlib.suppress(ConnectionError):  # a client may vanish
        while data := connection.recv(4096):
            connection.sendall(data.upper())


def serve(listener):
    global served, most
    while True:
        connection, _address = listener.accept()
        connections.spawn(answer, connection)
        served, most = served + 1, max(most, len(connections))


parser = argparse.ArgumentParser(description=__doc__, epilog="Ctrl-C or SIGTERM ends it.")
parser.add_argument("port", type=int, nargs="?", default=0, help="where to listen (default: a free port)")
options = parser.parse_args()
connections = Group()
with socket.create_server(("127.0.0.1", options.port), backlog=1024) as listener:
    server = gevent.spawn(serve, listener)
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, server.kill)
    print(f"listening on port {listener.getsockname()[1]}", flush=True)
    server.get()  # ends when it is killed, or with the error of `accept`
connections.kill()
print(f"{served} connections, {most} of them at once")
