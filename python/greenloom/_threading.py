"""Native locks and a native queue, whatever has been patched: for the worker threads of a pool."""

from __future__ import annotations

# The interpreter's own queue; `queue.SimpleQueue` may be patched.
from _queue import Empty, SimpleQueue
from typing import Any

from greenloom._compat import (
    native_allocate_lock as Lock,
    native_get_ident as get_thread_ident,
    native_start_new_thread as start_new_thread,
)

__all__ = ["EmptyTimeout", "Lock", "Queue", "get_thread_ident", "start_new_thread"]


class EmptyTimeout(Exception):
    """No item came in time."""


class Queue:
    """A queue without a limit between threads, which counts the items until they are done with."""

    __slots__ = ("_mutex", "_queue", "unfinished_tasks")

    def __init__(self) -> None:
        self._queue: Any = SimpleQueue()
        self._mutex: Any = Lock()
        #: How many items have been put without a :meth:`task_done`.
        self.unfinished_tasks = 0

    def put(self, item: Any) -> None:
        """Put ``item`` in."""
        with self._mutex:
            self.unfinished_tasks += 1
        self._queue.put(item)

    def put_message(self, message: Any) -> None:
        """Put ``message`` in, which is not an item to be done with."""
        self._queue.put(message)

    def get(self, cookie: object = None, timeout: float = -1) -> Any:
        """Take an item out and return it, blocking the thread until there is one.

        Raises :class:`EmptyTimeout` after ``timeout`` seconds; -1 is no limit. ``cookie`` is not needed.
        """
        # By this name in the frame a report of the threads knows those that have nothing to do.
        gevent_threadpool_worker_idle = True  # noqa: F841
        try:
            return self._queue.get(True, None if timeout == -1 else timeout)
        except Empty:
            raise EmptyTimeout from None

    def allocate_cookie(self) -> object:
        """Return what :meth:`get` takes."""
        return None

    def task_done(self) -> None:
        """Say that an item that was got is done with. Raises :class:`ValueError` if that is one too many."""
        with self._mutex:
            if self.unfinished_tasks <= 0:
                raise ValueError(
                    f"task_done() called too many times; {self.unfinished_tasks} remaining tasks"
                )
            self.unfinished_tasks -= 1

    def qsize(self) -> int:
        """Return how many items are in it, roughly."""
        return self._queue.qsize()  # type: ignore[no-any-return]

    def empty(self) -> bool:
        """Whether there is nothing in it, roughly."""
        return not self.qsize()

    def full(self) -> bool:
        """Return false."""
        return False

    def kill(self) -> None:
        """Give up what is in it. For the child of a fork, where its locks may be held for ever."""
        self._queue = self._mutex = None
        self.unfinished_tasks = 0
