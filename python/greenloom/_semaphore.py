"""Counting semaphores. To be imported from :mod:`greenloom.lock`."""

from __future__ import annotations

from greenloom._greenloom import BoundedSemaphore as BoundedSemaphore, Semaphore as Semaphore

__all__ = ["BoundedSemaphore", "Semaphore"]
