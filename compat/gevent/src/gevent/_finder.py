"""Finds the modules of one package under the name of another: the same objects, which keep their own identity."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from greenloom._alias import _alias_spec


class Finder:
    """An entry of ``sys.meta_path`` that answers for ``alias.x`` with the module ``package.x``."""

    def __init__(self, alias: str, package: str) -> None:
        """Answer for the submodules of ``alias``, not for itself."""
        self._prefix = alias + "."
        self._package = package + "."

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of the alias ``fullname``, or None for what ``package`` does not have."""
        if not fullname.startswith(self._prefix):
            return None
        name = self._package + fullname.removeprefix(self._prefix)
        try:
            original = importlib.util.find_spec(name)
        except ModuleNotFoundError as error:
            if not name.startswith(f"{error.name}."):
                raise
            # Greenloom does not have its parent either: `gevent.tests.test__hub`.
            return None
        return None if original is None else _alias_spec(fullname, original)
