"""What the cooperative file objects share: reading the arguments of ``open``, and standing for an ``io`` object.

A file object holds the stack of standard ``io`` objects (raw, buffered, text) that :class:`OpenDescriptor` builds
and hands their methods out. The kinds differ in the raw object at the bottom, and in where a method runs.
"""

from __future__ import annotations

import functools
import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from errno import EBADF
from typing import Any

from greenloom._hub_local import get_hub_noargs as get_hub
from greenloom._socketcommon import cancel_wait_ex as cancel_wait_ex
from greenloom.lock import DummySemaphore, Semaphore


class FileObjectClosed(OSError):
    """Raised by the methods of a file object that has been closed. ``errno`` is EBADF."""

    def __init__(self) -> None:
        super().__init__(EBADF, "Bad file descriptor (FileObject was closed)")


class WriteallMixin:
    """Gives a raw stream, whose ``write`` may write less than it is given, a method that writes it all."""

    def writeall(self, value: Any) -> int:
        """Write all of ``value``, in as many calls as it takes, and return its length in bytes."""
        write: Callable[[Any], int] = super().write  # type: ignore[misc]
        with memoryview(value) as view, view.cast("B") as left:
            total = len(left)
            written = 0
            while written < total:
                written += write(left[written:])
        return total


class WriteIsWriteallMixin(WriteallMixin):
    """Makes ``write`` itself write everything."""

    def write(self, value: Any) -> int:
        """Write all of ``value`` and return its length in bytes."""
        return self.writeall(value)


class WriteallFileIO(WriteIsWriteallMixin, io.FileIO):
    """A raw file whose ``write`` writes everything."""


def _one_of(name: str, value: Any, old_name: str, old_value: Any, default: Any) -> Any:
    """Return an argument that has two names, of which not both may be given."""
    if value is not None and old_value is not None:
        raise TypeError(f"Cannot specify both {name}={value} and {old_name}={old_value}")
    given = value if value is not None else old_value
    return default if given is None else given


def _check_type(name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"invalid {name}: {value!r}")


