"""What events, results and semaphores share: links, and waiting by way of a link.

A link is a callable that is called, with the object, once the object is ready. A waiting greenlet's link is the
``switch`` of that greenlet, so links may only be called in the hub that the greenlet belongs to. The first hub
that waits or links becomes the object's *owner*; its links are called by one callback in the owner's loop, in the
order in which they came. Whoever waits in another thread is kept apart in ``_foreign``, as a parker that any
thread may wake (:mod:`greenloom._parking`); these never wait for the owner's loop to turn.

Threads need no lock here. A waiter first adds its link and then looks whether the object is ready; who makes the
object ready first says so and then looks for links. Whichever comes second sees the other.
"""

from __future__ import annotations

import sys
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from greenloom._greenloom import getcurrent
from greenloom._hub_local import get_hub_if_exists
from greenloom._parking import HubParker, ThreadParker, hub_to_wait_in, switch_to_hub
from greenloom.exceptions import InvalidSwitchError
from greenloom.timeout import Timeout

__all__ = ["AbstractLinkable"]

#: In ``_notifier``: a callback is on its way to the owner's loop from another thread.
_CROSSING = object()


class _ForeignLink:
    """Calls a link of another thread's hub than the owner's, in that hub."""

    __slots__ = ("callback", "hub")

    def __init__(self, hub: Any, callback: Callable[[Any], object]) -> None:
        self.hub = hub
        self.callback = callback

    def __call__(self, source: AbstractLinkable) -> None:
        loop = self.hub.loop
        if loop is not None:
            loop.run_callback_threadsafe(self.callback, source)

    def __eq__(self, other: object) -> bool:
        return self is other or bool(self.callback == other)

    __hash__ = None  # type: ignore[assignment]


