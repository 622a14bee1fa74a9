"""The standard :mod:`time`, except that :func:`sleep` lets other greenlets run."""

from __future__ import annotations

import time as __time__

from greenloom._util import copy_globals
from greenloom.hub import sleep

__implements__ = ["sleep"]
__all__ = __implements__

__imports__ = copy_globals(__time__, globals(), names_to_ignore=__implements__)

# Named once more, as the copying above would otherwise be the last word to a reader.
sleep = sleep
