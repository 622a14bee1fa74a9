"""A resolver that asks the system directly and blocks the thread: for debugging, or with a fast local cache."""

from __future__ import annotations

import _socket
from typing import Any

__all__ = ["Resolver"]


class Resolver:
    """The system's functions themselves. Not cooperative."""

    getaddrinfo = staticmethod(_socket.getaddrinfo)
    getnameinfo = staticmethod(_socket.getnameinfo)
    gethostbyname = staticmethod(_socket.gethostbyname)
    gethostbyname_ex = staticmethod(_socket.gethostbyname_ex)
    gethostbyaddr = staticmethod(_socket.gethostbyaddr)

    def __init__(self, hub: Any = None) -> None:
        """Make one; it has nothing to do with the hub."""

    def close(self) -> None:
        """Do nothing."""
