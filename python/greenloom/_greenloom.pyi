"""The extension module: what ``greenlet._greenlet`` has, and the size of stacks.

Its classes call themselves ``greenlet.greenlet``, ``greenlet.GreenletExit`` and ``greenlet.error``, as the
originals do: programs print, pickle and compare these names.
"""

import sys
from collections.abc import Callable
from contextvars import Context
from socket import socket as _socket
from types import FrameType, TracebackType
from typing import Any, Final, Literal, TypeAlias, overload

from typing_extensions import Buffer

_TraceEvent: TypeAlias = Literal["switch", "throw"]
_TraceCallback: TypeAlias = Callable[[_TraceEvent, tuple[greenlet, greenlet]], object]

__version__: Final[str]
"""The version of greenloom: that of the Rust crate, for example ``0.1.0``."""

CLOCKS_PER_SEC: Final[int]
"""How many of the clocks of :func:`get_clocks_used_doing_optional_cleanup` make one second."""

# What the original was built with. Always true here, as it has been there since 1.0.
GREENLET_USE_CONTEXT_VARS: Final[int]
GREENLET_USE_GC: Final[int]
GREENLET_USE_STANDARD_THREADING: Final[int]
GREENLET_USE_TRACING: Final[int]

_C_API: Final[object]
"""The capsule ``greenlet._C_API``: the C functions that ``PyGreenlet_Import`` of greenlet.h looks for."""

class GreenletExit(BaseException):
    """Ends the greenlet that it is thrown into; its parent's ``switch`` then returns the instance."""

class error(Exception):
    """A switch that cannot be: to another thread's greenlet, or before the base class was initialised."""

class _Parent:
    """The type of :attr:`greenlet.parent`: None can be read (a main greenlet has no parent), but not set."""

    def __get__(self, instance: greenlet, owner: type[greenlet] | None = None, /) -> greenlet | None: ...
    def __set__(self, instance: greenlet, value: greenlet, /) -> None: ...

class greenlet:
    """A coroutine with a stack of its own and a parent.

    True while it is suspended or running: from its first switch until its end.
    """

    def __init__(self, run: Callable[..., Any] | None = None, parent: greenlet | None = None) -> None:
        """Make a greenlet that will call ``run``; its parent is the current greenlet if none is given.

        Its stack is reserved when it is first switched to, of the size that :func:`stack_size` then has.
        """

    def switch(self, /, *args: Any, **kwargs: Any) -> Any:
        """Go on in this greenlet, and return here with what is passed to the ``switch`` that comes back.

        The first switch calls ``run`` with the arguments. A later one is what the greenlet's own ``switch``
        returns: ``()`` for no argument, one argument as it is, several as a tuple, keywords as a dict, and
        ``(args, kwargs)`` for both. Switching to a dead greenlet goes to its parent.

        Raises :class:`error` if the greenlet belongs to another thread, :class:`MemoryError` if there is no
        memory for a stack, and whatever ends this greenlet with an error if it is the caller's child.
        """

    @overload
    def throw(
        self,
        typ: type[BaseException] = ...,
        val: object = None,
        tb: TracebackType | None = None,
        /,
    ) -> Any:
        """Switch to this greenlet and raise there: GreenletExit if nothing is given, as ``raise`` would.

        In one that has not started it is raised in the parent at once, and the greenlet is dead.
        """

    @overload
    def throw(self, typ: BaseException, val: None = None, tb: TracebackType | None = None, /) -> Any: ...
    def __bool__(self) -> bool: ...
    @property
    def dead(self) -> bool:
        """Whether it has ended."""

    @property
    def run(self) -> Callable[..., Any]:
        """What the greenlet calls.

        Raises :class:`AttributeError` once it has started, to read it and to set it.
        """

    @run.setter
    def run(self, value: Callable[..., Any], /) -> None: ...

    # Where the greenlet's value or error goes when it ends. Setting it raises ValueError for a cycle and for
    # a parent in another thread, TypeError for anything but a greenlet.
    parent: _Parent

    @property
    def gr_frame(self) -> FrameType | None:
        """The innermost frame of a suspended greenlet; None if it runs, has not started, or is dead."""

    @property
    def gr_context(self) -> Context | None:
        """The context that its context variables live in; None if it has none of its own yet.

        Setting it raises :class:`ValueError` in a greenlet that another thread runs, and
        :class:`TypeError` for anything but a context or None.
        """

    @gr_context.setter
    def gr_context(self, value: Context | None, /) -> None: ...
    @property
    def _stack_saved(self) -> int:
        """Bytes of stack copied away: always 0, because stacks stay where they are."""

    # The module's names once more, as the original has them.
    GreenletExit: type[GreenletExit]
    error: type[error]
    @staticmethod
    def getcurrent() -> greenlet: ...
    @staticmethod
    def gettrace() -> _TraceCallback | None: ...
    @staticmethod
    def settrace(callback: _TraceCallback | None, /) -> _TraceCallback | None: ...

