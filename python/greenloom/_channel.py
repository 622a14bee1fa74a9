"""Channels, to be imported from :mod:`greenloom.queue`."""

from __future__ import annotations

from types import GenericAlias
from typing import Any, ClassVar

from greenloom._greenloom import ChannelBase
from greenloom._hub_local import get_hub

__all__ = ["Channel"]


class Channel(ChannelBase):
    """A queue without room: every :meth:`put` waits until a :meth:`get` takes its item."""

    __slots__ = ()

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    def __init__(self, maxsize: int = 1) -> None:
        if maxsize != 1:
            raise ValueError(f"the maxsize of a channel is always 1, not {maxsize!r}")

    @property
    def hub(self) -> Any:
        """The hub of the current thread, which is made if it does not exist: a channel belongs to no hub."""
        return get_hub()

    def __str__(self) -> str:
        return f"<{type(self).__name__}{self._waiting()}>"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}{self._waiting()}>"

    def _waiting(self) -> str:
        """Return what a repr says of those who wait."""
        sides = (("getters", self.getters), ("putters", self.putters))
        return "".join(f" {name}[{len(side)}]" for name, side in sides if side)
