"""Small descriptors and helpers that several modules of the package share. Not for other programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import update_wrapper
from time import gmtime, strftime
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class _NotGiven(Enum):
    """The type of :data:`_NONE`, the default where None is a value of its own."""

    NOT_GIVEN = "<default value>"


_NONE = _NotGiven.NOT_GIVEN


def copy_globals(
    source: Any,
    globs: dict[str, Any],
    only_names: Iterable[str] | None = None,
    ignore_missing_names: bool = False,
    names_to_ignore: Sequence[str] = (),
    dunder_names_to_keep: Sequence[str] = ("__implements__", "__all__", "__imports__"),
    cleanup_globs: bool = True,
) -> list[str]:
    """Copy the names of module ``source`` into ``globs`` and return those copied.

    Names with two leading underscores are left out unless they are in ``dunder_names_to_keep``. With
    ``only_names``, these are copied and no others; a missing one raises :class:`AttributeError` unless
    ``ignore_missing_names``. With ``cleanup_globs``, a ``copy_globals`` in ``globs`` is removed.
    """
    wanted = list(vars(source)) if not only_names else list(only_names)
    copied = []
    for name in wanted:
        if name in names_to_ignore or (name.startswith("__") and name not in dunder_names_to_keep):
            continue
        if only_names and ignore_missing_names and not hasattr(source, name):
            continue
        globs[name] = getattr(source, name)
        copied.append(name)
    if cleanup_globs:
        globs.pop("copy_globals", None)
    return copied


def import_c_accel(globs: dict[str, Any], cname: str) -> None:
    """Do nothing: the accelerated types are imported where they are used."""


class readproperty(Generic[T]):
    """A property that is computed at each reading until something is assigned to it, which then stays."""

    def __init__(self, func: Callable[[Any], T]) -> None:
        self._compute = func
        update_wrapper(self, func)  # type: ignore[arg-type]

    @overload
    def __get__(self, inst: None, class_: type[Any]) -> readproperty[T]: ...
    @overload
    def __get__(self, inst: object, class_: type[Any]) -> T: ...
    def __get__(self, inst: Any, class_: type[Any]) -> Any:
        # There is no __set__, so what is in the instance comes first.
        return self if inst is None else self._compute(inst)


class Lazy(readproperty[T]):
    """A property that is computed once: the first value stays in the instance's ``__dict__``."""

    def __init__(self, func: Callable[[Any], T]) -> None:
        def compute_and_keep(inst: Any) -> T:
            value = func(inst)
            vars(inst)[func.__name__] = value
            return value

        super().__init__(update_wrapper(compute_and_keep, func))


class LazyOnClass(Generic[T]):
    """A property that is computed once for the class: the value takes the property's place."""

    def __init__(self, func: Callable[[Any], T], name: str | None = None) -> None:
        self._compute = func
        self.name = name or func.__name__

    @classmethod
    def lazy(cls, cls_dict: dict[str, Any], func: Callable[[Any], T]) -> None:
        """Put one for ``func``, under its name, into the namespace ``cls_dict``."""
        made = cls(func)
        cls_dict[made.name] = made

    def __get__(self, inst: Any, class_: type[Any]) -> Any:
        if inst is not None:
            setattr(class_, self.name, self._compute(inst))
            return getattr(inst, self.name)
        return self


def gmctime() -> str:
    """Return the time now as RFC 3339 has it, in UTC: ``2026-01-31T12:00:00Z``."""
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())
