"""Standard functions that see other names: how their code is used with cooperative objects, without patching."""

from __future__ import annotations

from types import FunctionType
from typing import Any


def rebound(function: Any, names: dict[str, Any]) -> Any:
    """Return a function that does what the Python function does, and takes its global names from ``names``."""
    copy = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = function.__qualname__
    copy.__annotations__ = function.__annotations__
    copy.__doc__ = function.__doc__
    return copy
