"""Servers for streams (TCP, TLS) and for datagrams (UDP)."""

from __future__ import annotations

from _socket import AF_INET, SO_REUSEADDR, SOCK_DGRAM, SOL_SOCKET
from collections.abc import Callable
from os import set_blocking
from typing import Any

from greenloom.baseserver import BaseServer, _closed_on_error
from greenloom.socket import socket as _Socket

__all__ = ["DatagramServer", "StreamServer"]

#: What SO_REUSEADDR is set to on sockets that a server makes; None leaves it.
DEFAULT_REUSE_ADDR: int | None = 1

_MAX_DATAGRAM = 8192


class StreamServer(BaseServer):
    """Accepts connections and runs ``handle(socket, address)`` in a greenlet for each.

    See :class:`~greenloom.baseserver.BaseServer` for the arguments. *backlog* is how many connections may wait to
    be accepted; not with a socket as listener, that listens already (TypeError).

    Any other keyword makes it a TLS server. With ``ssl_context``, the others go to its ``wrap_socket``; the context
    must be of :mod:`greenloom.ssl`, or patched. Otherwise they go to :func:`greenloom.ssl.wrap_socket`:
    ``certfile``, ``keyfile`` and so on. The handshake is done in the connection's greenlet.
    """

    reuse_addr: int | None = DEFAULT_REUSE_ADDR

    #: The default backlog.
    backlog: int = 128

    #: What connections are wrapped by, and with which keywords; None without TLS.
    wrap_socket: Callable[..., Any]
    ssl_args: dict[str, Any] | None = None

    def __init__(
        self,
        listener: Any,
        handle: Callable[..., Any] | None = None,
        backlog: int | None = None,
        spawn: Any = "default",
        **ssl_args: Any,
    ) -> None:
        """See the class."""
        super().__init__(listener, handle, spawn)
        with _closed_on_error(self):
            if backlog is not None and not self.closed:
                raise TypeError("a socket that is passed listens already, so there can be no backlog")
            self.backlog = self.backlog if backlog is None else backlog
            if ssl_args:
                self.wrap_socket = _tls_wrapper(ssl_args)
                self.ssl_args = {"server_side": True, **ssl_args}

    @property
    def ssl_enabled(self) -> bool:
        """Whether connections are wrapped in TLS."""
        return self.ssl_args is not None

    @classmethod
    def get_listener(cls, address: Any, backlog: int | None = None, family: int | None = None) -> Any:
        """A cooperative socket that listens on *address*. Raises OSError."""
        return _tcp_listener(address, cls.backlog if backlog is None else backlog, cls.reuse_addr, family)

    def init_socket(self) -> None:
        """Bind and listen, if the server was given an address. Raises OSError."""
        if self.closed:
            listener = self.get_listener(self.address, self.backlog, self.family)
            self.address = listener.getsockname()
            self.socket = _underneath(listener, own=True)
        else:
            self.socket = _underneath(self.socket)
        # One of the standard library's is still blocking, and the second accept in a row would wait.
        set_blocking(self.socket.fileno(), False)
        self._handle = self.wrap_socket_and_handle if self.ssl_args else self.handle

    def do_read(self) -> tuple[Any, Any] | None:
        """Accept a connection: its socket and the client's address; None if none is there. Raises OSError."""
        listener = self.socket
        try:
            number, client = listener._accept()
        except BlockingIOError:
            # With a timeout it has waited in vain, and that is an error.
            if listener.timeout:
                raise
            return None
        return _Socket(listener.family, listener.type, listener.proto, number), client

    def do_close(self, *args: Any) -> None:
        """Close the connection."""
        args[0].close()

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> Any:
        """Be what runs for a TLS connection: the handshake, then the handler."""
        wrapped = self.wrap_socket(client_socket, **self.ssl_args or {})
        with wrapped:
            return self.handle(wrapped, address)


def _tls_wrapper(keywords: dict[str, Any]) -> Callable[..., Any]:
    """What makes TLS sockets of connections; takes the context, if there is one, out of *keywords*."""
    context = keywords.pop("ssl_context", None)
    if context is not None:
        return context.wrap_socket  # type: ignore[no-any-return]
    from greenloom import ssl

    return ssl.wrap_socket


def _underneath(sock: Any, *, own: bool = False) -> Any:
    """The socket that a cooperative one is made of.

    The hub has waited when the server reads, so that one does, and is a call less for each connection.
    """
    while True:
        inner = getattr(sock, "_sock", None)
        if inner is None:
            return sock
        forget = getattr(sock, "_drop_events", None)
        if own and forget is not None:
            forget()
        sock = inner


class DatagramServer(BaseServer):
    """Receives datagrams of up to 8192 bytes and runs ``handle(data, address)`` in a greenlet for each."""

    reuse_addr: int | None = DEFAULT_REUSE_ADDR

    #: What datagrams are received by: the socket under the cooperative one, which sends.
    _socket: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """See :class:`~greenloom.baseserver.BaseServer`."""
        from greenloom.lock import Semaphore

        self._writelock = Semaphore()
        super().__init__(*args, **kwargs)

    @classmethod
    def get_listener(cls, address: Any, family: int | None = None) -> Any:
        """A cooperative datagram socket that is bound to *address*. Raises OSError."""
        return _udp_socket(address, reuse_addr=cls.reuse_addr, family=family)

    def init_socket(self) -> None:
        """Bind, if the server was given an address. Raises OSError."""
        if self.closed:
            self.socket = self.get_listener(self.address, self.family)
        self.address = self.socket.getsockname()
        self._socket = _underneath(self.socket)
        set_blocking(self._socket.fileno(), False)

    def do_read(self) -> tuple[bytes, Any] | None:
        """Receive a datagram and its sender's address; None if none is there. Raises OSError."""
        try:
            return self._socket.recvfrom(_MAX_DATAGRAM)  # type: ignore[no-any-return]
        except BlockingIOError:
            return None

    def sendto(self, *args: Any) -> None:
        """Send a datagram, waiting if the buffer is full. Handlers may call it at the same time."""
        with self._writelock:
            self.socket.sendto(*args)


def _bound(address: Any, reuse_addr: int | None, **kind: Any) -> Any:
    sock = _Socket(**kind)
    options = {} if reuse_addr is None else {SO_REUSEADDR: reuse_addr}
    try:
        for option, value in options.items():
            sock.setsockopt(SOL_SOCKET, option, value)
        sock.bind(address)
    except OSError as error:
        sock.close()
        if error.strerror:
            # "Address already in use" leaves one to guess which.
            error.strerror += f": {address!r}"
        raise
    return sock


def _tcp_listener(
    address: Any, backlog: int = 50, reuse_addr: int | None = None, family: int | None = AF_INET
) -> Any:
    """A cooperative socket that listens on *address*. Raises OSError."""
    listener = _bound(address, reuse_addr, family=family)
    listener.listen(backlog)
    listener.setblocking(False)
    return listener


def _udp_socket(
    address: Any, backlog: int = 50, reuse_addr: int | None = None, family: int | None = AF_INET
) -> Any:
    """A cooperative datagram socket that is bound to *address*; *backlog* means nothing. Raises OSError."""
    return _bound(address, reuse_addr, family=family, type=SOCK_DGRAM)