class OpenDescriptor:
    """The arguments of :func:`open`, checked, and the stream that they ask for.

    ``fobj`` is a descriptor, a path, or an object with ``fileno()``. ``bufsize`` and ``close`` are older names
    of ``buffering`` and ``closefd``. With ``atomic_write``, ``write`` of an unbuffered stream writes everything.
    Raises TypeError or ValueError as :func:`open` does.
    """

    default_buffer_size = io.DEFAULT_BUFFER_SIZE

    def __init__(
        self,
        fobj: Any,
        mode: str = "r",
        bufsize: int | None = None,
        close: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        buffering: int | None = None,
        closefd: bool | None = None,
        atomic_write: bool = False,
    ) -> None:
        closefd = _one_of("closefd", closefd, "close", close, True)
        buffering = _one_of("buffering", buffering, "bufsize", bufsize, -1)
        if not hasattr(fobj, "fileno") and not isinstance(fobj, int):
            fobj = os.fspath(fobj)
            closefd = True
        _check_type("mode", mode, str)
        _check_type("buffering", buffering, int)
        for name, value in (("encoding", encoding), ("errors", errors)):
            if value is not None:
                _check_type(name, value, str)
        self._parse_mode(mode)
        if self.binary:
            for name, value in (("encoding", encoding), ("errors", errors), ("newline", newline)):
                if value is not None:
                    article = "a" if name == "newline" else "an"
                    raise ValueError(f"binary mode doesn't take {article} {name} argument")
            if buffering == 1:
                warnings.warn(
                    "line buffering (buffering=1) isn't supported in binary mode, the default buffer size will be used",
                    RuntimeWarning,
                    stacklevel=4,
                )
        self._fobj = fobj
        self.closefd = bool(closefd)
        self.buffering: int = buffering
        self.atomic_write = atomic_write
        self._text_arguments = (encoding, errors, newline)
        self._raw: Any = None
        self._stream: Any = None

    def _parse_mode(self, mode: str) -> None:
        letters = set(mode)
        if letters - set("axrwb+tU") or len(mode) > len(letters):
            raise ValueError(f"invalid mode: {mode!r}")
        self.universal = "U" in letters
        if self.universal:
            if letters & set("xwa+"):
                raise ValueError("mode U cannot be combined with 'x', 'w', 'a', or '+'")
            letters.add("r")
        self.text = "t" in letters
        self.binary = "b" in letters
        if self.text and self.binary:
            raise ValueError("can't have text and binary mode at once")
        kinds = [letter for letter in "xrwa" if letter in letters]
        if len(kinds) > 1:
            raise ValueError("can't have read/write/append mode at once")
        if not kinds:
            raise ValueError("must have exactly one of read/write/append mode")
        self.updating = "+" in letters
        self.can_read = kinds == ["r"] or self.updating
        self.can_write = kinds != ["r"] or self.updating
        #: What :class:`io.FileIO` takes, and what the program sees.
        self.fileio_mode = kinds[0] + "+" * self.updating
        self.mode = self.fileio_mode + "t" * self.text + "b" * self.binary

    def is_fd(self) -> bool:
        """Whether the file was given by its descriptor."""
        return isinstance(self._fobj, int)

    def opened(self) -> Any:
        """Return the stream that the program is to use; opened when first asked for."""
        if self._stream is None:
            raw = self.opened_raw()
            try:
                self._stream = self._stack_on(raw)
            except BaseException:
                if raw is not self._fobj:
                    raw.close()
                raise
        return self._stream

    def opened_raw(self) -> Any:
        """Return the stream at the bottom; opened when first asked for."""
        if self._raw is None:
            self._raw = self._open_raw()
        return self._raw

    def _open_raw(self) -> Any:
        given = self._fobj
        if isinstance(given, (int, str, bytes)):
            kind = WriteallFileIO if self._writes_all() else io.FileIO
            return kind(given, self.fileio_mode, self.closefd)
        return given

    def _writes_all(self) -> bool:
        return self.atomic_write and self.binary and self.buffering == 0

    def _stack_on(self, raw: Any) -> Any:
        if self.binary and isinstance(raw, io.TextIOBase):
            # Reading past the text layer would miss what that has read ahead.
            raise ValueError("Unable to perform binary IO on top of text IO stream")
        stream = raw
        buffering = self.buffering
        by_line = buffering == 1 or (buffering < 0 and raw.isatty())
        if by_line or buffering < 0:
            buffering = self.buffer_size_for_stream(raw)
        if buffering and not self.is_buffered(raw):
            stream = self._buffered(raw, buffering)
        if not self.binary and not isinstance(raw, io.TextIOBase):
            stream = io.TextIOWrapper(stream, *self._text_arguments, line_buffering=by_line)
        if stream is not self._fobj:
            # Where it is read-only, it is right.
            with suppress(AttributeError):
                stream.mode = self.mode
        return stream

    def _buffered(self, raw: Any, size: int) -> Any:
        if self.updating:
            return io.BufferedRandom(raw, size)
        return io.BufferedWriter(raw, size) if self.can_write else io.BufferedReader(raw, size)

    @staticmethod
    def is_buffered(stream: Any) -> bool:
        """Whether the stream has a buffer already."""
        return (
            isinstance(stream, (io.BufferedIOBase, io.TextIOBase))
            or getattr(stream, "buffer", None) is not None
        )

    @classmethod
    def buffer_size_for_stream(cls, stream: Any) -> int:
        """Return the size of a buffer, in bytes, that suits the stream's device."""
        try:
            size = os.fstat(stream.fileno()).st_blksize
        except (OSError, AttributeError):
            return cls.default_buffer_size
        return size if size > 1 else cls.default_buffer_size


class _ClosedIO:
    """Stands where the stream was: only its name is left, if it had one."""

    def __init__(self, stream: Any) -> None:
        if hasattr(stream, "name"):
            self.name = stream.name

    def __getattr__(self, wanted: str) -> Any:
        raise AttributeError(wanted) if wanted == "name" else FileObjectClosed()


#: The methods of the stream that a file object has as its own.
_METHODS = frozenset(
    (
        *("fileno", "readable", "writable", "seekable"),
        *("read", "read1", "readinto", "readline", "readlines"),
        *("write", "writeall", "writelines", "flush"),
        *("seek", "tell", "truncate"),
    )
)


