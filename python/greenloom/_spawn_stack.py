"""Where a greenlet was spawned: its caller's stack, cheap to take and only made readable when it is looked at."""

from __future__ import annotations

from sys import _getframe
from types import CodeType
from typing import Any, Final, TypeAlias

#: Code and instruction of each frame, in turn, innermost first.
Captured: TypeAlias = tuple[Any, ...]


class _Frame:
    """As much of a frame as :func:`traceback.format_stack` looks at."""

    __slots__ = ("f_back", "f_code", "f_lineno")

    f_globals: Final[None] = None

    def __init__(self, code: CodeType, line: int, back: _Frame | None) -> None:
        self.f_code = code
        self.f_lineno = line
        self.f_back = back


#: The functions between the one that captures and the user's own code, which are of no interest.
internal: set[CodeType] = set()


def capture(limit: int) -> Captured:
    """Return what to remember of the callers of the function that calls this, at most ``limit`` of them."""
    try:
        frame: Any = _getframe(2)
    except ValueError:
        # Called from C with no Python frame below, as an embedding program may.
        return ()
    while frame is not None and frame.f_code in internal:
        frame = frame.f_back
    found: list[Any] = []
    for _ in range(limit):
        if frame is None:
            break
        # The line number takes a search in the code's table: not now, when nobody has asked.
        found += frame.f_code, frame.f_lasti
        frame = frame.f_back
    return tuple(found)


def frames(captured: Captured) -> _Frame | None:
    """Return the innermost of the frames, each with its ``f_back``; None if there are none."""
    back = None
    for code, instruction in zip(captured[-2::-2], captured[::-2], strict=True):
        back = _Frame(code, _line(code, instruction), back)
    return back


def _line(code: CodeType, instruction: int) -> int:
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return line
    return code.co_firstlineno
