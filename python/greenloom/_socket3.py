"""The cooperative socket class.

It is the standard library's class with every call that may block rewritten: the descriptor is non-blocking for
good, the system call is tried at once, and only if it would block does the greenlet wait for the descriptor
and try again. What cannot block is inherited. The timeout that the program sees is kept apart, so that the C
code underneath always believes that it may not block.

The calls that programs spend their time in are the extension's (``SocketBase``). Greenlets that wait in one wait
without a watcher, until somebody asks for the watcher.
"""

from __future__ import annotations

import io
import os
import socket as __socket__
from _socket import socket as _native, socketpair as _socketpair
from errno import EAGAIN, EALREADY, EINPROGRESS, EISCONN
from os import close as _close, dup, strerror
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenloom._greenloom import getcurrent, make_socket_base, set_socket_class
from greenloom._hub_local import get_hub_noargs as get_hub
from greenloom._socketcommon import (
    _resolve_addr,
    as_bytes,
    as_enum,
    cancel_wait_ex,
    close_descriptor,
    timeout_default,
    wait_read,
    wait_write,
)
from greenloom.exceptions import ConcurrentObjectUseError
from greenloom.timeout import Timeout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO

    from typing_extensions import Buffer

    from greenloom._greenloom import SocketBase
    from greenloom.hub import Hub
else:
    SocketBase = make_socket_base(__socket__.socket, timeout_default)

_recvfrom_into = _native.recvfrom_into
_recvmsg = _native.recvmsg
_recvmsg_into = _native.recvmsg_into
_sendmsg = _native.sendmsg
_fileno = _native.fileno
_family = _native.family.__get__
_type = _native.type.__get__
_proto = _native.proto.__get__

SocketIO = __socket__.SocketIO

#: Longest pause, in seconds, between attempts to connect to a Unix socket whose backlog is full.
_BACKLOG_PAUSE = 0.05


class _Unwaiting:
    """The inherited methods of a socket."""

    __slots__ = ("__weakref__", "_inherited")

    def __init__(self, inherited: Any) -> None:
        self._inherited = inherited

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inherited, name)


