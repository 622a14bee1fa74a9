"""The extension module: what ``greenlet._greenlet`` has, and the size of stacks.

Its classes call themselves ``greenlet.greenlet``, ``greenlet.GreenletExit`` and ``greenlet.error``, as the
originals do: programs print, pickle and compare these names.
"""

import sys
from collections.abc import Callable
from contextvars import Context
from types import FrameType, TracebackType
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, overload

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

# Events, results and locks. `greenloom.event` and `greenloom.lock` are their public places.

_T = TypeVar("_T")

class AbstractLinkable:
    """An object that can be linked to and waited for; subclasses say when it is :meth:`ready`.

    ``hub`` is the hub that shall be the owner; by default the first that waits.
    """

    hub: Any
    """The hub whose loop calls the links, or None."""
    def __init__(self, hub: Any = None) -> None: ...
    def ready(self) -> bool:
        """Whether the object is ready."""

    def linkcount(self) -> int:
        """Return how many links and waiters there are."""

    def rawlink(self, callback: Callable[[Any], object], /) -> None:
        """Call ``callback`` with this object once, when it is ready: from the hub, where it must not block.

        It is called in a later turn of the loop even if the object is ready now. Raises :class:`TypeError` if it
        is not callable.
        """

    def unlink(self, callback: Any, /) -> None:
        """Forget ``callback``; do nothing if it is not linked."""

    def _notify_links(self) -> None:
        """Tell those who wait. Only from the owner's hub."""

    def _check_and_notify(self) -> None:
        """Have those who wait told, if it is ready."""

    def _at_fork_reinit(self) -> None:
        """Forget, in the child of a fork, the hub and what was under way in it."""

    def _parked(self) -> list[greenlet]:
        """Return the greenlets that wait for it."""

class Event(AbstractLinkable):
    """A flag to wait for, with the interface of :class:`threading.Event`.

    Those who wait are woken in the order in which they came, each at most once for every time that the flag is
    set, even if it is cleared before they run. It may be set and waited for in any thread.
    """

    def __init__(self) -> None: ...
    def is_set(self) -> bool:
        """Whether the flag is set."""

    def isSet(self) -> bool:
        """Do as :meth:`is_set`: the older name of threading."""

    def set(self) -> None:
        """Set the flag and wake everybody who waits for it, in a later turn of the loop."""

    def clear(self) -> None:
        """Take the flag back: whoever waits from now on waits for the next :meth:`set`."""

    def wait(self, timeout: float | BaseException | None = None) -> bool:
        """Wait until the flag is set, at most ``timeout`` seconds, and return whether it was."""

    def _reset_internal_locks(self) -> None:
        """Do nothing: threading calls it after a fork."""

class AsyncResult(AbstractLinkable, Generic[_T]):
    """A value or an exception that will be there later, for any number of greenlets and threads to wait for.

    It may be set again, and then holds the new value. As a link, ``greenlet.link(result)``, it takes over what
    the greenlet ends with. It also has the methods of a :class:`concurrent.futures.Future`, except that
    ``exception`` is an attribute and that it cannot be cancelled.
    """

    def __init__(self) -> None: ...
    @property
    def value(self) -> _T | None:
        """The value, or None if there is none (yet)."""

    @property
    def exception(self) -> BaseException | None:
        """The exception, or None if there is none (yet)."""

    @property
    def exc_info(self) -> tuple[type[BaseException], BaseException, TracebackType | None] | tuple[()]:
        """Type, exception and traceback as :func:`sys.exc_info` has them, or () if there is no exception (yet)."""

    def successful(self) -> bool:
        """Whether there is a value."""

    def set(self, value: _T | None = None) -> None:
        """Keep ``value`` and wake everybody who waits for it, in a later turn of the loop."""

    def set_exception(self, exception: BaseException, exc_info: Any = None) -> None:
        """Keep ``exception``, to be raised by every :meth:`get`, and wake everybody who waits.

        ``exc_info``, as :func:`sys.exc_info` has it, is taken in its place, with its traceback, if it is given.
        """

    def get(self, block: bool = True, timeout: float | BaseException | None = None) -> _T:
        """Return the value or raise the exception, waiting until there is one.

        Raises :class:`~greenloom.timeout.Timeout` after ``timeout`` seconds, and at once if there is nothing yet
        and ``block`` is false.
        """

    def get_nowait(self) -> _T:
        """Return the value or raise the exception; raise Timeout if there is neither yet."""

    def wait(self, timeout: float | BaseException | None = None) -> _T | None:
        """Wait until there is a value or an exception, at most ``timeout`` seconds.

        Returns the value, or None if there is none.
        """

    def __call__(self, source: Any, /) -> None:
        """Take over the result of ``source``, a finished greenlet or AsyncResult."""

    set_result = set

    def result(self, timeout: float | BaseException | None = None) -> _T:
        """Do as :meth:`get`."""

    def done(self) -> bool:
        """Do as :meth:`ready`."""

    def cancelled(self) -> bool:
        """Return false: it cannot be cancelled."""

    def cancel(self) -> bool:
        """Return false: it cannot be cancelled."""

