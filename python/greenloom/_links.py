"""Links: functions that are called when a greenlet is done, by the hub or in a greenlet of their own."""

from __future__ import annotations

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
