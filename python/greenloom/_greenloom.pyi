"""The extension module: what ``greenlet._greenlet`` has, and the size of stacks.

Its classes call themselves ``greenlet.greenlet``, ``greenlet.GreenletExit`` and ``greenlet.error``, as the
originals do: programs print, pickle and compare these names.
"""

import sys
from collections.abc import Callable
from contextvars import Context
from socket import socket as _socket
from types import FrameType, TracebackType
from typing import Any, ClassVar, Final, Generic, Literal, TypeAlias, TypedDict, TypeVar, overload
from weakref import ref

from typing_extensions import Buffer

from greenloom.timeout import _NeverTimer

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

# The hub.

class HubBase(greenlet):
    """A greenlet that runs a loop, seen by those who switch to it."""

    #: The loop; None when it is destroyed.
    loop: Any

    def switch(self) -> Any:
        """Wait in the hub; return what the greenlet is resumed with.

        A greenlet that has a method ``switch_out`` has it called first.
        """

    def wait(self, watcher: Any, /) -> None:
        """Wait until ``watcher``, which must not be started, fires.

        Raises :class:`~greenloom.exceptions.InvalidSwitchError` if something else resumes the greenlet.
        """

def get_hub() -> Any:
    """Return the hub of the current thread; the first call makes it."""

def get_hub_if_exists() -> Any:
    """Return the hub of the current thread, or None if there is none yet."""

def set_hub(hub: HubBase | None, /) -> None:
    """Make ``hub`` the hub of the current thread; None forgets the one it has."""

def set_hub_maker(function: Callable[[], Any], /) -> None:
    """Have :func:`get_hub` call ``function`` where there is no hub yet."""

