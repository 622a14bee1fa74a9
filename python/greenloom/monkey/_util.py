"""Steps that the ``patch_*`` functions share: finding the modules, sending events, saving up warnings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import wraps
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from ._errors import MonkeyPatchWarning

_P = ParamSpec("_P")
_R = TypeVar("_R")

_PACKAGE = __name__.rpartition(".")[0]


def _notify_patch(event: Any, _warnings: list[str] | None = None) -> None:
    """Send *event* to subscribers and entry points. Raises what they raise: ``DoNotPatch``, for instance."""
    from greenloom.events import notify_and_call_entry_points

    event._warnings = _warnings
    notify_and_call_entry_points(event)


def _ignores_DoNotPatch(func: Callable[_P, _R]) -> Callable[_P, _R | bool]:
    """Make *func* return False where ``DoNotPatch`` would leave it."""

    @wraps(func)
    def unless_forbidden(*args: _P.args, **kwargs: _P.kwargs) -> _R | bool:
        try:
            return func(*args, **kwargs)
        except BaseException as error:
            from greenloom.events import DoNotPatch

            if isinstance(error, DoNotPatch):
                return False
            raise

    return unless_forbidden


def _check_availability(name: str) -> tuple[ModuleType, ModuleType, str]:
    """The cooperative module *name*, the module it replaces, and that one's name. Raises ImportError."""
    # Ours first: what it imports from the standard library is then still the original.
    source = getattr(__import__(f"greenloom.{name}"), name)
    target_name: str = getattr(source, "__target__", name)
    return source, __import__(target_name), target_name


def _patch_module(
    name: str, items: Iterable[str] | None = None, **options: Any
) -> tuple[ModuleType, ModuleType]:
    """Patch the standard library's module *name* from ours; *options* are :func:`patch_module`'s.

    Gives (ours, the standard library's), whether a subscriber has forbidden it or not.
    """
    from .api import patch_module

    source, target, _ = _check_availability(name)
    patch_module(target, source, items, **options)
    return source, target


def _queue_warning(message: str, _warnings: list[str] | None) -> None:
    """Warn when the patching is over, for issuing a warning imports modules; at once without a list."""
    if _warnings is None:
        _process_warnings([message])
    elif message not in _warnings:
        _warnings.append(message)


def _process_warnings(messages: Iterable[str]) -> None:
    """Issue the warnings as coming from whoever called into this package."""
    import warnings

    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    for message in messages:
        warnings.warn(message, MonkeyPatchWarning, stacklevel=level)
