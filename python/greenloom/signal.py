"""The standard :mod:`signal` module, in which handlers of ``SIGCHLD`` get on with the loop's child watchers.

The loop has the operating system's ``SIGCHLD`` to itself. A handler that the program sets here is called, in a
greenlet of its own, when a child that :mod:`greenloom.os` watches has finished.
"""

from __future__ import annotations

import signal as _signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from greenloom import os as _os
from greenloom._hub_local import get_hub_noargs as get_hub
from greenloom._util import copy_globals

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Stand for what is copied from the standard library below."""


_Handler = Callable[[int, "FrameType | None"], Any] | int | _signal.Handlers | None

_signal_signal = _signal.signal
_signal_getsignal = _signal.getsignal
_signal_set_wakeup_fd = _signal.set_wakeup_fd

_UNKNOWN = object()

# The program's handler of SIGCHLD, once somebody has asked or set it.
_child_handler: Any = _UNKNOWN
_child_wakeup_fd = -1
_child_wakeup_warns = True


def _child_handler_now() -> Any:
    global _child_handler
    if _child_handler is _UNKNOWN:
        _child_handler = _signal_getsignal(_signal.SIGCHLD)
    return _child_handler


def getsignal(signalnum: int) -> _Handler:
    """Return the handler of a signal; for ``SIGCHLD``, the one that :func:`signal` has set."""
    of_child = signalnum == _signal.SIGCHLD
    return _child_handler_now() if of_child else _signal_getsignal(signalnum)


def signal(signalnum: int, handler: _Handler) -> _Handler:
    """Set the handler of a signal and return the one before.

    A handler of ``SIGCHLD`` runs in a new greenlet and may block. Setting it to ``SIG_DFL`` or ``SIG_IGN`` is
    passed on to the system. Raises TypeError if the handler cannot be called.
    """
    global _child_handler
    if signalnum == _signal.SIGCHLD:
        before = _child_handler_now()
        if isinstance(handler, int):
            # The two defaults. Anything else is refused by the system's function.
            _signal_signal(signalnum, handler)
            get_hub().loop.reset_sigchld()
        elif not callable(handler):
            raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
        _child_handler = handler
        return before  # type: ignore[no-any-return]
    return _signal_signal(signalnum, handler)


def set_wakeup_fd(fd: int, /, *, warn_on_full_buffer: bool = True) -> int:
    """Write the number of each signal as a byte to ``fd``, -1 for none; return the descriptor before."""
    global _child_wakeup_fd, _child_wakeup_warns
    before = _signal_set_wakeup_fd(fd, warn_on_full_buffer=warn_on_full_buffer)
    _child_wakeup_fd = fd
    _child_wakeup_warns = warn_on_full_buffer
    return before


def _on_child_hook() -> None:
    """Do in the hub, where a child has been seen to finish, what the operating system would have done."""
    if not callable(_child_handler):
        return
    from greenloom import Greenlet

    # In greenlets, so that both may wait; at once, as a signal is.
    if _child_wakeup_fd >= 0:
        Greenlet(_write_wakeup_fd).switch()
    Greenlet(_child_handler, _signal.SIGCHLD, None).switch()


def _write_wakeup_fd() -> None:
    try:
        _os._write(_child_wakeup_fd, bytes((_signal.SIGCHLD,)))
    except OSError as error:
        if _child_wakeup_warns or error.errno not in _os.ignored_errors:
            get_hub().handle_error("set_wakeup_fd", type(error), error, error.__traceback__)


__implements__: list[str] = []
__extensions__: list[str] = []

if "waitpid" in _os.__implements__:
    _os._on_child_hook = _on_child_hook
    __implements__ += ["signal", "getsignal", "set_wakeup_fd"]
else:
    __extensions__ += ["signal", "getsignal", "set_wakeup_fd"]

__imports__ = copy_globals(
    _signal, globals(), names_to_ignore=(*__implements__, *__extensions__), dunder_names_to_keep=()
)

__all__ = __implements__ + __extensions__
