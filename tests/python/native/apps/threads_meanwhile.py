"""WAY URL: threads of the system use a driver that is patched, while the hub turns and while it cannot."""

# mypy: ignore-errors
# ruff: noqa: I001
import patched  # noqa: F401

import json
import sys
import threading
import time

import drivers
import gevent

driver = drivers.BY_NAME["psycopg2"](sys.argv[1])
NUMBERS = range(5)


def ask(number, seconds=1):
    return driver.ask(driver.connect(), number, seconds)


def all_at_once():
    """Let greenlets, threads, and threads of gevent's pool ask, five of each, and return how long it took."""
    begun = time.monotonic()
    answers = []
    threads = [
        threading.Thread(target=lambda number=number: answers.append(ask(number))) for number in NUMBERS
    ]
    for thread in threads:
        thread.start()
    pool = gevent.get_hub().threadpool
    waiting = [start(ask, number) for number in NUMBERS for start in (gevent.spawn, pool.spawn)]
    answers += [one.get() for one in waiting]
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted([*NUMBERS] * 3), answers
    return time.monotonic() - begun


def while_the_hub_is_stuck():
    """Keep the hub from turning, and return how many threads were answered meanwhile."""
    answers = []
    threads = [
        threading.Thread(target=lambda number=number: answers.append(ask(number, 0.2))) for number in NUMBERS
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(answers) < len(threads) and time.monotonic() < deadline:
        # Not patched.
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    return len(answers)


def one_connection():
    """Let a thread and a greenlet ask on one connection in turn, and return what each was answered."""
    connection = driver.connect()
    answers = {"thread": [], "greenlet": []}

    def ask_five_times(who):
        for number in NUMBERS:
            answers[who].append(driver.ask(connection, number, 0.05))

    thread = threading.Thread(target=ask_five_times, args=("thread",))
    thread.start()
    gevent.spawn(ask_five_times, "greenlet").get()
    thread.join()
    return answers


facts = {
    "all at once": all_at_once(),
    "while the hub is stuck": while_the_hub_is_stuck(),
    "one connection": one_connection(),
}
print(json.dumps(facts))
