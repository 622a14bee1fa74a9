"""A Flask-SocketIO site on gevent's WSGI server: it shouts back what a client says, after 0.2 s, and ticks."""

# mypy: ignore-errors
# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import time

import underneath
from flask import Flask
from flask_socketio import SocketIO, emit
from gevent.pywsgi import WSGIServer
from geventwebsocket.handler import WebSocketHandler

site = Flask(__name__)
sockets = SocketIO(site, async_mode="gevent")


@sockets.on("say")
def shout(words: str) -> None:
    time.sleep(0.2)
    emit("shout", words.upper())


def tick() -> None:
    while True:
        sockets.sleep(0.1)
        sockets.emit("tick")


assert underneath.is_greenloom()
sockets.start_background_task(tick)
server = WSGIServer(("127.0.0.1", 0), site, handler_class=WebSocketHandler, log=None)
server.start()
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
