"""Who waits on what: the lines that a deadlock is reported with."""

from __future__ import annotations

import linecache
import os
from gc import get_objects
from types import FrameType
from typing import Any

from greenloom._greenlet_primitives import get_reachable_greenlets
from greenloom._greenloom import AbstractLinkable, Semaphore

_PACKAGE = os.path.dirname(__file__) + os.sep  # noqa: PTH120  (pathlib is not worth its import here)

#: A report of a million greenlets helps nobody.
LIMIT = 20


def describe_waiting(hub: Any) -> tuple[str, ...]:
    """Return a line for each greenlet that is suspended in ``hub``: its name, its source line, and the object.

    At most :data:`LIMIT`, and then how many more there are. The hub's parent comes first.
    """
    found = [
        (candidate, frame)
        for candidate in get_reachable_greenlets()
        if candidate is not hub
        and (candidate is hub.parent or candidate.parent is hub)
        and (frame := candidate.gr_frame) is not None
    ]
    found.sort(key=lambda pair: pair[0] is not hub.parent)
    sources = _what_they_wait_on()
    lines = [_describe(candidate, frame, sources.get(id(candidate))) for candidate, frame in found[:LIMIT]]
    if len(found) > LIMIT:
        lines.append(f"and {len(found) - LIMIT} more")
    return tuple(lines)


def _what_they_wait_on() -> dict[int, AbstractLinkable]:
    """Return the events, results and semaphores that greenlets wait for, by the identities of the greenlets."""
    return {
        id(parked): source
        for source in get_objects()
        if issubclass(type(source), AbstractLinkable)
        for parked in source._parked()
    }


def _describe(waiting: Any, frame: FrameType, source: AbstractLinkable | None) -> str:
    who = "the main greenlet" if waiting.parent is None else _safe_repr(waiting)
    ours = None
    user: FrameType | None = frame
    # The last of our own frames before the user's is the call that the user knows.
    while user is not None and user.f_code.co_filename.startswith(_PACKAGE):
        ours, user = user, user.f_back
    call = ""
    if ours is not None:
        call = f" in {_call_name(ours)}"
    elif source is not None:
        # The call is Rust and has no frame.
        call = f" in {_method_of(source)} of {_safe_repr(source)}"
    if user is None:
        return f"{who} waits{call}"
    name, number = user.f_code.co_filename, user.f_lineno
    text = linecache.getline(name, number).strip()
    return f"{who} waits{call}, at {name}:{number} in {user.f_code.co_name}" + (f": {text}" if text else "")


def _method_of(source: AbstractLinkable) -> str:
    method = "acquire" if isinstance(source, Semaphore) else "wait"
    return f"{type(source).__name__}.{method}"


def _call_name(frame: FrameType) -> str:
    function = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
    owner = frame.f_locals.get("self")
    return function if owner is None else f"{function} of {_safe_repr(owner)}"


def _safe_repr(value: object) -> str:
    # It is called to report an error: it must not raise one.
    try:
        text = repr(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose repr failed with {type(error).__name__}>"
    return text if len(text) <= 200 else text[:197] + "..."
