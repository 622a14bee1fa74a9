"""The names that ``import greenloom`` offers of the hub and its greenlets. They are used from there."""

from sys import getswitchinterval, setswitchinterval
from typing import NamedTuple

from greenloom._config import config
from greenloom._greenlet_class import Greenlet, joinall, killall
from greenloom._hub_local import get_hub
from greenloom._hub_primitives import iwait_on_objects as iwait, wait_on_objects as wait
from greenloom.hub import (
    GreenletExit,
    getcurrent,
    idle,
    kill,
    reinit,
    signal as signal_handler,
    sleep,
    spawn_raw,
)
from greenloom.os import fork
from greenloom.timeout import Timeout, with_timeout

__all__ = [
    "Greenlet",
    "GreenletExit",
    "Timeout",
    "config",
    "fork",
    "get_hub",
    "getcurrent",
    "getswitchinterval",
    "idle",
    "iwait",
    "joinall",
    "kill",
    "killall",
    "reinit",
    "setswitchinterval",
    "signal_handler",
    "sleep",
    "spawn",
    "spawn_later",
    "spawn_raw",
    "version_info",
    "wait",
    "with_timeout",
]

spawn = Greenlet.spawn
spawn_later = Greenlet.spawn_later


class _VersionInfo(NamedTuple):
    major: int
    minor: int
    micro: int
    releaselevel: str
    serial: int


#: What gevent has under this name, which has said the same since its version 20.
version_info = _VersionInfo(20, 0, 0, "dev", 0)
