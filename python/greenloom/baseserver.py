"""What the servers have in common: a listening socket, a watcher on it, and a greenlet for each thing read.

A listener becomes readable -> the hub calls ``_do_read`` -> ``do_read`` takes one connection or datagram ->
``do_handle`` spawns the handler. Nothing here waits: it all runs in the hub.
"""

from __future__ import annotations

import errno
import sys
from _socket import AF_INET, AF_INET6
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from greenloom.event import Event
from greenloom.greenlet import Greenlet
from greenloom.hub import get_hub

__all__ = ["BaseServer"]

_Server = TypeVar("_Server", bound="BaseServer")

_READ = 1


def _serve(handler: Callable[..., Any], finished: Callable[..., object], what: tuple[Any, ...]) -> Any:
    """Be what the spawned greenlet runs. A plain function: cheaper to spawn than a closure or a method."""
    try:
        return handler(*what)
    finally:
        finished(*what)


@contextmanager
def _closed_on_error(server: BaseServer) -> Iterator[None]:
    """Let no half-made server keep its socket."""
    done = False
    try:
        yield
        done = True
    finally:
        if not done:
            server.close()


class _Watch:
    """A server's interest in its listener: watching it, pausing, or none."""

    def __init__(self) -> None:
        self._active: Any = None
        self._paused = False

    def begin(self, loop: Any, fileno: int, readable: Callable[[], object]) -> None:
        """Call *readable* whenever there is something; once begun, it goes on."""
        if self._active is None or self._paused:
            self._replace(loop.io(fileno, _READ), readable, paused=False)

    def pause(self, loop: Any, seconds: float, over: Callable[[], object]) -> None:
        """Watch no more, and call *over* in so many seconds."""
        self._replace(loop.timer(seconds), over, paused=True)

    def end(self) -> None:
        """Watch no more."""
        old, self._active = self._active, None
        if old is not None:
            old.stop()
            old.close()

    def _replace(self, watcher: Any, callback: Callable[[], object], *, paused: bool) -> None:
        self.end()
        self._active, self._paused = watcher, paused
        watcher.start(callback)


