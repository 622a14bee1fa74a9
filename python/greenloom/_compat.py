"""What the package needs of the interpreter, taken before anything is patched.

Imported first of all. Whoever needs the real thing later, under monkey patching, takes it from here.
"""

from __future__ import annotations

import sys
from _thread import (
    allocate_lock as native_allocate_lock,
    get_ident as native_get_ident,
    start_new_thread as native_start_new_thread,
)
from io import StringIO as NativeStrIO
from os import fspath as _fspath
from time import get_clock_info, monotonic, perf_counter, sleep as native_sleep
from types import TracebackType
from typing import Any, NoReturn

__all__ = [
    "PYPY",
    "WIN",
    "NativeStrIO",
    "_fspath",
    "get_clock_info",
    "get_this_psutil_process",
    "monotonic",
    "native_allocate_lock",
    "native_get_ident",
    "native_sleep",
    "native_start_new_thread",
    "perf_counter",
    "pure_python_module",
    "reraise",
    "thread_mod_name",
]

# Programs that look at these choose by them; there is one implementation, on CPython and not on Windows.
PYPY = WIN = OSX = PURE_PYTHON = False
LINUX = sys.platform == "linux"
thread_mod_name = "_thread"


def pure_python_module(mod_name: str) -> bool:
    """Whether the module runs without its accelerator: never, there is no choice."""
    return False


def reraise(t: type[BaseException], value: BaseException, tb: TracebackType | None = None) -> NoReturn:
    """Raise ``value`` with the traceback ``tb``. ``t`` is ignored: the value knows its type."""
    raise value.with_traceback(tb)


def get_this_psutil_process() -> Any:
    """Return a new ``psutil.Process`` of this process, or None without psutil or without the right to ask."""
    try:
        import psutil  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return None
    this = psutil.Process()
    try:
        # As a test of the right: it is what the monitor thread will want to know.
        this.memory_full_info()
    except psutil.AccessDenied:
        this = None
    return this
