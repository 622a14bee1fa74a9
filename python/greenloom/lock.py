"""Locks: semaphores with a bound, without one, or that never block, and a lock that its holder may take again."""

from __future__ import annotations

from typing import Any

from greenloom._greenloom import BoundedSemaphore as BoundedSemaphore, RLock as RLock, Semaphore as Semaphore
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
