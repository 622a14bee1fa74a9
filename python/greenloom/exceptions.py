"""The exceptions of the hub and of what waits on it."""

from __future__ import annotations

from typing import Any

from greenloom._greenloom import GreenletExit

__all__ = [
    "BlockingSwitchOutError",
    "ConcurrentObjectUseError",
    "HubDestroyed",
    "InvalidSwitchError",
    "InvalidThreadUseError",
    "LoopExit",
]


class LoopExit(Exception):
    """A greenlet waits, and nothing is left that could ever wake it.

    Raised in the hub's parent, usually the main greenlet. The usual cause is a deadlock, or an object that was
    made for another thread. Its text names the greenlets that wait, where, and on what.
    """

    #: One line for each greenlet that waited when the loop ran dry, outermost first.
    waiting: tuple[str, ...] = ()

    @property
    def hub(self) -> Any:
        """The :class:`greenloom.hub.Hub` whose loop ran dry, or None if it is not known."""
        return self.args[1] if len(self.args) == 3 else None

    def __repr__(self) -> str:
        if len(self.args) != 3:
            return super().__repr__()
        # Not at the top: most programs never see this exception.
        from pprint import pformat

        text = f"{self.args[0]}\n\tHub: {self.args[1]}\n\tHandles:\n{pformat(self.args[2])}"
        if self.waiting:
            text += "\n\tWaiting:\n" + "\n".join(f"\t\t{line}" for line in self.waiting)
        return text

    def __str__(self) -> str:
        return repr(self)


class BlockingSwitchOutError(AssertionError):
    """A function that waits was called from a callback of the loop, which nobody could resume."""


class InvalidSwitchError(AssertionError):
    """A waiting greenlet was resumed by something else than what it waits for."""


class ConcurrentObjectUseError(AssertionError):
    """A second greenlet waits on an object that only one may wait on, such as one direction of a socket."""


class InvalidThreadUseError(RuntimeError):
    """An object was used in another thread than the one whose hub it belongs to."""


class HubDestroyed(GreenletExit):
    """Thrown into a hub to end it. Internal; compared by identity, so never derive from it.

    ``destroy_loop`` says whether the loop ends with it.
    """

    def __init__(self, destroy_loop: bool) -> None:
        super().__init__(destroy_loop)
        self.destroy_loop = destroy_loop
