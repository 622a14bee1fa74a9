"""A watchdog that says what keeps a hub from turning: the C function, the library that called it, the line of Python.

What greenlets wait for lets others run only if greenloom knows of it. A library that is not patched, a call made with
the GIL held, a long computation: they hold the thread, and nothing says so. With a watchdog, something does::

    from greenloom import watchdog

    watchdog.start(after=0.1)

The environment variable ``GREENLOOM_WATCHDOG=0.1`` does the same for a program that knows nothing of it.
"""

from __future__ import annotations

import atexit
import os
import sys

from greenloom._greenloom import start_watchdog, stop_watchdog

__all__ = ["start", "stop"]

#: Where the seconds are looked for.
_VARIABLE = "GREENLOOM_WATCHDOG"


def start(after: float = 0.1) -> None:
    """Tell on standard error of a hub that has not turned for *after* seconds, once for each such time.

    Watched are the hub of the calling thread and those that begin to run later. It costs a look at each hub four times
    in *after*, on a thread of its own. A second call replaces the first.

    Raises ValueError if *after* is not between 0.001 and 3600.
    """
    start_watchdog(after)
    # Its thread must not ask for the GIL of an interpreter that ends.
    atexit.unregister(stop_watchdog)
    atexit.register(stop_watchdog)


def stop() -> None:
    """End it, if it runs."""
    atexit.unregister(stop_watchdog)
    stop_watchdog()


def start_if_asked() -> None:
    """Start it if the environment says so. If it says what makes no sense, tell on standard error, and do without."""
    text = os.environ.get(_VARIABLE)
    if text is None:
        return
    try:
        start(float(text))
    except ValueError as error:
        sys.stderr.write(f"greenloom: {_VARIABLE}={text!r}: {error}; running without a watchdog\n")
