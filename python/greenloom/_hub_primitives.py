"""What greenlets wait on: watchers of the loop, sockets, and sets of objects."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

from greenloom._greenlet_primitives import SwitchOutGreenletWithLoop
from greenloom._greenloom import getcurrent, greenlet
from greenloom._hub_local import get_hub_noargs as get_hub
from greenloom._util import _NONE
from greenloom._waiter import MultipleWaiter as MultipleWaiter, Waiter as Waiter
from greenloom.exceptions import ConcurrentObjectUseError, InvalidSwitchError
from greenloom.timeout import Timeout

__all__ = [
    "WaitOperationsGreenlet",
    "iwait_on_objects",
    "wait_on_objects",
    "wait_on_socket",
    "wait_on_watcher",
    "wait_read",
    "wait_readwrite",
    "wait_write",
]


class WaitOperationsGreenlet(SwitchOutGreenletWithLoop):
    """The part of the hub that lets others end the wait of a greenlet for a watcher: see ``wait``."""

    def cancel_waits_close_and_then(
        self, watchers: Sequence[Any], exc_kind: Any, then: Callable[..., object], *then_args: Any
    ) -> None:
        """Raise ``exc_kind`` in whoever waits for one of ``watchers``, close them all, then call ``then``.

        At once if nobody waits, otherwise from the hub. None among the watchers is passed over.
        """
        open_ones = [watcher for watcher in watchers if watcher is not None]
        finish = partial(self._end_waits, open_ones, exc_kind, partial(then, *then_args))
        if any(watcher.callback is not None for watcher in open_ones):
            self.loop.run_callback(finish)
        else:
            finish()

    def _end_waits(self, watchers: list[Any], error: Any, then: Callable[[], object]) -> None:
        for watcher in watchers:
            self._end_wait(watcher, error, True)
        then()

    def cancel_wait(self, watcher: Any, error: Any, close_watcher: bool = False) -> None:
        """Raise ``error`` in the greenlet that waits for ``watcher``, from the hub; nothing if there is none.

        With ``close_watcher`` the watcher is closed as well. A watcher that is None is closed already.
        """
        if watcher is None:
            return
        if watcher.callback is None:
            # Nobody to tell.
            self._end_wait(watcher, error, close_watcher)
        else:
            self.loop.run_callback(self._end_wait, watcher, error, close_watcher)

    def _end_wait(self, watcher: Any, error: Any, close: bool) -> None:
        # When this is called by the hub, the watcher may have fired or been stopped since it was asked for.
        sleeper = getattr(watcher.callback, "__self__", None) if watcher.active else None
        if close:
            watcher.close()
        if sleeper is None:
            return
        try:
            sleeper.throw(error)
        except BaseException:
            # A raw greenlet's end comes back here, and must not keep the others from being told.
            self.handle_error(sleeper, *sys.exc_info())

    def handle_error(self, context: Any, type: Any, value: Any, tb: Any) -> None:
        """Report an error that nobody waits for."""
        raise NotImplementedError


class _WaitIterator(Iterator[Any]):
    """What :func:`iwait_on_objects` returns: yields objects as they become ready.

    Used in a ``with``, it takes its links back when the iteration is left early.
    """

    # The greenlet that waits, and how many objects it wants before it is worth switching to it.
    _waiting: greenlet | None = None
    _wanted = 1
    _begun = False
    _timer: Any = None

    def __init__(self, objects: Collection[Any], hub: Any, timeout: float | None, count: int | None) -> None:
        # Those that have become ready and are still to be handed out.
        self._ready: deque[Any] = deque()
        self._hub = hub
        # All are linked even if fewer are wanted: any of them may be the first.
        self._linked: Collection[Any] = objects
        self._left = len(objects) if count is None else min(count, len(objects))
        self._limit = timeout

    def _begin(self) -> None:
        self._begun = True
        link = self._arrive
        for obj in self._linked:
            obj.rawlink(link)
        if self._limit is not None:
            self._timer = self._hub.loop.timer(self._limit, priority=-1)
            self._timer.start(self._expire)

    def _arrive(self, obj: Any) -> None:
        self._ready.append(obj)
        if self._waiting is not None and len(self._ready) >= self._wanted:
            self._resume()

    def _expire(self) -> None:
        # Objects that became ready before this are still handed out.
        self._left = min(self._left, len(self._ready))
        if self._waiting is not None:
            self._resume()

    def _resume(self) -> None:
        waiting, self._waiting = self._waiting, None
        assert waiting is not None, "asked by the callers"
        try:
            waiting.switch(self)
        except BaseException:
            self._hub.handle_error(waiting.switch, *sys.exc_info())

    def _wait_for(self, wanted: int) -> None:
        """Wait until ``wanted`` objects are ready, or the time is over."""
        if self._waiting is not None:
            raise ConcurrentObjectUseError(f"This iterator is already used by {self._waiting!r}")
        self._wanted = wanted
        self._waiting = getcurrent()
        try:
            result = self._hub.switch()
            if result is not self:
                raise InvalidSwitchError(f"Invalid switch into {getcurrent()}: got {result!r}")
        finally:
            self._waiting = None

    def __iter__(self) -> _WaitIterator:
        return self

    def __next__(self) -> Any:
        try:
            if not self._begun:
                self._begin()
            if self._left and not self._ready:
                self._wait_for(1)
        except BaseException:
            self.close()
            raise
        if self._left == 0:
            self.close()
            raise StopIteration
        self._left -= 1
        return self._ready.popleft()

    next = __next__

    def all(self) -> list[Any]:
        """Return all that become ready, in order: one switch for the lot instead of one for each."""
        try:
            self._begin()
            if self._left > len(self._ready):
                self._wait_for(self._left)
            return [self._ready.popleft() for _ in range(self._left)]
        finally:
            self.close()

    def close(self) -> None:
        """Take the links and the timer back."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.close()
        objects, self._linked = self._linked, ()
        if not self._begun:
            return
        for obj in objects:
            unlink = getattr(obj, "unlink", None)
            if unlink is None:
                continue
            try:
                unlink(self._arrive)
            except Exception:
                self._hub.handle_error(unlink, *sys.exc_info())

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # An iterator is its own iterator and its own context.
    __enter__ = __iter__


