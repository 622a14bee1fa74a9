"""The monitor thread of a hub: reports a greenlet that does not let the loop run, and memory running out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from weakref import ref

from greenloom._compat import (
    native_get_ident as get_thread_ident,
    native_sleep as thread_sleep,
    native_start_new_thread as start_new_thread,
    perf_counter,
)
from greenloom._config import config
from greenloom._greenloom import getcurrent
from greenloom._monitor_memory import MemoryMonitor, MonitorWarning
from greenloom._tracer import GreenletTracer
from greenloom._zope import implementer
from greenloom.events import EventLoopBlocked, IPeriodicMonitorThread, notify

__all__ = ["MonitorWarning", "PeriodicMonitoringThread"]


@implementer(IPeriodicMonitorThread)
class PeriodicMonitoringThread(MemoryMonitor):
    """An OS thread that looks at ``hub`` now and then; make it in the hub's own thread.

    It ends when :meth:`kill` is called or the hub is gone.
    """

    #: The least seconds between two looks, whatever the functions want.
    min_sleep_time = 0.005
    #: Seconds between two looks when no function wants any.
    inactive_sleep_time = 2.0

    #: The process that the thread is in: a fork leaves it behind.
    pid: int
    #: The identifier of the thread.
    monitor_thread_ident: int

    def __init__(self, hub: Any) -> None:
        assert hub.thread_ident == get_thread_ident(), "switches are traced in the thread that asks for it"
        self._greenlet_tracer = GreenletTracer()
        self._hub_wref = ref(hub, lambda _: self.kill())
        # Each has a `function`, a `period`, and when it is `due`. The first is always our own.
        self._monitoring_functions = [_job(self.monitor_blocking, config.max_blocking_time)]
        self._update_sleep_time()
        #: False once the thread is to end.
        self.should_run = True
        self._start()

    def _start(self) -> None:
        self.pid = os.getpid()
        self.monitor_thread_ident = start_new_thread(self, ())

    def _on_fork(self) -> None:
        if self.pid != os.getpid():
            self._start()

    @property
    def hub(self) -> Any:
        """The hub, or None if it is gone."""
        return self._hub_wref()

    # What is called when.

    def monitoring_functions(self) -> list[Any]:
        """Return what is called, each with its ``function`` and ``period`` in seconds."""
        ours = self._monitoring_functions[0]
        if ours.period != config.max_blocking_time:
            ours.period = config.max_blocking_time
            self._update_sleep_time()
        return self._monitoring_functions

    def add_monitoring_function(self, function: Callable[[Any], object], period: float | None) -> None:
        """Call ``function(hub)`` in the monitor thread about every ``period`` seconds; None takes it back.

        Raises :class:`ValueError` if it is not callable or the period is not above 0.
        """
        if not callable(function) or (period is not None and period <= 0):
            raise ValueError(f"it takes a function and a positive number, not {function!r} and {period!r}")
        # A new list each time: the thread may be going through the old one.
        jobs = list(self._monitoring_functions)
        place = next((i for i, job in enumerate(jobs) if job.function == function), len(jobs))
        jobs[place : place + 1] = [] if period is None else [_job(function, period)]
        self._monitoring_functions = jobs
        self._update_sleep_time()

    def _update_sleep_time(self) -> None:
        self._calculated_sleep_time: float = min(job.period for job in self._monitoring_functions)

    def calculate_sleep_time(self) -> float:
        """Return the seconds until the next look."""
        shortest = self._calculated_sleep_time
        # Without any it is switched off, but perhaps not for ever.
        return max(shortest, self.min_sleep_time) if shortest > 0 else self.inactive_sleep_time

    # The thread.

    def __call__(self) -> None:
        """Be the thread."""
        # `threading.current_thread` would make an object for this thread that never goes away.
        current: Any = getcurrent()
        current.gevent_monitoring_thread = ref(self)
        try:
            while self.should_run:
                thread_sleep(self.calculate_sleep_time())
                self._look()
        except SystemExit:
            pass
        except BaseException:
            self._report(*sys.exc_info())

    def _look(self) -> None:
        hub = self.hub
        if hub is None or hub.dead:
            self.kill()
        if self.should_run:
            now = perf_counter()
            for job in self.monitoring_functions():
                if job.period and job.due <= now:
                    job.due = now + job.period
                    job.function(hub)

    def _report(self, *error: Any) -> None:
        hub = self.hub
        # While the interpreter exits anything may go wrong, and nobody wants to know.
        if hub is not None and getattr(sys, "stderr", None):
            hub.handle_error(self, *error)

    def kill(self) -> None:
        """Let the thread end, and stop tracing. Calling it again does nothing."""
        running, self.should_run = self.should_run, False
        if running:
            self._greenlet_tracer.kill()

    # A greenlet that blocks.

    def monitor_blocking(self, hub: Any) -> tuple[Any, list[str]] | None:
        """Report the greenlet that has kept the loop from running since the last look; return it and the report."""
        tracer = self._greenlet_tracer
        _, hog = tracer.did_block_hub(hub) or (False, None)
        if hog is None:
            return None
        options = {"greenlet_stacks": False, "current_thread_ident": self.monitor_thread_ident}
        report = tracer.did_block_hub_report(hub, hog, options)
        # Before it is printed, so that subscribers can change it.
        notify(EventLoopBlocked(hog, config.max_blocking_time, report, hub=hub))
        return self._show_blocking_report(hub, report, hog)

    def _show_blocking_report(self, hub: Any, report: list[str], greenlet: Any) -> tuple[Any, list[str]]:
        # Programs replace this method to report somewhere else.
        if config.print_blocking_reports:
            # Line by line: one write of it all could meet a signal handler that prints as well.
            hub.exception_stream.writelines(f"{line}\n" for line in report)
        return greenlet, report

    def monitor_current_greenlet_blocking(self) -> None:
        """Take the current greenlet for one that runs since now. In the hub's thread."""
        self._greenlet_tracer.monitor_current_greenlet_blocking()

    def ignore_current_greenlet_blocking(self) -> None:
        """Let the current greenlet block until the next switch. In the hub's thread."""
        self._greenlet_tracer.ignore_current_greenlet_blocking()

    def __repr__(self) -> str:
        where = f"in thread {self.monitor_thread_ident:#x} greenlet {getcurrent()!r}"
        return f"<{type(self).__name__} at {id(self):#x} {where} for {self.hub!r}>"


def _job(function: Callable[[Any], object], period: float) -> Any:
    return SimpleNamespace(function=function, period=period, due=0.0)
