"""Queues between greenlets and threads, with the interface of the standard :mod:`queue`, and channels.

Iterating over one gets items until it gets the class ``StopIteration`` itself. Unlike the standard ones they can
be looked into with ``peek``, copied, and made with ``items``, and ``len`` is the number of items in them.
"""

from __future__ import annotations

import queue as _stdlib_queue
import sys
from collections import deque
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from math import inf
from types import GenericAlias
from typing import Any, ClassVar

from greenloom._channel import Channel as Channel, _Parked, _remove, _WaitList, _wake
from greenloom._greenloom import getcurrent
from greenloom._hub_local import get_hub_if_exists
from greenloom._parking import hub_to_wait_in, new_parker
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


class SimpleQueue(_WaitList):
    """A queue of at most ``maxsize`` items, first in first out; None, 0 and below are no limit.

    ``items`` are in it from the start. A queue is always true.
    """

    __slots__ = ("_limit", "_promised", "is_shutdown", "queue")

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    def __init__(self, maxsize: int | None = None, items: Iterable[Any] = (), _warn_depth: int = 2) -> None:
        super().__init__()
        if maxsize == 0:
            import warnings

            text = "Queue(0) has no limit, like Queue(None); a queue without any room is a Channel"
            warnings.warn(text, DeprecationWarning, stacklevel=_warn_depth)
        #: How many items there may be: infinity if there is no limit.
        self._limit: float = _limit_of(maxsize)
        #: How many of the items are for getters in other threads, which have been woken but did not come yet.
        self._promised = 0
        #: Whether :meth:`Queue.shutdown` has been called.
        self.is_shutdown = False
        #: The container of the items. The bottleneck methods below are the only ones that know what it is.
        self.queue: Any = None
        # Classes written for the standard queue override this without `items`.
        self._init(self.maxsize, *([items] if items else []))

    # The standard queue's bottleneck methods, for subclasses to override.

    def _init(self, maxsize: int | None, items: Iterable[Any] = ()) -> None:
        self.queue = self._create_queue(items)

    def _put(self, item: Any) -> None:
        self.queue.append(item)

    def _get(self) -> Any:
        return self.queue.popleft()

    def _qsize(self) -> int:
        return len(self.queue)

    # And two more.

    def _create_queue(self, items: Iterable[Any] = ()) -> Any:
        return deque(items)

    def _peek(self) -> Any:
        return self.queue[0]

    @property
    def maxsize(self) -> int | None:
        """How many items there may be, or None if there is no limit."""
        return None if self._limit == inf else int(self._limit)

    @maxsize.setter
    def maxsize(self, value: int | None) -> None:
        self._limit = _limit_of(value)
        if self.putters:
            self._wake_soon()

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

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return self._qsize()

    def qsize(self) -> int:
        """Return the number of items."""
        return self._qsize()

    def full(self) -> bool:
        """Whether there are as many items as there may be."""
        return self._qsize() >= self._limit

    def empty(self) -> bool:
        """Whether there is no item."""
        return self._qsize() == 0

    def put(self, item: Any, block: bool = True, timeout: float | Timeout | None = None) -> None:
        """Put ``item`` in, waiting until there is room.

        Raises :class:`Full` after ``timeout`` seconds, or at once if ``block`` is false; :class:`ShutDown` if the
        queue is shut down; :class:`ValueError` if the timeout is negative.
        """
        if block and timeout is not None:
            _check_timeout(timeout)
        with self.mutex:
            if self.is_shutdown:
                raise ShutDown
            if self._qsize() < self._limit:
                self._put(item)
                if self.getters:
                    self._wake_soon()
                return
        hub = get_hub_if_exists()
        if hub is not None and hub is getcurrent():
            self._put_in_loop(item, hub)
        elif block:
            self._wait_to_put(item, timeout)
        else:
            raise Full

    def _put_in_loop(self, item: Any, hub: Any) -> None:
        """Put from a callback, where nothing may wait: let getters that wait make the room."""
        while self.full() and self._wake_one_getter(hub):
            pass
        with self.mutex:
            if self.full():
                raise Full
            self._put(item)

    def _wait_to_put(self, item: Any, timeout: Any) -> None:
        hub = hub_to_wait_in()
        parked = _Parked(new_parker(hub), item)
        parker = parked.parker
        parker.begin(timeout, Full)
        try:
            with self.mutex:
                self.putters.append(parked)
                # Either another thread has made room meanwhile, or getters wait for a callback to wake them.
                if self.getters or not self.full():
                    self._wake_soon()
            if not parker.park():
                raise Full
        except Full:
            # Too late, if a getter of another thread has just made room.
            with self.mutex:
                if not parked.done:
                    raise
        finally:
            parker.end()
            with self.mutex:
                if not parked.done:
                    _remove(self.putters, parked)
        if parked.error is not None:
            raise parked.error

    def put_nowait(self, item: Any) -> None:
        """Put ``item`` in; raise :class:`Full` if there is no room."""
        self.put(item, False)

    def get(self, block: bool = True, timeout: float | Timeout | None = None) -> Any:
        """Take an item out and return it, waiting until there is one.

        Raises :class:`Empty` after ``timeout`` seconds, or at once if ``block`` is false; :class:`ShutDown` if the
        queue is empty and shut down; :class:`ValueError` if the timeout is negative.
        """
        with self.mutex:
            if self._qsize():
                item = self._get()
                if self.putters:
                    self._wake_soon()
                return item
        return self._get_later(self._get, block, timeout)

    def get_nowait(self) -> Any:
        """Take an item out and return it; raise :class:`Empty` if there is none."""
        return self.get(False)

    def peek(self, block: bool = True, timeout: float | Timeout | None = None) -> Any:
        """Return the item that :meth:`get` would, and leave it there."""
        with self.mutex:
            if not self.empty():
                return self._peek()
        return self._get_later(self._peek, block, timeout)

    def peek_nowait(self) -> Any:
        """Return the item that :meth:`get_nowait` would, and leave it there."""
        return self.peek(False)

    def _get_later(self, method: Callable[[], Any], block: bool, timeout: Any) -> Any:
        """Get or peek when there was nothing to get."""
        if self.is_shutdown:
            raise ShutDown
        if block and timeout is not None:
            _check_timeout(timeout)
        hub = get_hub_if_exists()
        if hub is not None and hub is getcurrent():
            return self._get_in_loop(method, hub)
        if not block:
            raise Empty
        return self._wait_to_get(method, timeout)

    def _get_in_loop(self, method: Callable[[], Any], hub: Any) -> Any:
        """Get from a callback, where nothing may wait: let putters that wait bring something."""
        while self.putters and self._wake_one_putter(hub):
            with self.mutex:
                if self._qsize():
                    return method()
        raise Empty

    def _wait_to_get(self, method: Callable[[], Any], timeout: Any) -> Any:
        hub = hub_to_wait_in()
        parked = _Parked(new_parker(hub))
        parker = parked.parker
        parker.begin(timeout, Empty)
        try:
            with self.mutex:
                self.getters.append(parked)
                if self.putters or self._qsize():
                    self._wake_soon()
            while True:
                in_time = parker.park()
                if parked.error is not None:
                    raise parked.error
                with self.mutex:
                    self._take_back_promise(parked)
                    if self._qsize():
                        item = method()
                        if self.putters:
                            self._wake_soon()
                        return item
                    if not in_time:
                        raise Empty
                    # Somebody was quicker. It goes on waiting, before those who came later.
                    if not _contains(self.getters, parked):
                        self.getters.appendleft(parked)
                    if self.putters:
                        self._wake_soon()
        finally:
            parker.end()
            with self.mutex:
                if parked.done:
                    # Told, but it leaves without: that was somebody's turn.
                    self._take_back_promise(parked)
                    if self.getters and self._qsize():
                        self._wake_soon()
                else:
                    _remove(self.getters, parked)

    def _wake_soon(self) -> None:
        """Wake whom the items and the room allow to: in this thread later, in others now."""
        hub = get_hub_if_exists()
        if self._wake_others(hub):
            self._wake_later(hub)

    def _wake_others(self, hub: Any) -> bool:
        """Wake those that do not wait in ``hub``, and return whether there is something to do for one that does.

        They shall not depend on when, and whether, the loop of this thread turns.
        """
        somebody_here = False
        told = []
        room = self._limit - self._qsize()
        for parked in self.putters:
            if room <= 0:
                break
            room -= 1
            if hub is not None and parked.parker.hub is hub:
                somebody_here = True
            else:
                told.append(parked)
        for parked in told:
            self.putters.remove(parked)
            self._admit(parked)
        items = self._qsize() - self._promised
        for parked in self.getters:
            if items <= 0:
                break
            items -= 1
            if hub is not None and parked.parker.hub is hub:
                somebody_here = True
            else:
                told.append(parked)
        for parked in told:
            if not parked.done:
                self.getters.remove(parked)
                self._promise(parked)
            parked.parker.wake()
        return somebody_here

    def _admit(self, putter: _Parked) -> None:
        """Put what ``putter`` brings."""
        try:
            self._put(putter.item)
        except BaseException as error:
            # A subclass refused it: that is for the one who brought it.
            putter.error = error
        putter.item = None
        putter.done = True

    def _promise(self, getter: _Parked) -> None:
        """Count an item as meant for ``getter``, which has yet to come for it."""
        getter.done = True
        self._promised += 1

    def _take_back_promise(self, getter: _Parked) -> None:
        if getter.done:
            getter.done = False
            self._promised -= 1

    def _wake_one_getter(self, hub: Any) -> bool:
        with self.mutex:
            if not self.getters or self._qsize() <= self._promised:
                return False
            getter = self.getters.popleft()
            self._promise(getter)
        _wake(getter.parker, hub)
        return True

    def _wake_one_putter(self, hub: Any) -> bool:
        with self.mutex:
            if not self.putters or self.full():
                return False
            putter = self.putters.popleft()
            self._admit(putter)
        _wake(putter.parker, hub)
        return True

    def _wake_waiting(self, hub: Any) -> None:
        """Let those in who wait to put and those out who wait to get, in turns, as far as it goes."""
        self._scheduled = None
        while True:
            put = bool(self.putters) and self._wake_one_putter(hub)
            got = bool(self.getters) and self._wake_one_getter(hub)
            if not put and not got:
                return