class AbstractLinkable:
    """An object that can be linked to and waited for; subclasses say when it is :meth:`ready`.

    ``hub`` is the hub that shall be the owner; by default the first that waits.
    """

    __slots__ = ("__weakref__", "_foreign", "_late", "_links", "_notifier", "_round", "hub")

    #: Whether one time of being ready wakes all that waited then, or only as many as find it still ready.
    _notify_all = True

    def __init__(self, hub: Any = None) -> None:
        #: The hub whose loop calls the links, or None.
        self.hub = hub
        self._links: list[Callable[[Any], object]] = []
        #: The links that are being called now, last first; None when none are.
        self._round: list[Callable[[Any], object]] | None = None
        #: Greenlets that found the object ready while others had yet to be told: they come after those.
        self._late: list[Callable[[Any], object]] | None = None
        self._foreign: deque[Callable[[Any], object]] | None = None
        #: The callback that will call the links.
        self._notifier: Any = None

    def ready(self) -> bool:
        """Whether the object is ready."""
        raise NotImplementedError

    def linkcount(self) -> int:
        """Return how many links and waiters there are."""
        count = len(self._links)
        for more in (self._round, self._late, self._foreign):
            if more is not None:
                count += len(more)
        return count

    def rawlink(self, callback: Callable[[Any], object]) -> None:
        """Call ``callback`` with this object once, when it is ready: from the hub, where it must not block.

        It is called in a later turn of the loop even if the object is ready now. Raises :class:`TypeError` if it
        is not callable.
        """
        if not callable(callback):
            raise TypeError(f"a link has to be callable, not {callback!r}")
        current = get_hub_if_exists()
        owner = self._owner()
        if owner is None:
            self.hub = current
        elif current is not None and current is not owner:
            self._add_foreign(_ForeignLink(current, callback))
            return
        self._links.append(callback)
        self._check_and_notify()

    def unlink(self, callback: Callable[[Any], object]) -> None:
        """Forget ``callback``; do nothing if it is not linked."""
        for links in (self._links, self._round, self._late, self._foreign):
            if links:
                try:
                    links.remove(callback)
                except ValueError:
                    continue
                break
        # A callback that has nobody to tell would only keep this object and the loop alive.
        notifier = self._notifier
        if notifier is None or notifier is _CROSSING or self._links or self._round or self._late:
            return
        if notifier.pending:
            notifier.stop()
            self._notifier = None

    # --- telling that the object is ready ---

    def _owner(self) -> Any:
        """Return the owner, or None if there is none or its loop is gone."""
        hub = self.hub
        if hub is not None and (hub.loop is None or hub.dead):
            self.hub = self._notifier = hub = None
        return hub

    def _add_foreign(self, link: Callable[[Any], object]) -> None:
        if self._foreign is None:
            self._foreign = deque()
        self._foreign.append(link)
        if self.ready():
            self._wake_foreign()

    def _wake_foreign(self) -> None:
        """Tell those of other threads. Each is told at most once."""
        foreign = self._foreign
        while foreign:
            try:
                link = foreign.popleft()
            except IndexError:
                # Another thread told the last one.
                return
            link(self)

    def _check_and_notify(self) -> None:
        """Have the links called if the object is ready and this is not under way already."""
        if self._foreign and self.ready():
            self._wake_foreign()
        if self._links and (self._notifier is None or self._owner() is None) and self.ready():
            self._schedule_notification()

    def _schedule_notification(self) -> None:
        current = get_hub_if_exists()
        owner = self._owner()
        if owner is None:
            if current is None:
                # Nobody has a loop, so nobody waits in one: these are plain functions.
                self._notify_links()
                return
            self.hub = owner = current
        if owner is current:
            self._notifier = owner.loop.run_callback(self._notify_links)
            return
        # Marked before the callback is sent, as it may have run before that call returns.
        self._notifier = _CROSSING
        try:
            owner.loop.run_callback_threadsafe(self._notify_links)
        except BaseException:
            self._notifier = None
            raise

    def _notify_links(self) -> None:
        """Call the links. Runs in the owner's loop, or in any thread if there is no owner."""
        if self._round is not None:
            return
        # Swapped, so that links that are added meanwhile wait for the next time.
        round_, self._links = self._links, []
        round_.reverse()
        self._round = round_
        left: list[Callable[[Any], object]] = round_
        try:
            self._call_links(round_)
            if self._late is not None:
                # Those who are late during this second part have to wait for the next time.
                late, self._late = self._late, None
                late.reverse()
                left = late + round_
                self._round = late
                self._call_links(late)
                left = late + round_
        finally:
            if self._late is not None:
                self._links += self._late
            if left:
                left.reverse()
                # In place: another thread may be adding a link.
                self._links[:0] = left
            self._round = self._late = self._notifier = None
        if self._links:
            self._check_and_notify()

    def _call_links(self, links: list[Callable[[Any], object]]) -> None:
        """Call ``links`` from the end, all of them or as long as the object is ready."""
        # The same callable is called once. Kept by id, for not all are hashable, and alive, for ids are reused.
        called: dict[int, Callable[[Any], object]] | None = {} if len(links) > 1 else None
        while links and (self._notify_all or self.ready()):
            link = links.pop()
            if called is not None:
                if id(link) in called:
                    continue
                called[id(link)] = link
            try:
                link(self)
            except BaseException:
                hub = self.hub or get_hub_if_exists()
                if hub is None:
                    traceback.print_exc()
                else:
                    # Raises what must not be swallowed.
                    hub.handle_error((link, self), *sys.exc_info())

    # --- waiting ---

    def _wait_return_value(self, waited: bool, wait_success: bool) -> Any:
        """Return what :meth:`wait` returns. ``wait_success`` is false if the time was over."""
        raise NotImplementedError

    def _wait(self, timeout: float | Timeout | None = None) -> Any:
        """Wait until the object is ready."""
        if self.ready():
            result = self._wait_return_value(False, False)
            if self._notifier is not None:
                self._wait_for_turn()
            return result
        return self._wait_return_value(True, self._wait_core(timeout))

    def _wait_core(self, timeout: float | Timeout | None, catch: Any = Timeout) -> bool:
        """Wait to be told that the object is ready; false if the time was over first.

        With ``catch=()`` the Timeout is raised instead.
        """
        hub = hub_to_wait_in()
        if hub is None:
            return self._wait_natively(timeout, catch)
        owner = self._owner()
        if owner is None:
            self.hub = owner = hub
        if owner is not hub:
            return self._wait_as_foreigner(HubParker(hub, hold_open=True), timeout, catch)
        if timeout is None:
            self._park_with_link(hub)
            return True
        with Timeout._start_new_or_dummy(timeout) as timer:
            try:
                self._park_with_link(hub)
            except catch as expired:
                if expired is not timer:
                    raise
                return False
        return True

    def _park_with_link(self, hub: Any, again: bool = False) -> None:
        """Wait in ``hub``, the owner, for the link of the current greenlet to be called: the first if ``again``."""
        switch = getcurrent().switch
        if again:
            self._links.insert(0, switch)
        else:
            self._links.append(switch)
        try:
            # Made ready by another thread just now?
            if self._notifier is None and self.ready():
                self._check_and_notify()
            self._check_switch(switch_to_hub(hub))
        except BaseException:
            self.unlink(switch)
            raise

    def _wait_for_turn(self) -> None:
        """Let those go first who wait for a notification that is under way already."""
        hub = self.hub
        if hub is not get_hub_if_exists() or getcurrent() is hub:
            return
        switch = getcurrent().switch
        if self._late is None:
            self._late = []
        self._late.append(switch)
        try:
            self._check_switch(hub.switch())
        except BaseException:
            self.unlink(switch)
            raise

    def _check_switch(self, result: Any) -> None:
        if result is not self:
            raise InvalidSwitchError(f"Invalid switch into a wait for {self!r}, with {result!r}")

    def _wait_as_foreigner(self, parker: HubParker, timeout: Any, catch: Any) -> bool:
        timer = parker.begin(timeout)
        try:
            self._add_foreign(parker)
            return parker.park()
        except catch as expired:
            if expired is not timer:
                raise
            return False
        finally:
            parker.end()
            self._leave_foreign(parker)

    def _wait_natively(self, timeout: Any, catch: Any) -> bool:
        parker = ThreadParker()
        parker.begin(timeout)
        try:
            self._add_foreign(parker)
            in_time = parker.park()
        finally:
            self._leave_foreign(parker)
        if not in_time and not catch:
            raise _expired(timeout)
        return in_time

    def _leave_foreign(self, parker: HubParker | ThreadParker) -> bool:
        """Take ``parker`` off the list; false if it had been told, so was not on it any more."""
        try:
            self._foreign.remove(parker)  # type: ignore[union-attr]
        except ValueError:
            return False
        return True

    def _at_fork_reinit(self) -> None:
        """Forget, in the child of a fork, the hub and what was under way in it."""
        self.hub = self._notifier = None
        self._foreign = None


def _expired(timeout: Any) -> BaseException:
    """Return what a wait of ``timeout`` that blocked a thread raises when the time is over."""
    if isinstance(timeout, Timeout):
        return timeout
    # Made without a timer, which would need a hub.
    expired = Timeout(None)
    expired.seconds = timeout
    return expired
