"""Which hub, which loop and which kind of hub the current thread has.

Kept apart from :mod:`greenloom.hub` so that the primitives can find the hub without importing its class.
"""

from __future__ import annotations

# The interpreter's own: this module is imported before anything is patched, and the hub belongs to the OS thread.
from _thread import _local
from typing import Any

from greenloom._greenloom import (
    get_hub as get_hub,
    get_hub_if_exists as get_hub_if_exists,
    set_hub as set_hub,
    set_hub_maker,
)

__all__ = ["get_hub", "get_hub_if_exists", "get_hub_noargs"]


class _ThreadState(_local):
    # A thread that has nothing of its own finds what is on the class.
    Hub: Any = None
    loop: Any = None


_threadlocal = _ThreadState()

#: The class of hubs where a thread has no other; set when greenloom.hub is imported.
Hub: Any = None


#: The same function. The originals have both names.
get_hub_noargs = get_hub


#: A watchdog that the environment asks for was started, or is not to be.
_watchdog_seen = False


def _make_hub() -> Any:
    global _watchdog_seen
    made = get_hub_class()()
    set_hub(made)
    if not _watchdog_seen:
        _watchdog_seen = True
        from greenloom.watchdog import start_if_asked

        start_if_asked()
    return made


set_hub_maker(_make_hub)


def get_hub_class() -> Any:
    """Return the class of which this thread's hub is, or will be, an instance."""
    if Hub is None:
        import greenloom.hub  # noqa: F401  (sets the default class)
    # Kept, so that a default set later does not change the thread's mind.
    _threadlocal.Hub = _threadlocal.Hub or Hub
    return _threadlocal.Hub


def set_default_hub_class(hubtype: Any) -> None:
    """Let threads that have not asked for a hub yet get a ``hubtype``."""
    global Hub
    Hub = hubtype


def get_loop() -> Any:
    """Return the loop that a destroyed hub left to this thread, or None."""
    return _threadlocal.loop


def set_loop(loop: Any) -> None:
    """Keep ``loop`` for the next hub of this thread; None forgets it."""
    _threadlocal.loop = loop
