"""Trace functions that notice how long a greenlet runs without a switch."""

from __future__ import annotations

import sys
import traceback
from typing import Any

from greenloom._compat import perf_counter
from greenloom._greenloom import getcurrent, greenlet, settrace
from greenloom._util import gmctime
from greenloom.util import format_run_info

__all__ = ["GreenletTracer", "HubSwitchTracer", "MaxSwitchTracer"]


class GreenletTracer:
    """Counts the switches of the thread that makes it, and knows the greenlet that runs. One calls the next."""

    def __init__(self) -> None:
        #: Switches since :meth:`did_block_hub` was last asked.
        self.greenlet_switch_counter = 0
        #: The greenlet that runs; None if it is not known or to be ignored.
        self.active_greenlet: Any = None
        self._killed = False
        #: The trace function that was there before, and is still called.
        self.previous_trace_function: Any = settrace(self)

    def kill(self) -> None:
        """Put the previous trace function back. Only in the thread that is traced."""
        if not self._killed:
            self._killed = True
            settrace(self.previous_trace_function)
            self.previous_trace_function = None

    def _trace(self, event: str, args: tuple[greenlet, greenlet]) -> None:
        self.greenlet_switch_counter += 1
        self.active_greenlet = args[1] if event in ("switch", "throw") else None
        previous = self.previous_trace_function
        if previous is not None:
            previous(event, args)

    def __call__(self, event: str, args: Any) -> None:
        """Note a switch. Called by it."""
        self._trace(event, args)

    def did_block_hub(self, hub: Any) -> tuple[bool, Any] | None:
        """Return True and the greenlet if one has run since this was last asked, and not the hub; otherwise None.

        From any thread. A switch at this very moment may be missed, which only matters for a report.
        """
        active = self.active_greenlet
        switched = self.greenlet_switch_counter != 0
        self.greenlet_switch_counter = 0
        if switched or active is None or active is hub:
            return None
        return True, active

    def ignore_current_greenlet_blocking(self) -> None:
        """Let the current greenlet block until the next switch."""
        self.active_greenlet = None

    def monitor_current_greenlet_blocking(self) -> None:
        """Take the current greenlet for one that runs since now."""
        self.active_greenlet = getcurrent()

    def did_block_hub_report(
        self, hub: Any, active_greenlet: Any, format_kwargs: dict[str, Any]
    ) -> list[str]:
        """Return the lines that report ``active_greenlet``; ``format_kwargs`` are for ``format_run_info``."""
        frame = sys._current_frames().get(hub.thread_ident)
        stack = ["Unknown: the thread has ended\n"] if frame is None else traceback.format_stack(frame)
        return [
            "=" * 80,
            f"\n{gmctime()} : Greenlet {active_greenlet} appears to be blocked",
            f"    Reported by {self}",
            f"Blocked Stack (for thread id {hex(hub.thread_ident)}):",
            "".join(stack),
            "Info:",
            *format_run_info(**format_kwargs),
        ]


class _TimedTracer(GreenletTracer):
    def __init__(self, hub: Any, max_blocking_time: float) -> None:
        self.hub: Any = hub
        self.max_blocking_time = max_blocking_time
        super().__init__()

    def kill(self) -> None:
        self.hub = None
        super().kill()


class HubSwitchTracer(_TimedTracer):
    """Knows when the hub was last switched to."""

    def __init__(self, hub: Any, max_blocking_time: float) -> None:
        self.last_entered_hub = 0.0
        super().__init__(hub, max_blocking_time)

    def _trace(self, event: str, args: tuple[greenlet, greenlet]) -> None:
        super()._trace(event, args)
        if self.active_greenlet is self.hub:
            self.last_entered_hub = perf_counter()

    def did_block_hub(self, hub: Any) -> tuple[bool, Any] | None:
        """Return True and the greenlet that runs if the hub was last switched to too long ago."""
        if perf_counter() - self.last_entered_hub > self.max_blocking_time:
            return True, self.active_greenlet
        return None


class MaxSwitchTracer(_TimedTracer):
    """Knows the longest time between two switches, but those that the hub had itself."""

    def __init__(self, hub: Any, max_blocking_time: float) -> None:
        self.last_switch = perf_counter()
        self.max_blocking = 0.0
        super().__init__(hub, max_blocking_time)

    def _trace(self, event: str, args: tuple[greenlet, greenlet]) -> None:
        left = self.active_greenlet
        super()._trace(event, args)
        now = perf_counter()
        if left is not None and left is not self.hub:
            self.max_blocking = max(self.max_blocking, now - self.last_switch)
        self.last_switch = now

    def did_block_hub(self, hub: Any) -> tuple[bool, Any] | None:
        """Return True and the greenlet that runs if the longest time was too long."""
        if self.max_blocking == 0:
            self.max_blocking = perf_counter() - self.last_switch
        if self.max_blocking > self.max_blocking_time:
            return True, self.active_greenlet
        return None
