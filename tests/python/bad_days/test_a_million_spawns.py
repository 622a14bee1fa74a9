"""A program that has spawned a million greenlets holds no more than one that has spawned some thousands."""

from __future__ import annotations

import pytest

from programs import python

SETTING = """
import gc, os
import greenloom
from greenloom import Timeout, joinall, killall, sleep, spawn, spawn_later, spawn_raw
from greenloom.event import AsyncResult, Event
from greenloom.pool import Group, Pool

def held():
    gc.collect()
    sleep(0.001)
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir("/proc/self/fd"))

def stays_flat(batch, first, last):
    for _ in range(first):
        batch()
    before = held()
    for _ in range(first, last):
        batch()
    after = held()
    assert after[0] - before[0] < 2, (before, after)
    assert after[1] == before[1], (before, after)
"""

MILLION = {
    "joined": """
def batch():
    joinall([spawn(int) for _ in range(1000)])
""",
    "in a pool": """
pool = Pool(100)
def batch():
    for _ in range(1000):
        pool.spawn(int)
    pool.join()
""",
    "one by one": """
def batch():
    for _ in range(1000):
        spawn(int).join()
""",
    "not waited for": """
def batch():
    for _ in range(1000):
        spawn_raw(int)
    sleep(0)
""",
}

HUNDRED_THOUSAND = {
    "killed where they sleep": """
def batch():
    ones = [spawn(sleep, 600) for _ in range(1000)]
    sleep(0)
    killall(ones)
""",
    "killed one by one": """
def batch():
    for _ in range(1000):
        one = spawn(sleep, 600)
        sleep(0)
        one.kill()
""",
    "killed before they begin": """
def batch():
    for _ in range(1000):
        spawn(int).kill()
    sleep(0)
""",
    "ended by timeouts": """
def limited():
    with Timeout(0.00001, False):
        sleep(600)
def batch():
    joinall([spawn(limited) for _ in range(1000)])
""",
    "with timeouts that do not come": """
def limited():
    with Timeout(600):
        sleep(0)
def batch():
    joinall([spawn(limited) for _ in range(1000)])
""",
    "joined for too short a time": """
forever = spawn(Event().wait)
def batch():
    for _ in range(1000):
        forever.join(timeout=0)
""",
    "later": """
def batch():
    joinall([spawn_later(0.0001, int) for _ in range(1000)])
""",
    "with errors": """
greenloom.get_hub().exception_stream = None
def fail():
    raise ValueError
def batch():
    ones = [spawn(fail) for _ in range(1000)]
    joinall(ones)
    assert not any(one.successful() for one in ones)
""",
    "with links": """
def batch():
    for _ in range(1000):
        one, result = spawn(int), AsyncResult()
        one.link(result)
        one.link_value(lambda source: None)
        result.get()
""",
    "mapped": """
pool = Pool(10)
def batch():
    assert sum(pool.imap_unordered(int, range(500))) == 124750
    assert pool.map(int, range(500)) == list(range(500))
""",
    "in a group that is killed": """
def batch():
    group = Group()
    for _ in range(1000):
        group.spawn(sleep, 600)
    sleep(0)
    group.kill()
    assert len(group) == 0
""",
}


@pytest.mark.parametrize("way", MILLION)
def test_a_million(way: str) -> None:
    python(f"{SETTING}\n{MILLION[way]}\nstays_flat(batch, 100, 1000)")


@pytest.mark.parametrize("way", HUNDRED_THOUSAND)
def test_a_hundred_thousand(way: str) -> None:
    python(f"{SETTING}\n{HUNDRED_THOUSAND[way]}\nstays_flat(batch, 20, 100)")
