"""WAY DRIVER URL: greenlets are interrupted in C code that waits for an answer; others go on asking meanwhile."""

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
LONG = 30


def others():
    """Ask on and on, and return how many answers there were; fail if one is wrong."""
    connection = driver.connect()
    count = 0
    while not over:
        assert driver.ask(connection, count, 0.01) == count
        count += 1
    return count


def turns():
    """Return how often the hub came round, and the longest time in which it did not."""
    count, longest, last = 0, 0.0, time.monotonic()
    while not over:
        gevent.sleep(0.01)
        now = time.monotonic()
        count, longest, last = count + 1, max(longest, now - last), now
    return count, longest


def timed_out(seconds=0.3):
    """Be interrupted by a time limit, and return how long that took."""
    connection = driver.connect()
    begun = time.monotonic()
    limit = gevent.Timeout.start_new(seconds)
    try:
        driver.ask(connection, 1, LONG)
    except gevent.Timeout as error:
        if error is not limit:
            raise
        return time.monotonic() - begun
    finally:
        limit.close()


def limited_silently():
    """Return how long a block with a limit took that says nothing."""
    connection = driver.connect()
    begun = time.monotonic()
    with gevent.Timeout(0.2, False):
        driver.ask(connection, 1, LONG)
    return time.monotonic() - begun


def killed():
    """Kill a greenlet, and return how long it took to end, and what it met."""
    met = []

    def ask():
        connection = driver.connect()
        asking.append(True)
        try:
            driver.ask(connection, 1, LONG)
        except BaseException as error:
            met.append(type(error).__name__)
            raise

    asking = []
    greenlet = gevent.spawn(ask)
    while not asking:
        gevent.sleep(0.01)
    gevent.sleep(0.2)
    begun = time.monotonic()
    greenlet.kill(timeout=LONG / 2)
    return {
        "dead": greenlet.dead,
        "met": met,
        "value": repr(greenlet.value),
        "seconds": time.monotonic() - begun,
    }


def asked_again():
    """Ask on a connection whose last question was interrupted, when its answer has come, and return what that gives."""
    connection = driver.connect()
    with gevent.Timeout(0.1, False):
        driver.ask(connection, 1, 0.3)
    gevent.sleep(0.4)
    try:
        return driver.ask(connection, 2, 0)
    except driver.Error:
        return "error"


over = []
company = [gevent.spawn(others) for _ in range(3)]
ticks = gevent.spawn(turns)
facts = {
    "timed out": timed_out(),
    "killed": killed(),
    "asked again": asked_again(),
    "limited silently": limited_silently(),
}
begun = time.monotonic()
for _ in range(100):
    assert timed_out(0.02)
facts["a hundred"] = time.monotonic() - begun
over.append(True)
gevent.joinall([*company, ticks], raise_error=True)
facts["others"] = [greenlet.value for greenlet in company]
facts["turns"], facts["longest turn"] = ticks.value
print(json.dumps(facts))
