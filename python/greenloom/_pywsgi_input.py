"""The body of an HTTP request as ``wsgi.input``: so many bytes, or chunks.

The strictness about chunks is what keeps a client from hiding a second request in the body of the first
(RFC 9112, sections 7.1 and 11.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from sys import maxsize
from typing import Any, NoReturn

#: The longest line of a request, in bytes: request line, chunk extension, trailer.
MAX_REQUEST_LINE = 8192
#: A chunk's size has at most so many digits: 64 bits.
_MAX_SIZE_DIGITS = 16
_MAX_TRAILERS = 100
#: No more is asked for at once: a length that a client only claims must not cost its memory.
_MAX_PIECE = 1 << 20

_CONTINUE_RESPONSE = b"HTTP/1.1 100 Continue\r\n\r\n"

_HEX = frozenset(b"0123456789abcdefABCDEF")
#: The characters of header names: "token" in the grammar.
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class _InvalidClientInput(OSError):
    """The client's body is not what the grammar allows; it is to be answered with 400."""


def is_token(name: bytes) -> bool:
    """Whether *name* can be the name of a header."""
    return bool(name) and _TOKEN.issuperset(name)


class Input:
    """Reads a request's body from *rfile*, and nothing after it.

    *content_length* is its length in bytes, or None if the request has none; with *chunked_input* the chunks tell.
    With a *socket*, ``100 Continue`` is sent there before the first read. Reading raises OSError if the client
    closed in the middle or sent what is no chunk.

    A body is a row of pieces: the chunks, or one that is the whole body.
    """

    __slots__ = (
        "_broken",
        "_left",
        "_more",
        "chunked_input",
        "content_length",
        "position",
        "rfile",
        "socket",
    )

    def __init__(
        self, rfile: Any, content_length: int | None, socket: Any = None, chunked_input: bool = False
    ) -> None:
        self.chunked_input = chunked_input
        self.content_length = content_length
        self.rfile = rfile
        #: Where to ask the client to go on; None once that was done.
        self.socket = socket
        #: How many bytes of the body have been read.
        self.position = 0
        # Of the piece that is being read.
        self._left = 0 if chunked_input else content_length or 0
        # Whether a chunk follows it.
        self._more = chunked_input
        # Whether nobody knows any more where the body ends.
        self._broken = False

    # -- A file, as PEP 3333 wants it ------------------------------------------------------------------------

    def read(self, length: int | None = None) -> bytes:
        """Up to *length* bytes; all that is left if it is None or negative."""
        return self._take(length, self.rfile.read, False)

    def readline(self, size: int | None = None) -> bytes:
        """The next line, or *size* bytes of it; empty at the end."""
        return self._take(size, self.rfile.readline, True)

    def readlines(self, hint: int | None = None) -> list[bytes]:
        """All lines that are left; *hint* means nothing."""
        return [*self]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def __next__(self) -> bytes:
        return next(iter(self))

    # -- Pieces ----------------------------------------------------------------------------------------------

    def _take(self, limit: int | None, reader: Any, one_line: bool, ask: bool = True) -> bytes:
        if limit is None or limit < 0:
            limit = maxsize
        if ask and self.socket is not None and (self._left or self._more):
            self.socket.sendall(_CONTINUE_RESPONSE)
            self.socket = None
        parts: list[bytes] = []
        while limit and (self._left or self._next_chunk()):
            data: bytes = reader(min(limit, self._left, _MAX_PIECE))
            if not data:
                self._end_of_file()
            parts.append(data)
            limit -= len(data)
            self.position += len(data)
            self._left -= len(data)
            if not self._left and self._more and self.rfile.read(2) != b"\r\n":
                self._fail("Chunk does not end in CRLF")
            if one_line and data.endswith(b"\n"):
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _discard(self) -> None:
        """Read what the application did not, so that the next request is found. Raises OSError."""
        # After an error there is no telling; the connection gets closed.
        while not self._broken and self._take(16384, self.rfile.read, False, ask=False):
            pass

    def _end_of_file(self) -> NoReturn:
        self._broken = True
        where = (
            "parsing chunked data" if self.chunked_input else f"reading request at position {self.position}"
        )
        raise OSError(f"unexpected end of file while {where}")

    # -- Chunks ----------------------------------------------------------------------------------------------

    def _fail(self, message: str) -> NoReturn:
        self._broken = True
        raise _InvalidClientInput(message)

    def _next_chunk(self) -> bool:
        """Read up to where the next chunk's data begin. False after the last, whose trailers are read, too."""
        if not self._more:
            return False
        self._left = self._read_chunk_size()
        if not self._left:
            self._read_trailers()
            self._more = False
        return self._more

    def _read_chunk_size(self) -> int:
        # Byte by byte, for what is no number is to be noticed although no end of line follows.
        digits = b""
        while (byte := self.rfile.read(1)) and byte[0] in _HEX:
            digits += byte
            if len(digits) > _MAX_SIZE_DIGITS:
                self._fail("Chunk size too large")
        if not byte:
            self._fail("EOF before chunk end reached")
        if not digits or byte not in b";\r":
            self._fail(f"Chunk size is no number: {(digits + byte)!r}")
        extension = byte + self.rfile.readline(MAX_REQUEST_LINE)
        if not extension.endswith(b"\r\n") or extension.count(b"\r") != 1:
            self._fail("Chunk extension too long, or without CRLF at its end")
        return int(digits, 16)

    def _read_trailers(self) -> None:
        """Check the headers after the last chunk, and forget them."""
        for _ in range(_MAX_TRAILERS):
            line: bytes = self.rfile.readline(MAX_REQUEST_LINE)
            if not line.endswith(b"\r\n"):
                self._fail("Chunk trailer too long, or without CRLF at its end")
            if len(line) == 2:
                return
            name, colon, _value = line.partition(b":")
            if not (colon and is_token(name)):
                self._fail(f"Invalid chunk trailer: {line[:80]!r}")
        self._fail("Too many chunk trailers")
