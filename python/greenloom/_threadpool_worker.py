"""The worker threads of a :class:`greenloom.threadpool.ThreadPool`, and how a result gets back from them."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from greenloom._compat import native_get_ident, native_start_new_thread
from greenloom._greenloom import getcurrent, greenlet as RawGreenlet
from greenloom._hub_local import get_hub_if_exists
from greenloom._threading import EmptyTimeout


def describe_hub(hub: Any) -> str:
    """Return a text that names ``hub`` shortly."""
    return (
        f"<{type(hub).__name__} at {id(hub):#x} thread_ident={hub.thread_ident:#x}>" if hub else "<missing>"
    )


def _threading_hook(name: str) -> Any:
    # Who has not imported threading has set no hooks there.
    return getattr(sys.modules.get("threading"), name, None)


def _get_thread_profile() -> Any:
    """Return what ``threading.setprofile`` was given."""
    return _threading_hook("_profile_hook")


def _get_thread_trace() -> Any:
    """Return what ``threading.settrace`` was given."""
    return _threading_hook("_trace_hook")


class _WorkerGreenlet(RawGreenlet):
    """A worker: one native thread, which runs tasks of the pool in this greenlet until it is told to end.

    It is made in the pool's thread, and is one of the pool's from then on.
    """

    # For the trees of util: nothing above this one is of interest.
    greenlet_tree_is_root = True

    _thread_ident = 0
    #: Whether it has been told to end.
    _dismissed = False
    #: The hub that a task of this thread has made, if any. It ends with the thread.
    _hub_of_worker: Any = None

    def __init__(self, threadpool: Any) -> None:
        super().__init__()
        #: None once it has left.
        self._pool: Any = threadpool
        self._tasks: Any = threadpool.task_queue
        #: Where it complains.
        self._stderr: Any = sys.stderr
        threadpool._enter(self)
        try:
            native_start_new_thread(self._begin, ())
        except BaseException:
            self._leave()
            raise

    def __repr__(self) -> str:
        hub = describe_hub(self._pool.hub if self._pool else None)
        return (
            f"<ThreadPoolWorker at {id(self):#x} thread_ident={self._thread_ident:#x} threadpool-hub={hub}>"
        )

    def _leave(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool._left(self, self._dismissed)

    def _leave_at_once(self) -> None:
        """Leave because this thread cannot have greenlets: there are no descriptors for them.

        The tasks are left to the others. If there are none, nobody would ever do them, so the next one fails.
        """
        pool, self._pool = self._pool, None
        if not pool._lost(self):
            return
        dismissed = False
        with suppress(EmptyTimeout):
            task = self._tasks.get(None, 0)
            dismissed = task is None
            if not dismissed:
                func, _, _, result = task
                result.handle_error((self, func), sys.exc_info())
                self._tasks.task_done()
        pool._left(self, dismissed)

    # The defaults are for the time when the interpreter ends, and the module's names are gone.
    def _begin(
        self,
        _getcurrent: Callable[[], Any] = getcurrent,
        _get_ident: Callable[[], int] = native_get_ident,
        _suppress: Any = suppress,
    ) -> None:
        """Be the thread's function: switch to this greenlet, whose parent is the thread's main one."""
        try:
            self.parent = parent = _getcurrent()
        except OSError:
            self._leave_at_once()
            return
        parent.greenlet_tree_is_ignored = True
        self._thread_ident = _get_ident()
        # What there is to report has been reported below. What still comes is from the interpreter's end.
        with _suppress(BaseException):
            self.switch()

    def run(self, _get_hub: Callable[[], Any] = get_hub_if_exists) -> None:
        """Run tasks until the pool says to end, there was none for long, or one cannot be run at all."""
        try:
            while self._run_next_task():
                self._note_hub(_get_hub())
        except Exception as error:
            print(f"a worker thread of a pool ends because of {error!r}", file=self._stderr)
            traceback.print_tb(error.__traceback__, file=self._stderr)
        finally:
            hub = _get_hub()
            if hub is not None:
                hub.destroy(True)
            self._leave()

    def _note_hub(self, hub: Any) -> None:
        """Mark the hub, if a task has made one, as one of a thread that is there to block."""
        if hub is None:
            return
        self._hub_of_worker = hub
        hub.name = "ThreadPool Worker Hub"
        monitor = hub.periodic_monitoring_thread
        if monitor is not None:
            monitor.ignore_current_greenlet_blocking()

    def _run_next_task(self, _EmptyTimeout: type[Exception] = EmptyTimeout) -> bool:
        # A function of its own, so that nothing of a task lives on while the worker waits for the next.
        tasks = self._tasks
        try:
            task = tasks.get(None, self._pool._idle_task_timeout)
        except _EmptyTimeout:
            return False
        if task is None:
            self._dismissed = True
            return False
        try:
            self._run_task(*task)
        finally:
            del task
            tasks.task_done()
        return True

    def _run_task(self, func: Any, args: Any, kwargs: Any, result: ThreadResult) -> None:
        context = self, func
        try:
            self._before_run_task(func, args, kwargs, result)
        except BaseException:
            # Who waits for the task is told. Half of the hooks may be there, so the thread ends.
            result.handle_error(context, sys.exc_info())
            raise
        try:
            result.set(func(*args, **kwargs))
        except BaseException:
            result.handle_error(context, sys.exc_info())
        self._after_run_task(func, args, kwargs, result)

    # Subclasses override these two, and call them with other hooks.

    def _before_run_task(
        self,
        func: Any,
        args: Any,
        kwargs: Any,
        thread_result: Any,
        _sys: Any = sys,
        _get_thread_profile: Callable[[], Any] = _get_thread_profile,
        _get_thread_trace: Callable[[], Any] = _get_thread_trace,
    ) -> None:
        # Asked for at each task, as they may change. Not set to None needlessly: setting is an audited event.
        hooks = ((_sys.setprofile, _get_thread_profile()), (_sys.settrace, _get_thread_trace()))
        for install, hook in hooks:
            if hook is not None:
                install(hook)

    def _after_run_task(self, func: Any, args: Any, kwargs: Any, thread_result: Any, _sys: Any = sys) -> None:
        installed = ((_sys.setprofile, _sys.getprofile()), (_sys.settrace, _sys.gettrace()))
        for install, hook in installed:
            if hook is not None:
                install(None)

    def abandon(self) -> None:
        """In the child of a fork, where the thread does not exist: let go what it held."""
        hub = self._hub_of_worker
        # Nothing can be switched to or thrown into, as that would be on another thread.
        self.__dict__.clear()
        self._pool = None
        if hub is not None:
            hub.destroy(True)


def _nothing(*_: object) -> None:
    """Stand in for a callback that is not to be called any more."""


class ThreadResult:
    """Carries one result from a worker thread to the thread of ``hub``, where ``receiver`` is called with it.

    ``call_when_ready`` is called there first. Made and destroyed in the hub's thread; it keeps the loop running
    until the result is there.
    """

    __slots__ = ("_call_when_ready", "_watcher", "context", "exc_info", "hub", "receiver", "value")

    def __init__(self, receiver: Any, hub: Any, call_when_ready: Callable[[], object]) -> None:
        self.value: Any = None
        #: As :func:`sys.exc_info` has it, or () if there is no exception.
        self.exc_info: Any = ()
        #: What the hub names as the source of an exception.
        self.context: Any = None
        self.receiver, self._call_when_ready, self.hub = receiver, call_when_ready, hub
        self._watcher = hub.loop.async_()
        self._watcher.start(self._arrive)

    def successful(self) -> bool:
        """Whether there is no exception."""
        return self.exception is None

    @property
    def exception(self) -> BaseException | None:
        """The exception, or None."""
        error: BaseException | None = (*self.exc_info, None, None)[1]
        return error

    def set(self, value: Any) -> None:
        """Send ``value``. Called in the worker's thread."""
        self.value = value
        self._send()

    def handle_error(self, context: Any, exc_info: Any) -> None:
        """Send an exception, to be reported by the hub with ``context``. Called in the worker's thread."""
        self.exc_info, self.context = exc_info, context
        self._send()

    def _send(self) -> None:
        watcher = self._watcher
        if watcher is not None:
            watcher.send()

    def _arrive(self) -> None:
        # Runs in the hub.
        hub, context, receiver, call_when_ready = self.hub, self.context, self.receiver, self._call_when_ready
        self.destroy_in_main_thread()
        try:
            call_when_ready()
            if self.exc_info:
                hub.handle_error(context, *self.exc_info)
            receiver(self)
        finally:
            # This object may be kept, but what it has brought is no longer its own.
            self.value = None
            self.exc_info = self.exc_info and (*self.exc_info[:2], None)

    def destroy_in_main_thread(self) -> None:
        """Send nothing any more. Only in the hub's thread."""
        watcher, self._watcher = self._watcher, None
        watcher.stop()
        watcher.close()
        self.receiver = self._call_when_ready = _nothing
        self.hub = self.context = None
