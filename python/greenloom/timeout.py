"""Timeouts: an exception in a greenlet that has waited too long.

They strike only where a greenlet waits. A call that blocks the thread, or a long calculation, is not interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, TypeVar, cast

from greenloom._greenloom import getcurrent, greenlet
from greenloom._hub_local import get_hub_noargs as get_hub
from greenloom._util import _NONE

__all__ = ["Timeout", "with_timeout"]

T = TypeVar("T")


class _NeverTimer:
    """Stands in for a timer, and for a whole :class:`Timeout`, that never fires; shared, so without state."""

    __slots__ = ()

    pending: Final = False
    active: Final = False
    seconds: Final[None] = None
    exception: Final[None] = None
    timer: Final[None] = None

    def _nothing(self) -> None:
        pass

    cancel = close = stop = _nothing

    def start(self, *args: object, **kwargs: object) -> None:
        raise AssertionError("this never fires, so it cannot be started")

    def __enter__(self) -> _NeverTimer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._nothing()


_FakeTimer = _NeverTimer()


class Timeout(BaseException):
    """Raises itself, or ``exception``, in the greenlet that started it, after ``seconds``.

    ``with Timeout(5): ...`` starts it and closes it at the end. ``exception`` is None or a text to raise the
    Timeout itself (the text is its message), False to end the ``with`` silently instead, and otherwise the
    exception, class or instance, to raise. ``seconds`` None never fires; 0 fires as soon as the greenlet waits
    for something. With ``ref=False`` it does not keep the loop running.

    Several may be under way at once: one that was caught is yours only if it *is* the object that you started.
    Always close it, as ``with`` does.
    """

    #: After how many seconds it fires; None for never.
    seconds: float | None
    #: What it raises instead of itself, or a text, or None or False.
    exception: Any
    #: The loop's timer, or what stands in for it when there is none.
    timer: Any = _FakeTimer

    def __init__(
        self, seconds: float | None = None, exception: Any = None, ref: bool = True, priority: int = -1
    ) -> None:
        # Without arguments: the text is made by __str__.
        BaseException.__init__(self)
        if seconds is not None:
            self.timer = get_hub().loop.timer(seconds or 0.0, 0.0, ref, priority)
        self.exception = exception
        self.seconds = seconds

    @classmethod
    def start_new(
        cls, timeout: float | Timeout | None = None, exception: Any = None, ref: bool = True
    ) -> Timeout:
        """Return a started Timeout: ``timeout`` itself if it is one, otherwise a new one of so many seconds."""
        started = timeout if isinstance(timeout, Timeout) else cls(timeout, exception, ref)
        return started.__enter__()

    @staticmethod
    def _start_new_or_dummy(
        timeout: float | Timeout | None, exception: Any = None, ref: bool = True
    ) -> Timeout | _NeverTimer:
        """Do as :meth:`start_new`, but cost nothing if there is no timeout. ``cancel`` the result in the end."""
        return _FakeTimer if timeout is None else Timeout.start_new(timeout, exception, ref)

    @property
    def pending(self) -> bool:
        """Whether it is counting."""
        timer = self.timer
        return bool(timer.pending or timer.active)

    def start(self) -> None:
        """Begin to count. Raises :class:`AssertionError` if it has begun already."""
        if self.pending:
            raise AssertionError(f"{self!r} is already started; cancel it before it is started again")
        if self.seconds is not None:
            # The clock of the loop stands still while a greenlet runs: without the update the time that has
            # passed since would be taken off the timeout.
            self.timer.start(self._on_expiration, getcurrent(), self._to_raise(), update=True)

    def _to_raise(self) -> Any:
        exception = self.exception
        return self if exception is None or exception is False or isinstance(exception, str) else exception

    def _on_expiration(self, prev_greenlet: greenlet, ex: Any) -> None:
        # Subclasses override this to do something else when the time is over.
        prev_greenlet.throw(ex)

    def cancel(self) -> None:
        """Stop counting. It can be started again; use :meth:`close` if it will not be."""
        self.timer.stop()

    def close(self) -> None:
        """Stop counting and give up the timer. It cannot be started again."""
        timer, self.timer = self.timer, _FakeTimer
        timer.close()

    def __enter__(self) -> Timeout:
        """Start it, if it is not counting already."""
        timer = self.timer
        if not (timer.pending or timer.active):
            self.start()
        return self

    def __exit__(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> bool:
        """Close it, and keep it to itself if it is a silent one."""
        self.close()
        return value is self and self.exception is False

    def __repr__(self) -> str:
        parts = [f"{type(self).__name__} at {id(self):#x} seconds={self.seconds}"]
        if self.exception is not None:
            parts.append(f"exception={self.exception!r}")
        if self.pending:
            parts.append("pending")
        return f"<{' '.join(parts)}>"

    def __str__(self) -> str:
        if self.seconds is None:
            return ""
        unit = "second" if self.seconds == 1 else "seconds"
        return f"{self.seconds} {unit}{self._remark()}"

    def _remark(self) -> str:
        if self.exception is None:
            return ""
        return " (silent)" if self.exception is False else f": {self.exception}"

    def __lt__(self, other: Any) -> bool:
        """Compare the seconds with a number or with another Timeout's."""
        theirs = getattr(other, "seconds", other)
        if self.seconds is None or not isinstance(theirs, (int, float)):
            return NotImplemented
        return self.seconds < theirs


def with_timeout(seconds: float | None, function: Callable[..., T], *args: Any, **kwds: Any) -> T:
    """Return ``function(*args, **kwds)``, unless it takes longer than ``seconds``.

    Then the keyword ``timeout_value`` is returned if it was given (it is not passed on), and otherwise
    :class:`Timeout` raised.
    """
    substitute = kwds.pop("timeout_value", _NONE)
    with Timeout(seconds) as limit:
        try:
            return function(*args, **kwds)
        except Timeout as expired:
            if expired is not limit or substitute is _NONE:
                raise
            return cast(T, substitute)
    raise AssertionError("only a Timeout made with False keeps itself to itself")
