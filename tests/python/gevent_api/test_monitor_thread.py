"""The monitor thread: names a greenlet that does not let others run, with its stack."""

from __future__ import annotations

from programs import python

MONITORED = {"GEVENT_MONITOR_THREAD_ENABLE": "1", "GEVENT_MAX_BLOCKING_TIME": "0.05"}

BLOCKING = """
    import io, time, warnings
    warnings.simplefilter("ignore")  # psutil may be missing
    import greenloom
    from greenloom import events, get_hub, sleep, spawn
    stream = get_hub().exception_stream = io.StringIO()
    seen = []
    events.subscribers.append(seen.append)

    def hog():
        end = time.monotonic() + 10
        while time.monotonic() < end and not any(isinstance(e, events.EventLoopBlocked) for e in seen):
            time.sleep(0.001)

    sleep(0.001)
    one = spawn(hog)
    one.name = "the hog"
    one.join()
    monitor = get_hub().periodic_monitoring_thread
    monitor.kill()
"""


def test_a_greenlet_that_blocks_is_reported_with_its_stack() -> None:
    python(
        BLOCKING
        + """
    import threading
    for _ in range(1000):
        if "in hog" in stream.getvalue() and "Info:" in stream.getvalue(): break
        time.sleep(0.01)
    text = stream.getvalue()
    assert "appears to be blocked" in text
    assert '"the hog"' in text
    assert "in hog" in text
    event = [e for e in seen if isinstance(e, events.EventLoopBlocked)][0]
    assert event.greenlet is one
    assert event.hub is get_hub()
    assert event.blocking_time == 0.05
    """,
        env=MONITORED,
    )


def test_without_the_setting_the_event_is_sent_and_nothing_printed() -> None:
    python(
        BLOCKING
        + """
    time.sleep(0.1)
    assert stream.getvalue() == ""
    assert any(isinstance(e, events.EventLoopBlocked) for e in seen)
    """,
        env={**MONITORED, "GEVENT_MONITOR_PRINT_BLOCKING_REPORTS": "0"},
    )


def test_a_program_that_waits_is_not_reported() -> None:
    python(
        """
        import io, warnings
        warnings.simplefilter("ignore")
        import greenloom
        from greenloom import get_hub, sleep
        stream = get_hub().exception_stream = io.StringIO()
        sleep(0.3)
        assert stream.getvalue() == "", stream.getvalue()
        """,
        env=MONITORED,
    )


def test_functions_may_be_added_changed_and_taken_back() -> None:
    python(
        """
        import time, warnings
        warnings.simplefilter("ignore")
        import greenloom
        from greenloom import get_hub, sleep
        sleep(0.001)
        monitor = get_hub().periodic_monitoring_thread
        calls = []
        monitor.add_monitoring_function(calls.append, 0.01)
        number = len(monitor.monitoring_functions())
        monitor.add_monitoring_function(calls.append, 0.005)
        assert len(monitor.monitoring_functions()) == number
        for _ in range(1000):
            if calls: break
            time.sleep(0.01)
        assert calls[0] is get_hub()
        monitor.add_monitoring_function(calls.append, None)
        assert len(monitor.monitoring_functions()) == number - 1
        for bad in (0, -1):
            try: monitor.add_monitoring_function(calls.append, bad)
            except ValueError: pass
            else: raise AssertionError(bad)
        monitor.kill()
        """,
        env=MONITORED,
    )


def test_the_hub_sends_an_event_when_it_starts_the_thread() -> None:
    python(
        """
        import warnings
        warnings.simplefilter("ignore")
        import greenloom
        from greenloom import events, get_hub, sleep
        seen = []
        events.subscribers.append(seen.append)
        sleep(0.001)
        started = [e for e in seen if isinstance(e, events.PeriodicMonitorThreadStartedEvent)]
        assert started[0].monitor is get_hub().periodic_monitoring_thread
        """,
        env=MONITORED,
    )
