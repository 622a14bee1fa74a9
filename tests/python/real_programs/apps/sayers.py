"""Fifty Socket.IO clients, each a greenlet and those that its transport runs in threads, which are patched."""

# mypy: ignore-errors
# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import json
import sys
import time

import socketio
import underneath
from gevent.event import AsyncResult, Event
from gevent.pool import Pool

url, transport = sys.argv[1:]


def say(number: int) -> str:
    heard, ticked = AsyncResult(), Event()
    client = socketio.Client()
    client.on("shout", heard.set)
    client.on("tick", ticked.set)
    client.connect(url, transports=[transport], wait_timeout=60)
    client.emit("say", f"hello from {number}")
    shout = heard.get(timeout=60)
    assert ticked.wait(60)
    client.disconnect()
    return shout


assert underneath.is_greenloom()
begun = time.monotonic()
shouts = Pool(50).map(say, range(50))
print(json.dumps({"shouts": shouts, "seconds": time.monotonic() - begun}))
