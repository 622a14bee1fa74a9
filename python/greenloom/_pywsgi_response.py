"""What a response consists of: pure functions of the status and the headers."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate
from typing import Any


def format_date_time(timestamp: float) -> bytes:
    """The time, in seconds since the epoch, as the header ``Date`` has it."""
    return formatdate(timestamp, usegmt=True).encode("ascii")


def error_response(status: str) -> bytes:
    """A complete response without a body, after which the connection is closed."""
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-length: 0\r\n\r\n".encode("ascii")


def head(status: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A response up to its body."""
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"HTTP/1.1 %b\r\n%b\r\n" % (status, b"".join(lines))


def parse_response(
    status: Any, headers: Iterable[tuple[Any, Any]]
) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """The code, the status and the headers of an application, encoded.

    Raises UnicodeError for what is no latin-1 string, ValueError for what has more than one line: it would let a
    client write headers, or a response, of its own.
    """
    encoded = [(_encode("header name", name), _encode("header value", value)) for name, value in headers]
    line = _encode("status", status)
    return int(status.partition(" ")[0]), line, encoded


def _encode(what: str, text: Any) -> bytes:
    # Here, while the application is running, so that its traceback shows where the text comes from.
    if not isinstance(text, str):
        raise UnicodeError(f"{what} must be a native string", text)
    if "\n" in text or "\r" in text:
        raise ValueError(f"carriage return or newline in {what}", text)
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise UnicodeError(f"Non-latin1 {what}", repr(text)) from None
