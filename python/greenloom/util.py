"""Looking at what runs: a report of all threads and greenlets, and a check that code lets others run."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, TextIO

from greenloom._compat import native_get_ident, perf_counter
from greenloom._greenlet_tree import STACK_LIMIT, GreenletTree
from greenloom._util import _NONE, update_wrapper

__all__ = ["GreenletTree", "assert_switches", "format_run_info", "print_run_info", "wrap_errors"]


class wrap_errors:
    """Makes of ``func`` a function that returns an exception of ``errors`` instead of raising it.

    ``errors`` is an exception class or a tuple of them. An error that leaves a greenlet is printed; one that is
    its value is not. It looks like ``func`` otherwise.
    """

    def __init__(
        self, errors: type[BaseException] | tuple[type[BaseException], ...], func: Callable[..., Any]
    ) -> None:
        self._errors = errors
        self._func = func
        update_wrapper(self, func)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        try:
            return self._func(*args, **kwargs)
        except self._errors as error:
            return error

    def __str__(self) -> str:
        return str(self._func)

    def __repr__(self) -> str:
        return repr(self._func)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._func, name)


def print_run_info(
    thread_stacks: bool = True,
    greenlet_stacks: bool = True,
    limit: Any = _NONE,
    file: TextIO | None = None,
) -> None:
    """Print what :func:`format_run_info` returns to ``file``, by default ``sys.stderr``."""
    lines = format_run_info(thread_stacks=thread_stacks, greenlet_stacks=greenlet_stacks, limit=limit)
    for line in lines:
        print(line, file=sys.stderr if file is None else file)


def format_run_info(
    thread_stacks: bool = True,
    greenlet_stacks: bool = True,
    limit: Any = _NONE,
    current_thread_ident: int | None = None,
) -> list[str]:
    """Return lines, meant for people, about all threads and greenlets of the process.

    The two bools say whether the stacks of those that run are included (where a greenlet was spawned always is),
    ``limit`` up to how many frames. Greenlets of other threads are shown without their stacks.
    """
    if current_thread_ident is None:
        current_thread_ident = native_get_ident()
    limit = STACK_LIMIT if limit is _NONE else limit
    return [
        *_format_threads(thread_stacks, limit, current_thread_ident),
        *_format_greenlets(greenlet_stacks, limit),
    ]


dump_stacks = format_run_info


def is_idle_threadpool_worker(frame: FrameType) -> bool:
    """Whether the frame is that of a thread of a pool that waits for work."""
    return bool(frame.f_locals and frame.f_locals.get("gevent_threadpool_worker_idle"))


def _format_threads(stacks: bool, limit: int | None, current_ident: int) -> list[str]:
    import threading

    known = {thread.ident: thread for thread in threading.enumerate()}
    line = "*" * 80
    lines = [line, "* Threads"]
    for ident, frame in sys._current_frames().items():
        thread: Any = known.get(ident)
        name: Any = None if thread is None else thread.name
        with_stack = stacks
        if thread is None and is_idle_threadpool_worker(frame):
            name = "idle threadpool worker"
            with_stack = False
        monitor = getattr(thread, "gevent_monitoring_thread", None)
        if monitor is not None:
            name = repr(monitor())
        current = ") (CURRENT" if ident == current_ident else ""
        lines += [line, f"Thread 0x{ident:x} ({name}{current})\n"]
        if with_stack:
            lines.append("".join(traceback.format_stack(frame, limit)))
        elif not stacks:
            lines.append("\t...stack elided...")
    return lines


def _format_greenlets(stacks: bool, limit: int | None) -> list[str]:
    line = "*" * 80
    lines = [line, "* Greenlets", line]
    forest = GreenletTree.forest()
    forest.sort(key=lambda tree: "" if tree.is_current_tree else repr(tree.greenlet))
    for tree in forest:
        lines.append("---- Thread boundary")
        # The frames of another thread's greenlets cannot be told from those of its running one.
        details = {"running_stacks": stacks and tree.is_current_tree, "running_stack_limit": limit}
        lines += tree.format_lines(details)
    return lines


class _FailedToSwitch(AssertionError):
    """What :class:`assert_switches` raises."""


class assert_switches:
    """A ``with`` block that must let others run; :class:`AssertionError` with a report at its end if it did not.

    With ``max_blocking_time``, that many seconds may pass without a switch; with ``hub_only`` as well, without a
    switch to the hub. A block that raises something is not checked.
    """

    hub: Any = None
    tracer: Any = None
    _entered = 0.0

    def __init__(self, max_blocking_time: float | None = None, hub_only: bool = False) -> None:
        self.max_blocking_time = max_blocking_time
        self.hub_only = hub_only

    def __enter__(self) -> assert_switches:
        # They are made of this module.
        from greenloom import _tracer
        from greenloom._hub_local import get_hub

        self.hub = get_hub()
        if not self.max_blocking_time:
            self.tracer = _tracer.GreenletTracer()
        elif self.hub_only:
            self.tracer = _tracer.HubSwitchTracer(self.hub, self.max_blocking_time)
        else:
            self.tracer = _tracer.MaxSwitchTracer(self.hub, self.max_blocking_time)
        self._entered = perf_counter()
        self.tracer.monitor_current_greenlet_blocking()
        return self

    def __exit__(
        self, t: type[BaseException] | None, v: BaseException | None, tb: TracebackType | None
    ) -> None:
        hub, self.hub = self.hub, None
        tracer, self.tracer = self.tracer, None
        tracer.kill()
        if t is not None:
            return
        blocked = tracer.did_block_hub(hub)
        if not blocked:
            return
        message = f"To {'the hub' if self.hub_only else 'any greenlet'} in {perf_counter() - self._entered:.4f} seconds"
        if self.max_blocking_time:
            message += f" (max allowed {self.max_blocking_time:.4f} seconds)"
        report = tracer.did_block_hub_report(hub, blocked[1], {})
        raise _FailedToSwitch("\n".join([message, *report]))


def clear_stack_frames(frame: FrameType | None) -> None:
    """Forget the local variables of ``frame`` and its callers as far as possible."""
    while frame is not None:
        with suppress(RuntimeError):  # it is still running
            frame.clear()
        clear_locals = getattr(frame.f_locals, "clear", None)
        if clear_locals is not None:
            clear_locals()
        frame = frame.f_back
