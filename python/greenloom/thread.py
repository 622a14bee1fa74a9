"""The standard ``_thread`` with greenlets in the place of threads; for :mod:`greenloom.monkey`.

Programs that want greenlets spawn them by :func:`greenloom.spawn`.
"""

from __future__ import annotations

import _thread as __thread__
import sys
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any, NoReturn
from weakref import ref

from greenloom._greenlet_class import Greenlet
from greenloom._greenloom import GreenletExit, LockBase, getcurrent
from greenloom._util import copy_globals
from greenloom.hub import sleep
from greenloom.local import local as _local  # noqa: F401

_HANDLES = sys.version_info >= (3, 13)

__target__ = "_thread"
__implements__ = [
    "allocate_lock",
    "get_ident",
    "exit",
    "LockType",
    "stack_size",
    "start_new_thread",
    "_local",
]
if _HANDLES:
    __implements__ += ["start_joinable_thread", "lock", "_ThreadHandle", "_make_thread_handle"]

_SMALLEST_STACK = 32768


def get_ident(gr: Any = None) -> int:
    """Return a number that names the current greenlet, or ``gr``, as long as it exists."""
    return _current_ident() if gr is None else id(gr)


def _current_ident() -> int:
    try:
        return id(getcurrent())
    except RuntimeError:
        # The interpreter ends, and what still runs asks whether a lock is its own: one number for all of it.
        return id(None)


def start_new_thread(
    function: Callable[..., object], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
) -> int:
    """Spawn a greenlet that calls ``function(*args, **kwargs)`` and return its identity."""
    return id(Greenlet.spawn(function, *args, **(kwargs or {})))


class _ThreadHandle:
    """What the threads of 3.13 and later know their greenlet by. Arguments are ignored, as they are there."""

    __slots__ = ("__weakref__", "_greenlet", "_started")

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        """Make the handle of a thread that has not been started."""
        self._started = False
        # Returns the greenlet, or None when that is done. Weak, as the entries of threading's tables go when the
        # greenlet does.
        self._greenlet: Callable[[], Any] = _no_greenlet

    def __repr__(self) -> str:
        where = f"{type(self).__module__}.{type(self).__qualname__} at {id(self):#x}"
        return f"<{where} greenlet={self._greenlet()!r}>"

    def _set_greenlet(self, glet: Any) -> None:
        self._started = True
        self._greenlet = ref(glet)

    @property
    def ident(self) -> int | None:
        """The identity of the greenlet, or None without one."""
        running = self._greenlet()
        return id(running) if running is not None else None

    def is_done(self) -> bool:
        """Whether the greenlet has ended."""
        return bool(getattr(self._greenlet(), "dead", True))

    def join(self, timeout: float | None = -1) -> None:
        """Wait until it has ended, at most ``timeout`` seconds; -1 or None is no limit.

        Raises :class:`RuntimeError` if it has not been started, or is the current greenlet.
        """
        self._check_started()
        target = self._greenlet()
        if target is getcurrent():
            raise RuntimeError("Cannot join current thread")
        limit = None if timeout == -1 else timeout
        if isinstance(target, Greenlet):
            target.join(limit)
        else:
            # The main greenlet, or another raw one: it does not tell when it ends.
            deadline = inf if limit is None else monotonic() + limit
            while not self.is_done() and monotonic() < deadline:
                sleep(0.001)

    def _set_done(self, enter_hub: bool = True) -> None:
        """Count it as ended. With ``enter_hub`` those who wait in :meth:`join` get a chance to see that."""
        self._check_started()
        self._greenlet = _no_greenlet
        if enter_hub:
            sleep(0.001)

    def _check_started(self) -> None:
        if not self._started:
            raise RuntimeError("thread not started")


def _no_greenlet() -> None:
    """Be the reference of a handle to no greenlet."""


def start_joinable_thread(
    function: Callable[[], object], handle: _ThreadHandle | None = None, daemon: bool = True
) -> _ThreadHandle:
    """Spawn a greenlet that calls ``function()``, and return its handle: ``handle``, if that is given.

    ``daemon`` is ignored. For threading, from 3.13 on.
    """
    handle = _ThreadHandle() if handle is None else handle
    if not isinstance(handle, _ThreadHandle):
        raise AssertionError("the handle must be one of ours")
    if handle._started:
        raise RuntimeError("thread already started")
    handle._set_greenlet(Greenlet.spawn(function))
    return handle


def _make_thread_handle(*_args: object) -> _ThreadHandle:
    """Return a handle of the current greenlet. The arguments name it, and are not needed."""
    current = _ThreadHandle()
    current._set_greenlet(getcurrent())
    return current


_acquire = LockBase.acquire


class LockType(LockBase):
    """A lock, with the interface of the interpreter's. It may be released by any greenlet or thread."""

    __slots__ = ()

    _TIMEOUT_MAX = __thread__.TIMEOUT_MAX
    _OVER_RELEASE_ERROR = __thread__.error

    def __init__(self) -> None:
        super().__init__()

    # Python, as a trace function shall see it; a `with` statement does without.
    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:  # type: ignore[override]
        """Acquire it and return true, or return false after ``timeout`` seconds; -1 waits without limit.

        If ``blocking`` is false it returns at once, but lets other greenlets run if it has failed, so that a loop
        that tries again and again comes to an end. Raises :class:`ValueError` and :class:`OverflowError` for a
        timeout as the interpreter's lock does.
        """
        return _acquire(self, blocking, timeout)

    def __init_subclass__(cls) -> None:
        raise TypeError(f"type '{LockType.__module__}.{LockType.__name__}' is not an acceptable base type")


allocate_lock = lock = LockType


def exit() -> NoReturn:
    """End the current greenlet."""
    raise GreenletExit


_native_stack_size = __thread__.stack_size


def stack_size(size: int | None = None) -> int:
    """Return the stack size of new native threads; ``size`` makes it larger, but never smaller.

    Raises :class:`ValueError` below 32768 bytes, as the interpreter does. 0 changes nothing.
    """
    current = _native_stack_size()
    if size is None or size == 0:
        return current if size is None else 0
    if size < _SMALLEST_STACK:
        raise ValueError(f"size not valid: {size} bytes")
    # Smaller ones would be for native threads that other parts of the program rely on.
    return _native_stack_size(size) if size > current else current


__imports__ = copy_globals(
    __thread__,
    globals(),
    only_names=[
        "error",
        "TIMEOUT_MAX",
        "allocate",
        "exit_thread",
        "interrupt_main",
        "start_new",
        "get_native_id",
        "daemon_threads_allowed",
        "RLock",
        "set_name",
    ],
    ignore_missing_names=True,
)

__all__ = [name for name in __implements__ + __imports__ if name != "_local"]
