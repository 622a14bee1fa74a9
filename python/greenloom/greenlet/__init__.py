"""The names of the package ``greenlet``, served by greenloom.

``import greenlet`` gives this very module after :func:`greenloom.install_as_gevent`.
"""

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
