"""The alias finder: ``import greenlet`` gives ``greenloom.greenlet``, ``import gevent`` gives ``greenloom``.

It stands first in ``sys.meta_path``, so it decides before anything on ``sys.path`` does. An alias is not a
copy: ``sys.modules["greenlet"] is sys.modules["greenloom.greenlet"]``, and the module keeps its own
``__name__`` and ``__spec__``, which is what ``importlib.reload`` goes by.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import Distribution, DistributionFinder

#: The top-level names that greenloom answers to, and what each is. Submodules follow: ``a.x`` is ``b.x``.
ALIASES = {"greenlet": "greenloom.greenlet", "gevent": "greenloom"}

#: The version of gevent whose API is followed. Programs ask ``gevent.__version__`` for it.
GEVENT_VERSION = "26.9.0"

#: What an alias keeps from the import system, which writes over it.
_IDENTITY = ("__spec__", "__loader__", "__package__")


def _target(name: str) -> str | None:
    """Return what ``name`` is an alias of, or None: ``greenlet.x`` gives ``greenloom.greenlet.x``."""
    top, dot, rest = name.partition(".")
    return ALIASES[top] + dot + rest if top in ALIASES else None


class AliasFinder:
    """Finds the modules of :data:`ALIASES`, and the distributions whose places they take."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of the alias ``fullname``, or None for what is not ours."""
        name = _target(fullname)
        original = None if name is None else importlib.util.find_spec(name)
        return None if original is None else _alias_spec(fullname, original)

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        """Yield the distributions that ``importlib.metadata`` shall see for the aliases."""
        # Only importlib.metadata calls this, so its slow import costs nobody else.
        from greenloom import _distribution

        return _distribution.find(ALIASES, context)


def _alias_spec(name: str, original: ModuleSpec) -> ModuleSpec:
    loader = _AliasLoader(original)
    if not original.has_location:
        return ModuleSpec(name, loader, origin=original.origin)  # type: ignore[arg-type]
    # With the location, `python -m` and tools that look for the file find it.
    spec = importlib.util.spec_from_file_location(
        name,
        original.origin,
        loader=loader,  # type: ignore[arg-type]
        submodule_search_locations=original.submodule_search_locations,
    )
    assert spec is not None, "a spec with a loader is always made"
    return spec


class _AliasLoader:
    """Gives the module of another name. One for each spec, so that it can hold the module's own identity."""

    def __init__(self, original: ModuleSpec) -> None:
        self._original = original
        self._identity: dict[str, Any] = {}

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module under its own name, imported if it was not."""
        module = importlib.import_module(self._original.name)
        self._identity = {name: getattr(module, name, None) for name in _IDENTITY}
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module back what has just been set for the alias. Its code has run already."""
        for name, value in self._identity.items():
            setattr(module, name, value)

    # `python -m` runs the code of a module instead of importing it.
    def get_code(self, fullname: str) -> CodeType | None:
        return self._inspect("get_code")  # type: ignore[no-any-return]

    def get_source(self, fullname: str) -> str | None:
        return self._inspect("get_source")  # type: ignore[no-any-return]

    def get_filename(self, fullname: str) -> str:
        return self._inspect("get_filename")  # type: ignore[no-any-return]

    def is_package(self, fullname: str) -> bool:
        return self._original.submodule_search_locations is not None

    def _inspect(self, method: str) -> Any:
        # The loader insists on the name that it was made for.
        return getattr(self._original.loader, method)(self._original.name)


def install_as_gevent() -> None:
    """Let ``import greenlet``, ``import gevent`` and their submodules give greenloom's modules, for the whole process.

    Call it before anything imports one of them; calling it again does nothing. ``greenloom.__version__`` is gevent's
    from then on, because that is what programs ask ``gevent.__version__`` for.

    Warns with :class:`RuntimeWarning` if the original was imported before: modules that took objects from it
    keep them, and greenlets of the two kinds cannot switch to each other. The warning names these modules.
    """
    if any(isinstance(finder, AliasFinder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, AliasFinder())
    sys.modules["greenloom"].__dict__["__version__"] = GEVENT_VERSION
    for name, replacement in ALIASES.items():
        original = sys.modules.get(name)
        if original is not None and not _is_ours(original, importlib.import_module(replacement)):
            _replace(name)


def _is_ours(module: ModuleType, replacement: ModuleType) -> bool:
    """Whether ``module`` is the replacement, or the one in ``compat/`` that has its objects."""
    names: list[str] = [name for name in replacement.__all__ if name != "__version__"]
    return all(getattr(module, name, None) is getattr(replacement, name) for name in names)


def _replace(name: str) -> None:
    """Put the alias where the original was imported, and warn with who still has the original's objects."""
    originals = {
        module_name: module
        for module_name, module in sys.modules.items()
        if module_name == name or module_name.startswith(name + ".")
    }
    holders = sorted(_holders(originals))
    for module_name in originals:
        del sys.modules[module_name]
    importlib.import_module(name)
    kept = f"; these modules keep objects of the original: {', '.join(holders)}" if holders else ""
    # Three up: the line that called `install_as_gevent`.
    warnings.warn(
        f"{name} was imported before greenloom.install_as_gevent(){kept}. "
        "Call install_as_gevent() first, or run the program with `python -m greenloom`.",
        RuntimeWarning,
        stacklevel=3,
    )


def _holders(originals: dict[str, ModuleType]) -> Iterator[str]:
    """Yield the names of the modules in whose globals there is an object of the ``originals``."""
    wanted = {id(module) for module in originals.values()}
    for module in originals.values():
        # Modules and constants are everybody's; classes, functions and the capsule are the original's alone.
        wanted.update(
            id(value)
            for name, value in vars(module).items()
            if not name.startswith("__") and not isinstance(value, (ModuleType, str, int))
        )
    for name, module in list(sys.modules.items()):
        if name not in originals and any(id(value) in wanted for value in list(vars(module).values())):
            yield name
