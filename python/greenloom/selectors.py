"""The standard :mod:`selectors` module with a selector that blocks only the current greenlet.

:class:`GeventSelector` keeps its files in an epoll of its own, and lets the loop watch that: one watcher however
many files there are, and what is ready is found in one system call.
"""

from __future__ import annotations

import selectors as __selectors__
from collections.abc import Callable
from contextlib import suppress
from errno import EPERM
from typing import TYPE_CHECKING, Any

from greenloom._hub_primitives import wait_read
from greenloom._util import copy_globals
from greenloom.hub import sleep
from greenloom.select import (
    EPOLLIN,
    EPOLLOUT,
    epoll,
    poll as _cooperative_poll,
    select as _cooperative_select,
)

if TYPE_CHECKING:
    from selectors import EVENT_READ as EVENT_READ, EVENT_WRITE as EVENT_WRITE, SelectorKey as SelectorKey

    from _typeshed import FileDescriptorLike

    from greenloom.hub import Hub

    def __getattr__(name: str) -> Any:
        """Stand for what is copied from the standard library below."""


__implements__ = ["DefaultSelector"]
__extra__ = ["GeventSelector"]
__all__ = __implements__ + __extra__

__imports__ = copy_globals(__selectors__, globals(), names_to_ignore=__all__, dunder_names_to_keep=())


class _Expired(Exception):
    """Ends a wait."""


class GeventSelector(__selectors__._BaseSelectorImpl):
    """A :class:`selectors.BaseSelector` that blocks only the current greenlet.

    Files have to be unregistered before they are closed. ``hub`` is for programs that pass it; the selector may be
    used with any.
    """

    _fd_to_key: dict[int, SelectorKey]

    def __init__(self, hub: Hub | None = None) -> None:
        super().__init__()
        self.hub = hub
        self._epoll = epoll()
        # Regular files, which the system does not watch because they are always ready.
        self._always: dict[int, int] = {}

    def fileno(self) -> int:
        """Return the descriptor that is readable when a file is ready."""
        return self._epoll.fileno()  # type: ignore[no-any-return]

    def register(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> SelectorKey:
        """Watch ``fileobj`` for ``events`` and return its key.

        Raises ValueError for a bad file or mask, KeyError if it is registered already.
        """
        key: SelectorKey = super().register(fileobj, events, data)
        self._change(self._epoll.register, key, events)
        return key

    def unregister(self, fileobj: FileDescriptorLike) -> SelectorKey:
        """Forget ``fileobj`` and return its key. Raises KeyError if it is not registered."""
        key: SelectorKey = super().unregister(fileobj)
        if self._always.pop(key.fd, None) is None:
            # If the file was closed, the system has forgotten it.
            with suppress(OSError):
                self._epoll.unregister(key.fd)
        return key

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> SelectorKey:
        """Change the events or the data of ``fileobj`` and return its new key."""
        key: SelectorKey = self.get_key(fileobj)
        if events == key.events:
            if data == key.data:
                return key
            key = key._replace(data=data)
            self._fd_to_key[key.fd] = key
            return key
        self.unregister(fileobj)
        return self.register(fileobj, events, data)

    def _change(self, call: Callable[[int, int], None], key: SelectorKey, events: int) -> None:
        mask = (EPOLLIN if events & EVENT_READ else 0) | (EPOLLOUT if events & EVENT_WRITE else 0)
        try:
            call(key.fd, mask)
        except OSError as error:
            if error.errno == EPERM:
                self._always[key.fd] = events
                return
            super().unregister(key.fd)
            raise ValueError(f"Invalid file descriptor: {key.fd}") from error

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Wait until a file is ready and return ``(key, events)`` of all that are.

        ``timeout`` is in seconds: None waits for ever, 0 or less not at all.
        """
        # Others get their turn even if there is always something ready.
        sleep(0)
        ready = self._ready()
        if ready or (timeout is not None and timeout <= 0):
            return ready
        try:
            wait_read(self._epoll.fileno(), timeout, _Expired)
        except _Expired:
            return []
        # It may have been closed meanwhile.
        return [] if self._epoll.closed else self._ready()

    def _ready(self) -> list[tuple[SelectorKey, int]]:
        found: list[tuple[SelectorKey, int]] = []
        for fd, mask in self._epoll.poll(0, max(len(self._fd_to_key), 1)):
            # Errors and hanging up are for who reads or writes to find.
            events = (EVENT_READ if mask & ~EPOLLOUT else 0) | (EVENT_WRITE if mask & ~EPOLLIN else 0)
            key = self._fd_to_key.get(fd)
            if key is not None and events & key.events:
                found.append((key, events & key.events))
        found += [(self._fd_to_key[fd], events) for fd, events in self._always.items()]
        return found

    def close(self) -> None:
        """Forget all files and free the descriptor."""
        self._epoll.close()
        self._always.clear()
        self.hub = None
        super().close()


DefaultSelector = GeventSelector


def _gevent_do_monkey_patch(patch_request: Any) -> None:
    """Patch the standard module, and the selectors in it that have taken a blocking call from :mod:`select`."""
    patch_request.default_patch_items()
    selectors: Any = __selectors__
    blocking_select = patch_request.get_original("select", "select")
    if selectors.SelectSelector._select in (blocking_select, _cooperative_select):
        # A Python function, unlike the built-in one, would become a method there.
        def _select(self: Any, *args: Any, **kwargs: Any) -> Any:
            return _cooperative_select(*args, **kwargs)

        _select._gevent_monkey = True  # type: ignore[attr-defined]
        selectors.SelectSelector._select = _select
    if hasattr(selectors, "PollSelector"):
        selectors.PollSelector._selector_cls = _cooperative_poll
    if patch_request.patch_kwargs["aggressive"]:
        patch_request.remove_item(selectors, "EpollSelector", "KqueueSelector", "DevpollSelector")
        selectors.DefaultSelector = DefaultSelector
