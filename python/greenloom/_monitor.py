"""The monitor thread of a hub: reports a greenlet that does not let the loop run, and memory running out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any
from weakref import ref

from greenloom._compat import (
    get_this_psutil_process,
    native_get_ident as get_thread_ident,
    native_sleep as thread_sleep,
    native_start_new_thread as start_new_thread,
    perf_counter,
)
from greenloom._config import config
from greenloom._greenloom import getcurrent
from greenloom._tracer import GreenletTracer
from greenloom._zope import implementer
from greenloom.events import (
    EventLoopBlocked,
    IPeriodicMonitorThread,
    MemoryUsageThresholdExceeded,
    MemoryUsageUnderThreshold,
    notify,
)

__all__ = ["MonitorWarning", "PeriodicMonitoringThread"]


class MonitorWarning(RuntimeWarning):
    """What the monitor thread warns with."""


class _MonitorEntry:
    """A function that is called with the hub every ``period`` seconds."""

    __slots__ = ("function", "last_run_time", "period")

    def __init__(self, function: Callable[[Any], object], period: float) -> None:
        self.function = function
        self.period = period
        self.last_run_time = 0.0

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _MonitorEntry)
            and self.function == other.function
            and self.period == other.period
        )

    def __hash__(self) -> int:
        return hash((self.function, self.period))

    def __repr__(self) -> str:
        return repr((self.function, self.period, self.last_run_time))


@implementer(IPeriodicMonitorThread)
class PeriodicMonitoringThread:
    """An OS thread that looks at ``hub`` now and then; make it in the hub's own thread.

    It ends when :meth:`kill` is called or the hub is gone.
    """

    #: Seconds between two looks when no function wants any.
    inactive_sleep_time = 2.0
    #: The least seconds between two looks, whatever the functions want.
    min_sleep_time = 0.005
    #: The least seconds between two looks at the memory, which are slow.
    min_memory_monitor_period = 2

    # The use of memory when it was last too much; 0 while it is not.
    _memory_exceeded = 0

    def __init__(self, hub: Any) -> None:
        assert get_thread_ident() == hub.thread_ident, "switches are traced in the thread that asks for it"
        self._hub_wref = ref(hub, self._on_hub_gc)
        self.should_run = True
        self._greenlet_tracer = GreenletTracer()
        period = config.max_blocking_time
        # The first entry is always our own.
        self._monitoring_functions = [_MonitorEntry(self.monitor_blocking, period)]
        self._calculated_sleep_time = period
        #: The process that the thread is in: a fork leaves it behind.
        self.pid = os.getpid()
        #: The identifier of the thread.
        self.monitor_thread_ident = start_new_thread(self, ())

    def _on_fork(self) -> None:
        pid = os.getpid()
        if pid != self.pid:
            self.pid = pid
            self.monitor_thread_ident = start_new_thread(self, ())

    @property
    def hub(self) -> Any:
        """The hub, or None if it is gone."""
        return self._hub_wref()

    def monitoring_functions(self) -> list[_MonitorEntry]:
        """Return the functions that are called, each with its ``function`` and ``period``."""
        own, period = self._monitoring_functions[0], config.max_blocking_time
        if own.period != period:
            own.period = period
            self._update_sleep_time()
        return self._monitoring_functions

    def add_monitoring_function(self, function: Callable[[Any], object], period: float | None) -> None:
        """Call ``function(hub)`` in the monitor thread about every ``period`` seconds; None takes it back.

        Raises :class:`ValueError` if it is not callable or the period is not above 0.
        """
        if not callable(function):
            raise ValueError("function must be callable")
        if period is not None and period <= 0:
            raise ValueError("Period must be positive.")
        # A new list each time: the thread may be going through the old one.
        entries = list(self._monitoring_functions)
        index = next((i for i, entry in enumerate(entries) if entry.function == function), len(entries))
        entries[index : index + 1] = [] if period is None else [_MonitorEntry(function, period)]
        self._monitoring_functions = entries
        self._update_sleep_time()

    def _update_sleep_time(self) -> None:
        self._calculated_sleep_time = min(entry.period for entry in self._monitoring_functions)

    def calculate_sleep_time(self) -> float:
        """Return the seconds until the next look."""
        if self._calculated_sleep_time <= 0:
            # Switched off, but perhaps not for ever.
            return self.inactive_sleep_time
        return max(float(self._calculated_sleep_time), self.min_sleep_time)

    def kill(self) -> None:
        """Let the thread end, and stop tracing. Calling it again does nothing."""
        if self.should_run:
            self.should_run = False
            self._greenlet_tracer.kill()

    def _on_hub_gc(self, _: object) -> None:
        self.kill()

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
            # While the interpreter exits anything may go wrong, and nobody wants to know.
            if sys is not None and sys.stderr:
                hub = self.hub
                if hub is not None:
                    hub.handle_error(self, *sys.exc_info())

    def _look(self) -> None:
        hub = self.hub
        if not hub:
            self.kill()
        if not self.should_run:
            return
        now = perf_counter()
        for entry in self.monitoring_functions():
            if entry.period and entry.last_run_time + entry.period <= now:
                entry.last_run_time = now
                entry.function(hub)

    # A greenlet that blocks.

    def monitor_blocking(self, hub: Any) -> tuple[Any, list[str]] | None:
        """Report the greenlet that has kept the loop from running since the last look; return it and the report."""
        blocked = self._greenlet_tracer.did_block_hub(hub)
        if not blocked:
            return None
        greenlet = blocked[1]
        report = self._greenlet_tracer.did_block_hub_report(
            hub, greenlet, {"greenlet_stacks": False, "current_thread_ident": self.monitor_thread_ident}
        )
        # Before it is printed, so that subscribers can change it.
        notify(EventLoopBlocked(greenlet, config.max_blocking_time, report, hub=hub))
        return self._show_blocking_report(hub, report, greenlet)

    def _show_blocking_report(self, hub: Any, report: list[str], greenlet: Any) -> tuple[Any, list[str]]:
        # Programs replace this method to report somewhere else.
        if config.print_blocking_reports:
            stream = hub.exception_stream
            # Line by line: one write of it all could meet a signal handler that prints as well.
            for line in report:
                print(line, file=stream)
        return greenlet, report

    def ignore_current_greenlet_blocking(self) -> None:
        """Let the current greenlet block until the next switch. In the hub's thread."""
        self._greenlet_tracer.ignore_current_greenlet_blocking()

    def monitor_current_greenlet_blocking(self) -> None:
        """Take the current greenlet for one that runs since now. In the hub's thread."""
        self._greenlet_tracer.monitor_current_greenlet_blocking()

    # Memory.

    # What psutil says is asked of one object, which is slow to make. None: it was not made yet.
    _process: tuple[Any] | None = None

    def _get_process(self) -> Any:
        if self._process is None:
            self._process = (get_this_psutil_process(),)
        return self._process[0]

    def can_monitor_memory_usage(self) -> bool:
        """Whether psutil is installed and may be used."""
        return self._get_process() is not None

    def install_monitor_memory_usage(self) -> None:
        """Look at the memory too. Warns with :class:`MonitorWarning` if that is not possible."""
        if not self.can_monitor_memory_usage():
            import warnings

            warnings.warn("Unable to monitor memory usage. Install psutil.", MonitorWarning, stacklevel=2)
            return
        period = max(config.memory_monitor_period, self.min_memory_monitor_period)
        self.add_monitoring_function(self.monitor_memory_usage, period)

    def monitor_memory_usage(self, _hub: Any) -> Any:
        """Send an event if the use of memory has become too much, or has ceased to be; return it.

        Without the setting ``max_memory_usage`` it returns -1.
        """
        allowed = config.max_memory_usage
        if not allowed:
            return -1
        info = self._get_process().memory_full_info()
        usage = getattr(info, "uss", 0) or info.rss
        before = self._memory_exceeded
        event: Any = None
        if usage > allowed:
            self._memory_exceeded = usage
            if usage > before:
                event = MemoryUsageThresholdExceeded(usage, allowed, info)
        else:
            self._memory_exceeded = 0
            if before:
                event = MemoryUsageUnderThreshold(usage, allowed, info, before)
        if event is not None:
            notify(event)
        return event

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} at {hex(id(self))} in thread {hex(self.monitor_thread_ident)} "
            f"greenlet {getcurrent()!r} for {self.hub!r}>"
        )
