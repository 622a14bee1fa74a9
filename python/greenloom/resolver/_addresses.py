"""Telling addresses from names."""

from __future__ import annotations

import socket
from typing import Any

__all__ = ()


class AddressSyntaxError(ValueError):
    """A text is not the address that it should be."""


def _text(host: Any) -> str | None:
    if isinstance(host, (bytes, bytearray)):
        try:
            return host.decode("ascii")
        except UnicodeDecodeError:
            return None
    return host if isinstance(host, str) else None


def _parses(family: int, text: str | None) -> bool:
    if not text:
        return False
    try:
        socket.inet_pton(family, text)
    except (OSError, ValueError):
        return False
    return True


def is_ipv4_addr(host: Any) -> bool:
    """Whether ``host``, text or bytes, is an IPv4 address with all its four numbers."""
    return _parses(socket.AF_INET, _text(host))


def is_ipv6_addr(host: Any) -> bool:
    """Whether ``host``, text or bytes, is an IPv6 address; it may have a scope (``%eth0``)."""
    text = _text(host)
    return _parses(socket.AF_INET6, text.partition("%")[0] if text else text)
