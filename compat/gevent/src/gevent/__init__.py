"""gevent, served by greenloom: ``gevent.x`` is ``greenloom.x``, the same module object.

This package holds no module of its own. A finder gives greenloom's; what greenloom does not have is looked for in
this directory, as in any package, so that other packages can still be laid into it.
"""

from __future__ import annotations

import sys
from typing import Any

import greenloom
from greenloom._toplevel import (
    Greenlet as Greenlet,
    GreenletExit as GreenletExit,
    Timeout as Timeout,
    config as config,
    fork as fork,
    get_hub as get_hub,
    getcurrent as getcurrent,
    idle as idle,
    iwait as iwait,
    joinall as joinall,
    kill as kill,
    killall as killall,
    reinit as reinit,
    signal_handler as signal_handler,
    sleep as sleep,
    spawn as spawn,
    spawn_later as spawn_later,
    spawn_raw as spawn_raw,
    version_info as version_info,
    wait as wait,
    with_timeout as with_timeout,
)

from ._finder import Finder

__version__ = "26.9.0"

__all__ = [
    "Greenlet",
    "GreenletExit",
    "Timeout",
    "config",
    "fork",
    "get_hub",
    "getcurrent",
    "getswitchinterval",
    "idle",
    "iwait",
    "joinall",
    "kill",
    "killall",
    "reinit",
    "setswitchinterval",
    "signal_handler",
    "sleep",
    "spawn",
    "spawn_later",
    "spawn_raw",
    "version_info",
    "wait",
    "with_timeout",
]

getswitchinterval = sys.getswitchinterval
setswitchinterval = sys.setswitchinterval

# Before the finder of sys.path, which must not be asked for what greenloom has.
sys.meta_path.insert(0, Finder(__name__, greenloom.__name__))


def __getattr__(name: str) -> Any:
    """Give the modules that the original has imported by itself, as greenloom does."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(greenloom, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
