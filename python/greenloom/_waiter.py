"""The smallest thing to wait on: one value or exception, handed from a loop callback to one greenlet."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from greenloom._greenloom import getcurrent, greenlet as RawGreenlet
from greenloom._hub_local import get_hub
from greenloom.exceptions import ConcurrentObjectUseError

__all__ = ["Waiter"]


class Waiter:
    """Hands one value or exception from the hub to the greenlet that calls :meth:`get`.

    It may arrive before or after :meth:`get` is called. :meth:`switch` and :meth:`throw` resume the greenlet
    only while it is in :meth:`get`; what fails in it goes to the hub's ``handle_error``. One greenlet at a time.
    """

    __slots__ = ("_arrived", "_thrown", "greenlet", "hub", "value")

    #: The hub to wait in.
    hub: Any
    #: The greenlet in :meth:`get`.
    greenlet: RawGreenlet | None
    #: What :meth:`switch` was given.
    value: Any

    def __init__(self, hub: Any = None) -> None:
        self.hub = get_hub() if hub is None else hub
        self.clear()

    def clear(self) -> None:
        """Forget what has arrived, to be used once more."""
        self.greenlet = None
        self._keep(False, None, None)

    def _keep(self, arrived: bool, value: Any, thrown: tuple[Any, ...] | None) -> None:
        self._arrived, self.value, self._thrown = arrived, value, thrown

    def __str__(self) -> str:
        parts = [type(self).__name__, f"greenlet={self.greenlet}"]
        if self._thrown is not None:
            parts.append(f"exc_info={self._thrown!r}")
        elif self._arrived:
            parts.append(f"value={self.value!r}")
        return f"<{' '.join(parts)}>"

    def ready(self) -> bool:
        """Whether a value or an exception has arrived."""
        return self._arrived

    def successful(self) -> bool:
        """Whether a value has arrived."""
        return self._arrived and self._thrown is None

    @property
    def exc_info(self) -> Any:
        """The arguments that :meth:`throw` was given, or None."""
        return self._thrown

    def switch(self, value: Any) -> None:
        """Resume the waiting greenlet with ``value``, or keep it for one that comes. Only from the hub."""
        if self.greenlet is not None:
            self._resume(self.greenlet.switch, value)
        else:
            self._keep(True, value, None)

    def switch_args(self, *args: Any) -> None:
        """Do as :meth:`switch`, with the tuple of the arguments."""
        self.switch(args)

    def throw(self, *throw_args: Any) -> None:
        """Raise in the waiting greenlet, or in the one that comes; arguments as ``greenlet.throw`` has them."""
        if self.greenlet is not None:
            self._resume(self.greenlet.throw, *throw_args)
        else:
            self._keep(True, None, throw_args)

    def _resume(self, enter: Callable[..., Any], *args: Any) -> None:
        hub: Any = self.hub
        current: Any = getcurrent()
        if current is not hub:
            raise AssertionError("a Waiter's greenlet may only be resumed from the Hub greenlet")
        try:
            enter(*args)
        except BaseException:
            # A raw greenlet has ended with it.
            hub.handle_error(enter, *sys.exc_info())

    def get(self) -> Any:
        """Return the value or raise the exception, waiting in the hub until it arrives.

        Raises :class:`~greenloom.exceptions.ConcurrentObjectUseError` if another greenlet waits here.
        """
        if not self._arrived:
            return self._park()
        return self.value if self._thrown is None else getcurrent().throw(*self._thrown)

    def _park(self) -> Any:
        if self.greenlet is not None:
            raise ConcurrentObjectUseError(f"{self.greenlet!r} waits for this Waiter already")
        self.greenlet = getcurrent()
        try:
            delivered = self.hub.switch()
        except BaseException:
            self.greenlet = None
            raise
        self.greenlet = None
        return delivered

    def __call__(self, source: Any) -> None:
        """Hand over the result of ``source``, a finished greenlet or AsyncResult: a waiter can be a link."""
        error = source.exception
        deliver, what = (self.switch, source.value) if error is None else (self.throw, error)
        deliver(what)


class MultipleWaiter(Waiter):
    """Hands over several values in the order in which they arrive, one by each :meth:`get`."""

    __slots__ = ("_queue",)

    def __init__(self, hub: Any = None) -> None:
        super().__init__(hub)
        self._queue: deque[Any] = deque()

    def switch(self, value: Any) -> None:
        """Add ``value``, and resume the greenlet if it waits."""
        self._queue.append(value)
        super().switch(None)

    def get(self) -> Any:
        """Return the oldest value, waiting for one if there is none."""
        while not self._queue:
            self._keep(False, None, None)
            self._park()
        return self._queue.popleft()
