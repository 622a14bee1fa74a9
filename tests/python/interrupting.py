"""A driver in C whose waits end in every way that drivers have, built for the tests of kills and timeouts."""

from __future__ import annotations

import importlib.util
import subprocess
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import greenloom
from greenloom import Timeout

#: Longer than any test waits, in ms.
FOREVER = 60_000


class Stop(BaseException):
    """What a test kills with."""


def build(directory: Path) -> Path:
    """Compile the driver for this Python."""
    built = directory / f"interrupted{sysconfig.get_config_var('EXT_SUFFIX')}"
    source = Path(__file__).parent / "native" / "interrupted.c"
    include = f"-I{sysconfig.get_path('include')}"
    command = ["cc", "-O1", "-shared", "-fPIC", "-pthread", include, "-o", str(built), str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return built


def load(built: Path) -> ModuleType:
    """Import the driver from its file."""
    specification = importlib.util.spec_from_file_location("interrupted", built)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def started(function: Callable[..., Any], *args: Any) -> Any:
    """A greenlet that waits in the driver by now."""
    greenlet = greenloom.spawn(function, *args)
    greenloom.sleep(0.01)
    return greenlet


def functions_of(error: BaseException) -> list[str]:
    """The functions that an exception has come through, outermost first."""
    return [entry.name for entry in traceback.extract_tb(error.__traceback__)]


def interrupt_both(driver: ModuleType, quiet: int) -> tuple[bool, bool]:
    """Interrupt a call that raises and one that returns; whether each raised the very Timeout."""
    found = []
    for way in ("raises", "swallows"):
        timeout = Timeout(0.01)
        try:
            with timeout:
                getattr(driver, way)(quiet, FOREVER)
        except Timeout as error:
            found.append(error is timeout)
    return found[0], found[1]