class UnswitchableGreenlet(greenlet):
    """A greenlet whose switch can be told to fail. For tests only."""

    force_switch_error: bool
    force_slp_switch_error: bool

def getcurrent() -> greenlet:
    """Return the greenlet that runs now; a thread that has none yet gets its main greenlet."""

def settrace(callback: _TraceCallback | None, /) -> _TraceCallback | None:
    """Call ``callback(event, (origin, target))`` at every switch and throw of this thread, None for nothing.

    Returns the function that was set before. An error in the callback unsets it and is raised in the target.
    """

def gettrace() -> _TraceCallback | None:
    """Return the function that :func:`settrace` set in this thread, or None."""

def enable_optional_cleanup(enabled: bool, /) -> None:
    """Whether to look for greenlets that a finished thread leaked."""

def get_clocks_used_doing_optional_cleanup() -> int | None:
    """Return the processor time that looking for leaks has taken, in clocks; None if it is disabled."""

def get_pending_cleanup_count() -> int:
    """Return how many finished threads are still to be cleaned up after. For tests only."""

def get_total_main_greenlets() -> int:
    """Return how many threads have a main greenlet now. For tests only."""

def set_thread_local(key: object, value: object, /) -> None:
    """Put a value into the thread's own dictionary. For tests only."""

if sys.version_info < (3, 13):
    def get_tstate_trash_delete_nesting() -> int:
        """Return how deep the thread is in nested deallocations. For tests only."""

def stack_size() -> int:
    """Return the size of the stacks that new greenlets get, in bytes.

    It is what :func:`set_stack_size` or the environment variable ``GREENLOOM_STACK_SIZE`` (``64k``, ``1m``,
    or a number of bytes) made it, and otherwise a size that fits the version of Python.
    """

def set_stack_size(bytes: int, /) -> int:
    """Set the size of the stacks that greenlets get from now on, in bytes; return the size that it is now.

    It is rounded up to a power of two, 64 KiB at the least. Stacks are reserved, not filled: a page counts when it
    is touched.

    Raises :class:`ValueError` for less than one byte and for more than 64 MiB.
    """

# The event loop. `greenloom._loop` adds the watchers of children and files; `greenloom.core` is its public place.

class callback:
    """Something to call in a turn of the loop; true as long as it is to be called."""

    callback: Callable[..., object] | None
    args: tuple[Any, ...] | None
    pending: bool
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def __bool__(self) -> bool: ...

class watcher:
    """What is to be called when something happens. Made by the loop's methods."""

    callback: Callable[..., object] | None
    args: tuple[Any, ...] | None
    ref: bool
    priority: int
    @property
    def loop(self) -> Any: ...
    @property
    def active(self) -> bool: ...
    @property
    def pending(self) -> bool: ...
    def start(
        self, callback: Callable[..., object], /, *args: Any, pass_events: bool = False, update: bool = False
    ) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def feed(self, events: int, callback: Callable[..., object], /, *args: Any) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, *error: object) -> None: ...

