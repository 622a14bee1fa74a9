"""Trace functions that notice how long a greenlet runs without a switch."""

from __future__ import annotations

import sys
import traceback
from typing import Any

from greenloom._compat import perf_counter
from greenloom._greenloom import getcurrent, settrace
from greenloom._util import gmctime
from greenloom.util import format_run_info

__all__ = ["GreenletTracer", "HubSwitchTracer", "MaxSwitchTracer"]


class GreenletTracer:
    """Counts the switches of the thread that makes it, and knows the greenlet that runs. One calls the next."""

    #: The greenlet that runs; None if it is not known or to be ignored.
    active_greenlet: Any = None

    #: Switches since :meth:`did_block_hub` was last asked.
    greenlet_switch_counter = 0

    _killed = False

    def __init__(self) -> None:
        #: The trace function that was there before, and is still called.
        self.previous_trace_function: Any = settrace(self)

    def kill(self) -> None:
        """Put the previous trace function back. Only in the thread that is traced."""
        if self._killed:
            return
        previous, self.previous_trace_function = self.previous_trace_function, None
        settrace(previous)
        self._killed = True

    def __call__(self, event: str, args: Any) -> None:
        """Note a switch. Called by it."""
        left = self.active_greenlet
        self.greenlet_switch_counter += 1
        # Only these two are known to have an origin and a target.
        self.active_greenlet = args[1] if event in ("switch", "throw") else None
        self._switched(left)
        if self.previous_trace_function is not None:
            self.previous_trace_function(event, args)

    def _switched(self, left: Any) -> None:
        """Note that ``left`` was switched away from, if it is known."""

    def did_block_hub(self, hub: Any) -> tuple[bool, Any] | None:
        """Return True and the greenlet if one has run since this was last asked, and not the hub; otherwise None.

        From any thread. A switch at this very moment may be missed, which only matters for a report.
        """
        switches, self.greenlet_switch_counter = self.greenlet_switch_counter, 0
        running = self.active_greenlet
        hogging = not switches and running is not None and running is not hub
        return (True, running) if hogging else None

    def monitor_current_greenlet_blocking(self) -> None:
        """Take the current greenlet for one that runs since now."""
        self.active_greenlet = getcurrent()

    def ignore_current_greenlet_blocking(self) -> None:
        """Let the current greenlet block until the next switch."""
        self.active_greenlet = None

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


class _LimitTracer(GreenletTracer):
    """Knows for how many seconds, at most, something was not switched to."""

    def __init__(self, hub: Any, max_blocking_time: float) -> None:
        self.hub: Any = hub
        self.max_blocking_time = max_blocking_time
        super().__init__()

    def kill(self) -> None:
        """Do as every tracer, and let go of the hub."""
        super().kill()
        self.hub = None

    def _seconds(self) -> float:
        raise NotImplementedError

    def did_block_hub(self, hub: Any) -> tuple[bool, Any] | None:
        """Return True and the greenlet that runs if it took too long; otherwise None."""
        return (True, self.active_greenlet) if self._seconds() > self.max_blocking_time else None


class HubSwitchTracer(_LimitTracer):
    """Counts from the last switch to the hub, or from ever."""

    _in_hub_at = float("-inf")

    def _switched(self, left: Any) -> None:
        if self.active_greenlet is self.hub:
            self._in_hub_at = perf_counter()

    def _seconds(self) -> float:
        return perf_counter() - self._in_hub_at


class MaxSwitchTracer(_LimitTracer):
    """Takes the longest time between two switches, but those that the hub had itself."""

    _longest: float | None = None

    def __init__(self, hub: Any, max_blocking_time: float) -> None:
        self._switched_at = perf_counter()
        super().__init__(hub, max_blocking_time)

    def _switched(self, left: Any) -> None:
        now = perf_counter()
        ran, self._switched_at = now - self._switched_at, now
        if left is not None and left is not self.hub:
            self._longest = max(ran, self._longest or 0.0)

    def _seconds(self) -> float:
        # Without any switch, it is the time so far.
        return perf_counter() - self._switched_at if self._longest is None else self._longest
