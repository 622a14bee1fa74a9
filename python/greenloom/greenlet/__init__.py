"""The names of the package ``greenlet``, served by greenloom.

``import greenlet`` gives this very module after :func:`greenloom.install_as_gevent`. It is ``gevent.greenlet``
too: ``Greenlet``, ``joinall`` and ``killall`` are here as well, and imported when they are first used, because
whoever only switches by hand needs no hub.
"""

from typing import TYPE_CHECKING, Any

from greenloom.greenlet._greenlet import _C_API, GreenletExit, error, getcurrent, gettrace, greenlet, settrace

# Importable from the original too, though not in its list.
from greenloom.greenlet._greenlet import (  # isort: skip
    CLOCKS_PER_SEC as CLOCKS_PER_SEC,
    GREENLET_USE_CONTEXT_VARS as GREENLET_USE_CONTEXT_VARS,
    GREENLET_USE_GC as GREENLET_USE_GC,
    GREENLET_USE_TRACING as GREENLET_USE_TRACING,
    enable_optional_cleanup as enable_optional_cleanup,
    get_clocks_used_doing_optional_cleanup as get_clocks_used_doing_optional_cleanup,
)

if TYPE_CHECKING:
    from greenloom._greenlet_class import (
        Greenlet as Greenlet,
        joinall as joinall,
        killall as killall,
    )

# The original's list: `from greenlet import *` gives the same names.
__all__ = [
    "_C_API",
    "GreenletExit",
    "__version__",
    "error",
    "getcurrent",
    "gettrace",
    "greenlet",
    "settrace",
]

#: The version of greenlet whose interface this is; greenloom's own is ``greenloom.__version__``.
__version__ = "3.5.6"

_OF_THE_HUB = (
    *("Greenlet", "joinall", "killall", "SpawnedLink", "SuccessSpawnedLink", "FailureSpawnedLink"),
    *("Timeout", "Waiter", "InvalidSwitchError", "get_hub"),
)


def __getattr__(name: str) -> Any:
    if name in _OF_THE_HUB:
        from greenloom import _greenlet_class

        value = globals()[name] = getattr(_greenlet_class, name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
