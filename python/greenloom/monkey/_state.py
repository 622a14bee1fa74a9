"""What has been patched: the originals by module and name, and questions about them."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

#: The original objects: ``{module name: {attribute name: original}}``. Other patching libraries read it.
saved: dict[str, dict[str, Any]] = {}


def is_module_patched(mod_name: str) -> bool:
    """Whether anything of the standard library's module *mod_name* was replaced."""
    return mod_name in saved


def is_object_patched(mod_name: str, item_name: str) -> bool:
    """Whether ``mod_name.item_name`` was replaced."""
    return item_name in saved.get(mod_name, ())


def is_anything_patched() -> bool:
    """Whether this process patched anything at all."""
    return bool(saved)


def _get_original(name: str, items: Iterable[str]) -> list[Any]:
    """The originals of *items* of the module *name*, which is imported when something of it is not saved.

    Raises ImportError, AttributeError.
    """
    originals = saved.get(name, {})
    wanted = [*items]
    if originals.keys() >= {*wanted}:
        return [originals[item] for item in wanted]
    module: Any = __import__(name)
    for part in name.split(".")[1:]:
        module = getattr(module, part)
    return [originals[item] if item in originals else getattr(module, item) for item in wanted]


def _keep(module: ModuleType, name: str) -> bool:
    """Save what ``module.name`` is now, unless something is saved: the first is the original. False if it is not."""
    try:
        now = getattr(module, name)
    except AttributeError:
        return False
    originals = saved.setdefault(module.__name__, {})
    originals.setdefault(name, now)
    return True
