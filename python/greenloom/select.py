"""Waiting for any of several descriptors: the standard :mod:`select` and ``poll``, in the current greenlet only.

The system's own call, told not to wait, says what is ready and what is wrong. Only if it has nothing to say does
the greenlet wait for the loop's watchers, and then it asks again; so the answers are the system's.
"""

from __future__ import annotations

import os
import select as __select__
from collections.abc import Iterable, Mapping
from errno import EBADF
from selectors import _fileobj_to_fd as get_fileno  # type: ignore[attr-defined]
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenloom._hub_local import get_hub_noargs as get_hub
from greenloom._util import copy_globals
from greenloom.event import Event
from greenloom.hub import sleep

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Stand for what is copied from the standard library below."""


__implements__ = ["select", "poll"]
__all__ = ["error", *__implements__]

error = OSError

__imports__ = copy_globals(__select__, globals(), names_to_ignore=__all__, dunder_names_to_keep=())

_original_select = __select__.select
_original_poll = __select__.poll

POLLIN, POLLPRI, POLLOUT = __select__.POLLIN, __select__.POLLPRI, __select__.POLLOUT
_READABLE = POLLIN | __select__.POLLHUP | __select__.POLLERR
_WRITABLE = POLLOUT | __select__.POLLERR

_EV_READ = 1
_EV_WRITE = 2

#: The highest descriptor that the system's ``select`` takes, plus one.
_FD_SETSIZE = 1024


def _wait_for(interests: Mapping[int, int], timeout: float | None) -> bool:
    """Wait until something happens to a descriptor; ``interests`` has what is to be watched on each."""
    io = get_hub().loop.io
    happened = Event()
    watchers: list[Any] = []
    try:
        for fd, events in interests.items():
            try:
                watcher = io(fd, events)
            except OSError as error:
                if error.errno != EBADF:
                    raise
                # The system's call is there to tell.
                continue
            watchers.append(watcher)
            watcher.start(_on_event, watcher, happened)
        return happened.wait(timeout)
    finally:
        while watchers:
            watchers.pop().close()


def _on_event(watcher: Any, happened: Event) -> None:
    # It would fire again and again until the greenlet has its turn.
    watcher.stop()
    happened.set()


def select(
    rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """Wait until an object of ``rlist`` can be read or one of ``wlist`` written; return those that can.

    ``timeout`` is in seconds, None is for ever. ``xlist`` is looked at but not waited for. Raises OSError for a
    closed descriptor, ValueError for a negative timeout.
    """
    if (timeout or 0) < 0:
        raise ValueError("timeout must be non-negative")
    rlist, wlist, xlist = (
        objects if isinstance(objects, (list, tuple)) else list(objects) for objects in (rlist, wlist, xlist)
    )
    ready = _select_now(rlist, wlist, xlist)
    if any(ready) or timeout == 0:
        # A loop of `select` and work that never waits must not starve the others.
        sleep(0)
        return ready
    interests: dict[int, int] = {}
    for objects, events in ((rlist, _EV_READ), (wlist, _EV_WRITE)):
        for fileobj in objects:
            fd = get_fileno(fileobj)
            interests[fd] = interests.get(fd, 0) | events
    deadline = None if timeout is None else monotonic() + timeout
    while not any(ready):
        if not _wait_for(interests, None if deadline is None else max(deadline - monotonic(), 0)):
            break
        try:
            ready = _select_now(rlist, wlist, xlist)
        except (OSError, ValueError):
            # Closed meanwhile by another greenlet: whoever uses it will get the error.
            return [one for one in rlist if _is_gone(one)], [one for one in wlist if _is_gone(one)], []
    return ready


def _is_gone(fileobj: Any) -> bool:
    try:
        os.fstat(get_fileno(fileobj))
    except (OSError, ValueError):
        return True
    return False


def _select_now(rlist: Any, wlist: Any, xlist: Any) -> tuple[list[Any], list[Any], list[Any]]:
    try:
        return _original_select(rlist, wlist, xlist, 0)
    except ValueError:
        if all(get_fileno(fileobj) < _FD_SETSIZE for fileobj in (*rlist, *wlist, *xlist)):
            raise
    return _select_by_poll(rlist, wlist, xlist)


def _select_by_poll(rlist: Any, wlist: Any, xlist: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Do what the system's ``select`` cannot do for the descriptors of a program that has many."""
    wanted: dict[int, int] = {}
    kinds = ((rlist, POLLIN, _READABLE), (wlist, POLLOUT, _WRITABLE), (xlist, POLLPRI, POLLPRI))
    for objects, mask, _ in kinds:
        for fileobj in objects:
            fd = get_fileno(fileobj)
            wanted[fd] = wanted.get(fd, 0) | mask
    poller = _original_poll()
    for fd, mask in wanted.items():
        poller.register(fd, mask)
    found = dict(poller.poll(0))
    if any(mask & __select__.POLLNVAL for mask in found.values()):
        raise OSError(EBADF, "Bad file descriptor")
    readable, writable, exceptional = (
        [fileobj for fileobj in objects if found.get(get_fileno(fileobj), 0) & meaning]
        for objects, _, meaning in kinds
    )
    return readable, writable, exceptional


class poll:
    """A :func:`select.poll` object whose :meth:`poll` blocks only the current greenlet."""

    def __init__(self) -> None:
        self._native = _original_poll()
        # What the loop is to watch, for each descriptor.
        self._interests: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = POLLIN | POLLPRI | POLLOUT) -> None:
        """Watch ``fd``, a descriptor or an object with one, for the events of the mask."""
        fileno = get_fileno(fd)
        self._native.register(fileno, eventmask)
        self._note(fileno, eventmask)

    def modify(self, fd: Any, eventmask: int) -> None:
        """Change the mask of ``fd``. Raises FileNotFoundError if it is not registered."""
        fileno = get_fileno(fd)
        self._native.modify(fileno, eventmask)
        self._note(fileno, eventmask)

    def _note(self, fileno: int, eventmask: int) -> None:
        # Hanging up and errors are reported without being asked for, and seen as readability.
        events = _EV_READ if eventmask & ~POLLOUT or not eventmask else 0
        self._interests[fileno] = events | (_EV_WRITE if eventmask & POLLOUT else 0)

    def unregister(self, fd: Any) -> None:
        """Forget ``fd``. Raises KeyError if it is not registered."""
        fileno = get_fileno(fd)
        self._native.unregister(fileno)
        del self._interests[fileno]

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """Wait for ``timeout`` milliseconds, None or negative for ever; return ``(descriptor, events)`` pairs."""
        ready = self._native.poll(0)
        if ready or timeout == 0:
            sleep(0)
            return ready
        deadline = None if timeout is None or timeout < 0 else monotonic() + timeout / 1000.0
        while not ready:
            if not _wait_for(self._interests, None if deadline is None else max(deadline - monotonic(), 0)):
                break
            ready = self._native.poll(0)
            if not ready:
                # Data of a kind that was not asked for: what the loop sees is not what is waited for.
                sleep(0.001)
        return ready


def _gevent_do_monkey_patch(patch_request: Any) -> None:
    """Patch the standard module; what blocks and has no cooperative form is taken away from it."""
    patch_request.default_patch_items()
    if patch_request.patch_kwargs["aggressive"]:
        patch_request.remove_item("epoll", "kqueue", "kevent", "devpoll")
