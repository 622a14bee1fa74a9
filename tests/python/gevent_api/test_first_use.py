"""Whatever a program waits for first, it finds a hub: no module has to be imported before."""

from __future__ import annotations

import pytest

from programs import python

FIRST = {
    "event": "from greenloom.event import Event; assert Event().wait(0.001) is False",
    "result": """
from greenloom.event import AsyncResult
from greenloom.timeout import Timeout
try:
    AsyncResult().get(timeout=0.001)
except Timeout:
    pass
else:
    raise AssertionError
""",
    "semaphore": "from greenloom.lock import Semaphore; assert not Semaphore(0).acquire(timeout=0.001)",
    "queue": """
from greenloom.queue import Empty, Queue
try:
    Queue().get(timeout=0.001)
except Empty:
    pass
else:
    raise AssertionError
""",
    "channel": "from greenloom.queue import Channel, Empty\ntry: Channel().get_nowait()\nexcept Empty: pass",
    "timeout": "from greenloom.timeout import Timeout\nwith Timeout(5): pass",
    "pool": "from greenloom.pool import Pool; assert Pool(2).map(abs, [-1]) == [1]",
    "thread pool": "from greenloom.threadpool import ThreadPool; assert ThreadPool(1).apply(abs, (-1,)) == 1",
    "sockets": """
from greenloom.socket import socketpair
a, b = socketpair()
with a, b:
    a.sendall(b"x")
    assert b.recv(1) == b"x"
""",
    "selecting": "from greenloom.select import select; assert select([], [], [], 0.001) == ([], [], [])",
    "children": "from greenloom.subprocess import call; assert call(['true']) == 0",
    "sleep": "from greenloom import sleep; sleep(0.001)",
    "spawn": "from greenloom import spawn; assert spawn(abs, -1).get() == 1",
    "locals": "from greenloom.local import local; local().x = 1",
    "deadlock": """
from greenloom.event import Event
from greenloom.exceptions import LoopExit
try:
    Event().wait()
except LoopExit:
    pass
else:
    raise AssertionError
""",
}


@pytest.mark.parametrize("code", FIRST.values(), ids=FIRST)
def test_it_works_as_the_first_thing_that_a_program_does(code: str) -> None:
    assert python(code) == ""