class io(watcher):
    """Watches a descriptor: events 1 readable, 2 writable."""

    fd: int
    events: int
    @property
    def events_str(self) -> str: ...

class timer(watcher):
    """Fires after some seconds, and then every `repeat` seconds if that is not 0."""

    @property
    def after(self) -> float: ...
    @property
    def repeat(self) -> float: ...
    def again(self, callback: Callable[..., object], /, *args: Any, update: bool = True) -> None: ...

class async_(watcher):
    """Called in the loop's thread when any thread sends."""

    def send(self) -> None: ...
    def send_ignoring_arg(self, ignored: object, /) -> None: ...

class signal(watcher):
    """Watches a signal."""

    @property
    def signalnum(self) -> int: ...

class hook(watcher):
    """Watches a moment of each turn."""

EVENTS: Any

class loop:
    """An event loop. Raises :class:`ValueError` in most methods once it is destroyed."""

    MAXPRI: int
    MINPRI: int
    approx_timer_resolution: float
    backend: str
    error_handler: Any
    def __init__(self, flags: int | str | list[str] | None = None, default: bool | None = None) -> None: ...
    def run(self, nowait: bool = False, once: bool = False) -> None: ...
    def run_callback(self, callback: Callable[..., object], /, *args: Any) -> callback: ...
    def run_callback_threadsafe(self, callback: Callable[..., object], /, *args: Any) -> callback: ...
    def io(self, fd: int, events: int, ref: bool = True, priority: int | None = None) -> io: ...
    def timer(
        self, after: float, repeat: float = 0.0, ref: bool = True, priority: int | None = None
    ) -> timer: ...
    def async_(self, ref: bool = True, priority: int | None = None) -> async_: ...
    def signal(self, signum: int, ref: bool = True, priority: int | None = None) -> signal: ...
    def idle(self, ref: bool = True, priority: int | None = None) -> hook: ...
    def prepare(self, ref: bool = True, priority: int | None = None) -> hook: ...
    def check(self, ref: bool = True, priority: int | None = None) -> hook: ...
    def fork(self, ref: bool = True, priority: int | None = None) -> hook: ...
    def now(self) -> float: ...
    def update_now(self) -> None: ...
    def update(self) -> None: ...
    def ref(self) -> None: ...
    def unref(self) -> None: ...
    def break_(self, how: int = 0) -> None: ...
    def reinit(self) -> None: ...
    def destroy(self) -> bool | None: ...
    def closing_fd(self, fd: int) -> bool: ...
    def fileno(self) -> int | None: ...
    def handle_error(self, context: object, kind: Any, value: Any, traceback: Any) -> None: ...
    def install_sigchld(self) -> None: ...
    def reset_sigchld(self) -> None: ...
    @property
    def default(self) -> bool: ...
    @property
    def iteration(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def activecnt(self) -> int: ...
    @property
    def pendingcnt(self) -> int: ...
    @property
    def sig_pending(self) -> bool: ...

# ------------------------------------------------------------------------------------------------------- sockets

class SocketBase(_socket):
    """What cooperative sockets derive from: the calls that wait. Made by :func:`make_socket_base`."""

    hub: Any
    timeout: float | None
    _reader: Any
    _writer: Any
    def send(self, data: Buffer, flags: int = 0, timeout: Any = ...) -> int: ...
    def _accept_waiting(self) -> tuple[int, Any]: ...
    def _until_readable(self, timeout_exc: BaseException | None = None, timeout: Any = ...) -> None: ...
    def _until_writable(self, timeout_exc: BaseException | None = None, timeout: Any = ...) -> None: ...
    def _expose_wait(self, side: int, /) -> None: ...
    def _expose_waits(self) -> None: ...
    def _disown(self) -> None: ...

def make_socket_base(socket: type, timeout_default: object, /) -> type[SocketBase]: ...
def set_socket_class(socket: type, /) -> None: ...
