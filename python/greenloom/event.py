"""Events and results: what greenlets and threads wait for until somebody says that it is there."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from greenloom._abstract_linkable import AbstractLinkable
from greenloom._util import _NONE
from greenloom.timeout import Timeout

__all__ = ["AsyncResult", "Event"]

T = TypeVar("T")

_ExcInfo = tuple[type[BaseException], BaseException, "TracebackType | None"]


class Event(AbstractLinkable):
    """A flag to wait for, with the interface of :class:`threading.Event`.

    Those who wait are woken in the order in which they came, each at most once for every time that the flag is
    set, even if it is cleared before they run. It may be set and waited for in any thread.
    """

    __slots__ = ("_flag",)

    def __init__(self) -> None:
        super().__init__()
        self._flag = False

    def __str__(self) -> str:
        state = "set" if self._flag else "clear"
        cls = type(self)
        return f"<{cls.__module__}.{cls.__name__} at 0x{id(self):x} {state} _links[{self.linkcount()}]>"

    def is_set(self) -> bool:
        """Whether the flag is set."""
        return self._flag

    def isSet(self) -> bool:
        """Do as :meth:`is_set`: the older name of threading."""
        return self._flag

    def ready(self) -> bool:
        """Do as :meth:`is_set`: the name that all objects to wait for have."""
        return self._flag

    def set(self) -> None:
        """Set the flag and wake everybody who waits for it, in a later turn of the loop."""
        self._flag = True
        if self._links or self._foreign:
            self._check_and_notify()

    def clear(self) -> None:
        """Take the flag back: whoever waits from now on waits for the next :meth:`set`."""
        self._flag = False

    def _wait_return_value(self, waited: bool, wait_success: bool) -> bool:
        # The flag itself may have been cleared since.
        return wait_success if waited else True

    def wait(self, timeout: float | Timeout | None = None) -> bool:
        """Wait until the flag is set, at most ``timeout`` seconds, and return whether it was."""
        return cast(bool, self._wait(timeout))

    def _reset_internal_locks(self) -> None:
        """Do nothing: threading calls it after a fork."""


class AsyncResult(AbstractLinkable, Generic[T]):
    """A value or an exception that will be there later, for any number of greenlets and threads to wait for.

    It may be set again, and then holds the new value. As a link, ``greenlet.link(result)``, it takes over what
    the greenlet ends with. It also has the methods of a :class:`concurrent.futures.Future`, except that
    ``exception`` is an attribute and that it cannot be cancelled.
    """

    __slots__ = ("_exc_info", "_value")

    def __init__(self) -> None:
        super().__init__()
        self._value: Any = _NONE
        self._exc_info: _ExcInfo | tuple[()] = ()

    def __str__(self) -> str:
        text = f"<{type(self).__name__} "
        if self._exc_info:
            text += f"value={self.value!r} exception={self._exc_info[1]!r} "
        elif self._value is _NONE:
            text += "unset "
        elif self._value is not None:
            text += f"value={self._value!r} "
        return f"{text} _links[{self.linkcount()}]>"

    @property
    def _exception(self) -> Any:
        return self._exc_info[1] if self._exc_info else _NONE

    @property
    def value(self) -> T | None:
        """The value, or None if there is none (yet)."""
        return None if self._value is _NONE else cast(T, self._value)

    @property
    def exception(self) -> BaseException | None:
        """The exception, or None if there is none (yet)."""
        return self._exc_info[1] if self._exc_info else None

    @property
    def exc_info(self) -> _ExcInfo | tuple[()]:
        """Type, exception and traceback as :func:`sys.exc_info` has them, or () if there is no exception (yet)."""
        return self._exc_info

    def ready(self) -> bool:
        """Whether there is a value or an exception."""
        return self._value is not _NONE or bool(self._exc_info)

    def successful(self) -> bool:
        """Whether there is a value."""
        return self._value is not _NONE

    def set(self, value: T | None = None) -> None:
        """Keep ``value`` and wake everybody who waits for it, in a later turn of the loop."""
        self._value = value
        if self._links or self._foreign:
            self._check_and_notify()

    def set_exception(self, exception: BaseException, exc_info: Any = None) -> None:
        """Keep ``exception``, to be raised by every :meth:`get`, and wake everybody who waits.

        ``exc_info``, as :func:`sys.exc_info` has it, is taken in its place, with its traceback, if it is given.
        """
        if exc_info:
            self._exc_info = (exc_info[0], exc_info[1], exc_info[2])
        else:
            self._exc_info = (type(exception), exception, None)
        if self._links or self._foreign:
            self._check_and_notify()

    def _raise_exception(self) -> None:
        if self._exc_info:
            # From the traceback as it was, or it would grow by every call.
            raise self._exc_info[1].with_traceback(self._exc_info[2])

    def get(self, block: bool = True, timeout: float | Timeout | None = None) -> T:
        """Return the value or raise the exception, waiting until there is one.

        Raises :class:`~greenloom.timeout.Timeout` after ``timeout`` seconds, and at once if there is nothing yet
        and ``block`` is false.
        """
        while self._value is _NONE:
            self._raise_exception()
            if not block:
                raise Timeout
            self._wait_core(timeout, ())
        return cast(T, self._value)

    def get_nowait(self) -> T:
        """Return the value or raise the exception; raise Timeout if there is neither yet."""
        return self.get(False)

    def wait(self, timeout: float | Timeout | None = None) -> T | None:
        """Wait until there is a value or an exception, at most ``timeout`` seconds.

        Returns the value, or None if there is none.
        """
        return cast("T | None", self._wait(timeout))

    def _wait_return_value(self, waited: bool, wait_success: bool) -> T | None:
        return self.value

    def __call__(self, source: Any) -> None:
        """Take over the result of ``source``, a finished greenlet or AsyncResult."""
        error = source.exception
        if error is None:
            self.set(source.value)
        else:
            self.set_exception(error, getattr(source, "exc_info", None))

    # The names of concurrent.futures.Future.

    set_result = set

    def result(self, timeout: float | Timeout | None = None) -> T:
        """Do as :meth:`get`."""
        return self.get(True, timeout)

    def done(self) -> bool:
        """Do as :meth:`ready`."""
        return bool(self.ready())

    def cancelled(self) -> bool:
        """Return false: it cannot be cancelled."""
        return False

    def cancel(self) -> bool:
        """Return false: it cannot be cancelled."""
        return False
