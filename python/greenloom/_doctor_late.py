"""What :mod:`greenloom.doctor` says of Python names: which modules hold what was replaced since."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from greenloom.monkey._state import saved


@dataclass(frozen=True)
class LateImport:
    """A module that took a name before it was replaced, or derived a class from what was replaced."""

    #: The module that holds the original.
    module: str
    #: Its name there.
    name: str
    #: What it is, such as ``time.sleep``.
    original: str
    #: The module's file, if it has one.
    file: str | None
    #: Whether it is a class that derives from the original.
    derives: bool

    @property
    def advice(self) -> str:
        """What to do about it."""
        if self.module == "__main__":
            return f"call monkey.patch_all() at the very top of {self.file or 'the program'}, before its other imports"
        return f"call monkey.patch_all() before anything imports {self.module}"


def look() -> list[LateImport]:
    """Find them. Those of the standard library are left out: they are written for both."""
    originals = {id(value): (name, value) for name, value in _originals()}
    found: dict[tuple[str, str], LateImport] = {}
    seen: set[int] = set()
    for module_name, module in [*sys.modules.items()]:
        if not isinstance(module, ModuleType) or id(module) in seen or not _is_users(module):
            continue
        seen.add(id(module))
        file = getattr(module, "__file__", None)
        for name, value in [*vars(module).items()]:
            if id(value) in originals:
                original = originals[id(value)][0]
                found[module_name, name] = LateImport(module_name, name, original, file, derives=False)
    for original, value in originals.values():
        for derived in _derived_from(value):
            home = sys.modules.get(derived.__module__)
            if home is not None and _is_users(home):
                key = derived.__module__, derived.__qualname__
                file = getattr(home, "__file__", None)
                found.setdefault(key, LateImport(*key, original, file, derives=True))
    return [found[key] for key in sorted(found)]


def _originals() -> Iterator[tuple[str, Any]]:
    """Functions and classes that were replaced, each with its full name."""
    for module_name, items in saved.items():
        module = sys.modules.get(module_name)
        for name, value in items.items():
            if module is not None and callable(value) and getattr(module, name, None) is not value:
                yield f"{module_name}.{name}", value


def _derived_from(value: Any) -> list[type]:
    return type.__subclasses__(value) if isinstance(value, type) else []


def _is_users(module: ModuleType) -> bool:
    """Whether it is neither greenloom's, nor of the standard library, nor made of C."""
    name = getattr(module, "__name__", "")
    if not isinstance(name, str) or name.partition(".")[0] in ("greenloom", "gevent", "greenlet"):
        return False
    if name == "__main__":
        return True
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and not file.endswith(".so") and not _is_of_python(file)


def _is_of_python(file: str) -> bool:
    parents = {str(parent) for parent in Path(file).parents}
    packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    in_packages = (
        parents & packages or "site-packages" in Path(file).parts or "dist-packages" in Path(file).parts
    )
    return sysconfig.get_path("stdlib") in parents and not in_packages
