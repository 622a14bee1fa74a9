"""Events and results: what greenlets and threads wait for until somebody says that it is there."""

from __future__ import annotations

from greenloom._greenloom import AsyncResult as AsyncResult, Event as Event

__all__ = ["AsyncResult", "Event"]
