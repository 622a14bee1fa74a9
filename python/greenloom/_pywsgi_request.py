"""What a request says: pure functions of its line and its headers."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote


class _InvalidClientRequest(ValueError):
    """A request line or headers that cannot be understood; to be answered with 400."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        #: Complete: it may contain % signs of the client's.
        self.formatted_message = message


def parse_request_line(line: str) -> tuple[str, str, str]:
    """The method, the target and the protocol. Raises ValueError.

    The oldest requests, of HTTP/0.9, are a GET without a protocol.
    """
    match line.split():
        case ["GET", target]:
            return "GET", target, "HTTP/0.9"
        case [method, target, protocol]:
            if not _is_http_1(protocol):
                raise _InvalidClientRequest(f"Invalid http version: {line!r}")
            return method, target, protocol
    raise _InvalidClientRequest(f"Invalid HTTP request line: {line!r}")


def _is_http_1(protocol: str) -> bool:
    name, _, version = protocol.partition("/")
    numbers = version.split(".")
    if name != "HTTP" or len(numbers) != 2 or not all(map(_is_number, numbers)):
        return False
    return [0, 9] <= [*map(int, numbers)] < [2, 0]


def _is_number(text: str) -> bool:
    # `str.isdigit` knows digits of all scripts, and `int` takes signs, spaces and underscores.
    return text.isascii() and text.isdigit()


def body_length(headers: Any, method: str) -> int | None:
    """The length of the body; None if it has none, or is in chunks.

    Raises ValueError where two readers may see two lengths. Chunks go before a length, which is removed.
    """
    coding = headers.get("transfer-encoding", "identity").strip().lower()
    if coding == "chunked":
        del headers["content-length"]
        return None
    if coding not in ("identity", ""):
        raise _InvalidClientRequest(f"Unknown Transfer-Encoding: {coding!r}")
    lengths = {*headers.get_all("content-length", ())}
    if not lengths:
        return None
    length = lengths.pop()
    if lengths or not _is_number(length):
        raise _InvalidClientRequest(f"Invalid Content-Length: {length!r}")
    if method == "HEAD" and int(length) > 0:
        raise _InvalidClientRequest("A HEAD request has no body, but a Content-Length")
    return int(length)


def stays_open(headers: Any, protocol: str) -> bool:
    """Whether the client will send more requests."""
    wishes = {wish.strip() for wish in headers.get("Connection", "").lower().split(",")}
    return {"HTTP/1.1": "close" not in wishes, "HTTP/1.0": "keep-alive" in wishes}.get(protocol, False)


def wants_upgrade(headers: Any) -> bool:
    """Whether the client asks for another protocol."""
    asked = {(name, headers.get(name, "").lower()) for name in ("Connection", "Upgrade")}
    return not asked.isdisjoint({("Connection", "upgrade"), ("Upgrade", "websocket")})


def environ_of(env: dict[str, Any], target: str, headers: Any) -> None:
    """Put the target and the headers into *env*."""
    path, _, env["QUERY_STRING"] = target.partition("?")
    # The application is the root of all paths. Who mounts it elsewhere overrides this.
    env.update(PATH_INFO=unquote(path, "latin-1"), SCRIPT_NAME="")
    for name, value in headers.items():
        # With "_" it would pass for another header, which a proxy in front may have checked.
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        value = value.strip()
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            env.setdefault(key, value)
            continue
        key = "HTTP_" + key
        separator = "; " if "COOKIE" in key else ","
        env[key] = f"{env[key]}{separator}{value}" if key in env else value
