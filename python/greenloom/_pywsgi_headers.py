"""The headers of a request: parsed strictly, kept in the class that handlers' subclasses know."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPMessage
from typing import Any

from greenloom._pywsgi_input import is_token

#: As in `http.client`.
_MAX_LINE = 65536
_MAX_HEADERS = 100


class OldMessage(HTTPMessage):
    """Headers, in the order in which they came, with the names of the module ``mimetools`` of old."""

    #: What is wrong with them; empty if nothing is.
    status: str

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.status = ""

    def getheader(self, name: str, default: Any = None) -> Any:
        """The first header *name*, or *default*."""
        return self.get(name, default)

    @property
    def headers(self) -> Iterator[str]:
        """The lines."""
        for key, value in self.items():
            yield f"{key}: {value}\r\n"

    @property
    def typeheader(self) -> str | None:
        """The type of the body, if the client gave one."""
        return self.get("content-type")


def headers_factory(fp: Any, *args: object) -> OldMessage:
    """Read headers from *fp*, up to the empty line after them. What is wrong is in the result's ``status``."""
    message = OldMessage()
    name = value = ""
    for _ in range(_MAX_HEADERS + 1):
        line: bytes = fp.readline(_MAX_LINE + 1)
        if len(line) > _MAX_LINE:
            message.status = "Line too long"
            return message
        folded = line[:1] in (b" ", b"\t")
        if name and not folded:
            message.set_raw(name, value.strip(" \t"))
        line = line.rstrip(b"\r\n")
        if not line:
            return message
        if b"\r" in line or b"\0" in line:
            message.status = "Control character in a header"
            return message
        text = line.decode("latin-1")
        if folded:
            # RFC 9112, section 5.2: obsolete, and to be replaced by spaces.
            if not name:
                message.status = "Continuation of no header"
                return message
            value += " " + text.strip(" \t")
            continue
        raw_name, colon, _ = line.partition(b":")
        # No space before the colon either: what is behind us may understand it in another way.
        if not (colon and is_token(raw_name)):
            message.status = f"Invalid header line {text[:80]!r}"
            return message
        name, _, value = text.partition(":")
    message.status = "Too many headers"
    return message