class socket(SocketBase):
    """A :class:`socket.socket` whose calls block only the current greenlet.

    ``timeout`` is in seconds: None waits for ever, 0.0 never waits. It counts for each call, and expires with
    :class:`TimeoutError`. Two greenlets that wait to read one socket, or to write it, are an error
    (``ConcurrentObjectUseError``); one may read while another writes. Closing the socket raises
    :class:`~greenloom._socketcommon.cancel_wait_ex` in the greenlets that wait on it.
    """

    __slots__ = ()

    hub: Hub
    timeout: float | None
    # Made when somebody asks for them.
    _reader: Any
    _writer: Any

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        self._reader = self._writer = None
        self.timeout = None
        super().__init__(family, type, proto, fileno)
        _native.setblocking(self, False)
        self.timeout = __socket__.getdefaulttimeout()
        self.hub = get_hub()

    # ---------------------------------------------------------------------------------------------- watchers

    @property
    def _sock(self) -> Any:
        """This socket's calls as they are without us: they never wait but raise :class:`BlockingIOError`."""
        return _Unwaiting(super(SocketBase, self))

    @property
    def _read_event(self) -> Any:
        if self._reader is None and (fd := _fileno(self)) >= 0:
            self._reader = self.hub.loop.io(fd, 1)
            self._expose_wait(1)
        return self._reader

    @property
    def _write_event(self) -> Any:
        if self._writer is None and (fd := _fileno(self)) >= 0:
            self._writer = self.hub.loop.io(fd, 2)
            self._expose_wait(2)
        return self._writer

    @property
    def ref(self) -> bool:
        """Whether a greenlet that waits on this socket keeps the loop running. True to begin with."""
        return bool(self._read_event.ref or self._write_event.ref)

    @ref.setter
    def ref(self, value: bool) -> None:
        self._read_event.ref = value
        self._write_event.ref = value

    def _wait(
        self, watcher: Any, timeout_exc: BaseException | None = None, timeout: Any = timeout_default
    ) -> None:
        """Wait on one of the two watchers; raises ``timeout_exc`` if the timeout (by default ours) expires."""
        if watcher is None:
            raise ConcurrentObjectUseError("The socket has been closed by another greenlet")
        if timeout is timeout_default:
            timeout = self.timeout
        hub = get_hub()
        if hub is not self.hub:
            # The watchers belong to the loop of the thread that made the socket, or of a hub since destroyed.
            wait = wait_read if watcher is self._reader else wait_write
            wait(_fileno(self), timeout, timeout_exc or TimeoutError("timed out"))
            return
        if watcher.callback is not None:
            raise ConcurrentObjectUseError(
                f"This socket is already used by another greenlet: {watcher.callback!r}"
            )
        if timeout is None:
            hub.wait(watcher)
            return
        # What a Timeout does, without the object: this is on the way of every read with a timeout.
        timer = hub.loop.timer(timeout, priority=-1)
        timer.start(getcurrent().throw, timeout_exc or TimeoutError("timed out"), update=True)
        try:
            hub.wait(watcher)
        finally:
            timer.close()

    def _may_wait(self, busy: BlockingIOError) -> None:
        """Raise the system's answer if the socket must not wait for another."""
        if self.timeout == 0.0:
            raise busy

    # ----------------------------------------------------------------------------------------------- options

    def settimeout(self, value: float | None) -> None:
        """Let calls wait for ``value`` seconds; None is for ever, 0 not at all. Raises ValueError if negative."""
        if value is not None:
            try:
                value = value.__float__()
            except AttributeError:
                raise TypeError(f"a number of seconds or None is required, not {value!r}") from None
            if not value >= 0.0:
                raise ValueError("Timeout value out of range")
        self.timeout = value

    def gettimeout(self) -> float | None:
        """Return the timeout in seconds, or None."""
        return self.timeout

    def setblocking(self, flag: bool) -> None:
        """Let calls wait for ever, or not at all. Raises OSError if the socket is closed."""
        _native.setblocking(self, False)
        self.timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        """Return whether calls may wait."""
        return self.timeout != 0.0

    # ------------------------------------------------------------------------------------------ connections

    def accept(self) -> tuple[socket, Any]:
        """Wait for a connection; return a new socket for it, and the address of the other side."""
        fd, address = self._accept_waiting()
        return socket(_family(self), _type(self), _proto(self), fd), address

    def connect(self, address: Any) -> None:
        """Connect to ``address``. Raises OSError, or TimeoutError after the socket's timeout."""
        self._internal_connect(address)

    def connect_ex(self, address: Any) -> int:
        """Connect as :meth:`connect` does, but return the error's number (0: connected) where there is one."""
        try:
            self._internal_connect(address)
        except __socket__.gaierror:
            raise
        except TimeoutError as error:
            # Ours has no number, the system's has.
            return error.errno or EAGAIN
        except OSError as error:
            if not error.errno:
                raise
            return error.errno
        return 0

    def _internal_connect(self, address: Any) -> None:
        # `connect_ex` must not go through a `connect` that a subclass overrides.
        if self.timeout == 0.0:
            _native.connect(self, address)
            return
        address = _resolve_addr(self, address)
        if self.timeout is None:
            self._keep_connecting(address)
            return
        with Timeout.start_new(self.timeout, TimeoutError("timed out")):
            self._keep_connecting(address)

    def _keep_connecting(self, address: Any) -> None:
        pause = 0.001
        while True:
            code = _native.connect_ex(self, address)
            if not code or code == EISCONN:
                return
            if code == EAGAIN and self.family == __socket__.AF_UNIX:
                # The backlog is full, which no event of ours will end.
                with self.hub.loop.timer(pause) as timer:
                    self.hub.wait(timer)
                pause = min(2 * pause, _BACKLOG_PAUSE)
                continue
            if code not in (EINPROGRESS, EALREADY, EAGAIN):
                raise OSError(code, strerror(code))
            self._until_writable(None, None)
            code = self.getsockopt(__socket__.SOL_SOCKET, __socket__.SO_ERROR)
            if code:
                raise OSError(code, strerror(code))

    def shutdown(self, how: int) -> None:
        """Shut down reading, writing or both; greenlets that wait for it get ``cancel_wait_ex``."""
        self._expose_waits()
        if how != __socket__.SHUT_WR:
            self.hub.cancel_wait(self._reader, cancel_wait_ex)
        if how != __socket__.SHUT_RD:
            self.hub.cancel_wait(self._writer, cancel_wait_ex)
        _native.shutdown(self, how)

    # --------------------------------------------------------------------------------------------- receiving

    def recvfrom_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """Wait for data and put it into ``buffer``; return how many bytes, and the sender's address."""
        while True:
            try:
                return _recvfrom_into(self, buffer, nbytes, flags)
            except BlockingIOError as busy:
                self._may_wait(busy)
            self._until_readable()

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[Any], int, Any]:
        """Wait for a message; return ``(data, ancillary data, flags, sender's address)``."""
        while True:
            try:
                return _recvmsg(self, bufsize, ancbufsize, flags)
            except BlockingIOError as busy:
                self._may_wait(busy)
            self._until_readable()

    def recvmsg_into(
        self, buffers: Iterable[Buffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[Any], int, Any]:
        """Wait for a message and scatter it over ``buffers``; return its length and what :meth:`recvmsg` does."""
        buffers = buffers if isinstance(buffers, (list, tuple)) else list(buffers)
        while True:
            try:
                return _recvmsg_into(self, buffers, ancbufsize, flags)
            except BlockingIOError as busy:
                self._may_wait(busy)
            self._until_readable()

    # ----------------------------------------------------------------------------------------------- sending

    def _send_from(self, data: Buffer, sent: int, flags: int) -> None:
        """Send the rest of ``data`` by :meth:`send`, which a subclass may have replaced."""
        self._send_rest(as_bytes(data)[sent:], flags)

    def _send_rest(self, view: memoryview, flags: int) -> None:
        left = len(view)
        timeout = self.timeout
        if timeout is None or timeout == 0.0:
            while left:
                left -= self.send(view[-left:], flags)
            return
        deadline = monotonic() + timeout
        while left:
            left -= self.send(view[-left:], flags, timeout)
            # A fast reader and a big buffer may never make us wait, so the clock is looked at in any case.
            timeout = deadline - monotonic()
            if left and timeout <= 0.0:
                raise TimeoutError("timed out")

    def _sendto_resolved(self, address: Any) -> Any:
        # A name in the address would otherwise be looked up by the system call, which blocks the thread.
        return _resolve_addr(self, address)

    def sendmsg(
        self, buffers: Iterable[Buffer], ancdata: Iterable[Any] = (), flags: int = 0, address: Any = None, /
    ) -> int:
        """Wait until a message can be sent and return how many bytes of it were."""
        buffers = buffers if isinstance(buffers, (list, tuple)) else list(buffers)
        ancdata = ancdata if isinstance(ancdata, (list, tuple)) else list(ancdata)
        while True:
            try:
                return _sendmsg(self, buffers, ancdata, flags, address)
            except BlockingIOError:
                if self.timeout == 0.0 or flags & __socket__.MSG_DONTWAIT:
                    raise
            self._until_writable()

    def _sendfile_use_sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        self._check_sendfile_params(file, offset, count)  # type: ignore[attr-defined]
        give_up = __socket__._GiveupOnSendfile  # type: ignore[attr-defined]
        try:
            source = file.fileno()
            size = os.fstat(source).st_size
        except (AttributeError, OSError, io.UnsupportedOperation) as error:
            raise give_up(error) from None
        if self.timeout == 0.0:
            raise ValueError("non-blocking sockets are not supported")
        if not size:
            return 0
        start = offset
        # The system call takes 32 bits; a turn of this size is long enough.
        end = offset + (count if count is not None else max(size - offset, 0))
        try:
            while offset < end:
                try:
                    sent = os.sendfile(_fileno(self), source, offset, min(end - offset, 1 << 30))
                except BlockingIOError:
                    self._until_writable()
                    continue
                except OSError as error:
                    if offset == start:
                        # Not a file that can be mapped.
                        raise give_up(error) from None
                    raise
                if not sent:
                    break
                offset += sent
        finally:
            if offset > start and hasattr(file, "seek"):
                file.seek(offset)
        return offset - start

    # ----------------------------------------------------------------------------------------------- closing

    def dup(self) -> socket:
        """Return a new socket for the same connection, with the same timeout."""
        copy = self.__class__(self.family, self.type, self.proto, dup(_fileno(self)))
        copy.settimeout(self.gettimeout())
        return copy

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` or :meth:`detach` was called; the descriptor may still serve a ``makefile``."""
        return self._closed

    def detach(self) -> int:
        """Close the object but not the descriptor, and return that, or -1 if it was closed."""
        self._closed = True
        self._disown()
        fd = _native.detach(self)
        if fd >= 0:
            self._release(None)
        return fd

    def _real_close(self, _ss: Any = _native) -> None:
        # Takes the descriptor away from the object at once, so that no call finds it after `close`; it is
        # really closed when those who wait on it have been told.
        self._disown()
        fd = _ss.detach(self)
        if fd >= 0:
            self._release(fd)

    def _release(self, fd: int | None) -> None:
        watchers = (self._reader, self._writer)
        self._reader = self._writer = None
        hub = self.hub
        if fd is None:
            hub.cancel_waits_close_and_then(watchers, cancel_wait_ex, int)
        else:
            hub.cancel_waits_close_and_then(watchers, cancel_wait_ex, close_descriptor, hub, fd, _close)

    @property
    def family(self) -> Any:
        """The address family."""
        return as_enum(_family(self), __socket__.AddressFamily)

    @property
    def type(self) -> Any:
        """The socket's kind."""
        return as_enum(_type(self), __socket__.SocketKind)


set_socket_class(socket)

SocketType = socket


def fromfd(fd: int, family: int, type: int, proto: int = 0) -> socket:
    """Return a socket for a duplicate of ``fd``; the other arguments are those of :class:`socket`."""
    return socket(family, type, proto, dup(fd))


def socketpair(
    family: int | None = None, type: int = __socket__.SOCK_STREAM, proto: int = 0
) -> tuple[socket, socket]:
    """Return two sockets connected to each other, Unix ones unless another ``family`` is given."""
    pair = _socketpair(__socket__.AF_UNIX if family is None else family, type, proto)
    left, right = (socket(end.family, end.type, end.proto, end.detach()) for end in pair)
    return left, right
