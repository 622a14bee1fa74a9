"""What :mod:`greenloom.doctor` says of loaded objects: which are patched, block, or need no patch, and why."""

from __future__ import annotations

import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from greenloom import monkey

if TYPE_CHECKING:
    from greenloom._greenloom import _NativeObject

#: Beginnings of symbols that wait for others than this process: the network, time, children.
_WAITING = re.compile(
    r"(__)?(recv|send(?!file)|connect|accept|p?poll|p?select|epoll_|nanosleep|clock_nanosleep|u?sleep|getaddrinfo"
    r"|getnameinfo|gethostby|wait|res_)"
)


#: Libraries that wait for nobody who could keep them waiting.
_HARMLESS = {"libselinux": "ask services of this machine, and hardly ever"}


@dataclass(frozen=True)
class NativeObject:
    """A loaded object file."""

    path: str
    name: str
    #: ``patched``; ``blocks``: it is not, and should be; ``failed``: it was to be; ``explained``: it need not be.
    state: str
    #: The names by which it was asked for.
    rules: list[str]
    #: The symbols that lead to hooks.
    patched: list[str]
    #: The symbols that may block, and do not.
    blocking: list[str]
    #: Why it is in this state, if that needs to be said; objects with the same reason belong together.
    why: str
    #: What to do about it; empty: nothing.
    advice: str


def look(objects: list[_NativeObject]) -> list[NativeObject]:
    """Judge *objects*, leaving out those that neither are patched nor could block."""
    known = (_judge(found) for found in objects)
    return [judged for judged in known if judged is not None]


def short_name(file_name: str) -> str:
    """The name to ask for a file by: ``libpq`` for ``libpq-1f3a9c20.so.5.17``."""
    stem = re.split(r"\.(?:so|cpython-|abi3)\b", file_name)[0]
    return re.sub(r"-[0-9a-f]{6,}$", "", stem) or file_name


def _judge(found: _NativeObject) -> NativeObject | None:
    state, why, advice = _state(found)
    if state == "explained" and not found["blocking"]:
        return None
    return NativeObject(
        path=found["path"],
        name=found["name"],
        state=state,
        rules=found["rules"],
        patched=found["patched"],
        blocking=found["blocking"],
        why=why,
        advice=advice,
    )


def _state(found: _NativeObject) -> tuple[str, str, str]:
    """State, reason and advice for one object."""
    if found["problem"]:
        return (
            "failed",
            found["problem"],
            "look at the reason; the calls of this library block every greenlet",
        )
    if found["refused"] and found["rules"]:
        return "failed", found["refused"], f"do not ask for {', '.join(found['rules'])}"
    if found["refused"]:
        return "explained", found["refused"], ""
    if found["patched"]:
        return "patched", "", ""
    if found["rules"]:
        return "explained", "asked for, but call nothing that there is a hook for", ""
    if found["is_program"]:
        return "explained", "the interpreter: monkey.patch_all() replaces what waits in it", ""
    if _is_of_python(found["path"]):
        return "explained", "modules of Python itself: monkey.patch_all() replaces what waits in them", ""
    if reason := _HARMLESS.get(short_name(found["name"])):
        return "explained", reason, ""
    if not any(_WAITING.match(symbol) for symbol in found["blocking"]):
        return "explained", "use files and locks only, which are held up for a moment at most", ""
    return "blocks", "waits where it does not let other greenlets run", _advice(found["name"])


def _advice(file_name: str) -> str:
    name = short_name(file_name)
    if name in monkey.NATIVE_OBJECTS:
        return "monkey.patch_native(), or monkey.patch_all(native=True)"
    return f'monkey.patch_native([*monkey.NATIVE_OBJECTS, "{name}"])'


def _is_of_python(path: str) -> bool:
    directories = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    packages = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    parents = {str(parent) for parent in Path(path).parents}
    return bool(parents & {*directories, sysconfig.get_config_var("DESTSHARED")}) and not parents & packages
