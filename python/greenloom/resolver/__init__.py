"""Looking up names without blocking the thread.

A resolver has ``getaddrinfo``, ``getnameinfo``, ``gethostbyname``, ``gethostbyname_ex`` and ``gethostbyaddr``, with
the arguments of :mod:`socket`'s functions. ``thread`` (the default) asks the system in the hub's thread pool,
``blocking`` asks it directly, ``dnspython`` speaks DNS itself. ``GEVENT_RESOLVER`` in the environment chooses.
"""

from __future__ import annotations

import _socket
import functools
from _socket import AF_INET, AF_UNSPEC, AI_CANONNAME, AI_NUMERICHOST, AI_PASSIVE, EAI_NONAME, gaierror
from collections.abc import Callable
from typing import Any, TypeVar

from greenloom.resolver._addresses import is_ipv6_addr

__all__ = ()

_F = TypeVar("_F", bound=Callable[..., Any])

# A host's name may first be encoded in a greenlet of a thread that holds the import lock.
"x".encode("idna")

_Name = str | bytes | bytearray


class AbstractResolver:
    """What resolvers that do the work themselves have in common: checking arguments, and names that are special.

    Subclasses define ``_getaddrinfo``, ``_gethostbyaddr`` and ``_getnameinfo``, which are called only for what
    really has to be looked up; and ``_getaliases`` if they know of aliases.
    """

    HOSTNAME_ENCODING = "idna"
    EAI_NONAME_MSG = "Name or service not known"
    EAI_FAMILY_MSG = "ai_family not supported"

    #: Names that the system knows without asking anybody.
    _LOCAL = frozenset((b"localhost", b"ip6-localhost", b"::1", b"127.0.0.1"))
    _LOCAL_AND_BROADCAST = _LOCAL | {b"255.255.255.255", b"<broadcast>"}

    _KNOWN_FAMILIES = frozenset(value for name, value in vars(_socket).items() if name.startswith("AF_"))

    def close(self) -> None:
        """Free what the resolver holds."""

    @staticmethod
    def fixup_gaierror(func: _F) -> _F:
        """Let ``func`` raise errors that have the system's number and text where they had only the number."""

        @functools.wraps(func)
        def resolve(self: AbstractResolver, *args: Any, **kwargs: Any) -> Any:
            try:
                return func(self, *args, **kwargs)
            except gaierror as error:
                if error.args == (EAI_NONAME,):
                    raise gaierror(EAI_NONAME, self.EAI_NONAME_MSG) from None
                raise

        return resolve  # type: ignore[return-value]

    def _to_bytes(self, hostname: Any) -> bytes:
        if isinstance(hostname, str):
            return hostname.encode(self.HOSTNAME_ENCODING)
        if not isinstance(hostname, (bytes, bytearray)):
            raise TypeError(f"Expected str, bytes or bytearray, not {type(hostname).__name__}")
        return bytes(hostname)

    @staticmethod
    def _wildcard(family: int) -> bytes:
        """Return the address that stands for all of this host's, which is what an empty name means."""
        found = _socket.getaddrinfo(None, 0, family, _socket.SOCK_DGRAM, 0, AI_PASSIVE)
        if len(found) != 1:
            raise OSError("wildcard resolved to multiple address")
        return str(found[0][4][0]).encode()

    def gethostbyname(self, hostname: _Name, family: int = AF_INET) -> str:
        """Return an address of the host. Raises gaierror."""
        name = self._to_bytes(hostname)
        if name in self._LOCAL_AND_BROADCAST:
            return _socket.gethostbyname(name.decode())
        return self.gethostbyname_ex(name or self._wildcard(family), family)[2][0]

    def gethostbyname_ex(self, hostname: _Name, family: int = AF_INET) -> tuple[str, list[str], list[str]]:
        """Return ``(canonical name, aliases, addresses)`` of the host. Raises gaierror."""
        name = self._to_bytes(hostname)
        if name in self._LOCAL_AND_BROADCAST:
            # The broadcast names raise errors that differ from system to system.
            return _socket.gethostbyname_ex(name.decode())
        aliases = self._getaliases(name, family)
        found = self.getaddrinfo(name, 0, family, _socket.SOCK_STREAM, _socket.SOL_TCP, AI_CANONNAME)
        return found[0][3], aliases, [entry[4][0] for entry in found]

    def getaddrinfo(
        self,
        host: _Name | None,
        port: str | bytes | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[int, int, int, str, Any]]:
        """Return ``(family, type, proto, canonical name, address)`` tuples. Raises gaierror."""
        name = None if host is None else self._to_bytes(host)
        if (
            name is None
            or flags & AI_NUMERICHOST
            or name in self._LOCAL
            # The scope of a link-local address is the system's affair.
            or (name.startswith(b"fe80") and is_ipv6_addr(name))
        ):
            return _socket.getaddrinfo(name, port, family, type, proto, flags)
        return self._getaddrinfo(name, port, family, type, proto, flags)

    def gethostbyaddr(self, ip_address: _Name) -> tuple[str, list[str], list[str]]:
        """Return ``(name, aliases, addresses)`` of the host with this address. Raises gaierror or herror."""
        address = self._to_bytes(ip_address) or self._wildcard(AF_UNSPEC)
        if address in self._LOCAL_AND_BROADCAST:
            return _socket.gethostbyaddr(address.decode())
        return self._gethostbyaddr(address)

    def getnameinfo(self, sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]:
        """Return ``(host, service)`` of a socket address. Raises gaierror."""
        for value, kind, message in (
            (sockaddr, tuple, "getnameinfo() argument 1 must be a tuple"),
            (flags, int, "an integer is required"),
        ):
            if not isinstance(value, kind):
                raise TypeError(message)
        host, port, *rest = sockaddr
        address = self._to_bytes(host)
        if address in self._LOCAL_AND_BROADCAST:
            return _socket.getnameinfo(sockaddr, flags)
        if not isinstance(port, int):
            raise TypeError(f"port must be an integer, not {type(port)}")
        if rest and rest[0] > 0xFFFFF:
            raise OverflowError("getnameinfo(): flowinfo must be 0-1048575.")
        # Systems differ in what they make of a port that is too big; this is Linux.
        return self._getnameinfo(address, port if port < 65536 else 0, sockaddr, flags)

    def _getaliases(self, hostname: bytes, family: int) -> list[str]:
        return []

    def _getaddrinfo(
        self, host: bytes, port: Any, family: int, type: int, proto: int, flags: int
    ) -> list[Any]:
        raise NotImplementedError

    def _gethostbyaddr(self, address: bytes) -> tuple[str, list[str], list[str]]:
        raise NotImplementedError

    def _getnameinfo(
        self, address: bytes, port: int, sockaddr: tuple[Any, ...], flags: int
    ) -> tuple[str, str]:
        raise NotImplementedError
