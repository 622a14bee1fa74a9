"""Fifty greenlets ask a slow site, each for its own page, by a client that knows nothing of greenlets."""

# mypy: ignore-errors
# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import json
import ssl
import sys
import time
from collections.abc import Callable

import httpx
import requests
import underneath
from gevent.pool import Pool

site, certificate = sys.argv[1:]


def requests_get(number: int) -> str:
    return requests.get(f"{site}/{number}", verify=certificate, timeout=60).text


session = requests.Session()
# Fewer connections than greenlets, which wait for their turn.
session.mount(site, requests.adapters.HTTPAdapter(pool_maxsize=25, pool_block=True))


def requests_session(number: int) -> str:
    return session.get(f"{site}/{number}", verify=certificate, timeout=60).text


client = httpx.Client(
    verify=ssl.create_default_context(cafile=certificate),
    limits=httpx.Limits(max_connections=25),
    timeout=60,
)


def httpx_client(number: int) -> str:
    return client.get(f"{site}/{number}").text


def seconds_of(get: Callable[[int], str]) -> float:
    begun = time.monotonic()
    pages = Pool(50).map(get, range(50))
    assert pages == [f"/{number}" for number in range(50)], pages
    return time.monotonic() - begun


assert underneath.is_greenloom()
ways = requests_get, requests_session, httpx_client
print(json.dumps({get.__name__: seconds_of(get) for get in ways}))