class FileObjectBase:
    """What the file objects have in common. They are context managers and iterate over lines."""

    def __init__(self, descriptor: OpenDescriptor) -> None:
        self._closefd = descriptor.closefd
        self._io: Any = descriptor.opened()

    @property
    def io(self) -> Any:
        """The stream that this object stands for."""
        return self._io

    @io.setter
    def io(self, stream: Any) -> None:
        self._io = stream
        self._forget_methods()

    def __getattr__(self, name: str) -> Any:
        # Only what is not there yet comes here: a method is looked up and wrapped once.
        if name == "_io":
            raise AttributeError(name)  # __init__ has failed
        value = getattr(self._io, name)
        if name in _METHODS:
            value = self.__dict__[name] = self._wrap_method(value)
        return value

    def _wrap_method(self, method: Any) -> Any:
        return method

    def _forget_methods(self) -> None:
        for name in _METHODS:
            self.__dict__.pop(name, None)

    @property
    def closed(self) -> bool:
        """Whether the file object was closed."""
        return isinstance(self._io, _ClosedIO)

    def close(self) -> None:
        """Flush and close the file; the descriptor too, unless ``closefd`` was false. Again does nothing."""
        stream = self._io
        if isinstance(stream, _ClosedIO):
            return
        self._io = _ClosedIO(stream)
        self._forget_methods()
        self._do_close(stream, self._closefd)

    def _do_close(self, stream: Any, closefd: bool) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        closed = "closed" if self.closed else ""
        return f"<{type(self).__name__} at {id(self):#x} {closed}_fobj={self._io!r}{self._details()}>"

    def _details(self) -> str:
        """What else the representation is to say."""
        return ""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if line := self.readline():
            return line
        raise StopIteration

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class FileObjectBlock(FileObjectBase):
    """A file object that is not cooperative at all: for tests, and for comparison.

    The arguments are those of :class:`OpenDescriptor`, which are those of :func:`open`.
    """

    def __init__(self, fobj: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(OpenDescriptor(fobj, *args, **kwargs))

    def _do_close(self, stream: Any, closefd: bool) -> None:
        stream.close()


class FileObjectThread(FileObjectBase):
    """A file object whose methods run in a thread pool: cooperative for every file, regular ones too.

    ``lock`` True (the default) lets one method run at a time; it may be a semaphore of the program's, or False
    for none. ``threadpool`` is the hub's unless given. The other arguments are those of :func:`open`.
    """

    def __init__(self, *args: Any, lock: Any = True, threadpool: Any = None, **kwargs: Any) -> None:
        descriptor = OpenDescriptor(*args, **kwargs)
        self.threadpool: Any = threadpool or get_hub().threadpool
        self.lock: Any = Semaphore() if lock is True else lock or DummySemaphore()
        if not hasattr(self.lock, "__enter__"):
            raise TypeError(f"Expected a Semaphore or boolean, got {type(self.lock)!r}")
        # Methods that were taken from here know by this that it is closed; not by `self`, which has them.
        self._closed_flag: list[bool] = []
        super().__init__(descriptor)

    def _wrap_method(self, method: Any) -> Any:
        closed, lock, apply = self._closed_flag, self.lock, self.threadpool.apply

        @functools.wraps(method)
        def in_thread(*args: Any, **kwargs: Any) -> Any:
            if closed:
                raise FileObjectClosed
            with lock:
                return apply(method, args, kwargs)

        return in_thread

    def _do_close(self, stream: Any, closefd: bool) -> None:
        self._closed_flag.append(True)
        apply = self.threadpool.apply
        try:
            with self.lock:
                apply(stream.flush)
        finally:
            if closefd:
                # Without the lock: who holds it may be reading, and would never give it back.
                error = apply(_close_quietly, (stream,))
                if error is not None:
                    raise error

    def _details(self) -> str:
        return f" threadpool={self.threadpool!r}"


def _close_quietly(stream: Any) -> Exception | None:
    """Close the stream and return the error, which the pool would otherwise print."""
    try:
        stream.close()
    except Exception as error:
        return error
    return None
