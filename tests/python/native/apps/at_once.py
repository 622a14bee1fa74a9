"""WAY DRIVER URL: twenty greenlets connect, and then each asks for an answer that takes a second."""

# mypy: ignore-errors
# ruff: noqa: I001
import patched  # noqa: F401

import json
import sys
import time

import drivers
import gevent

name, url = sys.argv[1:]
driver = drivers.BY_NAME[name](url)


def all_at_once(function, *lists):
    begun = time.monotonic()
    greenlets = [gevent.spawn(function, *arguments) for arguments in zip(*lists, strict=True)]
    gevent.joinall(greenlets, raise_error=True)
    return [greenlet.value for greenlet in greenlets], time.monotonic() - begun


numbers = range(20)
connections, connecting = all_at_once(lambda _: driver.connect(), numbers)
answers, asking = all_at_once(lambda *of: driver.ask(*of, 1), connections, numbers)
print(json.dumps({"connecting": connecting, "asking": asking, "right": answers == list(numbers)}))
