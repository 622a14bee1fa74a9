"""The event loop, and the constants of its watchers.

Programs get at it by ``greenloom.get_hub().loop``. One made directly must not run while the hub's runs.
"""

from __future__ import annotations

import time as _time
from collections.abc import Iterable
from typing import Any

from greenloom import _greenloom
from greenloom._loop import child as child, loop as loop, stat as stat

__all__ = [
    "embeddable_backends",
    "get_header_version",
    "get_version",
    "loop",
    "recommended_backends",
    "supported_backends",
    "time",
]

_native: Any = _greenloom

# It is public here, and programs look for the constants where the class says that it lives.
loop.__module__ = __name__

NONE, READ, WRITE = 0, 1, 2
READWRITE = READ | WRITE
TIMER = 1 << 8
SIGNAL = 1 << 10
CHILD = 1 << 11
STAT = 1 << 12
IDLE = 1 << 13
PREPARE = 1 << 14
CHECK = 1 << 15
FORK = 1 << 17
ASYNC = 1 << 19
ERROR = 1 << 31

# The types of what the loop's methods return, to compare with.
callback: Any = _native.callback
watcher: Any = _native.watcher
io: Any = _native.io
timer: Any = _native.timer
signal: Any = _native.signal
async_: Any = _native.async_

#: As the first argument of a watcher's callback, it stands for the events that have happened.
EVENTS: Any = getattr(_native, "EVENTS", None)

MINPRI, MAXPRI = -2, 2

# The backends that libev has, for programs that name them. The loop is always on epoll.
BACKEND_SELECT = 1 << 0
BACKEND_POLL = 1 << 1
BACKEND_EPOLL = 1 << 2
BACKEND_KQUEUE = 1 << 3
BACKEND_DEVPOLL = 1 << 4
BACKEND_PORT = 1 << 5
BACKEND_LINUXAIO = 1 << 6
BACKEND_IOURING = 1 << 7
NOINOTIFY = 0x0010_0000
SIGNALFD = 0x0020_0000
NOSIGMASK = 0x0040_0000
FORKCHECK = 0x0200_0000

_FLAGS = {
    "port": BACKEND_PORT,
    "kqueue": BACKEND_KQUEUE,
    "linux_aio": BACKEND_LINUXAIO,
    "linux_iouring": BACKEND_IOURING,
    "epoll": BACKEND_EPOLL,
    "poll": BACKEND_POLL,
    "select": BACKEND_SELECT,
    "devpoll": BACKEND_DEVPOLL,
    "noinotify": NOINOTIFY,
    "signalfd": SIGNALFD,
    "nosigmask": NOSIGMASK,
    "forkcheck": FORKCHECK,
}


def _flags_to_int(flags: int | str | Iterable[str] | None) -> int:
    """Return the bits of ``flags``: bits already, or names, in a list or with commas between them.

    Raises :class:`ValueError` for a name that there is not, :class:`TypeError` for anything else.
    """
    if not flags:
        return 0
    if isinstance(flags, int):
        return flags
    names = flags.split(",") if isinstance(flags, str) else list(flags)
    result = 0
    for name in names:
        bit = _FLAGS.get(name.strip().lower())
        if bit is None:
            raise ValueError(f"Invalid backend or flag: {name!r}\nPossible values: {', '.join(_FLAGS)}")
        result |= bit
    return result


def _flags_to_list(flags: int) -> list[str]:
    """Return the names of the bits."""
    return [name for name, bit in _FLAGS.items() if flags & bit]


_EVENT_NAMES = {
    READ: "READ",
    WRITE: "WRITE",
    TIMER: "TIMER",
    SIGNAL: "SIGNAL",
    CHILD: "CHILD",
    STAT: "STAT",
    IDLE: "IDLE",
    PREPARE: "PREPARE",
    CHECK: "CHECK",
    FORK: "FORK",
    ASYNC: "ASYNC",
    ERROR: "ERROR",
}


def _events_to_str(events: int) -> str:
    names = [name for bit, name in _EVENT_NAMES.items() if events & bit]
    rest = events & ~sum(bit for bit in _EVENT_NAMES if events & bit)
    return "|".join(names + [hex(rest)] * bool(rest))


def supported_backends() -> list[str]:
    """Return the names of what loops can wait with."""
    return ["epoll"]


recommended_backends = embeddable_backends = supported_backends


def get_version() -> str:
    """Return what the loop is, with its version."""
    return f"greenloom-{_greenloom.__version__}"


get_header_version = get_version


def time() -> float:
    """Return the seconds since 1970."""
    return _time.time()
