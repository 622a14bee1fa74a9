"""Where a greenlet was spawned: its caller's stack, cheap to take and only made readable when it is looked at."""

from __future__ import annotations

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