class Semaphore(AbstractLinkable):
    """A counter that is never negative: :meth:`acquire` takes one off, and waits while there is none.

    Any greenlet and any thread may release it. A release does not hand over: whoever asks first after it gets it,
    while those who wait are woken in the order in which they came, in a later turn of the loop. As a context
    manager it is held during the block.
    """

    counter: int
    """How many times it can be acquired without waiting."""
    def __init__(self, value: int = 1, hub: Any = None) -> None: ...
    def locked(self) -> bool:
        """Whether :meth:`acquire` would wait."""

    def acquire(self, blocking: bool = True, timeout: float | BaseException | None = None) -> bool:
        """Take one off the counter and return true, waiting until there is one.

        Returns false if there is none after ``timeout`` seconds, or at once if ``blocking`` is false.
        """

    def release(self) -> int:
        """Add one, wake somebody if anybody waits, and return the counter."""

    def wait(self, timeout: float | BaseException | None = None) -> int:
        """Wait until it can be acquired, at most ``timeout`` seconds, without acquiring it.

        Returns how many times it can be acquired: 0 if the time was over or somebody else was quicker.
        """

    def _start_notify(self) -> None:
        """Wake those who can have it now."""

    def __enter__(self) -> None: ...
    def __exit__(self, *exc_info: object) -> None: ...

class BoundedSemaphore(Semaphore):
    """A semaphore whose counter never exceeds the value that it began with.

    :meth:`release` raises :class:`ValueError` if it has not been acquired as often.
    """

    @property
    def _initial_value(self) -> int:
        """What the counter never exceeds."""

class LockBase(BoundedSemaphore):
    """A bounded semaphore with the interface of the interpreter's lock."""

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:  # type: ignore[override]
        """Acquire it and return true, or return false after ``timeout`` seconds; -1 waits without limit.

        If ``blocking`` is false it returns at once, but lets other greenlets run if it has failed, so that a loop
        that tries again and again comes to an end. Raises :class:`ValueError` and :class:`OverflowError` for a
        timeout as the interpreter's lock does.
        """

class RLock:
    """A lock that the greenlet which holds it may acquire again, and has to release as often.

    ``hub`` is as for :class:`Semaphore`.
    """

    def __init__(self, hub: Any = None) -> None: ...
    def acquire(self, blocking: bool = True, timeout: float | BaseException | None = None) -> bool:
        """Acquire it as :meth:`Semaphore.acquire` does; always at once for the greenlet that holds it."""

    def release(self) -> None:
        """Release it once. Raises :class:`RuntimeError` in a greenlet that does not hold it."""

    def locked(self) -> bool:
        """Whether a greenlet holds it."""

    def __enter__(self) -> bool: ...
    def __exit__(self, *exc_info: object) -> None: ...
    @property
    def _block(self) -> Semaphore:
        """The semaphore where the others wait."""

    @property
    def _owner(self) -> greenlet | None:
        """The greenlet that holds it, or None."""

    @property
    def _count(self) -> int:
        """How many times the owner holds it."""

    def _is_owned(self) -> bool:
        """Whether the current greenlet holds it."""

    def _release_save(self) -> tuple[greenlet | None, int]:
        """Release it, however often it is held; return what :meth:`_acquire_restore` takes."""

    def _acquire_restore(self, saved: tuple[greenlet | None, int], /) -> None:
        """Acquire it again as it was held before :meth:`_release_save`."""
