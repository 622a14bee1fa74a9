"""Looking at what runs: a report of all threads and greenlets, and a check that code lets others run."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import update_wrapper
from types import FrameType, TracebackType
from typing import Any, TextIO

from greenloom._compat import native_get_ident, perf_counter
from greenloom._greenlet_tree import STACK_LIMIT, GreenletTree
from greenloom._util import _NONE

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


_RULE = "*" * 80


def _format_threads(stacks: bool, limit: int | None, current_ident: int) -> list[str]:
    # Not at the top: it would be imported before it can be patched.
    import threading

    known = {thread.ident: thread for thread in threading.enumerate()}
    lines = [_RULE, "* Threads"]
    for ident, frame in sys._current_frames().items():
        name, idle = _thread_name(known.get(ident), frame)
        mark = " (CURRENT)" if ident == current_ident else ""
        lines += [_RULE, f"Thread {ident:#x} ({name}){mark}\n"]
        if not stacks:
            lines.append("\t...stack elided...")
        elif not idle:
            lines.append("".join(traceback.format_stack(frame, limit)))
    return lines


def _thread_name(thread: Any, frame: FrameType) -> tuple[Any, bool]:
    """Return what to call the thread, and whether it only waits for work, so that its stack says nothing."""
    if thread is None:
        # A pool's threads are not made by `threading`.
        idle = is_idle_threadpool_worker(frame)
        return ("idle threadpool worker" if idle else None), idle
    monitor = getattr(thread, "gevent_monitoring_thread", None)
    return (thread.name if monitor is None else repr(monitor())), False


def _format_greenlets(stacks: bool, limit: int | None) -> list[str]:
    lines = [_RULE, "* Greenlets", _RULE]
    # The current thread's first.
    for tree in sorted(
        GreenletTree.forest(), key=lambda tree: (not tree.is_current_tree, repr(tree.greenlet))
    ):
        # The frames of another thread's greenlets cannot be told from those of its running one.
        shown = {"running_stacks": stacks and tree.is_current_tree, "running_stack_limit": limit}
        lines.append("---- Thread boundary")
        lines.extend(tree.format_lines(shown))
    return lines


class _FailedToSwitch(AssertionError):
    """What :class:`assert_switches` raises."""


class assert_switches:
    """A ``with`` block that must let others run; :class:`AssertionError` with a report at its end if it did not.

    With ``max_blocking_time``, that many seconds may pass without a switch; with ``hub_only`` as well, without a
    switch to the hub. A block that raises something is not checked.
    """

    #: What watches the block while it runs.
    tracer: Any = None

    _hub: Any = None
    _begun = 0.0

    def __init__(self, max_blocking_time: float | None = None, hub_only: bool = False) -> None:
        self.hub_only = hub_only
        self.max_blocking_time = max_blocking_time or 0

    def __enter__(self) -> assert_switches:
        # They are made of this module.
        from greenloom import _tracer
        from greenloom._hub_local import get_hub

        self._hub, self._begun = get_hub(), perf_counter()
        if self.max_blocking_time:
            kind = _tracer.HubSwitchTracer if self.hub_only else _tracer.MaxSwitchTracer
            self.tracer = kind(self._hub, self.max_blocking_time)
        else:
            self.tracer = _tracer.GreenletTracer()
        self.tracer.monitor_current_greenlet_blocking()
        return self

    def __exit__(
        self, t: type[BaseException] | None, v: BaseException | None, tb: TracebackType | None
    ) -> None:
        hub, tracer = self._hub, self.tracer
        self._hub = self.tracer = None
        tracer.kill()
        if t is None:
            _, hog = tracer.did_block_hub(hub) or (False, None)
            if hog is not None:
                raise _FailedToSwitch("\n".join(self._message(tracer.did_block_hub_report(hub, hog, {}))))

    def _message(self, report: list[str]) -> list[str]:
        target = "the hub" if self.hub_only else "any greenlet"
        first = f"To {target} in {perf_counter() - self._begun:.4f} seconds"
        if self.max_blocking_time:
            first += f" (max allowed {self.max_blocking_time:.4f} seconds)"
        return [first, *report]


def clear_stack_frames(frame: FrameType | None) -> None:
    """Forget the local variables of ``frame`` and its callers as far as possible."""
    while frame is not None:
        with suppress(RuntimeError):  # it is still running
            frame.clear()
        clear_locals = getattr(frame.f_locals, "clear", None)
        if clear_locals is not None:
            clear_locals()
        frame = frame.f_back
