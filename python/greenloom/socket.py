"""Cooperative sockets: the standard :mod:`socket` module, in which only the current greenlet waits.

Functions and classes have the standard library's names, arguments and errors. What cannot block, and every
constant, is the standard library's own object.
"""

from __future__ import annotations

import socket as __socket__
import sys
from typing import TYPE_CHECKING, Any

from greenloom import _socket3, _socketcommon
from greenloom._socket3 import (
    SocketIO as SocketIO,
    SocketType as SocketType,
    fromfd as fromfd,
    socket as socket,
    socketpair as socketpair,
)
from greenloom._socketcommon import (
    __dns__ as __dns__,
    __extensions__ as __extensions__,
    __imports__ as __imports__,
    cancel_wait as cancel_wait,
    cancel_wait_ex as cancel_wait_ex,
    getaddrinfo as getaddrinfo,
    getfqdn as getfqdn,
    gethostbyaddr as gethostbyaddr,
    gethostbyname as gethostbyname,
    gethostbyname_ex as gethostbyname_ex,
    getnameinfo as getnameinfo,
    timeout_default as timeout_default,
    wait as wait,
    wait_read as wait_read,
    wait_readwrite as wait_readwrite,
    wait_write as wait_write,
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Stand for the constants that are copied from the standard library below."""


__implements__ = list(_socketcommon._implements)

globals().update(_socketcommon.names_of(__socket__, __imports__))
globals().update(_socketcommon._BORROWED)

_GLOBAL_DEFAULT_TIMEOUT = __socket__._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined]


def create_connection(
    address: tuple[str | None, int],
    timeout: float | None = _GLOBAL_DEFAULT_TIMEOUT,
    source_address: Any = None,
    *,
    all_errors: bool = False,
) -> socket:
    """Connect to ``address``, a host and a port, trying each address of the host; return the socket.

    ``timeout`` is in seconds and counts for each attempt; it stays set on the socket, which is bound to
    ``source_address`` first if that is given. Raises the last attempt's OSError or, with ``all_errors`` on
    Python 3.11 and later, an ExceptionGroup of all of them.
    """
    host, port = address
    errors: list[OSError] = []
    try:
        for family, kind, proto, _name, place in list(getaddrinfo(host, port, 0, __socket__.SOCK_STREAM)):
            try:
                return _connected(family, kind, proto, place, timeout, source_address)
            except OSError as error:
                errors.append(error)
        if not errors:
            raise OSError("getaddrinfo returns an empty list")
        if all_errors and sys.version_info >= (3, 11):
            raise ExceptionGroup("create_connection failed", errors)  # noqa: F821 - only where it exists
        raise errors[-1]
    finally:
        # The errors know this frame.
        errors.clear()


def _connected(family: int, kind: int, proto: int, place: Any, timeout: Any, source_address: Any) -> socket:
    sock = socket(family, kind, proto)
    try:
        if source_address:
            sock.bind(source_address)
        if timeout is not _GLOBAL_DEFAULT_TIMEOUT:
            sock.settimeout(timeout)
        sock.connect(place)
    except BaseException:
        # Timeout and GreenletExit as well.
        sock.close()
        raise
    return sock


# As in the standard library, for those who look here.
_socket3.create_connection = create_connection  # type: ignore[attr-defined]

#: Names that only some versions of Python have.
_SOMETIMES = [name for name in ("close", "TCP_KEEPALIVE", "TCP_KEEPCNT") if hasattr(__socket__, name)]
globals().update(_socketcommon.names_of(__socket__, _SOMETIMES))

__all__ = __implements__ + __extensions__ + __imports__
__all__ += [name for name in _SOMETIMES if name not in __all__]
