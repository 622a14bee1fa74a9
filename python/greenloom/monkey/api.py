"""Replacing names in modules: what the ``patch_*`` functions do, for anybody's modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

from ._errors import _BadImplements
from ._state import _get_original, _keep


def get_original(mod_name: str | Sequence[str], item_name: str | Sequence[str]) -> Any:
    """The object that ``mod_name.item_name`` was before patching, or is if it was not patched.

    A sequence of module names gives alternatives: the first one that can be imported is taken. A sequence of
    item names gives a list. Raises ImportError, AttributeError.
    """
    names = [mod_name] if isinstance(mod_name, str) else list(mod_name)
    items = [item_name] if isinstance(item_name, str) else item_name
    for position, name in enumerate(names, 1):
        try:
            values = _get_original(name, items)
        except ImportError:
            if position == len(names):
                raise
        else:
            return values[0] if isinstance(item_name, str) else values
    raise ImportError("no module named")


def patch_item(module: ModuleType, attr: str, newitem: Any) -> None:
    """Set ``module.attr`` to *newitem* and save what was there, if anything."""
    _keep(module, attr)
    setattr(module, attr, newitem)


def remove_item(module: ModuleType, attr: str) -> None:
    """Delete ``module.attr``, if it exists, and save what was there."""
    if _keep(module, attr):
        delattr(module, attr)


class _GeventDoPatchRequest:
    """One module's patching, handed to a source module that wants to do it itself."""

    get_original = staticmethod(get_original)

    def __init__(
        self,
        target: ModuleType,
        source: ModuleType,
        items: Iterable[str],
        patch_kwargs: dict[str, Any] | None,
    ) -> None:
        self.items = items
        self.patch_kwargs = {**(patch_kwargs or {})}
        self.source_module, self.target_module = source, target

    def __repr__(self) -> str:
        content = " ".join(f"{name}={value!r}" for name, value in sorted(vars(self).items()))
        return f"<{type(self).__name__} {content}>"

    def default_patch_items(self) -> None:
        """Copy each of the items from the source to the target."""
        new = {name: getattr(self.source_module, name) for name in self.items}
        for name, value in new.items():
            patch_item(self.target_module, name, value)

    def remove_item(self, target_module: ModuleType | str, *items: str) -> None:
        """Remove *items* from a module; without a module as first argument, from the target."""
        if isinstance(target_module, str):
            self.remove_item(self.target_module, target_module, *items)
            return
        for name in items:
            remove_item(target_module, name)


def patch_module(
    target_module: ModuleType,
    source_module: ModuleType,
    items: Iterable[str] | None = None,
    _warnings: list[str] | None = None,
    _patch_kwargs: dict[str, Any] | None = None,
    _notify_will_subscribers: bool = True,
    _notify_did_subscribers: bool = True,
    _call_hooks: bool = True,
) -> bool:
    """Replace names of *target_module* by those of *source_module*; False if a subscriber forbade it.

    *items* are the names; the default is the source's ``__implements__`` (AttributeError if it has none). The
    source may define ``_gevent_will_monkey_patch`` and ``_gevent_did_monkey_patch``, called as ``hook(target,
    items, warn)`` before and after, and ahead of the event's subscribers; the first may raise ``DoNotPatch``.
    """
    # The events' module is imported late: importing this one must not import more than it needs.
    from greenloom import events

    from ._util import _notify_patch, _queue_warning

    if items is None:
        items = getattr(source_module, "__implements__", None)
        if items is None:
            raise _BadImplements(source_module)

    def warn(message: str) -> None:
        _queue_warning(message, _warnings)

    def call_hook(name: str) -> None:
        hook: Callable[..., object] | None = getattr(source_module, name, None)
        if _call_hooks and hook is not None:
            hook(target_module, items, warn)

    try:
        call_hook("_gevent_will_monkey_patch")
        if _notify_will_subscribers:
            _notify_patch(
                events.GeventWillPatchModuleEvent(
                    target_module.__name__, source_module, target_module, items
                ),
                _warnings,
            )
    except events.DoNotPatch:
        return False

    request = _GeventDoPatchRequest(target_module, source_module, items, _patch_kwargs)
    do_patch = getattr(source_module, "_gevent_do_monkey_patch", _GeventDoPatchRequest.default_patch_items)
    do_patch(request)

    call_hook("_gevent_did_monkey_patch")
    if _notify_did_subscribers:
        _notify_patch(
            events.GeventDidPatchModuleEvent(target_module.__name__, source_module, target_module), _warnings
        )
    return True
