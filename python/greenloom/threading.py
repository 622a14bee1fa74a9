"""The standard :mod:`threading` with greenlets in the place of threads; for :mod:`greenloom.monkey`.

Importing it changes nothing. When it is used to patch, ``threading``'s table of threads and its handlers for
forks are told about greenlets.
"""

from __future__ import annotations

import os
import sys
import threading as __threading__
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any
from weakref import ref

from greenloom._greenloom import getcurrent as getcurrent
from greenloom.hub import sleep as _sleep  # noqa: F401
from greenloom.local import local as local
from greenloom.lock import RLock as RLock
from greenloom.thread import (
    _make_thread_handle as _make_thread_handle,
    _ThreadHandle as _ThreadHandle,
    allocate_lock,
    get_ident,
    start_joinable_thread,
    start_new_thread,
)

PY313 = sys.version_info >= (3, 13)

__implements__ = [
    "local",
    "_allocate_lock",
    "Lock",
    "_DummyThread",
    "Thread",
    "Timer",
    "get_ident",
    # None there makes threading's RLock the one that is written in Python, on top of the patched locks.
    "_CRLock",
]
__extensions__: list[str] = []
if PY313:
    __implements__ += ["_start_joinable_thread", "_ThreadHandle", "_make_thread_handle"]
    __extensions__.append("_set_sentinel")
else:
    # The lock by which the interpreter tells that a thread has ended.
    __implements__ += ["_start_new_thread", "_set_sentinel"]

# The names that threading has them by.
_allocate_lock = Lock = _set_sentinel = allocate_lock
_get_ident = get_ident
_start_new_thread = start_new_thread
_start_joinable_thread = start_joinable_thread
_CRLock = None

#: threading's own tables and classes, typed so that its private names can be used.
_stdlib: Any = __threading__
_MainThread: Any = _stdlib._MainThread


def _cleanup(g: Any) -> None:
    """Be the link of a Greenlet that has a dummy thread."""
    _stdlib._active.pop(get_ident(g), None)


def _forget_ident(ident: int) -> Callable[[object], None]:
    def forget(_: object) -> None:
        _stdlib._active.pop(ident, None)

    return forget


_started_event = __threading__.Event()
_started_event.set()


class _DummyThread(_stdlib._DummyThread):  # type: ignore[misc]
    """Stands in ``threading`` for a greenlet that is not a Thread's, and goes when the greenlet does.

    Many programs ask for the current thread in every greenlet: each record of :mod:`logging` does. So what all of
    these have in common is on the class, and the standard initialiser, which makes an event and locks, not called.
    """

    _is_stopped = _stopped = False
    _initialized = True
    _daemonic = True
    _args: tuple[Any, ...] = ()
    _kwargs: Any = None
    _target: Any = None
    _ident: int | None = None
    _started = _started_event
    _tstate_lock: Any = None

    #: Whether a fork makes the interpreter turn the current dummy into a main thread by changing its class.
    _NEEDS_CLASS_FORK_FIXUP = sys.version_info >= (3, 12, 2) or (3, 11, 8) <= sys.version_info < (3, 12)

    #: What the standard class calls the handle of its thread; None where there are no handles.
    _G_HANDLE_NAME: str | None = next(
        (name for name in ("_handle", "_os_thread_handle") if hasattr(__threading__.main_thread(), name)),
        None,
    )

    def __init__(self) -> None:
        self._name = _stdlib._newname("Dummy-%d")
        self._native_id = __threading__.get_native_id()
        self._set_ident()
        if self._G_HANDLE_NAME is not None:
            setattr(self, self._G_HANDLE_NAME, _make_thread_handle())
        greenlet = getcurrent()
        ident = get_ident(greenlet)
        _stdlib._active[ident] = self
        rawlink = getattr(greenlet, "rawlink", None)
        if rawlink is not None:
            rawlink(_cleanup)
        else:
            # A raw greenlet does not tell when it ends.
            self._raw_ref = ref(greenlet, _forget_ident(ident))

    def _stop(self) -> None:
        pass

    def _wait_for_tstate_lock(self, *args: Any, **kwargs: Any) -> None:
        pass

    if _NEEDS_CLASS_FORK_FIXUP:
        # It would be a main thread without what the initialiser makes, and fail at every use. The handler for forks
        # below makes a new main thread instead.

        @property
        def __class__(self) -> Any:
            return type(self)

        @__class__.setter
        def __class__(self, new_class: Any) -> None:
            if new_class is not _MainThread:
                object.__dict__["__class__"].__set__(self, new_class)


