"""Whoever keeps the thread to itself is reported with its stack, wherever it runs; afterwards all goes on."""

from __future__ import annotations

from textwrap import dedent

import pytest

from programs import python

MONITORED = {"GEVENT_MONITOR_THREAD_ENABLE": "1", "GEVENT_MAX_BLOCKING_TIME": "0.05"}

SETTING = """
import io, threading, time, warnings
warnings.simplefilter("ignore")  # psutil may be missing
import greenloom
from greenloom import events, get_hub, getcurrent, monkey, sleep, spawn, spawn_raw
native_sleep = monkey.get_original("time", "sleep")
seen = []

def note(event):
    if isinstance(event, events.EventLoopBlocked):
        seen.append(event)

events.subscribers.append(note)

def hog(until):
    for _ in range(5000):
        native_sleep(0.002)
        if len(seen) >= until:
            return "done"
    raise AssertionError("nobody has noticed")

def begin():
    hub = get_hub()
    hub.exception_stream = io.StringIO()
    sleep(0.001)
    return hub

def report(hub):
    for _ in range(2000):
        text = hub.exception_stream.getvalue()
        if "hog" in text and "Info:" in text:
            return text
        native_sleep(0.005)
    raise AssertionError(text)
"""

HOGS = {
    "a greenlet": """
        hub = begin()
        one = spawn(hog, 1)
        assert one.get() == "done"
    """,
    "a raw greenlet": """
        hub = begin()
        one = spawn_raw(hog, 1)
        while not seen:
            sleep(0.001)
    """,
    "the main greenlet": """
        hub = begin()
        one = getcurrent()
        hog(1)
    """,
    "another thread": """
        def other():
            global hub, one
            hub = begin()
            one = spawn(hog, 1)
            assert one.get() == "done"
        begin()
        thread = threading.Thread(target=other)
        thread.start()
        while thread.is_alive():
            sleep(0.001)
        assert get_hub().exception_stream.getvalue() == "", "here nobody blocks"
    """,
    "a patched thread": """
        monkey.patch_all()
        hub = begin()
        thread = threading.Thread(target=hog, args=(1,))
        thread.start()
        thread.join()
        one = None
    """,
}


@pytest.mark.parametrize("where", HOGS)
def test_it_is_named_with_its_stack(where: str) -> None:
    python(
        f"""{SETTING}{dedent(HOGS[where])}
assert "in hog" in report(hub)
assert seen[0].hub is hub
assert one is None or seen[0].greenlet is one
""",
        env=MONITORED,
    )


def test_the_next_one_is_reported_as_well_and_between_them_all_goes_on() -> None:
    python(
        f"""{SETTING}
hub = begin()
for number in range(1, 4):
    one = spawn(hog, number)
    assert one.get() == "done"
    assert spawn(lambda: sleep(0.001) or 5).get() == 5
    assert seen[number - 1].greenlet is one
""",
        env=MONITORED,
    )
