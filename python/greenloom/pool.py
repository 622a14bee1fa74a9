"""Groups of greenlets, without a limit to their number (:class:`Group`) or with one (:class:`Pool`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from greenloom._greenlet_class import Greenlet, joinall
from greenloom._greenloom import GreenletExit, GroupBase, getcurrent
from greenloom._imap import IMap, IMapUnordered
from greenloom.event import Event
from greenloom.hub import kill as _kill_raw
from greenloom.lock import DummySemaphore, Semaphore
from greenloom.queue import Full
from greenloom.timeout import Timeout

__all__ = ["Group", "Pool", "PoolFull"]

_Callback = Callable[[Any], Any] | None


class GroupMappingMixin:
    """The ``apply`` and ``map`` families, for classes that can ``spawn``.

    A class says by three methods how its tasks relate to who asks for them.
    """

    __slots__ = ()

    def spawn(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Begin ``func(*args, **kwargs)`` and return an object with ``get`` and ``rawlink``.

        It may wait until there is room for one more task.
        """
        raise NotImplementedError

    def _apply_async_cb_spawn(self, callback: Callable[[Any], Any], result: Any) -> None:
        """Call ``callback(result)``, now or later."""
        raise NotImplementedError

    def _apply_async_use_greenlet(self) -> bool:
        """Whether :meth:`apply_async` needs a greenlet of its own, because :meth:`spawn` would wait."""
        raise NotImplementedError

    def _apply_immediately(self) -> bool:
        """Whether :meth:`apply` has to call the function itself, because waiting for room might never end."""
        raise NotImplementedError

    def apply(self, func: Callable[..., Any], args: Any = None, kwds: Any = None) -> Any:
        """Run ``func(*args, **kwds)`` as a task, wait for it, and return its result or raise its exception.

        Called from one of its own tasks it calls the function at once.
        """
        if self._apply_immediately():
            return func(*(args or ()), **(kwds or {}))
        return self.spawn(func, *(args or ()), **(kwds or {})).get()

    def apply_cb(
        self, func: Callable[..., Any], args: Any = None, kwds: Any = None, callback: _Callback = None
    ) -> Any:
        """Do as :meth:`apply`, and have ``callback`` called with the result unless there was an exception."""
        value = self.apply(func, args, kwds)
        if callback:
            self._apply_async_cb_spawn(callback, value)
        return value

    def apply_async(
        self, func: Callable[..., Any], args: Any = None, kwds: Any = None, callback: _Callback = None
    ) -> Any:
        """Do as :meth:`apply_cb`, but return at once with a greenlet whose result is the function's.

        The greenlet need not belong to this group, so wait for it and not for the group.
        """
        if self._apply_async_use_greenlet():
            return Greenlet.spawn(self.apply_cb, func, args, kwds, callback)
        task = self.spawn(func, *(args or ()), **(kwds or {}))
        if callback:
            task.link(_link_to_value(callback))
        return task

    def map(self, func: Callable[[Any], Any], iterable: Iterable[Any]) -> list[Any]:
        """Return the list of ``func(item)`` for every item, all of them run as tasks.

        Raises the first exception, in the order of the items.
        """
        return list(self.map_async(func, iterable).get())

    def map_async(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], callback: _Callback = None
    ) -> Greenlet:
        """Do as :meth:`map_cb`, but return at once with a greenlet whose result is the list."""
        task: Greenlet = Greenlet.spawn(self._map, func, iterable, callback)
        return task

    def map_cb(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], callback: _Callback = None
    ) -> list[Any]:
        """Do as :meth:`map`, and call ``callback`` with the list."""
        return list(self.map_async(func, iterable, callback).get())

    def _map(self, func: Callable[[Any], Any], iterable: Iterable[Any], callback: _Callback) -> list[Any]:
        # Spawning all before waiting for any. Where the room is limited, it is spawning that waits.
        tasks = [self.spawn(func, item) for item in iterable]
        values = [task.get() for task in tasks]
        if callback:
            callback(values)
        return values

    def imap(self, func: Callable[..., Any], *iterables: Iterable[Any], maxsize: int | None = None) -> Any:
        """Return an iterator of ``func(*items)``, in order, for the items of all ``iterables`` side by side.

        An exception is raised in the place of its result, and the iteration can go on. With ``maxsize``, no more
        tasks begin while about so many results wait to be read.
        """
        arguments = zip(*iterables, strict=False)
        return IMap.spawn(func, arguments, self.spawn, maxsize=maxsize, _zipped=True)

    def imap_unordered(
        self, func: Callable[..., Any], *iterables: Iterable[Any], maxsize: int | None = None
    ) -> Any:
        """Do as :meth:`imap`, with each result as soon as it is there."""
        arguments = zip(*iterables, strict=False)
        return IMapUnordered.spawn(func, arguments, self.spawn, maxsize=maxsize, _zipped=True)


