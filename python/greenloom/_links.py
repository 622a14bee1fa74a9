"""Links that call their function in a greenlet of its own, where it may wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greenloom._greenloom import greenlet
from greenloom._hub_local import get_hub_noargs as get_hub


class SpawnedLink:
    """Calls ``callback(source)`` in a raw greenlet. Equal to the callback, so that ``unlink`` finds it.

    Raises :class:`TypeError` if ``callback`` is not callable.
    """

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[Any], object]) -> None:
        if not callable(callback):
            raise TypeError(f"Expected callable: {callback!r}")
        self.callback = callback

    def __call__(self, source: Any) -> None:
        """Start the greenlet. Only from the hub."""
        greenlet(self.callback, get_hub()).switch(source)

    def __hash__(self) -> int:
        return hash(self.callback)

    def __eq__(self, other: object) -> bool:
        return bool(self.callback == getattr(other, "callback", other))

    def __str__(self) -> str:
        return str(self.callback)

    def __repr__(self) -> str:
        return repr(self.callback)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.callback, name)


class SuccessSpawnedLink(SpawnedLink):
    """A :class:`SpawnedLink` for sources that no error ended."""

    __slots__ = ()

    def __call__(self, source: Any) -> None:
        """Start the greenlet if the source was successful."""
        if source.successful():
            super().__call__(source)


class FailureSpawnedLink(SpawnedLink):
    """A :class:`SpawnedLink` for sources that an error ended."""

    __slots__ = ()

    def __call__(self, source: Any) -> None:
        """Start the greenlet if the source failed."""
        if not source.successful():
            super().__call__(source)
