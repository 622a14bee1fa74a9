"""The standard :mod:`builtins`: nothing in it has to cooperate, since imports lock each module by itself."""

from __future__ import annotations

import builtins as __gbuiltins__
from typing import Any

from greenloom._util import copy_globals

__target__ = "builtins"
__implements__: list[str] = []
__all__: list[str] = __implements__

_import = __gbuiltins__.__import__


def _unlock_imports() -> None:
    """Do nothing: no lock is held that an import could wait for."""


def _lock_imports() -> None:
    """Do nothing, as :func:`_unlock_imports`."""


__imports__ = copy_globals(__gbuiltins__, globals(), names_to_ignore=__implements__)
__import__: Any = _import
