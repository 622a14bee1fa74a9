"""Fifty greenlets on one redis-py client: each blocks in an operation until another greenlet ends its wait."""

# mypy: ignore-errors
# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import json
import sys

import gevent
import redis
import underneath
from gevent.pool import Pool

client = redis.Redis.from_url(sys.argv[1], decode_responses=True)
EVERYONE = range(50)


def pings() -> bool:
    return Pool(50).map(lambda _: client.ping(), EVERYONE) == [True] * 50


def blocking_pops() -> bool:
    """All wait, each on a list of its own; the last comes first."""
    poppers = [gevent.spawn(client.blpop, f"list {number}", 60) for number in EVERYONE]
    while client.info("clients")["blocked_clients"] < 50:
        gevent.sleep(0.01)
    for number in reversed(EVERYONE):
        client.rpush(f"list {number}", number)
    popped = [popper.get(timeout=60) for popper in poppers]
    return popped == [(f"list {number}", str(number)) for number in EVERYONE]


def subscriptions() -> bool:
    """All wait for one message."""

    def hear() -> str:
        with client.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe("news")
            return next(channel.listen())["data"]

    listeners = [gevent.spawn(hear) for _ in EVERYONE]
    while client.pubsub_numsub("news") != [("news", 50)]:
        gevent.sleep(0.01)
    client.publish("news", "good")
    return [listener.get(timeout=60) for listener in listeners] == ["good"] * 50


def lock() -> bool:
    """All add one to a number, which none of them can do while another does."""

    def add_one() -> None:
        with client.lock("lock", sleep=0.01):
            number = int(client.get("number") or 0)
            gevent.sleep(0)
            client.set("number", number + 1)

    Pool(50).map(lambda _: add_one(), EVERYONE)
    return client.get("number") == "50"


assert underneath.is_greenloom()
print(json.dumps({check.__name__: check() for check in (pings, blocking_pops, subscriptions, lock)}))
