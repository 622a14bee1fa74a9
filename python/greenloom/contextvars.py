"""Context variables: the standard :mod:`contextvars`, which know greenlets here.

Every greenlet has a context of its own, so a variable that is set in one keeps its value in the others.
"""

from __future__ import annotations

from contextvars import Context, ContextVar, Token, copy_context

__all__ = ["Context", "ContextVar", "Token", "copy_context"]

__stdlib_expected__ = __all__
__implements__ = __all__
