"""How one greenlet, or one thread without a hub, is set aside until any thread wakes it.

The primitives that are shared between OS threads (semaphores, events, queues) keep parkers in their wait lists.
A greenlet is woken by a callback in the loop of its own hub, because nothing else may switch to it; a thread that
has no hub blocks in a native lock. Waits that stay within one thread do not need any of this: see
:mod:`greenloom._abstract_linkable`.
"""

from __future__ import annotations

import sys
from _thread import TIMEOUT_MAX
from contextlib import suppress
from typing import Any

from greenloom._compat import monotonic, native_allocate_lock, native_get_ident
from greenloom._greenloom import getcurrent, greenlet
from greenloom._hub_local import get_hub, get_hub_if_exists
from greenloom.exceptions import InvalidSwitchError, LoopExit
from greenloom.timeout import Timeout

__all__ = ["HubParker", "ThreadParker", "hub_to_wait_in", "new_parker", "switch_to_hub"]


def hub_to_wait_in() -> Any:
    """Return the hub in which the caller waits, or None if it has to block its thread.

    The main thread gets its hub here if it has none yet. Other threads do not: a thread that never asked for a
    hub has no other greenlets that could run meanwhile.
    """
    hub = get_hub_if_exists()
    if hub is not None:
        return hub
    from greenloom.hub import MAIN_THREAD_IDENT

    return get_hub() if native_get_ident() == MAIN_THREAD_IDENT else None


def _ignore() -> None:
    """Be the callback of a watcher that is only there to hold the loop open."""


def switch_to_hub(hub: Any, hold_open: bool = False) -> Any:
    """Switch to ``hub`` and return what it switches back with.

    A loop with nothing to wait for ends with LoopExit. In the main thread that tells of a deadlock; in another
    thread the wake-up may still come from outside, so the loop is then held open, as it is from the start with
    ``hold_open``.
    """
    if not hold_open:
        try:
            return hub.switch()
        except LoopExit:
            if hub.main_hub:
                raise
    watcher = hub.loop.async_()
    watcher.start(_ignore)
    try:
        return hub.switch()
    finally:
        watcher.stop()
        watcher.close()


class HubParker:
    """A greenlet that waits in its hub; it may be parked several times, one after the other."""

    __slots__ = ("_greenlet", "_hold_open", "_timer", "hub")

    def __init__(self, hub: Any, hold_open: bool = False) -> None:
        self.hub = hub
        self._hold_open = hold_open
        self._greenlet: greenlet | None = None
        self._timer: Any = None

    def begin(self, timeout: Any, error: Any = None) -> Any:
        """Start to count ``timeout`` (seconds, a Timeout, or None) and return what will be raised by it.

        ``error`` is raised in its place if it is given. :meth:`end` must follow.
        """
        self._timer = Timeout._start_new_or_dummy(timeout, error)
        return self._timer

    def end(self) -> None:
        """Stop counting."""
        self._timer.cancel()

    def park(self) -> bool:
        """Wait for :meth:`wake`. Always true: when the time is over, the exception is raised here."""
        self._greenlet = getcurrent()
        try:
            result = switch_to_hub(self.hub, self._hold_open)
        finally:
            self._greenlet = None
        if result is not self:
            raise InvalidSwitchError(f"Invalid switch into a waiting greenlet, with {result!r}")
        return True

    def resume(self) -> None:
        """Switch to the greenlet if it still waits. Only from its hub."""
        waiting = self._greenlet
        if waiting is not None:
            try:
                waiting.switch(self)
            except BaseException:
                self.hub.handle_error(waiting.switch, *sys.exc_info())

    def wake(self) -> None:
        """End the wait, from any thread, in a later turn of the greenlet's own loop."""
        loop = self.hub.loop
        if loop is not None:
            loop.run_callback_threadsafe(self.resume)

    def __call__(self, source: object) -> None:
        """Wake: a parker can be a link."""
        self.wake()


class ThreadParker:
    """A thread without a hub, which blocks in a lock of the operating system."""

    __slots__ = ("_deadline", "_lock")

    #: There is none; what tells the two kinds apart.
    hub = None

    def __init__(self) -> None:
        self._lock = native_allocate_lock()
        self._lock.acquire()
        self._deadline: float | None = None

    def begin(self, timeout: Any, error: Any = None) -> Any:
        """Start to count ``timeout`` (seconds, a Timeout, or None). Nothing is raised by it: see :meth:`park`."""
        seconds = getattr(timeout, "seconds", timeout)
        self._deadline = None if seconds is None else monotonic() + seconds
        return None

    def end(self) -> None:
        """Stop counting."""

    def park(self) -> bool:
        """Block until :meth:`wake`; false if the time was over first."""
        if self._deadline is None:
            return self._lock.acquire()
        return self._lock.acquire(timeout=min(max(0.0, self._deadline - monotonic()), TIMEOUT_MAX))

    def wake(self) -> None:
        """End the wait, or the next one; from any thread."""
        # Woken twice, as by a release that crossed a timeout, is woken once. Releasing a free lock is an error.
        if self._lock.locked():
            with suppress(RuntimeError):
                self._lock.release()

    def __call__(self, source: object) -> None:
        """Wake: a parker can be a link."""
        self.wake()


def new_parker(hub: Any) -> HubParker | ThreadParker:
    """Return a parker for the caller, which waits in ``hub`` or, if that is None, blocks its thread."""
    return ThreadParker() if hub is None else HubParker(hub)
