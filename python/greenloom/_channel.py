"""Channels, and what they share with queues: greenlets and threads that wait at both ends.

To be imported from :mod:`greenloom.queue`.
"""

from __future__ import annotations

# The interpreter's own. Held only where nothing can switch, and by one thread at a time.
from _thread import RLock as _native_rlock
from collections import deque
from contextlib import suppress
from queue import Empty, Full
from types import GenericAlias
from typing import Any, ClassVar

from greenloom._greenloom import getcurrent
from greenloom._hub_local import get_hub, get_hub_if_exists
from greenloom._parking import HubParker, ThreadParker, hub_to_wait_in, new_parker
from greenloom.timeout import Timeout

__all__ = ["Channel"]

_Parker = HubParker | ThreadParker


class _WaitList:
    """The two ends of a queue or channel where greenlets and threads wait, and how they are woken.

    Who waits is in ``getters`` or ``putters``, first come first. Greenlets of the same thread are woken by a callback
    in their loop, so that put and get never switch. All of it is changed under ``mutex`` only.
    """

    __slots__ = ("__weakref__", "_scheduled", "getters", "mutex", "putters")

    def __init__(self) -> None:
        self.mutex = _native_rlock()
        self.getters: deque[Any] = deque()
        self.putters: deque[Any] = deque()
        #: The hub and the callback that will wake them.
        self._scheduled: Any = None

    @property
    def hub(self) -> Any:
        """The hub of the current thread, which is made if it does not exist: a queue belongs to no hub."""
        return get_hub()

    def get(self, block: bool = True, timeout: float | Timeout | None = None) -> Any:
        """Return an item."""
        raise NotImplementedError

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        item = self.get()
        if item is StopIteration:
            raise StopIteration
        return item

    next = __next__

    def _wake_later(self, hub: Any) -> None:
        """Wake whom it may concern in a later turn of the loop of ``hub``, that of the current thread."""
        scheduled = self._scheduled
        if scheduled is None or scheduled[0] is not hub or not scheduled[1].pending:
            self._scheduled = (hub, hub.loop.run_callback(self._wake_waiting, hub))

    def _wake_waiting(self, hub: Any) -> None:
        """Wake as many as there are items or partners for, from the loop of ``hub``, or anywhere if that is None."""
        raise NotImplementedError


def _wake(parker: Any, hub: Any) -> None:
    """Wake ``parker`` from the loop of ``hub``: by a switch if it waits there."""
    if parker.hub is not None and parker.hub is hub:
        parker.resume()
    else:
        parker.wake()


class _Parked:
    """One that waits at a queue: the parker, what it brings, and how it went."""

    __slots__ = ("done", "error", "item", "parker")

    def __init__(self, parker: _Parker, item: Any = None) -> None:
        self.parker = parker
        self.item = item
        #: It has been told: the item is in the queue, or there is something to get.
        self.done = False
        self.error: BaseException | type[BaseException] | None = None


def _remove(waiting: deque[Any], parked: Any) -> None:
    # It is not there if somebody has told it, and the telling has not arrived.
    with suppress(ValueError):
        waiting.remove(parked)


class Channel(_WaitList):
    """A queue without room: every :meth:`put` waits until a :meth:`get` takes its item."""

    __slots__ = ()

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    def __init__(self, maxsize: int = 1) -> None:
        if maxsize != 1:
            raise ValueError(f"the maxsize of a channel is always 1, not {maxsize!r}")
        super().__init__()

    def __str__(self) -> str:
        return f"<{type(self).__name__}{self._waiting()}>"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}{self._waiting()}>"

    def _waiting(self) -> str:
        """Return what a repr says of those who wait."""
        sides = (("getters", self.getters), ("putters", self.putters))
        return "".join(f" {name}[{len(side)}]" for name, side in sides if side)

    @property
    def balance(self) -> int:
        """How many more wait to put than to get; negative if it is the other way round."""
        return len(self.putters) - len(self.getters)

    def qsize(self) -> int:
        """Return 0: nothing is ever inside."""
        return 0

    def empty(self) -> bool:
        """Return true: nothing is ever inside."""
        return True

    def full(self) -> bool:
        """Return true: there is never room inside."""
        return True

    def put(self, item: Any, block: bool = True, timeout: float | Timeout | None = None) -> None:
        """Hand ``item`` over, waiting until somebody takes it.

        Raises :class:`Full` after ``timeout`` seconds. If ``block`` is false only somebody who waits already can
        take it.
        """
        current = get_hub_if_exists()
        if current is not None and current is getcurrent():
            with self.mutex:
                if not self.getters:
                    raise Full
                getter = self.getters.popleft()
                getter.item = item
                getter.done = True
            _wake(getter.parker, current)
            return
        self._exchange(self.putters, self.getters, item, timeout if block else 0, Full)

    def put_nowait(self, item: Any) -> None:
        """Hand ``item`` over to somebody who waits for it; raise :class:`Full` if nobody does."""
        self.put(item, False)

    def get(self, block: bool = True, timeout: float | Timeout | None = None) -> Any:
        """Return an item, waiting until somebody puts one.

        Raises :class:`Empty` after ``timeout`` seconds. If ``block`` is false only somebody who waits already can
        give one.
        """
        current = get_hub_if_exists()
        if current is not None and current is getcurrent():
            with self.mutex:
                putter = self.putters.popleft() if self.putters else None
                if putter is not None:
                    putter.done = True
            if putter is None:
                raise Empty
            putter.parker.wake()
            return putter.item
        return self._exchange(self.getters, self.putters, None, timeout if block else 0, Empty)

    def get_nowait(self) -> Any:
        """Return the item of somebody who waits to put one; raise :class:`Empty` if nobody does."""
        return self.get(False)

    def _exchange(
        self, side: deque[Any], other: deque[Any], item: Any, timeout: Any, error: type[Exception]
    ) -> Any:
        """Wait on one side until somebody of the other comes; return the item that is then here."""
        hub = hub_to_wait_in()
        parked = _Parked(new_parker(hub), item)
        parker = parked.parker
        parker.begin(timeout, error)
        try:
            with self.mutex:
                side.append(parked)
                if other:
                    # This greenlet is going to wait in the same loop, so it will turn.
                    if hub is None:
                        self._wake_waiting(None)
                    else:
                        self._wake_later(hub)
            if not parker.park():
                raise error
        except error:
            # Too late, if somebody in another thread has just come.
            with self.mutex:
                if not parked.done:
                    raise
        finally:
            parker.end()
            with self.mutex:
                if not parked.done:
                    _remove(side, parked)
        return parked.item

    def _wake_waiting(self, hub: Any) -> None:
        """Bring the two sides together, pair by pair."""
        self._scheduled = None
        while True:
            with self.mutex:
                if not (self.getters and self.putters):
                    return
                getter = self.getters.popleft()
                putter = self.putters.popleft()
                getter.item = putter.item
                getter.done = putter.done = True
            _wake(getter.parker, hub)
            _wake(putter.parker, hub)
