"""The original greenlet with one wrong answer, to show that the comparison notices: bool() is of a started greenlet."""

from __future__ import annotations

import greenlet as original
from greenlet import GreenletExit, error, getcurrent, gettrace, settrace

__all__ = ["GreenletExit", "error", "getcurrent", "gettrace", "greenlet", "settrace"]


class greenlet(original.greenlet):  # type: ignore[misc]
    """A greenlet that is true before it starts."""

    def __bool__(self) -> bool:
        return not self.dead
