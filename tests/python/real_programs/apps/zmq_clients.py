"""Fifty greenlets ask another by ZeroMQ sockets, whose descriptors ``zmq.green`` watches in gevent's loop."""

# mypy: ignore-errors

import json
import time

import gevent
import gevent.hub
import zmq.green as zmq
from gevent.pool import Pool

import greenloom.hub

context = zmq.Context()
desk = context.socket(zmq.ROUTER)
port = desk.bind_to_random_port("tcp://127.0.0.1")


def answer() -> None:
    while True:
        gevent.spawn_later(0.2, desk.send_multipart, desk.recv_multipart())


def ask(number: int) -> int:
    with context.socket(zmq.REQ) as question:
        question.connect(f"tcp://127.0.0.1:{port}")
        question.send(b"%d" % number)
        return int(question.recv())


assert gevent.hub is greenloom.hub
answering = gevent.spawn(answer)
begun = time.monotonic()
answers = Pool(50).map(ask, range(50))
seconds = time.monotonic() - begun
answering.kill()
desk.close()
context.term()
print(json.dumps({"answers": answers, "seconds": seconds}))
