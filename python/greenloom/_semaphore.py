"""Counting semaphores. To be imported from :mod:`greenloom.lock`."""

from __future__ import annotations

from typing import Any

from greenloom._abstract_linkable import AbstractLinkable
from greenloom._parking import HubParker, ThreadParker, hub_to_wait_in
from greenloom.timeout import Timeout

__all__ = ["BoundedSemaphore", "Semaphore"]


class Semaphore(AbstractLinkable):
    """A counter that is never negative: :meth:`acquire` takes one off, and waits while there is none.

    Any greenlet and any thread may release it. A release does not hand over: whoever asks first after it gets it,
    while those who wait are woken in the order in which they came, in a later turn of the loop. As a context
    manager it is held during the block.
    """

    __slots__ = ("counter",)

    _notify_all = False

    def __init__(self, value: int = 1, hub: Any = None) -> None:
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        super().__init__(hub)
        #: How many times it can be acquired without waiting.
        self.counter = value

    def __str__(self) -> str:
        name = type(self).__name__
        return f"<{name} at 0x{id(self):x} counter={self.counter} _links[{self.linkcount()}]>"

    def locked(self) -> bool:
        """Whether :meth:`acquire` would wait."""
        return self.counter <= 0

    def ready(self) -> bool:
        """Whether :meth:`acquire` would not wait."""
        return self.counter > 0

    def release(self) -> int:
        """Add one, wake somebody if anybody waits, and return the counter."""
        self.counter = counter = self.counter + 1
        if self._links or self._foreign:
            self._check_and_notify()
        return counter

    def _start_notify(self) -> None:
        self._check_and_notify()

    def _wake_foreign(self) -> None:
        # As many as can get it; it is no loss if some of them come too late.
        foreign = self._foreign
        chances = self.counter
        while foreign and chances > 0:
            chances -= 1
            try:
                link = foreign.popleft()
            except IndexError:
                return
            link(self)

    def _wait_return_value(self, waited: bool, wait_success: bool) -> int:
        return self.counter

    def wait(self, timeout: float | Timeout | None = None) -> int:
        """Wait until it can be acquired, at most ``timeout`` seconds, without acquiring it.

        Returns how many times it can be acquired: 0 if the time was over or somebody else was quicker.
        """
        if self.counter <= 0:
            self._wait_core(timeout)
        return self.counter

    def acquire(self, blocking: bool = True, timeout: float | Timeout | None = None) -> bool:
        """Take one off the counter and return true, waiting until there is one.

        Returns false if there is none after ``timeout`` seconds, or at once if ``blocking`` is false.
        """
        # Without a branch or a call between reading and writing, so that neither another thread nor a signal
        # handler, nor a trace function that uses this lock, comes in between.
        self.counter -= (acquired := self.counter > 0)
        if acquired or not blocking:
            return acquired
        hub = hub_to_wait_in()
        if hub is None:
            return self._acquire_parked(ThreadParker(), timeout)
        owner = self._owner()
        if owner is None:
            self.hub = owner = hub
        if owner is not hub:
            return self._acquire_parked(HubParker(hub, hold_open=True), timeout)
        with Timeout._start_new_or_dummy(timeout) as timer:
            try:
                self._park_with_link(hub)
                while True:
                    self.counter -= (acquired := self.counter > 0)
                    if acquired:
                        return True
                    # Another thread was quicker.
                    self._park_with_link(hub, again=True)
            except Timeout as expired:
                if expired is not timer:
                    raise
                return False

    def _acquire_parked(self, parker: HubParker | ThreadParker, timeout: Any) -> bool:
        """Acquire for a thread that does not run the owner's loop."""
        acquired = False
        timer = parker.begin(timeout)
        self._add_foreign(parker)
        try:
            while parker.park():
                self.counter -= (acquired := self.counter > 0)
                if acquired:
                    return True
                self._return_foreign(parker)
            return False
        except Timeout as expired:
            if expired is not timer:
                raise
            return False
        finally:
            parker.end()
            if not acquired and not self._leave_foreign(parker):
                # Woken, but it leaves without: that was somebody's turn.
                self._check_and_notify()

    def _return_foreign(self, parker: HubParker | ThreadParker) -> None:
        """Wait once more, before those who came later."""
        foreign = self._foreign
        if foreign is None:
            self._add_foreign(parker)
            return
        foreign.appendleft(parker)
        if self.counter > 0:
            self._wake_foreign()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class BoundedSemaphore(Semaphore):
    """A semaphore whose counter never exceeds the value that it began with."""

    __slots__ = ("_initial_value",)

    #: What a release too many raises.
    _OVER_RELEASE_ERROR: type[BaseException] = ValueError

    def __init__(self, value: int = 1, hub: Any = None) -> None:
        super().__init__(value, hub)
        self._initial_value = value

    def _at_fork_reinit(self) -> None:
        self.counter = self._initial_value
        super()._at_fork_reinit()

    def release(self) -> int:
        """Do as :meth:`Semaphore.release`. Raises :class:`ValueError` if it has not been acquired as often."""
        missing = self._initial_value - self.counter
        if missing <= 0:
            raise self._OVER_RELEASE_ERROR("Semaphore released too many times")
        counter = super().release()
        if missing == 1 and self._notifier is None and not self._links:
            # Nobody holds it or waits for it, so the next owner may be another thread's hub.
            self.hub = None
        return counter
