"""greenloom runs programs written for greenlet and gevent, unchanged, each greenlet on a guarded stack of its own.

There are three ways to run them:

- ``python -m greenloom script.py arguments...`` changes nothing at all;
- ``import greenloom; greenloom.install_as_gevent()`` before the first ``import gevent`` or ``import greenlet``;
- the small distribution in ``compat/``, for packages that require one of them by name.

New programs import :mod:`greenloom` and its modules, which have the names of gevent's, or
:mod:`greenloom.greenlet` for switching by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Before anything else, because it takes the interpreter's functions before they can be patched.
from greenloom import _compat as _compat
from greenloom._alias import install_as_gevent
from greenloom._greenloom import __version__, set_stack_size, stack_size

if TYPE_CHECKING:
    from sys import getswitchinterval, setswitchinterval

    from greenloom._toplevel import (
        Greenlet,
        GreenletExit,
        Timeout,
        config,
        fork,
        get_hub,
        getcurrent,
        idle,
        iwait,
        joinall,
        kill,
        killall,
        reinit,
        signal_handler,
        sleep,
        spawn,
        spawn_later,
        spawn_raw,
        version_info,
        wait,
        with_timeout,
    )

__all__ = [
    "Greenlet",
    "GreenletExit",
    "Timeout",
    "__version__",
    "config",
    "fork",
    "get_hub",
    "getcurrent",
    "getswitchinterval",
    "idle",
    "install_as_gevent",
    "iwait",
    "joinall",
    "kill",
    "killall",
    "reinit",
    "set_stack_size",
    "setswitchinterval",
    "signal_handler",
    "sleep",
    "spawn",
    "spawn_later",
    "spawn_raw",
    "stack_size",
    "version_info",
    "wait",
    "with_timeout",
]

#: Modules that are there without being imported by themselves, because gevent's are.
_WITH_THE_HUB = frozenset(
    {
        "_config",
        "_greenlet_primitives",
        "_hub_local",
        "_hub_primitives",
        "_ident",
        "_util",
        "_waiter",
        "event",
        "exceptions",
        "greenlet",
        "hub",
        "os",
        "timeout",
    }
)


def __getattr__(name: str) -> Any:
    """Import the hub and its API when the first of its names is used: raw greenlets need none of it."""
    if name in _WITH_THE_HUB:
        from importlib import import_module

        return import_module(f"greenloom.{name}")
    if name in __all__:
        from greenloom import _toplevel

        globals().update({public: getattr(_toplevel, public) for public in _toplevel.__all__})
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
