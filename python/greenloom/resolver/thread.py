"""The default resolver: the system's functions, in the hub's thread pool."""

from __future__ import annotations

import _socket
from typing import Any

from greenloom._hub_local import get_hub_noargs as get_hub

__all__ = ["Resolver"]


class Resolver:
    """Asks the system, as a program without greenlets does, from threads: the greenlet waits, the others run."""

    def __init__(self, hub: Any = None) -> None:
        """Use the pool of ``hub``, by default the current one."""
        hub = hub or get_hub()
        self.pool = hub.threadpool
        # A name that does not exist is the caller's business, not something for the hub to print.
        hub.NOT_ERROR += tuple({_socket.gaierror, _socket.herror}.difference(hub.NOT_ERROR))

    def __repr__(self) -> str:
        """Say which pool it uses."""
        kind = type(self)
        return f"<{kind.__module__}.{kind.__qualname__} at {id(self):#x} pool={self.pool!r}>"

    def close(self) -> None:
        """Do nothing: the pool is the hub's."""

    def gethostbyname(self, *args: Any) -> Any:
        """See :func:`socket.gethostbyname`."""
        return self.pool.apply(_socket.gethostbyname, args)

    def gethostbyname_ex(self, *args: Any) -> Any:
        """See :func:`socket.gethostbyname_ex`."""
        return self.pool.apply(_socket.gethostbyname_ex, args)

    def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        """See :func:`socket.getaddrinfo`."""
        return self.pool.apply(_socket.getaddrinfo, args, kwargs)

    def gethostbyaddr(self, *args: Any, **kwargs: Any) -> Any:
        """See :func:`socket.gethostbyaddr`."""
        return self.pool.apply(_socket.gethostbyaddr, args, kwargs)

    def getnameinfo(self, *args: Any, **kwargs: Any) -> Any:
        """See :func:`socket.getnameinfo`."""
        return self.pool.apply(_socket.getnameinfo, args, kwargs)
