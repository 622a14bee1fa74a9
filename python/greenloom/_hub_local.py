"""Which hub, which loop and which kind of hub the current thread has.

Kept apart from :mod:`greenloom.hub` so that the primitives can find the hub without importing its class.
"""

from __future__ import annotations

# The interpreter's own: this module is imported before anything is patched, and the hub belongs to the OS thread.
from _thread import _local
from typing import Any

__all__ = ["get_hub", "get_hub_if_exists", "get_hub_noargs"]


class _ThreadState(_local):
    # A thread that has nothing of its own finds what is on the class. `hub` is not: that it is missing says that
    # one has to be made, so that finding it is one look-up.
    Hub: Any = None
    loop: Any = None
    hub: Any


_threadlocal = _ThreadState()

#: The class of hubs where a thread has no other; set when greenloom.hub is imported.
Hub: Any = None


def get_hub() -> Any:
    """Return the hub of the current thread; the first call makes it.

    A hub is a :class:`greenloom.hub.Hub`, or what :func:`get_hub_class` returns.
    """
    try:
        return _threadlocal.hub
    except AttributeError:
        return _make_hub()


#: The same function. The originals have both names.
get_hub_noargs = get_hub


def _make_hub() -> Any:
    made = get_hub_class()()
    set_hub(made)
    return made


def get_hub_if_exists() -> Any:
    """Return the hub of the current thread, or None if there is none yet."""
    return getattr(_threadlocal, "hub", None)


def set_hub(hub: Any) -> None:
    """Make ``hub`` the hub of the current thread; None forgets the one it has."""
    if hub is not None:
        _threadlocal.hub = hub
    else:
        vars(_threadlocal).pop("hub", None)


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
