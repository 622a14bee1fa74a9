"""The hub: the greenlet that runs the event loop of its thread, and to which all others switch to wait."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from greenloom._compat import native_get_ident
from greenloom._config import config
from greenloom._greenlet_primitives import TrackedRawGreenlet as TrackedRawGreenlet
from greenloom._greenloom import (
    GreenletExit,
    error as GreenletError,
    getcurrent,
    greenlet as RawGreenlet,  # noqa: F401  (programs take it from here)
)
from greenloom._hub_errors import ErrorReportingGreenlet
from greenloom._hub_local import (
    get_hub as get_hub,
    get_hub_if_exists as _get_hub,
    get_hub_noargs as get_hub_noargs,
    get_loop,
    set_default_hub_class,
    set_hub,
    set_loop,
)
from greenloom._hub_primitives import iwait_on_objects as iwait, wait_on_objects as wait  # noqa: F401
from greenloom._hub_spawn import idle, kill, signal, sleep, spawn_raw
from greenloom._ident import IdentRegistry
from greenloom._util import Lazy
from greenloom._waiter import Waiter
from greenloom.exceptions import (
    BlockingSwitchOutError as BlockingSwitchOutError,
    ConcurrentObjectUseError as ConcurrentObjectUseError,
    HubDestroyed as HubDestroyed,
    InvalidSwitchError as InvalidSwitchError,
    InvalidThreadUseError as InvalidThreadUseError,
    LoopExit as LoopExit,
)

__all__ = [
    "GreenletExit",
    "Hub",
    "Waiter",
    "get_hub",
    "getcurrent",
    "idle",
    "kill",
    "reinit",
    "signal",
    "sleep",
    "spawn_raw",
]

# The names that programs know which look inside.
GEVENT_CONFIG = config
get_thread_ident = native_get_ident
#: The thread that imported this module, which is taken for the main one.
MAIN_THREAD_IDENT = native_get_ident()


def reinit(hub: Hub | None = None) -> None:
    """Make the hub work in the child after a fork. :func:`greenloom.os.fork` does this by itself.

    Call it before anything waits. The greenlets of the parent go on in the child as well. ``hub`` is this
    thread's hub if it is not given; without one there is nothing to do.
    """
    forked = _get_hub() if hub is None else hub
    if forked is not None:
        forked.loop.reinit()
        # Fork watchers only run in the next turn of the loop, and the child may use the helpers before.
        for kept_as, _ in Hub._helpers:
            on_fork = getattr(getattr(forked, kept_as), "_on_fork", None)
            if on_fork is not None:
                on_fork()


class _Helper:
    """A property of the hub whose value is made when it is first asked for, and kept under another name.

    It may be set, and deleted to have a new one made.
    """

    def __init__(self, kept_as: str, make: Callable[[Hub], Any], doc: str) -> None:
        self._kept_as = kept_as
        self._make = make
        self.__doc__ = doc

    def __get__(self, hub: Hub | None, owner: type[Hub]) -> Any:
        if hub is None:
            return self
        helper = getattr(hub, self._kept_as)
        if helper is None:
            helper = self._make(hub)
            self.__set__(hub, helper)
        return helper

    def __set__(self, hub: Hub, value: Any) -> None:
        setattr(hub, self._kept_as, value)

    def __delete__(self, hub: Hub) -> None:
        self.__set__(hub, None)


class Hub(ErrorReportingGreenlet):
    """The greenlet that runs a thread's event loop. :func:`get_hub` makes it when it is first needed.

    A greenlet that switches to it has its own ``switch_out`` called first, if it has one.

    ``loop`` is a loop to use, or the flags for a new one; ``default`` says whether the new loop is the process's
    default one, which only the main thread has.
    """

    #: A name to know the hub by; part of its repr.
    name = ""

    #: How many threads :attr:`threadpool` has. Set it before the first use.
    threadpool_size = 10

    #: The running :class:`greenloom._monitor.PeriodicMonitoringThread`, or None.
    periodic_monitoring_thread: Any = None

    resolver = _Helper(
        "_resolver", lambda hub: hub.resolver_class(hub=hub), "What looks names up for the socket functions."
    )
    threadpool = _Helper(
        "_threadpool", lambda hub: hub._new_threadpool(), "The threads for calls that block."
    )
    _resolver: Any = None
    _threadpool: Any = None

    # Each helper, by the name that it is kept under, and how it ends.
    _helpers = (("periodic_monitoring_thread", "kill"), ("_resolver", "close"), ("_threadpool", "kill"))

    # How many there have been in this process.
    _hub_counter = 0

    # Whether the parent is in `join`, for which the end of the loop is no error to report.
    _joining = False

    def __init__(self, loop: Any = None, default: bool | None = None) -> None:
        super().__init__(None, None)
        Hub._hub_counter += 1
        #: A small number that no other hub of this process has had.
        self.minimal_ident = Hub._hub_counter
        #: The identifier of the thread that the hub belongs to.
        self.thread_ident = native_get_ident()
        self.format_context = config.format_context
        self.loop = self._find_loop(loop, default)

    def _find_loop(self, given: Any, default: bool | None) -> Any:
        if hasattr(given, "run"):
            if default is None:
                return given
            raise TypeError("a loop that is given is the default one or not already: leave the argument out")
        inherited = get_loop()
        if inherited is not None:
            # A hub of this thread was destroyed and has left it.
            return inherited
        if not self.main_hub:
            default = bool(default)
        return self.loop_class(flags=self.backend if given is None else given, default=default)

    @property
    def main_hub(self) -> bool:
        """Whether this is the main thread's hub."""
        return self.thread_ident == MAIN_THREAD_IDENT

    @Lazy
    def ident_registry(self) -> IdentRegistry:
        """The numbers of this hub's greenlets."""
        return IdentRegistry()

    # What the settings say.

    @property
    def backend(self) -> Any:
        """The flags that the loop is made with: the setting ``libev_backend``."""
        return config.libev_backend

    @property
    def loop_class(self) -> Any:
        """What :attr:`loop` is made by: the setting ``loop``."""
        return config.loop

    @property
    def resolver_class(self) -> Any:
        """What :attr:`resolver` is made by: the setting ``resolver``."""
        return config.resolver

    @property
    def threadpool_class(self) -> Any:
        """What :attr:`threadpool` is made by: the setting ``threadpool``."""
        return config.threadpool

    def _new_threadpool(self) -> Any:
        idle_seconds = config.threadpool_idle_task_timeout
        return self.threadpool_class(self.threadpool_size, hub=self, idle_task_timeout=idle_seconds)

    def __repr__(self) -> str:
        parts = [type(self).__name__, repr(self.name), f"at {id(self):#x}", self._format_loop()]
        if self._resolver is not None:
            parts.append(f"resolver={self._resolver!r}")
        if self._threadpool is not None:
            parts.append(f"threadpool={self._threadpool!r}")
        parts.append(f"thread_ident={self.thread_ident:#x}")
        return f"<{' '.join(parts)}>"

    def _format_loop(self) -> str:
        loop = self.loop
        if loop is None:
            return "destroyed"
        # Embedding programs bring loops of their own, and this is called to report errors.
        describe = getattr(loop, "_format", partial(repr, loop))
        try:
            return str(describe())
        except Exception as failure:
            return repr(failure)

    # Running.

    def run(self) -> NoReturn:
        """Run the loop. Called by the first switch to the hub, never by anybody else.

        Raises :class:`~greenloom.exceptions.LoopExit` in the parent when there is nothing left to wait for.
        """
        assert getcurrent() is self, "the hub is run by switching to it"
        self.start_periodic_monitoring_thread()
        # Until `destroy`.
        self.loop.error_handler = self
        # It never returns: the parent would take the result for the value that it waits for.
        while True:
            self.loop.run()
            self._report_end()

    def _report_end(self) -> None:
        # The parent may switch to the hub again, and then this returns. No frame that stays keeps the exception.
        describe_handles = getattr(self.loop, "debug", list)
        ended = LoopExit("This operation would block forever", self, describe_handles())
        if not self._joining:
            from greenloom._waiting_report import describe_waiting

            ended.waiting = describe_waiting(self)
        parent: Any = self.parent
        parent.throw(ended)

    def start_periodic_monitoring_thread(self) -> Any:
        """Start the monitor thread if the setting ``monitor_thread`` asks for it; return it, or None."""
        if config.monitor_thread and self.periodic_monitoring_thread is None:
            self._start_monitor()
        return self.periodic_monitoring_thread

    def _start_monitor(self) -> None:
        # Few programs want them.
        from greenloom import _monitor, events

        monitor = _monitor.PeriodicMonitoringThread(self)
        self.periodic_monitoring_thread = monitor
        if self.main_hub:
            # The process has one memory.
            monitor.install_monitor_memory_usage()
        events.notify_and_call_entry_points(events.PeriodicMonitorThreadStartedEvent(monitor))

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the loop has nothing to do any more, at most ``timeout`` seconds. Only in the main greenlet.

        True if it has not, False if the time was over before.
        """
        assert self.parent is getcurrent(), "a hub is joined by its parent, the MAIN greenlet"
        if self.dead:
            return True
        if timeout is None:
            return self._run_dry(None)
        with self.loop.timer(timeout, ref=False) as timer:
            timer.start(getcurrent().switch, timer)
            return self._run_dry(timer)

    def _run_dry(self, timer: Any) -> bool:
        self._joining = True
        try:
            # Anything but the timer that switches here is late for something else.
            while self.switch() is not timer or timer is None:
                pass
        except LoopExit:
            return True
        finally:
            self._joining = False
        return False

    # Its end.

    def destroy(self, destroy_loop: bool | None = None) -> None:
        """End the hub: its monitor thread, resolver, threads, and its loop unless that is the default one.

        ``destroy_loop`` decides about the loop instead; one that is kept goes to the next hub of the thread.
        Call it in the hub's thread. What waits in the hub waits forever, and the hub cannot be used any more.
        """
        loop = self.loop
        for kept_as, end in self._helpers:
            helper = getattr(self, kept_as)
            setattr(self, kept_as, None)
            if helper is not None:
                getattr(helper, end)()
        if loop is None:
            # It was destroyed before, or has ended with its thread.
            return
        if destroy_loop is None:
            destroy_loop = not loop.default
        # Before the loop goes, because the hub is in the loop. The second error: it is another thread's hub, and
        # its frames are left to that.
        with suppress(LoopExit, GreenletError):
            self.throw(HubDestroyed(destroy_loop))
        self.loop = loop.error_handler = None
        if not destroy_loop:
            set_loop(loop)
        else:
            if loop is get_loop():
                set_loop(None)
            loop.destroy()
        if self is _get_hub():
            set_hub(None)


set_default_hub_class(Hub)


class linkproxy:
    """A link that calls ``callback(obj)`` once, whatever it is called with."""

    __slots__ = ("_call",)

    def __init__(self, callback: Callable[[Any], object], obj: Any) -> None:
        self._call: Callable[[], object] | None = partial(callback, obj)

    def __call__(self, *args: object) -> None:
        # What is called may be kept alive by nothing else, and may call this again.
        call, self._call = self._call, None
        if call is not None:
            call()