class HubGreenlet(greenlet):
    """A greenlet that the hub starts, and that others wait for, link to and kill: the base of ``Greenlet``."""

    #: What the function returned; None until then, or if it failed.
    value: Any
    #: What it is called with; empty when it is done.
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    #: A weak reference to the greenlet that made this one; None if the tree is not tracked.
    spawning_greenlet: ref[greenlet] | None
    #: A dictionary shared with the spawner and with all that this greenlet spawns; None if not tracked.
    spawn_tree_locals: dict[str, Any] | None
    #: What it calls. Subclasses define a method of this name, which is called if no ``run`` is given.
    _run: Any

    def __init__(self, run: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> None: ...
    @classmethod
    def spawn(cls, *args: Any, **kwargs: Any) -> Any:
        """Return a new greenlet of these arguments, started."""

    def start(self) -> None:
        """Let the hub start it in this turn of the loop. Does nothing if it was started or killed before."""

    def start_later(self, seconds: float, /) -> None:
        """Let the hub start it ``seconds`` from now. Does nothing if it was started or killed before."""

    def run(self) -> None:
        """Run it. Called by the first switch to it."""

    def __bool__(self) -> bool:
        """Whether it has been scheduled to start and is not done."""

    @property
    def started(self) -> bool:
        """The same as its truth value."""

    @property
    def dead(self) -> bool:
        """Whether it will not run any more: it has ended, or was killed before it began."""

    @property
    def exception(self) -> BaseException | None:
        """The exception that ended it, or None."""

    @property
    def exc_info(self) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
        """Type, value and traceback of what ended it, or None."""

    @property
    def loop(self) -> Any:
        """The loop of its hub."""

    @property
    def _hub_of(self) -> Any:
        """Its parent, which has to be a hub."""

    @property
    def _spawning_stack(self) -> tuple[Any, ...]:
        """Codes and instructions of its maker's stack, in turn, innermost first."""

    def ready(self) -> bool:
        """Whether it is done."""

    def successful(self) -> bool:
        """Whether it is done and no error ended it. GreenletExit is not an error."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until it is done, or ``timeout`` seconds are over."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return what it returned, or raise what ended it, waiting at most ``timeout`` seconds.

        Raises :class:`~greenloom.Timeout` when the time is over, and at once without ``block``.
        """

    def _wait(self) -> None:
        """Wait until it is done."""

    def rawlink(self, callback: Callable[[Any], object], /) -> None:
        """Let the hub call ``callback(self)`` when it is done, also if it is already. It must not wait or raise.

        Raises :class:`TypeError` if it is not callable.
        """

    def unlink(self, callback: Callable[[Any], object], /) -> None:
        """Take back one link of ``callback``, of any kind. One that is not there is no error."""

    def unlink_all(self) -> None:
        """Take back all links."""

    def has_links(self) -> int:
        """Return how many links there are."""

    def _notify_links(self) -> None:
        """Call the links. Only from the hub."""

    def _maybe_kill_before_start(self, exception: Any, /) -> bool:
        """Keep it from starting if it has not, and return whether it is dead."""

    def kill(self, exception: Any = ..., block: bool = True, timeout: float | None = None) -> None:
        """Raise ``exception`` (GreenletExit) in it where it waits, and wait until it is done.

        One that has not run never will. It is waited for at most ``timeout`` seconds, and not at all without
        ``block``. It may catch the exception and go on; the end of the timeout is not reported. One that is
        done stays as it is.
        """

def set_greenlet_settings(track_tree: bool, inherit_context: bool, /) -> None:
    """Say what greenlets that are made from now on keep of their spawner."""

def set_greenlet_settings_reader(function: Callable[[], object], /) -> None:
    """Have ``function`` called when the settings are needed, to call :func:`set_greenlet_settings`."""

def forget_greenlet_settings() -> None:
    """Have them read again when the next greenlet is made."""

def set_spawn_callbacks(functions: frozenset[Callable[[Any], object]], /) -> None:
    """Have these called with each greenlet that is started."""

class GroupBase:
    """A set of running greenlets, which leave it when they end: the base of ``Group`` and ``Pool``."""

    #: The greenlets.
    greenlets: set[Any]
    #: Those of them that have been killed.
    dying: set[Any]
    #: An event that is set while there are none.
    _empty_event: Any
    #: A semaphore whose counter is the room that is left.
    _semaphore: Any

    def _track(self, greenlet: Any, /) -> None:
        """Have it in the set until it tells that it has ended, as a raw greenlet never does."""

    def _discard(self, greenlet: Any, /) -> None:
        """Count it out."""

    def add(self, greenlet: Any, blocking: bool = True, timeout: float | None = None) -> None:
        """Have ``greenlet``, which should not have started yet, in the group until it ends; wait for room.

        Raises :class:`~greenloom.pool.PoolFull` after ``timeout`` seconds, or at once if ``blocking`` is false.
        """

    def start(self, greenlet: Any, /, *args: Any, **kwargs: Any) -> None:
        """Add ``greenlet``, with these arguments if :meth:`add` takes any, and start it."""

    def spawn(self, *args: Any, **kwargs: Any) -> Any:
        """Make a greenlet with these arguments, add and start it, and return it."""

class LocalBase:
    """An object whose attributes are each greenlet's own: the base of ``local``."""

    _local__state: ClassVar[Any]

def bind_local(local: LocalBase, state: object, key: str, descriptors: frozenset[str], /) -> None:
    """Give a new local object what it needs to find attributes."""

# Timeouts, sleep and waiters. `greenloom.timeout`, `greenloom.hub` are their public places.

class Timeout(BaseException):
    """Raises itself, or ``exception``, in the greenlet that started it, after ``seconds``.

    ``with Timeout(5): ...`` starts it and closes it at the end. ``exception`` is None or a text to raise the
    Timeout itself (the text is its message), False to end the ``with`` silently instead, and otherwise the
    exception, class or instance, to raise. ``seconds`` None never fires; 0 fires as soon as the greenlet waits
    for something. With ``ref=False`` it does not keep the loop running.

    Several may be under way at once: one that was caught is yours only if it *is* the object that you started.
    Always close it, as ``with`` does.
    """

    #: After how many seconds it fires; None for never.
    seconds: float | None
    #: What it raises instead of itself, or a text, or None or False.
    exception: Any
    def __init__(
        self, seconds: float | None = None, exception: Any = None, ref: bool = True, priority: int = -1
    ) -> None: ...
    @classmethod
    def start_new(
        cls, timeout: float | Timeout | None = None, exception: Any = None, ref: bool = True
    ) -> Timeout:
        """Return a started Timeout: ``timeout`` itself if it is one, otherwise a new one of so many seconds."""

    @staticmethod
    def _start_new_or_dummy(
        timeout: float | Timeout | None, exception: Any = None, ref: bool = True
    ) -> Timeout | _NeverTimer:
        """Do as :meth:`start_new`, but cost nothing if there is no timeout. ``cancel`` the result in the end."""

    @property
    def timer(self) -> Any:
        """Its timer, which is made when it is asked for, or what stands in for it when there is none."""

    @property
    def pending(self) -> bool:
        """Whether it is counting."""

    def start(self) -> None:
        """Begin to count. Raises :class:`AssertionError` if it has begun already."""

    def cancel(self) -> None:
        """Stop counting. It can be started again; use :meth:`close` if it will not be."""

    def close(self) -> None:
        """Stop counting and give up the timer. It cannot be started again."""

    def _on_expiration(self, prev_greenlet: greenlet, ex: Any, /) -> None:
        """Raise ``ex`` in the greenlet. Subclasses override this to do something else when the time is over."""

    def _describe_timer(self) -> tuple[Any, bool, bool, float, bool, int, greenlet | None, Any]:
        """Return what :attr:`timer` shows: loop, active, pending, after, ref, priority, and its two arguments."""

    def __enter__(self) -> Timeout:
        """Start it, if it is not counting already."""

    def __exit__(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None, /
    ) -> bool:
        """Close it, and keep it to itself if it is a silent one."""

    def __lt__(self, other: Any) -> bool:
        """Compare the seconds with a number or with another Timeout's."""

def sleep(seconds: float = 0, ref: bool = True) -> None:
    """Let others run for at least ``seconds``; 0, or less, only gives those that are ready now their turn.

    With ``ref=False`` the sleeper does not keep the loop running.
    """

class Waiter:
    """Hands one value or exception from the hub to the greenlet that calls :meth:`get`.

    It may arrive before or after :meth:`get` is called. :meth:`switch` and :meth:`throw` resume the greenlet
    only while it is in :meth:`get`; what fails in it goes to the hub's ``handle_error``. One greenlet at a time.
    """

    #: The hub to wait in.
    hub: Any
    #: The greenlet in :meth:`get`.
    greenlet: Any
    #: What :meth:`switch` was given.
    value: Any
    def __init__(self, hub: Any = None) -> None: ...
    @property
    def exc_info(self) -> Any:
        """The arguments that :meth:`throw` was given, or None."""

    def clear(self) -> None:
        """Forget what has arrived, to be used once more."""

    def ready(self) -> bool:
        """Whether a value or an exception has arrived."""

    def successful(self) -> bool:
        """Whether a value has arrived."""

    def switch(self, value: Any, /) -> None:
        """Resume the waiting greenlet with ``value``, or keep it for one that comes. Only from the hub."""

    def switch_args(self, *args: Any) -> None:
        """Do as :meth:`switch`, with the tuple of the arguments."""

    def throw(self, *throw_args: Any) -> None:
        """Raise in the waiting greenlet, or in the one that comes; arguments as ``greenlet.throw`` has them."""

    def get(self) -> Any:
        """Return the value or raise the exception, waiting in the hub until it arrives.

        Raises :class:`~greenloom.exceptions.ConcurrentObjectUseError` if another greenlet waits here.
        """

    def __call__(self, source: Any) -> None:
        """Hand over the result of ``source``, a finished greenlet or AsyncResult: a waiter can be a link."""

# Queues and channels. `greenloom.queue` has the classes.

class QueueBase:
    """Items that are put in and got out, and those who wait to.

    ``_qsize``, ``_put``, ``_get`` and ``_peek`` may be overridden; then they are called.
    """

    queue: Any
    @property
    def maxsize(self) -> int | None: ...
    @maxsize.setter
    def maxsize(self, value: int | None) -> None: ...
    @property
    def getters(self) -> list[Any]: ...
    @property
    def putters(self) -> list[Any]: ...
    @property
    def is_shutdown(self) -> bool: ...
    def put(self, item: Any, block: bool = True, timeout: Any = None) -> None: ...
    def put_nowait(self, item: Any, /) -> None: ...
    def get(self, block: bool = True, timeout: Any = None) -> Any: ...
    def get_nowait(self) -> Any: ...
    def peek(self, block: bool = True, timeout: Any = None) -> Any: ...
    def peek_nowait(self) -> Any: ...
    def qsize(self) -> int: ...
    def empty(self) -> bool: ...
    def full(self) -> bool: ...
    def _qsize(self) -> int: ...
    def _put(self, item: Any, /) -> None: ...
    def _get(self) -> Any: ...
    def _peek(self) -> Any: ...
    def __bool__(self) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Any: ...
    def __next__(self) -> Any: ...
    def next(self) -> Any: ...

class CountingQueueBase(QueueBase):
    """A queue that counts its items until they are done with."""

    unfinished_tasks: int
    _all_done: Any
    def _count_task(self) -> None: ...
    def task_done(self) -> None: ...
    def shutdown(self, immediate: bool = False) -> None: ...

class ChannelBase:
    """Those who wait to hand something over, and those who wait for it."""

    @property
    def balance(self) -> int: ...
    @property
    def getters(self) -> list[Any]: ...
    @property
    def putters(self) -> list[Any]: ...
    def put(self, item: Any, block: bool = True, timeout: Any = None) -> None: ...
    def put_nowait(self, item: Any, /) -> None: ...
    def get(self, block: bool = True, timeout: Any = None) -> Any: ...
    def get_nowait(self) -> Any: ...
    def qsize(self) -> int: ...
    def empty(self) -> bool: ...
    def full(self) -> bool: ...
    def __iter__(self) -> Any: ...
    def __next__(self) -> Any: ...
    def next(self) -> Any: ...

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

# -------------------------------------------------------------------------------------------- calls of C libraries

class _NativeReport(TypedDict):
    slots: int
    matched: list[str]
    refused: list[tuple[str, str]]
    awaited: list[str]
    changed: list[tuple[str, str]]

class _NativeObject(TypedDict):
    path: str
    name: str
    is_program: bool
    rules: list[str]
    refused: str | None
    patched: list[str]
    blocking: list[str]
    problem: str | None

def native_patch(rules: list[tuple[str, bool]]) -> _NativeReport:
    """Patch the objects that the rules match: each a name, and whether locks are meant as well.

    Raises ValueError, NotImplementedError, OSError, RuntimeError.
    """

def native_unpatch() -> None:
    """Put back what was patched. Raises RuntimeError for what somebody else has changed since."""

def native_objects() -> list[_NativeObject]:
    """Return the loaded objects."""

def start_watchdog(after: float) -> None:
    """Tell on standard error of a hub that has not turned for so many seconds. Raises ValueError."""

def stop_watchdog() -> None:
    """End that."""
