"""Queues between greenlets and threads, with the interface of the standard :mod:`queue`, and channels.

Iterating over one gets items until it gets the class ``StopIteration`` itself. Unlike the standard ones they can
be looked into with ``peek``, copied, and made with ``items``, and ``len`` is the number of items in them.
"""

from __future__ import annotations

import queue as _stdlib_queue
import sys
from collections import deque
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from types import GenericAlias
from typing import Any, ClassVar

from greenloom._channel import Channel as Channel
from greenloom._greenloom import CountingQueueBase, QueueBase
from greenloom._hub_local import get_hub
from greenloom.event import Event
from greenloom.timeout import Timeout

Empty = _stdlib_queue.Empty
Full = _stdlib_queue.Full

__implements__ = ["LifoQueue", "PriorityQueue", "Queue", "SimpleQueue"]
__extensions__ = ["Channel", "JoinableQueue"]
__imports__ = ["Empty", "Full"]

if sys.version_info >= (3, 13):
    ShutDown = _stdlib_queue.ShutDown
    __imports__.append("ShutDown")
else:

    class ShutDown(Exception):
        """Raised by a queue that has been shut down. The standard library has it since 3.13."""

    __extensions__.append("ShutDown")

__all__ = __implements__ + __extensions__ + __imports__


class SimpleQueue(QueueBase):
    """A queue of at most ``maxsize`` items, first in first out; None, 0 and below are no limit.

    ``items`` are in it from the start. A queue is always true.
    """

    __slots__ = ()

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    def __init__(self, maxsize: int | None = None, items: Iterable[Any] = (), _warn_depth: int = 2) -> None:
        if maxsize == 0:
            import warnings

            text = "Queue(0) has no limit, like Queue(None); a queue without any room is a Channel"
            warnings.warn(text, DeprecationWarning, stacklevel=_warn_depth)
        self.maxsize = maxsize
        # Classes written for the standard queue override this without `items`.
        self._init(self.maxsize, *([items] if items else []))

    # What subclasses may override, besides `_put`, `_get`, `_qsize` and `_peek`.

    def _init(self, maxsize: int | None, items: Iterable[Any] = ()) -> None:
        self.queue = self._create_queue(items)

    def _create_queue(self, items: Iterable[Any] = ()) -> Any:
        return deque(items)

    @property
    def hub(self) -> Any:
        """The hub of the current thread, which is made if it does not exist: a queue belongs to no hub."""
        return get_hub()

    def copy(self) -> Any:
        """Return a new queue with the same limit and the same items."""
        return type(self)(self.maxsize, self.queue)

    def __str__(self) -> str:
        return f"<{' '.join((type(self).__name__, *self._state()))}>"

    def __repr__(self) -> str:
        return f"<{' '.join((f'{type(self).__name__} at {id(self):#x}', *self._state()))}>"

    def _state(self) -> list[str]:
        """Return what a repr says of it, but for what is at its default."""
        state = {
            "maxsize={}": self.maxsize,
            "queue={!r}": self.queue or None,
            "getters[{}]": len(self.getters) or None,
            "putters[{}]": len(self.putters) or None,
        }
        return [text.format(value) for text, value in state.items() if value is not None]


class Queue(CountingQueueBase, SimpleQueue):
    """A queue that also counts its items until they are done with: :meth:`task_done` and :meth:`join`.

    ``unfinished_tasks`` is the count to begin with, by default the number of ``items``.
    """

    __slots__ = ()

    def __init__(
        self,
        maxsize: int | None = None,
        items: Iterable[Any] = (),
        unfinished_tasks: int | None = None,
    ) -> None:
        super().__init__(maxsize, items, _warn_depth=3)
        self.unfinished_tasks = unfinished_tasks or (self._qsize() if items else 0)

    def copy(self) -> Any:
        """Return a new queue with the same limit, the same items and the same count of unfinished tasks."""
        return type(self)(self.maxsize, self.queue, self.unfinished_tasks)

    def _state(self) -> list[str]:
        state = super()._state()
        if self.unfinished_tasks:
            state.append(f"tasks={self.unfinished_tasks}")
        return state

    def join(self, timeout: float | Timeout | None = None) -> bool:
        """Wait until all items are done with, at most ``timeout`` seconds, and return whether they are."""
        if not self.unfinished_tasks:
            return True
        all_done: Event | None = self._all_done
        if all_done is None:
            all_done = self._all_done = Event()
        return all_done.wait(timeout)


#: The older name.
JoinableQueue = Queue


class UnboundQueue(Queue):
    """A queue that never has a limit, so that putting never waits."""

    __slots__ = ()

    def __init__(self, maxsize: None = None, items: Iterable[Any] = ()) -> None:
        if maxsize is not None:
            raise ValueError("an UnboundQueue cannot have a limit")
        super().__init__(None, items)


class PriorityQueue(Queue):
    """A queue that gives out the smallest item first. Items are often tuples ``(priority, data)``."""

    __slots__ = ()

    def _get(self) -> Any:
        return heappop(self.queue)

    def _put(self, item: Any) -> None:
        heappush(self.queue, item)
        self._count_task()

    def _create_queue(self, items: Iterable[Any] = ()) -> Any:
        heap = [*items]
        heapify(heap)
        return heap


class LifoQueue(Queue):
    """A queue that gives out the newest item first: a stack."""

    __slots__ = ()

    def _get(self) -> Any:
        return self.queue.pop()

    def _create_queue(self, items: Iterable[Any] = ()) -> Any:
        return [*items]

    def _peek(self) -> Any:
        return self.queue[-1]
