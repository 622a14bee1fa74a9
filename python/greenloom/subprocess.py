"""Cooperative child processes: the standard :mod:`subprocess` module, in which only the current greenlet waits.

:class:`Popen` is the standard class, which starts the program. Its pipes are cooperative streams here, and its end
is seen by the loop. The functions are the standard ones too, with this Popen.
"""

from __future__ import annotations

import fcntl
import io
import os
import subprocess as __subprocess__
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from greenloom import os as _green_os
from greenloom._fileobjectposix import GreenOpenDescriptor
from greenloom._hub_local import get_hub_noargs as get_hub
from greenloom._rebound import rebound
from greenloom._util import copy_globals
from greenloom.event import AsyncResult
from greenloom.hub import getcurrent, linkproxy
from greenloom.selectors import GeventSelector

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    def __getattr__(name: str) -> Any:
        """Stand for what is copied from the standard library below."""


#: What is patched. The standard functions use the Popen that they find there.
__implements__ = ["Popen"]
__extra__ = ["call", "check_call", "check_output", "run", "getoutput", "getstatusoutput"]

__imports__ = copy_globals(
    __subprocess__, globals(), names_to_ignore=(*__implements__, *__extra__), dunder_names_to_keep=()
)
__all__ = [*__subprocess__.__all__]

mswindows = False

#: The number of descriptors that a process may have.
MAXFD = os.sysconf("SC_OPEN_MAX")

# Used by the standard code for talking to a child.
_PopenSelector = GeventSelector


def FileObject(*args: Any, **kwargs: Any) -> Any:
    """Return a file object of the configured kind: see :mod:`greenloom.fileobject`."""
    from greenloom.fileobject import FileObject as configured

    return configured(*args, **kwargs)


class Popen(__subprocess__.Popen):  # type: ignore[type-arg]
    """A :class:`subprocess.Popen` whose calls block only the current greenlet.

    It can be waited for by :func:`greenloom.wait` too. ``threadpool`` is for other systems and must be None.
    """

    # gevent has its readers here; here the greenlet that communicates reads itself.
    _communicating_greenlets: None = None

    result: AsyncResult[int]

    def __init__(
        self, args: Any, bufsize: Any = -1, *more: Any, threadpool: Any = None, **kwargs: Any
    ) -> None:
        if threadpool is not None:
            raise ValueError("threadpool is only supported on Windows platforms")
        loop = get_hub().loop
        # A program that ignores SIGCHLD would keep us from learning how children end.
        loop.install_sigchld()
        self.result = AsyncResult()
        super().__init__(args, bufsize, *more, **kwargs)
        _green_os._watch_child(self.pid, self._on_child, loop, ref=True, owned=True)
        size = -1 if bufsize is None or bufsize == 1 else bufsize
        self.stdin = _cooperative(self.stdin, "wb", size)
        self.stdout = _cooperative(self.stdout, "rb", size)
        self.stderr = _cooperative(self.stderr, "rb", size)

    def _get_handles(self, stdin: Any, stdout: Any, stderr: Any) -> Any:
        handles = super()._get_handles(stdin, stdout, stderr)  # type: ignore[misc]
        child_ends = handles[0], handles[3], handles[5]
        for standard, fd in enumerate(child_ends):
            _make_blocking(standard if fd == -1 else fd)
        return handles

    # ------------------------------------------------------------------------------------------- the end of it

    def _on_child(self, watcher: Any) -> None:
        self._handle_exitstatus(watcher.rstatus)  # type: ignore[attr-defined]
        self.result.set(self.returncode)

    def _internal_poll(self, _deadstate: Any = None, **_ignored: Any) -> int | None:
        if (
            self.returncode is None
            and _deadstate is None
            and not self._runs()
            and getcurrent() is not get_hub()
        ):
            # The loop has yet to hear of it.
            self.result.wait(1)
        return self.returncode

    def _runs(self) -> bool:
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def wait(self, timeout: float | None = None, _raise_exc: bool = True) -> int | None:  # type: ignore[override]
        """Wait until the process has ended and return its exit code, negative for a signal.

        Raises TimeoutExpired after ``timeout`` seconds.
        """
        if self.returncode is None:
            if timeout is not None and timeout <= 0:
                self._internal_poll()
            else:
                self.result.wait(timeout)
            if self.returncode is None and _raise_exc:
                raise __subprocess__.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    _wait = wait

    def rawlink(self, callback: Callable[[Popen], object]) -> None:
        """Call ``callback(self)`` in the hub when the process has ended."""
        self.result.rawlink(linkproxy(callback, self))

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process is known to have ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    # --------------------------------------------------------------------------------------------- its streams

    _communicate = rebound(__subprocess__.Popen._communicate, globals())  # type: ignore[attr-defined]

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Send ``input``, read both streams to their ends, wait, and return what was read.

        Raises TimeoutExpired after ``timeout`` seconds.
        """
        try:
            return super().communicate(input, timeout)
        except __subprocess__.TimeoutExpired as expired:
            # The standard one tells how much of the time was left when the streams had ended.
            expired.timeout = timeout or 0
            raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except RuntimeError:
                    # Another greenlet is reading it, in the buffer, which cannot be closed; what is under it can.
                    buffer: Any = getattr(pipe, "buffer", pipe)
                    buffer.raw.close()
        try:
            if self.stdin is not None:
                self.stdin.close()
        finally:
            if exc_type is not KeyboardInterrupt:
                self.wait()


def _make_blocking(fd: int) -> None:
    """Make ``fd`` what programs expect of their standard streams, even if it was ours before."""
    try:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        if flags & os.O_NONBLOCK:
            fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)
    except OSError:
        pass  # not open


def _cooperative(stream: Any, mode: str, bufsize: int) -> Any:
    """Return a cooperative stream in the place of one that the standard class has opened on its end of a pipe."""
    if stream is None:
        return None
    text: dict[str, Any] | None = None
    if isinstance(stream, io.TextIOWrapper):
        text = {
            "encoding": stream.encoding,
            "errors": stream.errors,
            "line_buffering": stream.line_buffering,
            "write_through": stream.write_through,
        }
        stream = stream.detach()
    raw = stream if isinstance(stream, io.RawIOBase) else stream.detach()
    green = GreenOpenDescriptor(raw, mode, bufsize, atomic_write=True).opened()
    return green if text is None else io.TextIOWrapper(green, **text)


for _name in __extra__:
    globals()[_name] = rebound(getattr(__subprocess__, _name), globals())
del _name


def _gevent_did_monkey_patch(*_args: object, **_kwargs: object) -> None:
    """Let :mod:`multiprocessing` start its processes by fork: the fork server's sockets are not cooperative."""
    if sys.version_info >= (3, 14):
        import multiprocessing

        multiprocessing.set_start_method("fork", force=True)
