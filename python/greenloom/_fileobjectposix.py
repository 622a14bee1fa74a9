"""File objects on non-blocking descriptors: pipes, sockets, terminals."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

from greenloom._fileobjectcommon import FileObjectBase, OpenDescriptor, WriteIsWriteallMixin, cancel_wait_ex
from greenloom._hub_local import get_hub_noargs as get_hub
from greenloom._hub_primitives import wait_on_watcher, wait_read, wait_write
from greenloom._socketcommon import close_descriptor
from greenloom.os import _close, _read, _write, make_nonblocking

if TYPE_CHECKING:
    from greenloom.hub import Hub


class GreenFileDescriptorIO(io.RawIOBase):
    """A raw stream that waits for its descriptor in the current greenlet only.

    ``name`` is what :class:`io.FileIO` has: the descriptor, or the path. Closing it raises
    :class:`~greenloom._socketcommon.cancel_wait_ex` in greenlets that wait on it.
    """

    name: Any
    mode: str

    def __init__(self, fileno: int, open_descriptor: OpenDescriptor, closefd: bool = True) -> None:
        super().__init__()
        self._fileno: int | None = fileno
        self._closefd = closefd
        #: An object that owns the descriptor, and whether to close it with us.
        self._owner: Any = None
        self._seekable: bool | None = None
        self._can_read = open_descriptor.can_read
        self._can_write = open_descriptor.can_write
        # Made when first waited on, which a regular file never is.
        self._reader: Any = None
        self._writer: Any = None
        self.name = fileno
        self.mode = open_descriptor.mode
        self.hub: Hub = get_hub()
        make_nonblocking(fileno)

    def fileno(self) -> int:
        """Return the descriptor. Raises ValueError if closed."""
        if self._fileno is None:
            raise ValueError("I/O operation on closed file")
        return self._fileno

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self.fileno())

    def readable(self) -> bool:
        """Whether it was opened for reading."""
        return self._can_read

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self._can_write

    def seekable(self) -> bool:
        """Whether the descriptor has a position."""
        if self._seekable is None:
            self._seekable = _has_position(self.fileno())
        return self._seekable

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position and return it, in bytes. Raises OSError where there is none."""
        return os.lseek(self.fileno(), offset, whence)

    def _wait_to_read(self) -> None:
        hub = get_hub()
        if hub is not self.hub:
            wait_read(self.fileno())
            return
        if self._reader is None:
            self._reader = hub.loop.io(self.fileno(), 1)
        wait_on_watcher(self._reader, None, None, hub)

    def _wait_to_write(self) -> None:
        hub = get_hub()
        if hub is not self.hub:
            wait_write(self.fileno())
            return
        if self._writer is None:
            self._writer = hub.loop.io(self.fileno(), 2)
        wait_on_watcher(self._writer, None, None, hub)

    def readinto(self, b: Any) -> int:
        """Wait for data and fill ``b`` with what is there; return how many bytes, 0 at the end."""
        if not self._can_read:
            raise io.UnsupportedOperation("read")
        while True:
            try:
                return os.readv(self.fileno(), (b,))
            except BlockingIOError:
                pass
            self._wait_to_read()

    def readall(self) -> bytes:
        """Return everything up to the end, or up to where another greenlet closes the file."""
        if not self._can_read:
            raise io.UnsupportedOperation("read")
        parts = []
        while self._fileno is not None:
            try:
                part = _read(self._fileno, io.DEFAULT_BUFFER_SIZE)
            except BlockingIOError:
                try:
                    self._wait_to_read()
                except cancel_wait_ex:
                    break
                continue
            if not part:
                break
            parts.append(part)
        return b"".join(parts)

    def write(self, b: Any) -> int:
        """Wait until some of ``b`` can be written; return how many bytes were."""
        if not self._can_write:
            raise io.UnsupportedOperation("write")
        while True:
            try:
                return _write(self.fileno(), b)
            except BlockingIOError:
                pass
            self._wait_to_write()

    def close(self) -> None:
        """Close the stream; the descriptor too, unless it belongs to somebody else."""
        if self.closed or self._fileno is None:
            return
        super().close()
        fd, self._fileno = self._fileno, None
        owner, self._owner = self._owner, None
        watchers = (self._reader, self._writer)
        self._reader = self._writer = None
        self.hub.cancel_waits_close_and_then(
            watchers, cancel_wait_ex, _finish_close, self.hub, fd if self._closefd else None, owner
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} fileno={self._fileno} mode={self.mode!r}>"


def _has_position(fd: int) -> bool:
    try:
        return os.lseek(fd, 0, os.SEEK_CUR) >= 0
    except OSError:
        return False


def _finish_close(hub: Hub, fd: int | None, owner: Any) -> None:
    if fd is not None:
        close_descriptor(hub, fd, _close)
    if hasattr(owner, "close"):
        owner.close()


class GreenFileDescriptorIOWriteall(WriteIsWriteallMixin, GreenFileDescriptorIO):
    """One whose ``write`` writes everything."""


class GreenOpenDescriptor(OpenDescriptor):
    """The arguments of :func:`open` for a file object on a non-blocking descriptor."""

    def _open_raw(self) -> GreenFileDescriptorIO:
        kind = GreenFileDescriptorIOWriteall if self._writes_all() else GreenFileDescriptorIO
        if self.is_fd():
            return kind(self._fobj, self, self.closefd)
        # A path, or an object that has the descriptor and closes it.
        owner = self._fobj if hasattr(self._fobj, "fileno") else io.FileIO(self._fobj, self.fileio_mode)
        stream = kind(owner.fileno(), self, closefd=False)
        stream._owner = owner
        try:
            stream.name = owner.name
        except AttributeError:
            del stream.name
        return stream


class FileObjectPosix(FileObjectBase):
    """A file object that is cooperative for pipes, sockets and terminals; it makes their descriptor non-blocking.

    A regular file is always ready for the system, and so blocks the thread: see
    :class:`~greenloom.fileobject.FileObjectThread`. ``fileio`` is the raw stream. The arguments are those of
    :func:`open`, the first of which may be a descriptor, a path, or an object with ``fileno()``.
    """

    default_bufsize = io.DEFAULT_BUFFER_SIZE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        descriptor = GreenOpenDescriptor(*args, **kwargs)
        super().__init__(descriptor)
        self.fileio: GreenFileDescriptorIO | None = descriptor.opened_raw()

    def _do_close(self, stream: Any, closefd: bool) -> None:
        raw, self.fileio = self.fileio, None
        try:
            stream.close()
        finally:
            if raw is not None:
                raw.close()
