"""The part of the hub that takes the errors which nobody waits for: it prints them, or raises them in main."""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from types import TracebackType
from typing import Any

from greenloom._greenloom import GreenletExit, getcurrent
from greenloom._hub_primitives import WaitOperationsGreenlet
from greenloom._util import gmctime, readproperty
from greenloom.exceptions import HubDestroyed


class ErrorReportingGreenlet(WaitOperationsGreenlet):
    """Takes errors from callbacks of the loop and from greenlets that they have ended."""

    #: What is not printed when it ends a greenlet.
    NOT_ERROR: tuple[type[BaseException], ...] = (GreenletExit, SystemExit)

    #: What is raised in the main greenlet, whoever raised it.
    SYSTEM_ERROR: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, SystemError)

    #: Turns what an error has ended into text, if it is no text.
    format_context: Any

    def handle_error(self, context: Any, type: Any, value: Any, tb: Any) -> None:
        """Print an error that ended ``context``, a greenlet or callback, unless it is one of :attr:`NOT_ERROR`.

        One of :attr:`SYSTEM_ERROR`, or any without a context, is raised in the main greenlet as well. It may be
        replaced on an instance; the replacement must not raise.
        """
        kind, error, trace = self._normalize_exception(type, value, tb)
        if kind is HubDestroyed:
            # On its way out of the loop, which ends by it.
            try:
                raise error.with_traceback(trace)
            finally:
                # Its traceback refers to this frame, and this frame would keep the hub and the loop.
                del error, trace, value, tb
        if not issubclass(kind, self.NOT_ERROR):
            self.print_exception(context, kind, error, trace)
        concerns_all = context is None or issubclass(kind, self.SYSTEM_ERROR)
        if concerns_all:
            self.handle_system_error(kind, error, trace)

    def handle_system_error(self, type: Any, value: Any, tb: TracebackType | None = None) -> None:
        """Raise the error in the main greenlet, the hub's parent."""
        main: Any = self.parent
        current = getcurrent()
        resume = None
        if self.loop is not None and current not in (self, main):
            # If main survives the error, whoever came across it goes on as well.
            with suppress(Exception):
                resume = self.loop.run_callback(current.switch)
        try:
            main.throw(type, value, tb)
        finally:
            if resume is not None:
                resume.stop()

    @readproperty
    def exception_stream(self) -> Any:
        """Where errors are printed: ``sys.stderr``, or what was assigned; None prints nothing."""
        # While the interpreter exits, the module may be gone. A file that waits for a thread is of no use in the
        # hub, which must not wait, but what it wraps is.
        stream = getattr(sys, "stderr", None)
        return getattr(stream, "io", stream) if type(stream).__name__ == "FileObjectThread" else stream

    def print_exception(self, context: Any, t: Any, v: Any, tb: Any) -> None:
        """Print the error with its traceback, the time, and the ``context`` that it ended."""
        stream = self.exception_stream
        if not stream:
            return
        kind, error, trace = self._normalize_exception(t, v, tb)
        name = getattr(kind, "__name__", "exception")
        report = [f"{name}\n"] if error is None else traceback.format_exception(kind, error, trace)
        report.append(gmctime())
        report.append("\n" if context is None else f" {self._context_text(context)} failed with {name}\n\n")
        # At once, so that the reports of several threads do not mix.
        stream.write("".join(report))

    def _context_text(self, context: Any) -> str:
        if isinstance(context, str):
            return context
        try:
            return str(self.format_context(context))
        except Exception:
            # The first error is the one to report.
            traceback.print_exc(file=self.exception_stream)
            return repr(context)

    def _normalize_exception(self, t: Any, v: Any, tb: Any) -> tuple[Any, Any, Any]:
        """Return the three of them: of the error that is being handled, if none was given."""
        if not any((t, v, tb)):
            return sys.exc_info()
        # Extension modules may set an error whose value is still only its text.
        return (t, t(v), tb) if isinstance(v, str) else (t, v, tb)
