"""The part of the monitor thread that looks at how much memory the process uses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from greenloom._compat import get_this_psutil_process
from greenloom._config import config
from greenloom.events import MemoryUsageThresholdExceeded, MemoryUsageUnderThreshold, notify


class MonitorWarning(RuntimeWarning):
    """What the monitor thread warns with."""


class MemoryMonitor:
    """Sends an event when the process comes to use too much memory, and when it ceases to."""

    #: The least seconds between two looks, which are slow.
    min_memory_monitor_period = 2

    # The use of memory when it was last too much; 0 while it is not.
    _memory_exceeded = 0

    # What psutil says is asked of one object, in a tuple because it may be None. Empty: it was not made yet.
    _process: tuple[Any, ...] = ()

    def add_monitoring_function(self, function: Callable[[Any], object], period: float | None) -> None:
        """Have ``function`` called."""
        raise NotImplementedError

    def _get_process(self) -> Any:
        self._process = self._process or (get_this_psutil_process(),)
        return self._process[0]

    def can_monitor_memory_usage(self) -> bool:
        """Whether psutil is installed and may be used."""
        return self._get_process() is not None

    def install_monitor_memory_usage(self) -> None:
        """Look at the memory too. Warns with :class:`MonitorWarning` if that is not possible."""
        if self.can_monitor_memory_usage():
            seconds = max(self.min_memory_monitor_period, config.memory_monitor_period)
            self.add_monitoring_function(self.monitor_memory_usage, seconds)
        else:
            text = "memory is not monitored: psutil is not installed, or refuses to tell"
            warnings.warn(text, MonitorWarning, stacklevel=2)

    def monitor_memory_usage(self, _hub: Any) -> Any:
        """Send an event if the use of memory has become too much, or has ceased to be; return it.

        Without the setting ``max_memory_usage`` it returns -1.
        """
        allowed = config.max_memory_usage
        if not allowed:
            return -1
        details = self._get_process().memory_full_info()
        # What this process alone uses, where the system can say that.
        used = getattr(details, "uss", 0) or details.rss
        most, self._memory_exceeded = self._memory_exceeded, used if used > allowed else 0
        event: Any = None
        if used > max(allowed, most):
            event = MemoryUsageThresholdExceeded(used, allowed, details)
        elif most and used <= allowed:
            event = MemoryUsageUnderThreshold(used, allowed, details, most)
        if event is not None:
            notify(event)
        return event
