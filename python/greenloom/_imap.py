"""The iterators that :meth:`Group.imap` and :meth:`Group.imap_unordered` return."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from greenloom._greenlet_class import Greenlet
from greenloom.lock import Semaphore
from greenloom.queue import UnboundQueue

__all__ = ["IMap", "IMapUnordered"]


class _Raise:
    """Stands for a result that is an exception. ``raiser`` raises it, if its source knows better how."""

    __slots__ = ("error", "raiser")

    def __init__(self, error: BaseException, raiser: Callable[[], object] | None = None) -> None:
        self.error = error
        self.raiser = raiser

    def __call__(self) -> None:
        if self.raiser is not None:
            self.raiser()
        raise self.error


class IMapUnordered(Greenlet):
    """A greenlet that spawns a task for every item, and an iterator of the results in the order they come in.

    ``spawn`` makes the tasks, and may block where the number of tasks is limited. With ``maxsize`` no task is
    spawned while so many results wait to be read. With ``_zipped`` an item is the tuple of the arguments.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        spawn: Callable[..., Any],
        maxsize: int | None = None,
        _zipped: bool = False,
    ) -> None:
        super().__init__()
        # Given up in the end: the results may be kept for long.
        self._work: tuple[Callable[..., Any], Iterable[Any], Callable[..., Any]] | None = (
            func,
            iterable,
            spawn,
        )
        self._unpack = _zipped
        #: Pairs of the item's number and its result. The pair whose number is that of no item is the end.
        self.queue = UnboundQueue()
        self._running = 0
        self._spawned = 0
        self._all_spawned = False
        # Not a bound of the queue: the tasks whose results did not fit would have run already.
        self._room = Semaphore(maxsize) if maxsize else None

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if self._room is not None:
            self._room.release()
        result = self._next_result()
        if type(result) is _Raise:
            result()
        return result

    next = __next__

    def _next_result(self) -> Any:
        return self.queue.get()[1]

    def _run(self) -> None:
        assert self._work is not None
        func, iterable, spawn = self._work
        try:
            for item in iterable:
                if self._room is not None:
                    self._room.acquire()
                task = spawn(func, *item) if self._unpack else spawn(func, item)
                # Linked from here on the task may end at any time, but the hub has to run for that to be told.
                self._running += 1
                task.rawlink(partial(self._arrive, self._spawned))
                self._spawned += 1
        except BaseException as error:
            # The end of it all, and not after the tasks that still run.
            self.queue.put((self._spawned, _Raise(error, self._raise_exception)))
            raise
        else:
            self._all_spawned = True
            if not self._running:
                self.queue.put((self._spawned, _Raise(StopIteration())))
        finally:
            self._work = self._room = None

    def _arrive(self, number: int, task: Any) -> None:
        """Take the result of a task: a link, so in the hub."""
        self._running -= 1
        result = task.value if task.successful() else _Raise(task.exception, task._raise_exception)
        self.queue.put((number, result))
        if self._all_spawned and not self._running:
            self.queue.put((self._spawned, _Raise(StopIteration())))


class IMap(IMapUnordered):
    """Gives the results in the order of the items."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turn = 0
        self._early: dict[int, Any] = {}

    def _next_result(self) -> Any:
        turn = self._turn
        while turn not in self._early:
            number, result = self.queue.get()
            self._early[number] = result
        self._turn += 1
        return self._early.pop(turn)