def main_native_thread() -> Any:
    """Return the object of the main thread."""
    return __threading__.main_thread()


class Thread(__threading__.Thread):
    """A thread that is a greenlet."""

    if not PY313:
        # Up to 3.12 the interpreter releases this lock when a thread's state goes, which a greenlet has not.

        def _set_tstate_lock(self) -> None:
            super()._set_tstate_lock()  # type: ignore[misc]
            greenlet: Any = getcurrent()
            greenlet.rawlink(self._greenlet_finished)

        def _wait_for_tstate_lock(self, block: bool = True, timeout: float = -1) -> None:
            # The standard one takes an exception that ends the wait, such as a kill, for one that came after it, and
            # then says of a thread that runs that it has ended.
            thread: Any = self
            lock = thread._tstate_lock
            if lock is not None and lock.acquire(block, timeout):
                lock.release()
                thread._stop()

        def _greenlet_finished(self, _: object) -> None:
            thread: Any = self
            if thread._tstate_lock:
                thread._tstate_lock.release()
                thread._stop()

        def _wait_for_tstate_lock(self, block: bool = True, timeout: float = -1) -> None:
            # The standard method takes whatever is raised here for an interrupt that came after the lock was got, and
            # counts the thread as ended. A greenlet may be killed where it waits for it.
            thread: Any = self
            lock = thread._tstate_lock
            if lock is not None and lock.acquire(block, timeout):
                lock.release()
                thread._stop()


class Timer(Thread, __threading__.Timer):
    """A timer that is a greenlet."""


# What happens at a fork, if threading is patched. The handlers run around threading's own, which came first.

_threads_before_fork: list[Any] = []


def _before_fork() -> None:
    """Note who is there. The current greenlet has to be, as the only one that the child will know."""
    _threads_before_fork[:] = [__threading__.current_thread(), *_stdlib._active.values()]


def _after_fork_in_child() -> None:
    """Make the current greenlet the main thread, and count all others as ended."""
    survivor, *threads = _threads_before_fork
    _threads_before_fork.clear()
    for thread in threads:
        if thread is not survivor:
            _count_as_ended(thread)
    main = _MainThread()
    main._ident = get_ident()
    _stdlib._main_thread = main
    _stdlib._active.clear()
    _stdlib._active[main._ident] = main


def _count_as_ended(thread: Any) -> None:
    # Its greenlet is not killed: what it would do on the way out has to happen once, in the parent. Up to 3.12
    # threading itself marks the thread; after that the handle tells.
    handle = getattr(thread, _DummyThread._G_HANDLE_NAME or "", None)
    if isinstance(handle, _ThreadHandle) and handle._started:
        # Nothing else may run at this moment.
        handle._set_done(enter_hub=False)


def _gevent_will_monkey_patch(
    native_module: ModuleType, items: Iterable[str], warn: Callable[[str], object]
) -> None:
    """Before patching: let the main thread be found by the identity of the greenlet that it runs."""
    main: Any = main_native_thread()
    if main != __threading__.current_thread():
        warn(
            "Monkey-patching outside the main native thread. Some APIs will not be available. Expect a KeyError to "
            "be printed at shutdown."
        )
        return
    native, main._ident = main._ident, get_ident()
    _stdlib._active.pop(native, None)
    _stdlib._active[main._ident] = main
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
