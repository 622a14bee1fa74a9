"""What a program says about what it runs on."""

# mypy: ignore-errors

import gevent.hub
import gevent.monkey

import greenloom.hub


def is_greenloom() -> bool:
    """Whether the program's gevent is greenloom, and the standard library is patched with it."""
    return gevent.hub is greenloom.hub and gevent.monkey.is_module_patched("time")
