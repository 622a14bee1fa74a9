"""What a hub does for greenlets beside running the loop: raw ones, idle, kill, and signal handlers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from greenloom._config import config
from greenloom._greenlet_primitives import TrackedRawGreenlet
from greenloom._greenloom import GreenletExit, getcurrent, greenlet as RawGreenlet, sleep as sleep
from greenloom._hub_local import get_hub_noargs as get_hub


def spawn_raw(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Schedule ``function(*args, **kwargs)`` in a new raw greenlet, whose parent is the hub, and return it.

    It costs less than a ``Greenlet`` and can do less: no ``join``, ``get`` or links. Its attribute ``loop`` is
    the hub's. Raises :class:`TypeError` if ``function`` is not callable.
    """
    if not callable(function):
        raise TypeError(f"function must be callable, not {function!r}")
    hub = get_hub()
    kind: Any = TrackedRawGreenlet if config.track_greenlet_tree else RawGreenlet
    # A callback of the loop takes no keywords.
    new = kind(partial(function, **kwargs) if kwargs else function, hub)
    new.loop = hub.loop
    new.loop.run_callback(new.switch, *args)
    return new


def _sleep_elsewhere(seconds: float, ref: bool) -> None:
    """Sleep in a hub whose loop is not one of ours."""
    hub = get_hub()
    if seconds > 0:
        # The sleep begins now, not when the loop last looked at the clock.
        hub.loop.update_now()
        with hub.loop.timer(seconds, ref=ref) as timer:
            hub.wait(timer)
    else:
        hub.loop.run_callback(getcurrent().switch)
        hub.switch()


def idle(priority: int = 0) -> None:
    """Wait until the loop has nothing else to do of the same or a higher ``priority``."""
    hub = get_hub()
    with hub.loop.idle(True, priority or None) as nothing_to_do:
        hub.wait(nothing_to_do)


def kill(greenlet: Any, exception: Any = GreenletExit) -> None:
    """Raise ``exception`` in ``greenlet``, raw or not, from the hub; do not wait for it."""
    if greenlet.dead:
        return
    # A Greenlet's own method keeps it from starting, too, if it has not. Raw ones have none.
    own_kill = getattr(greenlet, "kill", None)
    if own_kill is None:
        get_hub().loop.run_callback(greenlet.throw, exception)
    else:
        own_kill(exception, block=False)


class signal:
    """Calls ``handler(*args, **kwargs)`` in a new greenlet whenever the process gets ``signalnum``.

    Keep the object, and end it with :meth:`cancel`. It does not keep the loop running unless :attr:`ref` is
    set. An error in the handler is raised in the main greenlet.

    Raises :class:`TypeError` if ``handler`` is not callable.
    """

    def __init__(self, signalnum: int, handler: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        if not callable(handler):
            raise TypeError(f"signal handler must be callable, not {handler!r}")
        self.handler: Callable[[], Any] | None = partial(handler, *args, **kwargs)
        self.hub: Any = get_hub()
        self.watcher: Any = self.hub.loop.signal(signalnum, ref=False)
        self.watcher.start(self._arrived)

    def _arrived(self) -> None:
        # Not at the top: that module is made of this one's package.
        from greenloom._greenlet_class import Greenlet

        Greenlet.spawn(self.handle)

    def handle(self) -> None:
        """Call the handler; an error in it goes to the hub's ``handle_error``."""
        handler, hub = self.handler, self.hub
        if handler is None:
            # It was cancelled while the signal was on its way.
            return
        try:
            handler()
        except BaseException:
            hub.handle_error(None, *sys.exc_info())

    def cancel(self) -> None:
        """Call the handler no more. Calling it again does nothing."""
        watcher, self.watcher = self.watcher, None
        self.handler = self.hub = None
        if watcher is not None:
            watcher.close()

    @property
    def ref(self) -> bool:
        """Whether it keeps the loop running."""
        return bool(self.watcher.ref)

    @ref.setter
    def ref(self, value: bool) -> None:
        self.watcher.ref = value
