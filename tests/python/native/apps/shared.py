"""WAY DRIVER URL: two greenlets ask on one connection, each five times. Prints what each was told."""

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
connection = driver.connect()


def ask_five_times(first):
    answers = []
    for number in range(first, first + 5):
        try:
            answers.append(driver.ask(connection, number, 0.1))
        except driver.Error as error:
            answers.append(type(error).__name__)
    return answers


def tick():
    while not over:
        gevent.sleep(0.01)
        ticks.append(True)


over, ticks = [], []
ticker = gevent.spawn(tick)
begun = time.monotonic()
both = [gevent.spawn(ask_five_times, first) for first in (0, 100)]
gevent.joinall(both, raise_error=True)
seconds = time.monotonic() - begun
over.append(True)
ticker.join()
print(json.dumps({"answers": [one.value for one in both], "seconds": seconds, "ticks": len(ticks)}))
