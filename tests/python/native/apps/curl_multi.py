"""WAY URL: three greenlets with seven transfers each, by curl's interface for many, which waits for them itself."""

# mypy: ignore-errors
# ruff: noqa: I001
import patched  # noqa: F401

import json
import sys
import time

import gevent
import pycurl

url = sys.argv[1]


def fetch_seven(first):
    multi, bodies = pycurl.CurlMulti(), {number: [] for number in range(first, first + 7)}
    handles = []
    for number, body in bodies.items():
        handle = pycurl.Curl()
        handle.setopt(handle.URL, f"{url}/{number}/1")
        handle.setopt(handle.WRITEFUNCTION, body.append)
        multi.add_handle(handle)
        handles.append(handle)
    active = len(handles)
    while active:
        _, active = multi.perform()
        multi.select(1.0)
    return [int(b"".join(body)) == number for number, body in bodies.items()]


begun = time.monotonic()
greenlets = [gevent.spawn(fetch_seven, first) for first in (0, 7, 14)]
gevent.joinall(greenlets, raise_error=True)
right = all(all(greenlet.value) for greenlet in greenlets)
print(json.dumps({"right": right, "seconds": time.monotonic() - begun}))