def _contains(waiting: deque[Any], parked: Any) -> bool:
    return any(one is parked for one in waiting)


def _limit_of(maxsize: int | None) -> float:
    return inf if maxsize is None or maxsize <= 0 else maxsize


def _check_timeout(timeout: float | Timeout) -> None:
    if timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")


class Queue(SimpleQueue):
    """A queue that also counts its items until they are done with: :meth:`task_done` and :meth:`join`.

    ``unfinished_tasks`` is the count to begin with, by default the number of ``items``.
    """

    __slots__ = ("_all_done", "unfinished_tasks")

    def __init__(
        self,
        maxsize: int | None = None,
        items: Iterable[Any] = (),
        unfinished_tasks: int | None = None,
    ) -> None:
        super().__init__(maxsize, items, _warn_depth=3)
        #: How many items are not done with.
        self.unfinished_tasks: int = unfinished_tasks or (self._qsize() if items else 0)
        self._all_done = Event()
        if self.unfinished_tasks == 0:
            self._all_done.set()

    def copy(self) -> Any:
        """Return a new queue with the same limit, the same items and the same count of unfinished tasks."""
        return type(self)(self.maxsize, self.queue, self.unfinished_tasks)

    def _state(self) -> list[str]:
        state = super()._state()
        if self.unfinished_tasks:
            state.append(f"tasks={self.unfinished_tasks}")
        return state

    def _put(self, item: Any) -> None:
        self.queue.append(item)
        self._count_task()

    def _count_task(self) -> None:
        if self.unfinished_tasks == 0:
            self._all_done.clear()
        self.unfinished_tasks += 1

    def task_done(self) -> None:
        """Say that an item that was got is done with.

        Raises :class:`ValueError` if it is called more often than items were put.
        """
        with self.mutex:
            left = self.unfinished_tasks - 1
            if left < 0:
                raise ValueError("task_done() called too many times")
            self.unfinished_tasks = left
            if not left:
                self._all_done.set()

    def join(self, timeout: float | Timeout | None = None) -> bool:
        """Wait until all items are done with, at most ``timeout`` seconds, and return whether they are."""
        return self._all_done.wait(timeout)

    def shutdown(self, immediate: bool = False) -> None:
        """Let no more items in: put raises :class:`ShutDown` from now on, and get as soon as the queue is empty.

        With ``immediate`` the items left are dropped, and are done with. Whoever waits is woken, to raise it too.
        """
        with self.mutex:
            self.is_shutdown = True
            if immediate:
                while self._qsize():
                    self._get()
                    if self.unfinished_tasks > 0:
                        self.task_done()
            waiting = [*self.getters, *self.putters]
            self.getters.clear()
            self.putters.clear()
        for parked in waiting:
            parked.error = ShutDown
            parked.parker.wake()


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
