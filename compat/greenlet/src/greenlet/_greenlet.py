"""The names of the original's extension module, ``greenlet._greenlet``.

The same objects as in :mod:`greenloom.greenlet._greenlet`.
"""

import sys

from greenloom.greenlet._greenlet import (
    _C_API as _C_API,
    CLOCKS_PER_SEC as CLOCKS_PER_SEC,
    GREENLET_USE_CONTEXT_VARS as GREENLET_USE_CONTEXT_VARS,
    GREENLET_USE_GC as GREENLET_USE_GC,
    GREENLET_USE_STANDARD_THREADING as GREENLET_USE_STANDARD_THREADING,
    GREENLET_USE_TRACING as GREENLET_USE_TRACING,
    GreenletExit as GreenletExit,
    UnswitchableGreenlet as UnswitchableGreenlet,
    enable_optional_cleanup as enable_optional_cleanup,
    error as error,
    get_clocks_used_doing_optional_cleanup as get_clocks_used_doing_optional_cleanup,
    get_pending_cleanup_count as get_pending_cleanup_count,
    get_total_main_greenlets as get_total_main_greenlets,
    getcurrent as getcurrent,
    gettrace as gettrace,
    greenlet as greenlet,
    set_thread_local as set_thread_local,
    settrace as settrace,
)

if sys.version_info < (3, 13):
    from greenloom.greenlet._greenlet import (
        get_tstate_trash_delete_nesting as get_tstate_trash_delete_nesting,
    )
