"""Links: functions that are called when a greenlet is done, by the hub or in a greenlet of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, ClassVar

from greenloom._greenloom import greenlet
from greenloom._hub_local import get_hub


class SpawnedLink:
    """Calls ``callback(source)`` in a raw greenlet. Equal to the callback, so that ``unlink`` finds it.

    What it has not is the callback's. Raises :class:`TypeError` if ``callback`` is not callable.
    """

    __slots__ = ("callback",)

    #: The end that is wanted of a source: True for one without an error; None for any.
    wanted: ClassVar[bool | None] = None

    def __init__(self, callback: Callable[[Any], object]) -> None:
        if not callable(callback):
            raise TypeError(f"a link must be callable: {callback!r}")
        self.callback = callback

    def __call__(self, source: Any) -> None:
        """Start the greenlet if the source ended as wanted. Only from the hub."""
        if self.wanted is None or self.wanted is bool(source.successful()):
            greenlet(self.callback, get_hub()).switch(source)

    def __eq__(self, other: object) -> bool:
        return bool((other.callback if isinstance(other, SpawnedLink) else other) == self.callback)

    def __hash__(self) -> int:
        return hash(self.callback)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.callback, name)

    def __repr__(self) -> str:
        return repr(self.callback)


class SuccessSpawnedLink(SpawnedLink):
    """A :class:`SpawnedLink` for sources that no error ended."""

    __slots__ = ()
    wanted = True


class FailureSpawnedLink(SpawnedLink):
    """A :class:`SpawnedLink` for sources that an error ended."""

    __slots__ = ()
    wanted = False


class LinkedGreenlet(greenlet):
    """A greenlet of a hub that calls functions when it is done: its links. The base of ``Greenlet``."""

    # What is still to be called.
    _links: list[Callable[[Any], object]]
    # The callback that will call them, while it is scheduled.
    _notifier: Any = None

    def ready(self) -> bool:
        """Whether it is done."""
        raise NotImplementedError

    def _hub(self) -> Any:
        hub: Any = self.parent
        if not hasattr(hub, "loop"):
            raise TypeError(f"Cannot convert the parent of {self!r} to a hub: it is {hub!r}")
        return hub

    def has_links(self) -> int:
        """Return how many links there are."""
        return len(self._links)

    def rawlink(self, callback: Callable[[Any], object]) -> None:
        """Let the hub call ``callback(self)`` when it is done, also if it is already. It must not wait or raise.

        Raises :class:`TypeError` if it is not callable.
        """
        if not callable(callback):
            raise TypeError(f"a link must be callable: {callback!r}")
        self._links.append(callback)
        if self.ready():
            self._schedule_links()

    def link(
        self, callback: Callable[[Any], object], SpawnedLink: Callable[[Any], Any] = SpawnedLink
    ) -> None:
        """Call ``callback(self)`` in a raw greenlet of its own when it is done, also if it is already."""
        self.rawlink(SpawnedLink(callback))

    def link_value(
        self, callback: Callable[[Any], object], SpawnedLink: Callable[[Any], Any] = SuccessSpawnedLink
    ) -> None:
        """Do as :meth:`link`, but only if no error ends it."""
        self.rawlink(SpawnedLink(callback))

    def link_exception(
        self, callback: Callable[[Any], object], SpawnedLink: Callable[[Any], Any] = FailureSpawnedLink
    ) -> None:
        """Do as :meth:`link`, but only if an error ends it."""
        self.rawlink(SpawnedLink(callback))

    def unlink(self, callback: Callable[[Any], object]) -> None:
        """Take back one link of ``callback``, of any kind. One that is not there is no error."""
        if callback in self._links:
            self._links.remove(callback)

    def unlink_all(self) -> None:
        """Take back all links."""
        self._links.clear()

    def _schedule_links(self) -> None:
        if self._links and not self._notifier:
            self._notifier = self._hub().loop.run_callback(self._notify_links)

    def _notify_links(self) -> None:
        # One by one, because a link may add and take back others.
        while self._links:
            self._call_link(self._links.pop(0))

    def _call_link(self, link: Callable[[Any], object]) -> None:
        try:
            link(self)
        except BaseException:
            self._hub().handle_error((link, self), *sys.exc_info())
