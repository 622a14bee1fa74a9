"""What a hub does for greenlets beside running the loop: raw ones, sleep, idle, kill, and signal handlers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from greenloom._config import config
from greenloom._greenlet_primitives import TrackedRawGreenlet
from greenloom._greenloom import GreenletExit, getcurrent, greenlet as RawGreenlet
from greenloom._hub_local import get_hub_noargs as get_hub


def spawn_raw(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Schedule ``function(*args, **kwargs)`` in a new raw greenlet, whose parent is the hub, and return it.

    It costs less than a ``Greenlet`` and can do less: no ``join``, ``get`` or links. Its attribute ``loop`` is
    the hub's. Raises :class:`TypeError` if ``function`` is not callable.
    """
    if not callable(function):
        raise TypeError("function must be callable")
    hub = get_hub()
    loop = hub.loop
    factory: type[RawGreenlet] = TrackedRawGreenlet if config.track_greenlet_tree else RawGreenlet
    if kwargs:
        # A callback of the loop takes no keywords.
        new: Any = factory(partial(function, *args, **kwargs), hub)
        loop.run_callback(new.switch)
    else:
        new = factory(function, hub)
        loop.run_callback(new.switch, *args)
    new.loop = loop
    return new


def sleep(seconds: float = 0, ref: bool = True) -> None:
    """Let others run for at least ``seconds``; 0, or less, only gives those that are ready now their turn.

    With ``ref=False`` the sleeper does not keep the loop running.
    """
    hub = get_hub()
    loop = hub.loop
    if seconds <= 0:
        callback = loop.run_callback(getcurrent().switch)
        try:
            hub.switch()
        finally:
            # Does nothing after the usual end. After a kill it must not switch here a second time.
            callback.stop()
    else:
        with loop.timer(seconds, ref=ref) as timer:
            # The sleep begins now, not when the loop last looked at the clock.
            loop.update_now()
            hub.wait(timer)


def idle(priority: int = 0) -> None:
    """Wait until the loop has nothing else to do of the same or a higher ``priority``."""
    hub = get_hub()
    with hub.loop.idle(True, priority or None) as nothing_to_do:
        hub.wait(nothing_to_do)


def kill(greenlet: Any, exception: Any = GreenletExit) -> None:
    """Raise ``exception`` in ``greenlet``, raw or not, from the hub; do not wait for it."""
    if greenlet.dead:
        return
    if hasattr(greenlet, "kill"):
        # Keeps one that has not started from ever starting, too.
        greenlet.kill(exception=exception, block=False)
    else:
        get_hub().loop.run_callback(greenlet.throw, exception)


class signal:
    """Calls ``handler(*args, **kwargs)`` in a new greenlet whenever the process gets ``signalnum``.

    Keep the object, and end it with :meth:`cancel`. It does not keep the loop running unless :attr:`ref` is
    set. Raises :class:`TypeError` if ``handler`` is not callable.
    """

    #: The class of the greenlets, :class:`greenloom.Greenlet` unless it is set.
    greenlet_class: Any = None

    def __init__(self, signalnum: int, handler: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        if not callable(handler):
            raise TypeError("signal handler must be callable.")
        self.hub: Any = get_hub()
        self.watcher: Any = self.hub.loop.signal(signalnum, ref=False)
        self.handler: Any = handler
        self.args: Any = args
        self.kwargs: Any = kwargs
        if self.greenlet_class is None:
            from greenloom._greenlet_class import Greenlet

            type(self).greenlet_class = Greenlet
        self.watcher.start(self._start)

    @property
    def ref(self) -> bool:
        """Whether it keeps the loop running."""
        return bool(self.watcher.ref)

    @ref.setter
    def ref(self, value: bool) -> None:
        self.watcher.ref = value

    def cancel(self) -> None:
        """Call the handler no more. Calling it again does nothing."""
        watcher = self.watcher
        if watcher is not None:
            watcher.stop()
            watcher.close()
        self.watcher = self.handler = self.args = self.kwargs = self.hub = self.greenlet_class = None

    def _start(self) -> None:
        try:
            self.greenlet_class(self.handle).switch()
        except BaseException:
            self.hub.handle_error(None, *sys.exc_info())

    def handle(self) -> None:
        """Call the handler; an error in it goes to the hub's ``handle_error``."""
        hub = self.hub
        try:
            self.handler(*self.args, **self.kwargs)
        except BaseException:
            hub.handle_error(None, *sys.exc_info())
