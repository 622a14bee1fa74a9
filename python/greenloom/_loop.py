"""The event loop: the extension's, with the watchers that need no speed written here.

A child watcher watches the process itself (a pidfd), so no SIGCHLD is needed, no other code's `waitpid` is disturbed,
and a process that ended before it was watched is seen all the same. A stat watcher looks at the file every `interval`
seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable

# By value: monkey patching puts others in the place of some of these, which wait for what this watches.
from posix import close as _close, pidfd_open as _pidfd_open, stat as _stat, waitpid as _waitpid
from types import TracebackType
from typing import Any

from greenloom._greenloom import loop as _Loop

READ = 1
"""What a pidfd becomes when its process ends: readable."""
LEAST_INTERVAL = 0.1
DEFAULT_INTERVAL = 5.0
"""Seconds between two looks at a file, as libev has them."""


class _Composite:
    """A watcher made of another one, whose event it turns into its own."""

    def __init__(self, loop: loop, ref: bool) -> None:
        self.loop = loop
        self.callback: Callable[..., object] | None = None
        self.args: tuple[Any, ...] | None = None
        self._ref = ref
        self._inner: Any = None

    def _arm(self) -> None:
        raise TypeError("a composite watcher has to be of a kind")

    @property
    def active(self) -> bool:
        """Whether it is started."""
        return self._inner is not None and bool(self._inner.active)

    @property
    def pending(self) -> bool:
        """Whether it is to be called in this turn."""
        return self._inner is not None and bool(self._inner.pending)

    @property
    def ref(self) -> bool:
        """Whether the loop goes on as long as this is active."""
        return self._ref

    @ref.setter
    def ref(self, value: bool) -> None:
        self._ref = bool(value)
        if self._inner is not None:
            self._inner.ref = self._ref

    def start(self, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback(*args)` when the event comes."""
        if not callable(callback):
            raise TypeError(f"Expected callable, not {callback!r}")
        self.callback, self.args = callback, args
        if not self.active:
            self._arm()

    def stop(self) -> None:
        """Stop watching, and forget what was to be called."""
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.close()
        self.callback = self.args = None

    def close(self) -> None:
        """Stop watching for good."""
        self.stop()

    def feed(self, _events: int, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback(*args)` in the next turn."""
        self.loop.run_callback(callback, *args)

    def _call(self) -> None:
        if self.callback is not None:
            self.callback(*(self.args or ()))

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class child(_Composite):
    """Watches a child process. When it has ended, `rpid` and `rstatus` say what `os.waitpid` would."""

    def __init__(self, loop: loop, pid: int, trace: int = 0, ref: bool = True) -> None:
        if pid <= 0:
            raise ValueError(f"pid must be that of one process, not {pid}")
        super().__init__(loop, ref)
        self.pid = pid
        self.rpid: int | None = None
        self.rstatus = 0
        self._pidfd = -1

    @property
    def rcode(self) -> int:
        """The status as a number to set: exit code times 256, or the signal."""
        return self.rstatus

    def _arm(self) -> None:
        try:
            self._pidfd = _pidfd_open(self.pid)
        except ProcessLookupError:
            # Somebody else has waited for it.
            self._inner = self.loop.timer(0, ref=self._ref)
            self._inner.start(self._ended)
            return
        self._inner = self.loop.io(self._pidfd, READ, ref=self._ref)
        self._inner.start(self._ended)

    def _ended(self) -> None:
        try:
            pid, status = _waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = self.pid, 0
        if pid == 0:
            return
        self.rpid, self.rstatus = pid, status
        callback, args = self.callback, self.args
        self.stop()
        if callback is not None:
            callback(*(args or ()))

    def stop(self) -> None:
        """Stop watching; the process goes on."""
        super().stop()
        pidfd, self._pidfd = self._pidfd, -1
        if pidfd >= 0:
            _close(pidfd)


class stat(_Composite):
    """Watches what `os.stat` says of a path: `attr` is what it says now and `prev` before, None if there is no file."""

    def __init__(self, loop: loop, path: str, interval: float = 0.0, ref: bool = True) -> None:
        super().__init__(loop, ref)
        self.path = os.fspath(path)
        self._paths = os.fsencode(self.path)
        self.interval = interval
        self.attr: os.stat_result | None = None
        self.prev: os.stat_result | None = None

    def _look(self) -> os.stat_result | None:
        try:
            return _stat(self.path)
        except OSError:
            return None

    def _arm(self) -> None:
        self.attr = self.prev = self._look()
        # From now on it is the one that is kept to.
        self.interval = max(self.interval, LEAST_INTERVAL) if self.interval > 0 else DEFAULT_INTERVAL
        self._inner = self.loop.timer(self.interval, self.interval, ref=self._ref)
        self._inner.start(self._compare)

    def _compare(self) -> None:
        now = self._look()
        if _identity(now) != _identity(self.attr):
            self.prev, self.attr = self.attr, now
            self._call()


def _identity(result: os.stat_result | None) -> tuple[Any, ...] | None:
    """What of a file's state counts as a change: all but when it was read."""
    if result is None:
        return None
    return (result.st_ino, result.st_dev, result.st_mode, result.st_nlink, result.st_size, result.st_mtime_ns)


class loop(_Loop):
    """An event loop: see `greenloom.core`."""

    def child(self, pid: int, trace: int = 0, ref: bool = True) -> child:
        """Watch the child process `pid`."""
        return child(self, pid, trace, ref)

    def stat(self, path: str, interval: float = 0.0, ref: bool = True, priority: int | None = None) -> stat:
        """Watch the file at `path`, looking every `interval` seconds (0: 5 seconds)."""
        return stat(self, path, interval, ref)


# A name that Python has taken for itself since.
setattr(loop, "async", loop.async_)