class BaseServer:
    """Accepts on *listener* and runs *handle* for what came in. Subclasses say what that is.

    *listener* is an address (``(host, port)``, a port, ``"host:port"``, ``":port"``, ``"[::1]:port"``) to bind to,
    or a socket that is bound, and listening if it is a stream's. *handle* is called with what ``do_read`` gave;
    a subclass may have it as a method instead. Its arguments are closed when it returns.

    *spawn* runs the handlers: a function like :func:`greenloom.spawn`, which is the default, or ``spawn_raw``; a
    pool, whose fullness stops the accepting; a number, for a pool of that size; or None, to run them in the hub,
    where they must not block.

    Raises TypeError and ValueError for a listener that is none. As a context manager it stops at the end.
    """

    #: How many connections are accepted in a row before other greenlets run.
    max_accept: int = 100

    #: Seconds without accepting after an error of accept or spawn. They double up to `max_delay`, and are reset
    #: by a success. A negative `delay` is no pause at all.
    max_delay: float = 1
    min_delay: float = 0.01
    delay: float

    #: Seconds that :meth:`stop` gives the handlers of a pool before it kills them.
    stop_timeout: float = 1

    #: Errors of accept after which the server closes.
    fatal_errors: tuple[int, ...] = (errno.EINVAL, errno.ENOTSOCK, errno.EBADF)

    _spawn: Callable[..., Any] | None = Greenlet.spawn

    #: Where the server listens, as the socket has it, and the family of that.
    address: Any
    family: int
    loop: Any
    # Present only while the server has them: `closed` and subclasses ask with hasattr.
    socket: Any
    handle: Callable[..., Any]

    def __init__(
        self, listener: Any, handle: Callable[..., Any] | None = None, spawn: Any = "default"
    ) -> None:
        """See the class."""
        self._watch = _Watch()
        self._handle: Callable[..., Any] | None = None
        #: What the handlers run in, if that is a pool.
        self.pool: Any = None
        self._stop_event = Event()
        self._stop_event.set()
        with _closed_on_error(self):
            self.set_listener(listener)
            if self.max_accept <= 0:
                raise ValueError(
                    f"a server accepts at least one connection at a time, not {self.max_accept!r}"
                )
            self.set_spawn(spawn)
            self.set_handle(handle)
            self.loop = get_hub().loop
        self.delay = self.min_delay

    def __enter__(self: _Server) -> _Server:
        """Return the server, started or not."""
        return self

    def __exit__(self, *error: object) -> None:
        """Stop."""
        self.stop()

    # -- What it is made of ----------------------------------------------------------------------------------

    def set_listener(self, listener: Any) -> None:
        """Take an address or a bound socket. Raises TypeError for an SSL socket, ValueError for no address."""
        if hasattr(listener, "do_handshake"):
            raise TypeError(f"the listener must be a plain socket, TLS begins after accepting: {listener!r}")
        if hasattr(listener, "accept"):
            self.socket = listener
            self.family, self.address = listener.family, listener.getsockname()
        else:
            self.family, self.address = parse_address(listener)

    def set_spawn(self, spawn: Any) -> None:
        """Take what runs the handlers; see the class."""
        if isinstance(spawn, int):
            from greenloom.pool import Pool

            spawn = Pool(spawn)
        self.pool = spawn if hasattr(spawn, "spawn") else None
        if self.pool is not None:
            self._spawn = self.pool.spawn
            self.full = getattr(self.pool, "full", self.full)  # type: ignore[method-assign]
            self._wait_for_room()
        elif spawn != "default":
            self._spawn = spawn

    def set_handle(self, handle: Callable[..., Any] | None) -> None:
        """Take the handler; None leaves it to a method of the subclass. Raises TypeError if there is none."""
        if handle is not None:
            self.handle = handle
        elif not hasattr(self, "handle"):
            raise TypeError("a server needs a 'handle': an argument, or a method of its class")
        self._handle = self.handle

    # -- Accepting -------------------------------------------------------------------------------------------

    def start_accepting(self) -> None:
        """Watch the socket. :meth:`start` does it."""
        self._watch.begin(self.loop, self.socket.fileno(), self._do_read)

    def stop_accepting(self) -> None:
        """Do not watch the socket; what was accepted goes on."""
        self._watch.end()

    def _resume(self, _pool: object = None) -> None:
        if self.started:
            self.start_accepting()

    def _wait_for_room(self) -> None:
        self.pool._semaphore.rawlink(self._resume)

    def full(self) -> bool:
        """Whether no more handlers may run now. A pool's answer takes the place of this one."""
        return False

    def do_read(self) -> Any:
        """Take one thing from the socket and return the handler's arguments, or None if there is nothing."""
        raise NotImplementedError

    def do_close(self, *args: Any) -> None:
        """Close what the handler was called with."""

    def do_handle(self, *args: Any) -> None:
        """Run the handler with *args*, and :meth:`do_close` after it."""
        if self._spawn is None:
            assert self._handle is not None
            _serve(self._handle, self.do_close, args)
            return
        spawned = False
        try:
            self._spawn(_serve, self._handle, self.do_close, args)
            spawned = True
        finally:
            if not spawned:
                self.do_close(*args)

    def _do_read(self) -> None:
        """Be what the hub calls when the listener is readable."""
        left = self.max_accept
        while left and self._accept_one():
            left -= 1

    def _accept_one(self) -> bool:
        """Read once and run the handler. False says that this is it for now."""
        if self.full():
            # A pool tells when there is room; whoever overrides `full` has to start it again.
            if self.pool is not None:
                self._wait_for_room()
            self.stop_accepting()
            return False
        # What an error is reported with. Never the client's socket, which the report might keep open.
        context: object = self
        try:
            what = self.do_read()
            self.delay = self.min_delay
            if what:
                context = (what[1:], self)
                self.do_handle(*what)
        except BaseException as error:
            self.loop.handle_error(context, *sys.exc_info())
            if context is self and self.is_fatal_error(error):
                self._give_up(error)
            elif self.delay >= 0:
                # Where memory or file descriptors ran out, trying on would spin.
                self._watch.pause(self.loop, self.delay, self._resume)
                self.delay = min(2 * self.delay, self.max_delay)
            return False
        return bool(what)

    def is_fatal_error(self, ex: BaseException) -> bool:
        """Whether accepting can never succeed after this error."""
        return isinstance(ex, OSError) and ex.errno in self.fatal_errors

    def _give_up(self, error: BaseException) -> None:
        self.close()
        sys.stderr.write(f"ERROR: {self} failed with {str(error) or repr(error)}\n")

    # -- Starting and stopping -------------------------------------------------------------------------------

    def init_socket(self) -> None:
        """Make the socket if the server was given an address. Called by :meth:`start`."""

    @property
    def closed(self) -> bool:
        """Whether there is no socket: before the start on an address, and after the end."""
        return not hasattr(self, "socket")

    @property
    def started(self) -> bool:
        """Whether the server was started and not stopped since."""
        return not self._stop_event.is_set()

    def start(self) -> None:
        """Make the socket if there is none, and accept. Raises OSError."""
        self.init_socket()
        with _closed_on_error(self):
            self._stop_event.clear()
            self.start_accepting()

    def close(self) -> None:
        """Close the listening socket and accept no more. The handlers go on."""
        self._stop_event.set()
        self.stop_accepting()
        own = vars(self)
        listener: Any = own.pop("socket", None)
        # The others refer to us, or to what the user gave. Where the class has such a one, it shows again.
        for name in ("handle", "_handle", "_spawn", "full"):
            own.pop(name, None)
        if self.pool is not None:
            self.pool._semaphore.unlink(self._resume)
        # Somebody else may have closed it, or be using it.
        with suppress(Exception):
            listener.close()

    def stop(self, timeout: float | None = None) -> None:
        """Close, and wait for the handlers if they run in a pool.

        After *timeout* seconds (the default is `stop_timeout`) those that still run are killed. Without a pool
        they go on.
        """
        self.close()
        handlers = self.pool
        if handlers:
            handlers.join(self.stop_timeout if timeout is None else timeout)
            handlers.kill(block=True, timeout=1)

    def serve_forever(self, stop_timeout: float | None = None) -> None:
        """Start if that was not done, and wait until the server is stopped or this greenlet is killed."""
        if self._stop_event.is_set():
            self.start()
        try:
            self._stop_event.wait()
        finally:
            # In a greenlet of its own, for the pool is killed, and this greenlet may belong to it.
            stopping = Greenlet.spawn(self.stop, stop_timeout)
            stopping.join()

    # -- What it looks like ----------------------------------------------------------------------------------

    @property
    def server_host(self) -> str | None:
        """The address that the server is bound to, if it has a family of addresses with hosts."""
        return self.address[0] if isinstance(self.address, tuple) else None

    @property
    def server_port(self) -> int | None:
        """The port that the server is bound to, if it has a family of addresses with ports."""
        return self.address[1] if isinstance(self.address, tuple) else None

    def __repr__(self) -> str:
        """The class, the socket's number, the address, and the handler if it was given."""
        return f"<{type(self).__name__} at {id(self):#x} {self._formatinfo()}>"

    def __str__(self) -> str:
        """The same, less where it is in memory."""
        return f"<{type(self).__name__} {self._formatinfo()}>"

    def _formatinfo(self) -> str:
        parts = [] if self.closed else [f"fileno={_or_error(self.socket.fileno)}"]
        parts.append(f"address={_or_error(self._format_address)}")
        if "handle" in vars(self):
            parts.append(f"handle={_or_error(self._format_handle)}")
        return " ".join(parts)

    def _format_address(self) -> str:
        short = isinstance(self.address, tuple) and len(self.address) == 2
        return "{}:{}".format(*self.address) if short else str(self.address)

    def _format_handle(self) -> str:
        if getattr(self.handle, "__self__", None) is self:
            # Its own repr would contain ours.
            return f"<bound method {type(self).__name__}.{self.handle.__name__} of self>"
        return repr(self.handle)


def _or_error(function: Callable[[], object]) -> object:
    """The function's value or, since reprs are for looking into what went wrong, what went wrong."""
    try:
        return function()
    except Exception as error:
        return str(error) or "<error>"


def parse_address(address: Any) -> tuple[int, Any]:
    """The family and the socket's address for a tuple, a port, or a string such as ``127.0.0.1:80``.

    No host and addresses with a colon are IPv6; ``*`` is every IPv4 address. Raises ValueError, and TypeError for
    other objects.
    """
    if isinstance(address, tuple):
        host = address[0]
        return (AF_INET if host and ":" not in host else AF_INET6), address
    if isinstance(address, int):
        return AF_INET6, ("", address)
    if not isinstance(address, str):
        raise TypeError(f"an address is a tuple, a port or a string, not {type(address)}")
    host, colon, port = address.rpartition(":")
    try:
        number = int(port)
    except ValueError as error:
        raise ValueError(f"Failed to parse address {address!r}: {error}") from error
    if not colon:
        return AF_INET6, ("", number)
    if host[:1] == "[" and host[-1:] == "]":
        return AF_INET6, (host[1:-1], number)
    return AF_INET, ("" if host == "*" else host, number)
