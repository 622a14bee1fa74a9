"""Timeouts: an exception in a greenlet that has waited too long.

They strike only where a greenlet waits. A call that blocks the thread, or a long calculation, is not interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from greenloom._greenloom import Timeout as Timeout
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


class _Timer:
    """The timer of a :class:`Timeout`, as others see it: what the loop's timers answer."""

    __slots__ = ("_timeout",)

    repeat: Final = 0.0

    def __init__(self, timeout: Timeout) -> None:
        self._timeout = timeout

    @property
    def loop(self) -> Any:
        """The loop that counts; None when it is closed."""
        return self._timeout._describe_timer()[0]

    @property
    def active(self) -> bool:
        """Whether it counts."""
        return self._timeout._describe_timer()[1]

    @property
    def pending(self) -> bool:
        """Whether its time is over, and it is about to fire."""
        return self._timeout._describe_timer()[2]

    @property
    def after(self) -> float:
        """The seconds."""
        return self._timeout._describe_timer()[3]

    @property
    def ref(self) -> bool:
        """Whether it keeps the loop running."""
        return self._timeout._describe_timer()[4]

    @property
    def priority(self) -> int:
        """What it was made with. The loop knows one priority."""
        return self._timeout._describe_timer()[5]

    @property
    def callback(self) -> Callable[..., object] | None:
        """What will be called, if it was started."""
        return self._timeout._on_expiration if self._timeout.pending else None

    @property
    def args(self) -> tuple[Any, ...] | None:
        """What that will be given."""
        return self._timeout._describe_timer()[6:] if self._timeout.pending else None

    def stop(self) -> None:
        """Stop counting."""
        self._timeout.cancel()

    def close(self) -> None:
        """Stop counting, for good."""
        self._timeout.close()

    def __repr__(self) -> str:
        state = "".join(f" {name}" for name in ("active", "pending") if getattr(self, name))
        return f"<timer of {self._timeout!r}{state}>"


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