def _link_to_value(callback: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Return a link that calls ``callback`` with the value, and does nothing if there is none."""

    def link(source: Any) -> None:
        if source.successful():
            callback(source.value)

    return link


class Group(GroupBase, GroupMappingMixin):
    """A set of running greenlets, which leave it when they end.

    ``len``, ``in`` and iteration are those of the set; an empty group is false. :meth:`spawn` makes greenlets of
    the class ``greenlet_class``. The argument is an iterable of greenlets to begin with.
    """

    greenlet_class: type[Greenlet] = Greenlet

    def __init__(self, greenlets: Iterable[Any] = (), /) -> None:
        self._empty_event = Event()
        #: The greenlets.
        self.greenlets: set[Any] = set()
        #: Those of them that have been killed.
        self.dying: set[Any] = set()
        for greenlet in greenlets:
            self._track(greenlet)
        if not self.greenlets:
            self._empty_event.set()

    def __contains__(self, item: object) -> bool:
        return item in self.greenlets

    def __len__(self) -> int:
        return len(self.greenlets)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.greenlets)

    def __repr__(self) -> str:
        members = repr(self.greenlets)
        return f"<{type(self).__name__} at {id(self):#x} {members}>"

    def discard(self, greenlet: Any) -> None:
        """Let ``greenlet`` go from the group, and run on."""
        if hasattr(greenlet, "unlink"):
            greenlet.unlink(self._discard)
        self._discard(greenlet)

    def full(self) -> bool:
        """Return false: there is always room."""
        return False

    def wait_available(self, timeout: float | Timeout | None = None) -> int | None:
        """Return at once: there is always room."""
        return None

    def join(self, timeout: float | Timeout | None = None, raise_error: bool = False) -> bool:
        """Wait until the group has been empty once, at most ``timeout`` seconds, and return whether it was.

        With ``raise_error``, raise the exception of one of the greenlets that are in it now.
        """
        members = tuple(self.greenlets) if raise_error else ()
        was_empty = bool(self._empty_event.wait(timeout))
        failed = next((one for one in members if one.exception is not None), None)
        if failed is None:
            return was_empty
        # A Greenlet knows the traceback.
        getattr(failed, "_raise_exception", bool)()
        raise failed.exception

    def kill(
        self, exception: Any = GreenletExit, block: bool = True, timeout: float | Timeout | None = None
    ) -> None:
        """Raise ``exception`` in all the greenlets, and in those that join meanwhile, and wait until they end.

        Returns at once if ``block`` is false, and without an error after ``timeout`` seconds.
        """
        with Timeout._start_new_or_dummy(timeout) as timer:
            try:
                self._kill_members(exception)
                while block and self.greenlets:
                    joinall(self.greenlets)
                    self._kill_members(exception)
            except Timeout as expired:
                if expired is not timer:
                    raise

    def killone(
        self,
        greenlet: Any,
        exception: Any = GreenletExit,
        block: bool = True,
        timeout: float | Timeout | None = None,
    ) -> None:
        """Kill ``greenlet`` if it is in the group, as :meth:`kill` does."""
        if greenlet in self.greenlets - self.dying:
            self._kill_member(greenlet, exception)
            if block:
                greenlet.join(timeout)

    def _kill_members(self, exception: Any) -> None:
        # No greenlet runs here that could change the sets, but killing one that has not started calls links.
        for greenlet in self.greenlets - self.dying:
            self._kill_member(greenlet, exception)

    def _kill_member(self, greenlet: Any, exception: Any) -> None:
        self.dying.add(greenlet)
        if hasattr(greenlet, "kill"):
            greenlet.kill(exception, block=False)
        else:
            _kill_raw(greenlet, exception)

    def _apply_async_use_greenlet(self) -> bool:
        return self.full()

    def _apply_immediately(self) -> bool:
        return getcurrent() in self.greenlets

    def _apply_async_cb_spawn(self, callback: Callable[[Any], Any], result: Any) -> None:
        Greenlet.spawn(callback, result)


class PoolFull(Full):
    """There was no room in a pool for one more greenlet, or not in time."""


class Pool(Group):
    """A group of at most ``size`` greenlets: more than that wait in :meth:`add`, :meth:`start` or :meth:`spawn`.

    None is no limit; with 0 everybody waits. Raises :class:`ValueError` for less. ``greenlet_class`` is the class
    of the greenlets that :meth:`spawn` makes.
    """

    def __init__(self, size: int | None = None, greenlet_class: type[Greenlet] | None = None) -> None:
        super().__init__()
        # Whose counter is the room that is left.
        self._semaphore: Any = DummySemaphore()
        if size is not None:
            if size < 0:
                raise ValueError(f"a pool cannot have a negative size: {size!r}")
            self._semaphore = Semaphore(size)
        self.size = size
        if greenlet_class:
            self.greenlet_class = greenlet_class

    def _raise_full(self) -> NoReturn:
        raise PoolFull

    def free_count(self) -> int:
        """Return for how many there is room now; 1 if there is no limit."""
        if self.size is not None:
            return max(self.size - len(self.greenlets), 0)
        return 1

    def full(self) -> bool:
        """Whether there is no room."""
        return not self.free_count()

    def wait_available(self, timeout: float | Timeout | None = None) -> int:
        """Wait until there is room, at most ``timeout`` seconds, and return for how many; 0 if there is none."""
        return int(self._semaphore.wait(timeout))
