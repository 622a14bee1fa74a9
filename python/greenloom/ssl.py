"""Cooperative TLS: the standard :mod:`ssl` module on cooperative sockets.

:class:`SSLSocket` is both the standard class, which brings what cannot block, and a cooperative socket, which
brings the waiting. :class:`SSLContext` is the standard class that makes such sockets.
"""

from __future__ import annotations

import errno
import ssl as __ssl__
from socket import AF_INET, SO_TYPE, SOCK_STREAM, SOL_SOCKET
from typing import TYPE_CHECKING, Any

from greenloom._rebound import rebound
from greenloom._socketcommon import as_bytes
from greenloom._util import copy_globals
from greenloom.socket import create_connection as create_connection, socket, timeout_default

if TYPE_CHECKING:
    from typing_extensions import Buffer

    def __getattr__(name: str) -> Any:
        """Stand for what is copied from the standard library below."""


__implements__ = ["SSLContext", "SSLSocket", "get_server_certificate"]
__extra__: list[str] = []
# Gone from Python 3.12; gevent has kept it.
(__implements__ if hasattr(__ssl__, "wrap_socket") else __extra__).append("wrap_socket")

__imports__ = copy_globals(
    __ssl__,
    globals(),
    names_to_ignore=(*__implements__, *__extra__, "socket", "create_connection"),
    dunder_names_to_keep=(),
)
__imports__.append("create_connection")
__all__ = __implements__ + [name for name in __imports__ if name != "namedtuple"] + __extra__

orig_SSLContext = __ssl__.SSLContext


# The setters of the standard class look for the native property in the base of *the class named SSLContext*.
# Where that name is patched to a subclass, the base is the standard class, and the setter calls itself until the
# stack ends. In these, the name means what it meant when they were written.
_standard_names = dict(vars(__ssl__))
_settings = {
    name: property(standard.fget, rebound(standard.fset, _standard_names), standard.fdel, standard.__doc__)
    for name, standard in vars(orig_SSLContext).items()
    if isinstance(standard, property) and standard.fset is not None
}


class SSLContext(orig_SSLContext):
    """An :class:`ssl.SSLContext` whose sockets block only the current greenlet."""

    __slots__ = ()

    locals().update(_settings)

    sslsocket_class: Any = None  # SSLSocket, which is defined below


