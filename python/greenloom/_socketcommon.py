"""What :mod:`greenloom.socket` is made of apart from the socket class: names, resolving, waiting for a descriptor.

A blocking call on a socket tries the system call first (the descriptor never blocks) and comes here only to
wait; a name is looked up by the hub's resolver, which decides how to keep that from blocking the thread.
"""

from __future__ import annotations

import errno
import socket as __socket__
from collections.abc import Callable
from contextlib import suppress
from os import strerror
from typing import TYPE_CHECKING, Any

from greenloom._hub_local import get_hub_noargs as get_hub
from greenloom._hub_primitives import (
    set_default_timeout_error,
    wait_on_watcher as wait_on_watcher,
    wait_read as wait_read,
    wait_readwrite as wait_readwrite,
    wait_write as wait_write,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from greenloom.hub import Hub

    def __getattr__(name: str) -> Any:
        """Stand for the constants that are copied from the standard library below."""

    _Name = str | bytes | bytearray | None

#: Functions that look up names: patched apart, by ``monkey.patch_dns``.
__dns__ = [
    "getaddrinfo",
    "gethostbyname",
    "gethostbyname_ex",
    "gethostbyaddr",
    "getnameinfo",
    "getfqdn",
]

#: Names of the standard library's module for which there is a cooperative one here.
_implements = ["create_connection", "socket", "SocketType", "fromfd", "socketpair", *__dns__]

#: Names that only this module has.
__extensions__ = ["cancel_wait", "wait_read", "wait_write", "wait_readwrite"]

_TAKEN_OVER = (
    "error",
    "gaierror",
    "herror",
    "htonl",
    "htons",
    "ntohl",
    "ntohs",
    "inet_aton",
    "inet_ntoa",
    "inet_pton",
    "inet_ntop",
    "timeout",
    "gethostname",
    "getprotobyname",
    "getservbyname",
    "getservbyport",
    "getdefaulttimeout",
    "setdefaulttimeout",
    "AddressFamily",
    "SocketKind",
    "CMSG_LEN",
    "CMSG_SPACE",
    "dup",
    "if_indextoname",
    "if_nameindex",
    "if_nametoindex",
    "sethostname",
    "create_server",
    "has_dualstack_ipv6",
    "recv_fds",
    "send_fds",
)

#: Names that are the standard library's own: what cannot block, and every constant.
__imports__ = [name for name in _TAKEN_OVER if hasattr(__socket__, name)]
__imports__ += [
    name
    for name in __socket__.__all__
    if name not in __imports__ and isinstance(getattr(__socket__, name), (int, str))
]
globals().update({name: getattr(__socket__, name) for name in __imports__})

set_default_timeout_error(TimeoutError)

wait = wait_on_watcher

#: Names of other modules that gevent's module has, and programs import from it.
_BORROWED = {
    "strerror": strerror,
    **{
        name: getattr(errno, name)
        for name in (
            *("EAGAIN", "EALREADY", "EBADF", "ECONNREFUSED", "EHOSTUNREACH"),
            *("EINPROGRESS", "EINVAL", "EISCONN", "EWOULDBLOCK"),
        )
    },
}
globals().update(_BORROWED)


#: Marks a ``timeout`` argument that was not given: the socket's own timeout counts.
timeout_default = object()


class cancel_wait_ex(OSError):
    """Raised in the greenlet that waits for a descriptor when another greenlet closes it. ``errno`` is EBADF."""

    def __init__(self) -> None:
        super().__init__(errno.EBADF, "File descriptor was closed in another greenlet")


def cancel_wait(watcher: Any, error: type[BaseException] | BaseException = cancel_wait_ex) -> None:
    """Raise ``error`` in the greenlet that waits on ``watcher``; nothing happens if none does."""
    get_hub().cancel_wait(watcher, error)


# ------------------------------------------------------------------------------------------------ resolving


def gethostbyname(hostname: str) -> str:
    """Return the IPv4 address of ``hostname`` in dotted form. Raises ``gaierror``."""
    return get_hub().resolver.gethostbyname(hostname)  # type: ignore[no-any-return]


def gethostbyname_ex(hostname: str) -> tuple[str, list[str], list[str]]:
    """Return ``(name, aliases, IPv4 addresses)`` of ``hostname``. Raises ``gaierror`` or ``herror``."""
    return get_hub().resolver.gethostbyname_ex(hostname)  # type: ignore[no-any-return]


def getaddrinfo(
    host: _Name,
    port: str | bytes | int | None,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[tuple[Any, Any, int, str, Any]]:
    """Return the addresses of a host and a service as ``(family, type, proto, canonname, sockaddr)`` tuples.

    The arguments narrow the list as they do for :func:`socket.getaddrinfo`; 0 means any. Raises ``gaierror``.
    """
    found = get_hub().resolver.getaddrinfo(host, port, family, type, proto, flags)
    # Resolvers speak in integers.
    return [
        (as_enum(af, __socket__.AddressFamily), as_enum(kind, __socket__.SocketKind), number, name, address)
        for af, kind, number, name, address in found
    ]


def gethostbyaddr(ip_address: str) -> tuple[str, list[str], list[str]]:
    """Return ``(name, aliases, addresses)`` of the host with this address. Raises ``gaierror`` or ``herror``."""
    return get_hub().resolver.gethostbyaddr(ip_address)  # type: ignore[no-any-return]


def getnameinfo(sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]:
    """Return ``(host, service)`` of a socket address. Raises ``gaierror``."""
    return get_hub().resolver.getnameinfo(sockaddr, flags)  # type: ignore[no-any-return]


def getfqdn(name: str = "") -> str:
    """Return the fully qualified name of a host, by default of this one; ``name`` itself if there is none."""
    name = name.strip()
    if name in ("", "0.0.0.0", "::"):
        name = __socket__.gethostname()
    try:
        canonical, aliases, _addresses = gethostbyaddr(name)
    except OSError:
        return name
    return next((found for found in (canonical, *aliases) if _has_dot(found)), canonical)


def _has_dot(name: str | bytes) -> bool:
    return b"." in name if isinstance(name, bytes) else "." in name


def as_enum(value: int, kind: Callable[[int], Any]) -> Any:
    """Return the member of ``kind`` with this value, or the value itself where there is none."""
    try:
        return kind(value)
    except ValueError:
        return value


_INET = (__socket__.AF_INET, __socket__.AF_INET6) if __socket__.has_ipv6 else (__socket__.AF_INET,)


def _resolve_addr(sock: Any, address: Any) -> Any:
    """Return ``address`` with the host's name looked up, so that the system call does not block to do it."""
    family = sock.family
    if family not in _INET or not isinstance(address, tuple) or len(address) < 2:
        return address
    host = address[0]
    try:
        __socket__.inet_pton(family, host)
    except (OSError, TypeError, ValueError):
        # Without the port: the C library wants one only together with a type, and the port is known.
        found = getaddrinfo(host, None, family)[0][4]
        return (found[0], address[1], *(found[2:] if len(address) == 2 else address[2:]))
    # Already an address, which must stay the same object: looking it up would lose an IPv6 scope.
    return address


# -------------------------------------------------------------------------------------------------- waiting


def as_bytes(data: Any) -> memoryview:
    """Return ``data``, anything with the buffer protocol, as a view of bytes in one dimension."""
    view = memoryview(data)
    if view.ndim == 1 and view.itemsize == 1:
        return view
    try:
        return view.cast("B")
    except TypeError:
        # Structures, as ctypes makes them, cannot be cast.
        return memoryview(view.tobytes())


def close_descriptor(hub: Hub | None, fd: int, close: Callable[[int], object]) -> None:
    """Close ``fd``, after the watchers that this module does not know of have heard of it.

    A loop that has such watchers wakes them in its next turn and must not find the number reused before.
    """
    loop = None if hub is None else hub.loop
    tell = getattr(loop, "closing_fd", None)
    if loop is None or tell is None or not tell(fd):
        close(fd)
        return
    turn = loop.check()

    def finish() -> None:
        turn.stop()
        turn.close()
        # Somebody else may have been faster.
        with suppress(OSError):
            close(fd)

    turn.start(finish)


def names_of(module: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return those of ``names`` that ``module`` has, with their values."""
    return {name: getattr(module, name) for name in names if hasattr(module, name)}
