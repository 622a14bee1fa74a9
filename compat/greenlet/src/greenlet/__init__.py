"""greenlet, served by greenloom: the same objects as in :mod:`greenloom.greenlet`."""

from greenloom.greenlet import (
    _C_API as _C_API,
    CLOCKS_PER_SEC as CLOCKS_PER_SEC,
    GREENLET_USE_CONTEXT_VARS as GREENLET_USE_CONTEXT_VARS,
    GREENLET_USE_GC as GREENLET_USE_GC,
    GREENLET_USE_TRACING as GREENLET_USE_TRACING,
    GreenletExit as GreenletExit,
    __all__ as __all__,
    __version__ as __version__,
    enable_optional_cleanup as enable_optional_cleanup,
    error as error,
    get_clocks_used_doing_optional_cleanup as get_clocks_used_doing_optional_cleanup,
    getcurrent as getcurrent,
    gettrace as gettrace,
    greenlet as greenlet,
    settrace as settrace,
)

# The original's package always has its extension module as an attribute.
from . import _greenlet as _greenlet