def iwait_on_objects(
    objects: Collection[Any] | None, timeout: float | None = None, count: int | None = None
) -> Any:
    """Yield ``objects`` as they become ready, until all (or ``count``) are, or ``timeout`` seconds are over.

    Objects have ``rawlink`` and ``unlink``: greenlets, events, semaphores, processes. Iterate inside a ``with``
    on the result if the iteration may end early. ``objects`` None waits for the whole loop as :func:`wait_on_objects`
    does, and gives a list of one bool.
    """
    if objects is None:
        return [wait_on_objects(None, timeout)]
    return _WaitIterator(objects, get_hub(), timeout, count)


def wait_on_objects(
    objects: Collection[Any] | None = None, timeout: float | None = None, count: int | None = None
) -> Any:
    """Return the list of the ``objects`` that became ready, in that order, when all (or ``count``) are.

    After ``timeout`` seconds it returns those that are ready by then. ``objects`` None waits until the loop has
    nothing to do any more (True), or for ``timeout`` seconds (False).
    """
    if objects is not None:
        return _WaitIterator(objects, get_hub(), timeout, count).all()
    return get_hub().join(timeout)


_timeout_error: type[Exception] = Exception


def set_default_timeout_error(error: type[Exception]) -> None:
    """Let the waits below raise ``error`` when their time is over. The socket module sets its own."""
    global _timeout_error
    _timeout_error = error


def _wait_for(watcher: Any, seconds: float | None, error: Any, hub: Any) -> None:
    """Wait for ``watcher``, which nobody else may wait for, and raise ``error`` after ``seconds``."""
    user = watcher.callback
    if user is not None:
        raise ConcurrentObjectUseError(f"Another greenlet waits for this already: {user!r}")
    # Not by its truth value: a hub that has not run yet is false.
    wait = (get_hub() if hub is None else hub).wait
    if seconds is None:
        wait(watcher)
        return
    with Timeout(seconds, _timeout_error("timed out") if error is _NONE else error):
        wait(watcher)


def wait_on_socket(socket: Any, watcher: Any, timeout_exc: Any = None) -> None:
    """Wait for ``watcher`` as long as the timeout of ``socket`` allows.

    Raises :class:`~greenloom.exceptions.ConcurrentObjectUseError` if the socket was closed or another greenlet
    waits for the same watcher.
    """
    if socket is None or watcher is None:
        raise ConcurrentObjectUseError("another greenlet has closed the socket")
    _wait_for(watcher, socket.timeout, _NONE if timeout_exc is None else timeout_exc, socket.hub)


def wait_on_watcher(
    watcher: Any, timeout: float | None = None, timeout_exc: Any = _NONE, hub: Any = None
) -> None:
    """Wait until ``watcher`` fires, for at most ``timeout`` seconds.

    When the time is over ``timeout_exc`` is raised as :class:`~greenloom.timeout.Timeout` would, by default
    :class:`TimeoutError`. Raises :class:`~greenloom.exceptions.ConcurrentObjectUseError` if the watcher is
    started already, and the error of :func:`greenloom.socket.cancel_wait` if another greenlet calls that.
    """
    _wait_for(watcher, timeout, timeout_exc, hub)


def _wait_io(fileno: int, events: int, timeout: float | None, timeout_exc: Any) -> None:
    hub = get_hub()
    watcher = hub.loop.io(fileno, events)
    try:
        _wait_for(watcher, timeout, timeout_exc, hub)
    finally:
        watcher.close()


def wait_read(fileno: int, timeout: float | None = None, timeout_exc: Any = _NONE) -> None:
    """Wait until ``fileno`` is readable; the rest is as with :func:`wait_on_watcher`."""
    _wait_io(fileno, 1, timeout, timeout_exc)


def wait_write(
    fileno: int, timeout: float | None = None, timeout_exc: Any = _NONE, event: Any = _NONE
) -> None:
    """Wait until ``fileno`` is writable; the rest is as with :func:`wait_on_watcher`. ``event`` is ignored."""
    _wait_io(fileno, 2, timeout, timeout_exc)


def wait_readwrite(
    fileno: int, timeout: float | None = None, timeout_exc: Any = _NONE, event: Any = _NONE
) -> None:
    """Wait until ``fileno`` is readable or writable; see :func:`wait_on_watcher`. ``event`` is ignored."""
    _wait_io(fileno, 3, timeout, timeout_exc)
