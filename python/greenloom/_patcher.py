"""A second copy of a package, imported as if everything were patched, beside the one that the program imports."""

from __future__ import annotations

import _imp
import importlib
import sys
from collections.abc import Callable, Iterable
from types import ModuleType

#: Standard modules of which there is a cooperative one.
_COOPERATIVE = (
    *("os", "queue", "select", "selectors", "signal", "socket"),
    *("ssl", "subprocess", "thread", "threading", "time"),
)
_OTHER_NAMES = {"thread": "_thread"}

#: Under this and the package's name, the copy is found in ``sys.modules``, for debugging.
PREFIX = "__g_patched_module_"


def import_patched(
    package: str, submodules: Iterable[str] = (), prepare: Callable[[ModuleType], object] | None = None
) -> ModuleType:
    """Return a copy of ``package`` that uses cooperative modules; the next call returns the same.

    ``submodules`` are imported as well, and ``prepare`` is called with the package, while it is still found under
    its own name: afterwards the copy must not import parts of itself. Raises ImportError.
    """
    copy = sys.modules.get(PREFIX + package)
    if copy is not None:
        return copy
    # What the package imports from elsewhere is everybody's, and must not see what follows.
    importlib.import_module(package)
    cooperative = {
        _OTHER_NAMES.get(name, name): importlib.import_module("greenloom." + name) for name in _COOPERATIVE
    }
    _imp.acquire_lock()
    try:
        program = _take(package)
        covered = {name: sys.modules.get(name) for name in cooperative}
        sys.modules.update(cooperative)
        try:
            copy = importlib.import_module(package)
            for name in submodules:
                importlib.import_module(f"{package}.{name}")
            if prepare is not None:
                prepare(copy)
        finally:
            _take(package)
            sys.modules.update(program)
            for name, module in covered.items():
                if module is None:
                    del sys.modules[name]
                else:
                    sys.modules[name] = module
    finally:
        _imp.release_lock()
    sys.modules[PREFIX + package] = copy
    return copy


def _take(package: str) -> dict[str, ModuleType]:
    """Take the package's modules out of ``sys.modules`` and return them."""
    names = [name for name in sys.modules if name == package or name.startswith(package + ".")]
    return {name: sys.modules.pop(name) for name in names}