class SSLSocket(__ssl__.SSLSocket, socket):  # type: ignore[misc]
    """An :class:`ssl.SSLSocket` whose calls block only the current greenlet.

    Made by :meth:`SSLContext.wrap_socket`. Called directly, without a context, it makes one from the arguments.
    Timeouts are TimeoutErrors, as with other sockets.
    """

    if TYPE_CHECKING:
        # Of the standard class, but in no stub.
        _checkClosed: Any
        _check_connected: Any

    def __init__(
        self,
        sock: Any = None,
        keyfile: Any = None,
        certfile: Any = None,
        server_side: bool = False,
        cert_reqs: int = __ssl__.CERT_NONE,
        ssl_version: int = __ssl__.PROTOCOL_TLS,
        ca_certs: Any = None,
        do_handshake_on_connect: bool = True,
        family: int = AF_INET,
        type: int = SOCK_STREAM,
        proto: int = 0,
        fileno: int | None = None,
        suppress_ragged_eofs: bool = True,
        npn_protocols: Any = None,
        ciphers: str | None = None,
        server_hostname: str | None = None,
        _session: Any = None,
        _context: Any = None,
    ) -> None:
        if _context is None:
            _context = _make_context(
                server_side, keyfile, certfile, cert_reqs, ssl_version, ca_certs, ciphers
            )
        if sock is not None and sock.getsockopt(SOL_SOCKET, SO_TYPE) != SOCK_STREAM:
            raise NotImplementedError("only stream sockets are supported")
        if server_side and server_hostname:
            raise ValueError("server_hostname can only be specified in client mode")
        if server_side and _session is not None:
            raise ValueError("session can only be specified in client mode")
        if _context.check_hostname and not server_hostname:
            raise ValueError("check_hostname requires server_hostname")
        timeout: Any = timeout_default
        if sock is None:
            socket.__init__(self, family, type, proto, fileno)
        else:
            socket.__init__(self, sock.family, sock.type, sock.proto, sock.fileno())
            timeout = sock.gettimeout()
            # The descriptor is ours from here on.
            sock.detach()
        self._context = _context
        self._session = _session
        self._sslobj: Any = None
        self._connected = False
        self.server_side = server_side
        self.server_hostname = _context._encode_hostname(server_hostname)
        self.do_handshake_on_connect = do_handshake_on_connect
        self.suppress_ragged_eofs = suppress_ragged_eofs
        if timeout is not timeout_default:
            self.settimeout(timeout)
        self._start()

    @classmethod
    def _create(
        cls,
        sock: Any,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | None = None,
        context: Any = None,
        session: Any = None,
    ) -> SSLSocket:
        # What `SSLContext.wrap_socket` calls.
        return cls(
            sock,
            _context=context,
            _session=session,
            server_side=server_side,
            server_hostname=server_hostname,
            suppress_ragged_eofs=suppress_ragged_eofs,
            do_handshake_on_connect=do_handshake_on_connect,
        )

    def _start(self) -> None:
        """Begin TLS if the socket is connected."""
        try:
            self._sock.getpeername()
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                self.close()
                raise
            self._refuse_early_data(error)
            return
        self._connected = True
        try:
            self._sslobj = self._wrapped()
            if self.do_handshake_on_connect:
                if self.timeout == 0.0:
                    raise ValueError(
                        "do_handshake_on_connect should not be specified for non-blocking sockets"
                    )
                self.do_handshake()
        except BaseException:
            # Also if the greenlet is killed meanwhile: nobody else has the descriptor.
            self.close()
            raise

    def _refuse_early_data(self, error: OSError) -> None:
        """Raise SSLError if there is data from a connection that has ended: it did not come through TLS."""
        try:
            data = self._sock.recv(1)
        except OSError as reason:
            if reason.errno not in (errno.ENOTCONN, errno.EINVAL, errno.EAGAIN):
                self.close()
                raise
            return
        if not data:
            return
        self.close()
        text = "Closed before TLS handshake with data in recv buffer."
        refused = __ssl__.SSLError(error.errno, text)
        refused.reason = text
        refused.library = None  # type: ignore[assignment]
        raise refused

    def _wrapped(self) -> Any:
        return self._context._wrap_socket(
            self, self.server_side, self.server_hostname, owner=self, session=self._session
        )

    def _until_done(self, method: str, *args: Any, timeout: Any = timeout_default, doing: str) -> Any:
        """Call a method of the TLS object until it does not want the socket to be readable or writable first."""
        while True:
            tls = self._sslobj
            if tls is None:
                raise ValueError(f"{doing.capitalize()} on closed or unwrapped SSL socket.")
            try:
                return getattr(tls, method)(*args)
            except __ssl__.SSLWantReadError:
                if (self.timeout if timeout is timeout_default else timeout) == 0.0:
                    raise
                wait = self._until_readable
            except __ssl__.SSLWantWriteError:
                if (self.timeout if timeout is timeout_default else timeout) == 0.0:
                    raise
                wait = self._until_writable
            wait(TimeoutError(f"The {doing} operation timed out"), timeout)

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Wait for data and return at most ``len`` bytes, or put them into ``buffer`` and return how many."""
        self._checkClosed()
        if len == 0:
            # The standard library would wait for data all the same.
            if self._sslobj is None:
                raise ValueError("Read on closed or unwrapped SSL socket.")
            return b"" if buffer is None else 0
        try:
            if buffer is None:
                return self._until_done("read", len, doing="read")
            return self._until_done("read", len, buffer, doing="read")
        except __ssl__.SSLError as error:
            if error.args[0] == __ssl__.SSL_ERROR_EOF and self.suppress_ragged_eofs:
                return b"" if buffer is None else 0
            raise

    def write(self, data: Buffer) -> int:
        """Wait until some of ``data`` can be sent and return how many bytes were."""
        self._checkClosed()
        return self._until_done("write", data, doing="write")  # type: ignore[no-any-return]

    def send(self, data: Buffer, flags: int = 0, timeout: Any = timeout_default) -> int:
        """Wait until some of ``data`` can be sent and return how many bytes were. ``flags`` must be 0."""
        self._checkClosed()
        if self._sslobj is None:
            return socket.send(self, data, flags, timeout)
        self._refuse_flags("send", flags)
        return self._until_done("write", data, timeout=timeout, doing="write")  # type: ignore[no-any-return]

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        """Send all of ``data``. Raises TimeoutError if that takes longer than the socket's timeout."""
        self._checkClosed()
        if self._sslobj is None:
            socket.sendall(self, data, flags)
        else:
            self._refuse_flags("sendall", flags)
            self._send_rest(as_bytes(data), flags)

    def _refuse_flags(self, method: str, flags: int) -> None:
        if flags != 0:
            raise ValueError(f"non-zero flags not allowed in calls to {method}() on {self.__class__}")

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands. With ``block``, wait even if the socket is non-blocking."""
        self._check_connected()
        timeout = self.timeout
        if block and timeout == 0.0:
            timeout = None
        self._until_done("do_handshake", timeout=timeout, doing="handshake")

    def unwrap(self) -> SSLSocket:
        """End TLS, wait until the other side has too, and return the socket for what follows in the clear."""
        if self._sslobj is None:
            raise ValueError(f"No SSL wrapper around {self}")
        try:
            self._until_done("shutdown", doing="shutdown")
        except __ssl__.SSLEOFError:
            pass  # the other side did not care to say goodbye
        except OSError as error:
            # What some versions of OpenSSL make of that.
            if error.errno != 0:
                raise
        self._sslobj = None
        return self

    def accept(self) -> tuple[SSLSocket, Any]:
        """Wait for a connection, shake hands, and return the connection's socket and the other side's address."""
        sock, address = socket.accept(self)
        try:
            wrapped = self.context.wrap_socket(
                sock,
                server_side=True,
                do_handshake_on_connect=self.do_handshake_on_connect,
                suppress_ragged_eofs=self.suppress_ragged_eofs,
            )
        except BaseException:
            sock.close()
            raise
        return wrapped, address  # type: ignore[return-value]


SSLContext.sslsocket_class = SSLSocket


def _make_context(
    server_side: bool,
    keyfile: Any,
    certfile: Any,
    cert_reqs: int,
    ssl_version: int,
    ca_certs: Any,
    ciphers: str | None,
) -> SSLContext:
    if server_side and not certfile:
        raise ValueError("certfile must be specified for server-side operations")
    if keyfile and not certfile:
        raise ValueError("certfile must be specified")
    context = SSLContext(ssl_version)
    # Clients' contexts come with it on, and it forbids the next line.
    context.check_hostname = False
    context.verify_mode = cert_reqs  # type: ignore[assignment]
    if ca_certs:
        context.load_verify_locations(ca_certs)
    if certfile:
        context.load_cert_chain(certfile, keyfile or certfile)
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def wrap_socket(
    sock: Any,
    keyfile: Any = None,
    certfile: Any = None,
    server_side: bool = False,
    cert_reqs: int = __ssl__.CERT_NONE,
    ssl_version: int = __ssl__.PROTOCOL_TLS,
    ca_certs: Any = None,
    do_handshake_on_connect: bool = True,
    suppress_ragged_eofs: bool = True,
    ciphers: str | None = None,
) -> SSLSocket:
    """Return a TLS socket in the place of ``sock``, with a context made for it alone."""
    return SSLSocket(
        sock=sock,
        keyfile=keyfile,
        certfile=certfile,
        server_side=server_side,
        cert_reqs=cert_reqs,
        ssl_version=ssl_version,
        ca_certs=ca_certs,
        do_handshake_on_connect=do_handshake_on_connect,
        suppress_ragged_eofs=suppress_ragged_eofs,
        ciphers=ciphers,
    )


# The standard functions make a context, so they have to see ours even if nothing is patched.
for _name in (
    "create_default_context",
    "_create_unverified_context",
    "_create_stdlib_context",
    "_create_default_https_context",
    "get_server_certificate",
):
    globals()[_name] = rebound(getattr(__ssl__, _name), globals())
del _name


def _gevent_did_monkey_patch(*_args: object, **_kwargs: object) -> None:
    """Make contexts cooperative whose class was imported, or which were made, before the patch."""
    standard: Any = orig_SSLContext
    for name, setting in _settings.items():
        setattr(standard, name, setting)
    standard.sslsocket_class = SSLSocket
