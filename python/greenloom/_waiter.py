"""The smallest thing to wait on: one value or exception, handed from a loop callback to one greenlet."""

from __future__ import annotations

from collections import deque
from typing import Any

from greenloom._greenloom import Waiter as Waiter

__all__ = ["Waiter"]


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
            if self.greenlet is None:
                self.clear()
            super().get()
        return self._queue.popleft()
