"""Says what still blocks: which C libraries and Python names are patched, which are not, and what to do about each.

``python -m greenloom doctor`` prints it for the drivers that are installed, ``python -m greenloom doctor script.py``
for a program. A program can look at itself at any time::

    from greenloom import doctor
    doctor.report()
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from greenloom import monkey
from greenloom._doctor_late import LateImport, look as _look_at_names
from greenloom._doctor_objects import NativeObject, look as _look_at_objects, short_name

# Not the package's, which names gevent's version where it stands in for gevent.
from greenloom._greenloom import __version__

__all__ = ["Diagnosis", "LateImport", "NativeObject", "examine", "report"]


@dataclass(frozen=True)
class Diagnosis:
    """What was found in this process."""

    #: Whether anything of the standard library is patched, and whether C libraries are.
    python_patched: bool
    native_patched: bool
    #: The loaded objects that are patched or import what may block.
    objects: list[NativeObject]
    #: The modules that hold originals of what was replaced since.
    late_imports: list[LateImport]
    #: Names that :func:`~greenloom.monkey.patch_native` was given and that no loaded object has.
    unmatched: list[str]

    @property
    def todo(self) -> list[str]:
        """What to do, one line each; nothing if all is well."""
        return [*self._advice()]

    def _advice(self) -> Iterator[str]:
        if not self.python_patched and not self.native_patched:
            yield "nothing is patched: call monkey.patch_all(), with native=True for C libraries"
        blocking = [short_name(found.name) for found in self.objects if found.state == "blocks"]
        if names := [name for name in dict.fromkeys(blocking) if name not in monkey.NATIVE_OBJECTS]:
            more = ", ".join(f'"{name}"' for name in names)
            yield f"if greenlets wait in them: monkey.patch_native([*monkey.NATIVE_OBJECTS, {more}])"
        elif blocking and self.python_patched:
            yield "monkey.patch_native(), or monkey.patch_all(native=True)"
        for found in self.objects:
            if found.state == "failed":
                yield f"{found.name}: {found.advice}"
        for module in dict.fromkeys(late.module for late in self.late_imports):
            yield next(late.advice for late in self.late_imports if late.module == module)
        for name in self.unmatched:
            yield f"{name}: no loaded object is called so; look at the spelling, or import what loads it"

    def as_json(self) -> dict[str, Any]:
        """The same as dicts, lists and strings."""
        return {
            "greenloom": __version__,
            "python": platform.python_version(),
            **asdict(self),
            "todo": self.todo,
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"greenloom {__version__} on Python {platform.python_version()}"
        yield ""
        patched = [found for found in self.objects if found.state == "patched"]
        if patched:
            yield "C libraries whose calls let other greenlets run:"
            for found in patched:
                yield f"  {found.name}  (asked for as {', '.join(found.rules)})"
                yield from _wrapped(found.patched, "      ")
        elif self.native_patched:
            yield "C libraries: patched as they are loaded; none is yet."
        else:
            yield "C libraries: not patched; monkey.patch_native() does it."
        for title, state in (
            ("C libraries that block every greenlet while they wait:", "blocks"),
            ("Failed:", "failed"),
        ):
            if some := [found for found in self.objects if found.state == state]:
                yield ""
                yield title
                for found in some:
                    yield f"  {found.name}" + (f": {found.why}" if state == "failed" else "")
                    yield from _wrapped(found.blocking, "      ")
        yield from self._explained()
        if self.late_imports:
            yield ""
            yield "Python names that were taken before they were replaced, and block every greenlet:"
            for late in self.late_imports:
                what = "derives from" if late.derives else "is"
                yield f"  {late.module}.{late.name} {what} the original {late.original}  ({late.file or 'no file'})"
        yield ""
        yield from self._end()

    def _explained(self) -> Iterator[str]:
        groups: dict[str, list[str]] = {}
        for found in self.objects:
            if found.state == "explained":
                groups.setdefault(found.why, []).append(short_name(found.name))
        if groups:
            yield ""
            yield "Not patched, and rightly so:"
        for why, names in groups.items():
            yield f"  {why}:"
            yield from _wrapped(sorted({*names}), "      ")

    def _end(self) -> Iterator[str]:
        todo = self.todo
        if not todo:
            yield "Nothing to do."
            return
        yield "To do:"
        for line in todo:
            yield f"  - {line}"


def examine() -> Diagnosis:
    """Look at this process. Raises NotImplementedError where C libraries cannot be patched."""
    from greenloom import _greenloom

    objects = _greenloom.native_objects()
    used = {rule for found in objects for rule in found["rules"]}
    asked = monkey._native._asked
    return Diagnosis(
        python_patched=monkey.is_anything_patched(),
        native_patched=monkey.is_native_patched(),
        objects=_look_at_objects(objects),
        late_imports=_look_at_names(),
        # A driver of the default list that is not there is not missed.
        unmatched=[name for name in asked if name not in used and name not in monkey.NATIVE_OBJECTS],
    )


def report(file: TextIO | None = None) -> bool:
    """Print what :func:`examine` finds to *file*, or the standard output; return whether there is something to do."""
    found = examine()
    print(found, file=file or sys.stdout)
    return bool(found.todo)


def _wrapped(words: Iterable[str], indent: str) -> Iterator[str]:
    import textwrap

    return iter(textwrap.wrap(" ".join(words), 100, initial_indent=indent, subsequent_indent=indent))
