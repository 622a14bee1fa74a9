"""Locks: semaphores with a bound, without one, or that never block, and a lock that its holder may take again."""

from __future__ import annotations

from typing import Any

from greenloom._greenloom import getcurrent
from greenloom._semaphore import BoundedSemaphore, Semaphore
from greenloom.timeout import Timeout

__all__ = ["BoundedSemaphore", "DummySemaphore", "RLock", "Semaphore"]


class DummySemaphore:
    """A semaphore without a limit: nothing blocks. For code that takes one where there may be nothing to guard."""

    def __init__(self, value: int | None = None) -> None:
        """Ignore ``value``, which a real semaphore takes."""

    def __str__(self) -> str:
        return f"<{type(self).__name__}>"

    def locked(self) -> bool:
        """Return false."""
        return False

    def ready(self) -> bool:
        """Return true."""
        return True

    def release(self) -> None:
        """Do nothing."""

    def rawlink(self, callback: Any) -> None:
        """Do nothing."""

    def unlink(self, callback: Any) -> None:
        """Do nothing."""

    def wait(self, timeout: float | Timeout | None = None) -> int:
        """Return 1 at once."""
        return 1

    def acquire(self, blocking: bool = True, timeout: float | Timeout | None = None) -> bool:
        """Return true at once."""
        return True

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        pass


class RLock:
    """A lock that the greenlet which holds it may acquire again, and has to release as often.

    ``hub`` is as for :class:`Semaphore`.
    """

    __slots__ = ("__weakref__", "_block", "_count", "_owner")

    def __init__(self, hub: Any = None) -> None:
        #: How many times the owner holds it.
        self._count = 0
        #: The greenlet that holds it.
        self._owner: Any = None
        #: Where the others wait.
        self._block = Semaphore(hub=hub)

    def __repr__(self) -> str:
        state = f"_block={self._block} _count={self._count} _owner={self._owner!r}"
        return f"<{type(self).__name__} at {id(self):#x} {state}>"

    def acquire(self, blocking: bool = True, timeout: float | Timeout | None = None) -> bool:
        """Acquire it as :meth:`Semaphore.acquire` does; always at once for the greenlet that holds it."""
        current = getcurrent()
        if self._owner is not current:
            if not self._block.acquire(blocking, timeout):
                return False
            self._owner = current
        self._count += 1
        return True

    def release(self) -> None:
        """Release it once. Raises :class:`RuntimeError` in a greenlet that does not hold it."""
        if not self._is_owned():
            raise RuntimeError(f"cannot release a lock that is not held here, but by {self._owner!r}")
        if self._count > 1:
            self._count -= 1
        else:
            self._release_save()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def locked(self) -> bool:
        """Whether a greenlet holds it."""
        return self._owner is not None

    # Called by threading.Condition, which gives it up while it waits, however often it is held.

    def _is_owned(self) -> bool:
        return getcurrent() is self._owner

    def _release_save(self) -> tuple[Any, int]:
        saved = self._owner, self._count
        self._owner, self._count = None, 0
        self._block.release()
        return saved

    def _acquire_restore(self, saved: tuple[Any, int]) -> None:
        self._block.acquire()
        self._owner, self._count = saved
