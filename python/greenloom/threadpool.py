"""Native threads for what would block the hub: long calculations, and calls that do not cooperate."""

from __future__ import annotations

import concurrent.futures
import os
import sys
from collections.abc import Callable
from concurrent.futures import _base as _futures
from typing import Any

from greenloom import monkey
from greenloom._greenloom import getcurrent
from greenloom._hub_local import get_hub
from greenloom._threading import Lock, Queue
from greenloom._threadpool_worker import (
    ThreadResult,
    _get_thread_profile as _get_thread_profile,
    _get_thread_trace as _get_thread_trace,
    _WorkerGreenlet,
    describe_hub,
)
from greenloom._util import Lazy
from greenloom.event import AsyncResult, Event
from greenloom.exceptions import InvalidThreadUseError
from greenloom.lock import Semaphore
from greenloom.pool import GroupMappingMixin

__all__ = ["ThreadPool", "ThreadPoolExecutor", "ThreadResult"]

#: How often a waiting pool looks again, in seconds, should a thread have ended without telling.
_LOOK_AGAIN = 0.05


class ThreadPool(GroupMappingMixin):
    """At most ``maxsize`` threads, made when they are needed, which run functions for the greenlets of ``hub``.

    Its ``len`` is the number of tasks that are not done, so it is true while there are any. It may be used in the
    thread of its hub only, which is the current one by default: :meth:`spawn` raises
    :class:`~greenloom.exceptions.InvalidThreadUseError` elsewhere. A thread ends after ``idle_task_timeout``
    seconds without a task; -1 is never. Functions set by ``threading.setprofile`` and ``settrace`` see the tasks.
    """

    __slots__ = (
        "_changed",
        "_dismissals",
        "_idle_task_timeout",
        "_lock",
        "_maxsize",
        "_pid",
        "_slots",
        "_workers",
        "fork_watcher",
        "hub",
        "task_queue",
    )

    _WorkerGreenlet = _WorkerGreenlet

    def __init__(self, maxsize: int, hub: Any = None, idle_task_timeout: float = -1) -> None:
        _check_maxsize(maxsize)
        self.hub: Any = get_hub() if hub is None else hub
        self._maxsize = maxsize
        self._idle_task_timeout = idle_task_timeout
        #: Set whenever a task or a thread has ended.
        self._changed = Event()
        self.fork_watcher: Any = self.hub.loop.fork(ref=False)
        self._begin()

    def _begin(self) -> None:
        """Be a pool without threads or tasks, in this process."""
        self._pid = os.getpid()
        self.task_queue = Queue()
        #: The workers, from when they are made until their threads have ended. Changed by these threads too.
        self._workers: set[Any] = set()
        self._lock = Lock()
        #: How many messages to end are in the queue.
        self._dismissals = 0
        # One task more than there are threads may wait in the queue, so that a thread finds it at once.
        self._slots = Semaphore(self._maxsize + 1, self.hub)

    def __len__(self) -> int:
        return self.task_queue.unfinished_tasks

    def __repr__(self) -> str:
        sizes = f"tasks={len(self)} size={self.size} maxsize={self.maxsize}"
        return f"<{type(self).__name__} at {id(self):#x} {sizes} hub={describe_hub(self.hub)}>"

    # --- the threads ---

    @property
    def maxsize(self) -> int:
        """How many threads there may be. About so many tasks can be spawned without waiting."""
        return self._maxsize

    @maxsize.setter
    def maxsize(self, value: int) -> None:
        _check_maxsize(value)
        # The counter stays below zero until enough of the tasks have ended.
        self._slots.counter += value - self._maxsize
        self._slots._start_notify()
        self._maxsize = value
        self.adjust()

    @property
    def size(self) -> int:
        """How many threads there are. Assigning makes new ones, or waits until enough have ended."""
        return len(self._workers)

    @size.setter
    def size(self, value: int) -> None:
        if not 0 <= value <= self._maxsize:
            raise ValueError(f"size of the pool must be from 0 to maxsize, {self._maxsize}: {value!r}")
        self._hire(value)
        self._dismiss(value)
        # A callback cannot wait.
        while len(self._workers) > value and getcurrent() is not self.hub:
            self._wait_for_change()
            # For tasks that are spawned meanwhile there have been new ones.
            self._dismiss(value)
        self._watch_forks()

    def adjust(self) -> None:
        """Make threads for the tasks that wait, as far as allowed, and have those end that are too many."""
        self._hire(min(self.task_queue.unfinished_tasks, self._maxsize))
        self._dismiss(self._maxsize)
        self._watch_forks()

    def _staying(self) -> int:
        """Return how many threads there are that have not been told to end."""
        with self._lock:
            return len(self._workers) - self._dismissals

    def _hire(self, size: int) -> None:
        while self._staying() < size:
            self._WorkerGreenlet(self)

    def _dismiss(self, size: int) -> None:
        # Any thread may take the message, after the tasks that are in the queue already.
        for _ in range(self._staying() - size):
            with self._lock:
                self._dismissals += 1
            self.task_queue.put_message(None)

    def _enter(self, worker: Any) -> None:
        with self._lock:
            self._workers.add(worker)

    def _lost(self, worker: Any) -> bool:
        """Be told, in its thread, that a worker cannot begin. Return whether it was the only one."""
        with self._lock:
            self._workers.discard(worker)
            return not self._workers

    def _left(self, worker: Any, dismissed: bool) -> None:
        """Be told, in its thread, that a worker has ended."""
        with self._lock:
            self._workers.discard(worker)
            self._dismissals -= dismissed
        loop = self.hub.loop
        if loop is not None:
            loop.run_callback_threadsafe(self._after_leaving)

    def _after_leaving(self) -> None:
        self._changed.set()
        # It may not have been told to end, and there may be tasks left.
        if self.task_queue.unfinished_tasks:
            self.adjust()

    def _wait_for_change(self) -> None:
        self._changed.clear()
        self._changed.wait(_LOOK_AGAIN)

    def _watch_forks(self) -> None:
        if self._workers:
            self.fork_watcher.start(self._on_fork)
        else:
            self.fork_watcher.stop()

    def _on_fork(self) -> None:
        """In the child of a fork, where the threads are gone: begin anew. What was running is lost."""
        if self._pid != os.getpid():
            abandoned, old_tasks = self._workers, self.task_queue
            self._begin()
            self.fork_watcher.stop()
            old_tasks.kill()
            for worker in abandoned:
                worker.abandon()

    # --- the tasks ---

    def spawn(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> AsyncResult[Any]:
        """Begin ``func(*args, **kwargs)`` in a thread and return its result-to-be, waiting while all are busy."""
        if get_hub() is not self.hub:
            raise InvalidThreadUseError
        slots = self._take_slot()
        result: AsyncResult[Any] = AsyncResult()
        try:
            carrier = ThreadResult(result, self.hub, lambda: self._task_ended(slots))
        except BaseException:
            slots.release()
            raise
        try:
            self.task_queue.put((func, args, kwargs, carrier))
            self.adjust()
        except BaseException:
            # No thread could be made.
            carrier.destroy_in_main_thread()
            slots.release()
            raise
        return result

    def _take_slot(self) -> Semaphore:
        """Wait until there is one, and return what it is given back to."""
        while True:
            slots = self._slots
            slots.acquire()
            # In the child of a fork there are new ones.
            if slots is self._slots:
                return slots

    def _task_ended(self, slots: Semaphore) -> None:
        slots.release()
        self._changed.set()

    def join(self) -> None:
        """Wait until all tasks are done."""
        while self.task_queue.unfinished_tasks:
            self._wait_for_change()

    def kill(self) -> None:
        """Wait for the tasks that run or wait, and end the threads."""
        self.size = 0
        self.fork_watcher.close()

    def _apply_async_cb_spawn(self, callback: Callable[[Any], Any], result: Any) -> None:
        callback(result)

    def _apply_immediately(self) -> bool:
        # In one of the threads, where waiting for another might never end.
        return get_hub() is not self.hub

    def _apply_async_use_greenlet(self) -> bool:
        return True


def _check_maxsize(maxsize: int) -> None:
    if not isinstance(maxsize, int):
        raise TypeError(f"maxsize has to be an int, not {maxsize!r}")
    if maxsize < 0:
        raise ValueError(f"there cannot be a negative number of threads: {maxsize!r}")


class _PoolFuture:
    """A future of a :class:`ThreadPoolExecutor`: an AsyncResult with a future's methods."""

    def __init__(self, asyncresult: AsyncResult[Any]) -> None:
        self.asyncresult = asyncresult

    def __getattr__(self, name: str) -> Any:
        return getattr(self.asyncresult, name)

    def __str__(self) -> str:
        return f"<{type(self).__name__} of {self.asyncresult}>"

    def done(self) -> bool:
        """Whether there is a result or an exception."""
        return self.asyncresult.ready()

    def result(self, timeout: float | None = None) -> Any:
        """Return the result or raise the exception; :class:`concurrent.futures.TimeoutError` if it takes too long."""
        self._wait(timeout)
        return self.asyncresult.get()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait as :meth:`result` does, and return the exception, or None if there is a result."""
        self._wait(timeout)
        return self.asyncresult.exception

    def _wait(self, timeout: float | None) -> None:
        if not self.done():
            self.asyncresult.wait(timeout)
            if not self.done():
                raise concurrent.futures.TimeoutError

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        """Call ``fn`` with this object when it is done, at once if it is. What it raises later is printed."""

        def call(_: object) -> None:
            try:
                fn(self)
            except Exception:
                get_hub().print_exception((fn, self), *sys.exc_info())

        if self.done():
            fn(self)
        else:
            self.asyncresult.rawlink(call)

    def rawlink(self, fn: Callable[[Any], object]) -> None:
        """Call ``fn`` with this object when it is done, from the hub."""
        self.asyncresult.rawlink(lambda _: fn(self))

    # What concurrent.futures.wait and as_completed look at.

    @property
    def _state(self) -> str:
        return _futures.FINISHED if self.done() else _futures.RUNNING

    @Lazy
    def _condition(self) -> Any:
        # Native ones would block the hub, and with it what they wait for.
        if not (self.done() or monkey.is_module_patched("threading")):
            raise AttributeError("_condition")
        from threading import Condition

        return Condition()

    @Lazy
    def _waiters(self) -> list[Any]:
        waiters: list[Any] = []

        def tell(result: AsyncResult[Any]) -> None:
            for waiter in waiters:
                (waiter.add_result if result.successful() else waiter.add_exception)(self)

        self.asyncresult.rawlink(tell)
        return waiters

    def set_running_or_notify_cancel(self) -> None:
        """Do nothing: it runs, and cannot be cancelled."""


class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """The standard executor with threads that are native even if threading is patched.

    Its futures can be waited for by :func:`greenloom.wait`, and cooperate when they are waited for. The functions
    ``wait`` and ``as_completed`` of :mod:`concurrent.futures` need patched threading. ``max_workers`` is the
    greatest number of threads; most other arguments change nothing.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pool: ThreadPool | None = ThreadPool(self._max_workers)

    def submit(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Begin ``fn(*args, **kwargs)`` in a thread and return its future."""
        pool = self._pool
        if pool is None:
            raise RuntimeError("cannot schedule new futures after shutdown")
        return _PoolFuture(pool.spawn(fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, **kwargs: Any) -> None:
        """Take no more tasks, and wait for those that have begun."""
        super().shutdown(wait, **kwargs)
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.kill()

    kill = shutdown

    def _adjust_thread_count(self) -> None:
        """Do nothing: the pool has the threads."""
