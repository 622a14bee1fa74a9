"""Makes the standard library cooperative by replacing names in its modules.

Call :func:`patch_all` before anything else is imported, in the main thread::

    from greenloom import monkey
    monkey.patch_all()

Modules that took a name before it was replaced keep the blocking one, so early is the only safe time. Each
``patch_*`` function patches one module; patching one twice changes nothing. Subscribers to
:mod:`greenloom.events`, and entry points of the groups ``gevent.plugins.monkey.*``, are told of each step, and
can forbid it by raising :exc:`greenloom.events.DoNotPatch`.

``python -m greenloom.monkey [--no-MODULE] script.py`` runs a script patched. :func:`patch_native` does the same to
libraries in C, which block below Python's names; it is part of ``patch_all(native=True)``.
"""

# This module imports as little as it can, and most of it inside of functions: what is imported before the
# patching has taken its names from the unpatched modules.

from __future__ import annotations

import sys
from typing import Any

from ._errors import MonkeyPatchWarning, _BadImplements as _BadImplements
from ._native import NATIVE_OBJECTS, is_native_patched, patch_native, unpatch_native
from ._state import is_anything_patched as is_anything_patched, is_module_patched, is_object_patched, saved
from ._util import (
    _ignores_DoNotPatch,
    _notify_patch,
    _patch_module,
    _process_warnings,
    _queue_warning,
)
from .api import get_original, patch_item as patch_item, patch_module, remove_item

__all__ = [
    "NATIVE_OBJECTS",
    "MonkeyPatchWarning",
    "get_original",
    "is_module_patched",
    "is_native_patched",
    "is_object_patched",
    "main",
    "patch_all",
    "patch_builtins",
    "patch_dns",
    "patch_module",
    "patch_native",
    "patch_os",
    "patch_queue",
    "patch_select",
    "patch_signal",
    "patch_socket",
    "patch_ssl",
    "patch_subprocess",
    "patch_sys",
    "patch_thread",
    "patch_time",
    "unpatch_native",
]


@_ignores_DoNotPatch
def patch_os() -> None:
    """Replace ``os.fork``, ``forkpty`` and, unless ``GEVENT_NOWAITPID`` is set, ``waitpid``.

    Children are reaped by the event loop then, so patch ``signal`` as well.
    """
    _patch_module("os")


@_ignores_DoNotPatch
def patch_time() -> None:
    """Replace ``time.sleep``."""
    _patch_module("time")


@_ignores_DoNotPatch
def patch_thread(
    threading: bool = True,
    _threading_local: bool = True,
    Event: bool = True,
    logging: bool = True,
    existing_locks: bool = True,
    _warnings: list[str] | None = None,
) -> None:
    """Replace ``_thread``, so that threads are greenlets.

    *threading*: also ``threading``; with *Event* its ``Event`` too. *_threading_local*: also
    ``_threading_local.local``. *logging*: also the locks of ``logging``, if it is imported. *existing_locks*: let
    import locks and ``RLock`` objects that are held now be released by the greenlet that runs.
    """
    from ._patch_thread import patch

    patch(
        threading=threading,
        threading_local=_threading_local,
        event=Event,
        logging=logging,
        existing_locks=existing_locks,
        warnings=_warnings,
    )


@_ignores_DoNotPatch
def patch_sys(stdin: bool = True, stdout: bool = True, stderr: bool = True) -> None:
    """Do nothing: the interpreter flushes its standard streams when no greenlet can run any more."""


@_ignores_DoNotPatch
def patch_socket(dns: bool = True, aggressive: bool = True) -> None:
    """Replace the socket class and functions, and with *dns* those that look up names.

    With *aggressive*, what cannot be replaced is removed.
    """
    from greenloom import socket

    items = list(socket.__implements__)
    if not dns:
        items = [item for item in items if item not in socket.__dns__]
    _patch_module("socket", items=items)
    if aggressive and "ssl" not in socket.__implements__:
        # Long gone from Python's module; ours may show one.
        remove_item(socket, "ssl")


@_ignores_DoNotPatch
def patch_dns() -> None:
    """Replace the functions of ``socket`` that look up names. :func:`patch_socket` does it by default."""
    from greenloom import socket

    _patch_module("socket", items=socket.__dns__)


@_ignores_DoNotPatch
def patch_select(aggressive: bool = True) -> None:
    """Replace ``select.select`` and ``poll``. With *aggressive*, remove ``epoll`` and its kind."""
    _patch_module("select", _patch_kwargs={"aggressive": aggressive})


@_ignores_DoNotPatch
def patch_selectors(aggressive: bool = True) -> None:
    """Replace ``selectors.DefaultSelector``. With *aggressive*, remove the selectors that would block."""
    _patch_module("selectors", _patch_kwargs={"aggressive": aggressive})


@_ignores_DoNotPatch
def patch_ssl(_warnings: list[str] | None = None, _first_time: bool = True) -> None:
    """Replace ``SSLContext``, ``SSLSocket`` and what makes them. Patch the sockets as well.

    Warns with :class:`MonkeyPatchWarning` when modules hold the original ``SSLContext`` already, naming them.
    """
    imported_before = hasattr(sys.modules.get("ssl"), "SSLContext")
    source, _ = _patch_module("ssl", _warnings=_warnings)
    if not (_first_time and imported_before):
        return
    modules, subclasses = _find_module_refs(source.orig_SSLContext)
    if not (modules or subclasses):
        return
    # gevent names the problem so, and programs filter the warning by its first words.
    message = (
        "Monkey-patching ssl after ssl has already been imported may lead to errors: connections made with the "
        "old SSLContext block every greenlet. Please monkey-patch earlier. "
    )
    if modules:
        message += f"Modules that had direct imports (NOT patched): {sorted(modules)}. "
    if subclasses:
        message += f"Subclasses (NOT patched): {sorted(map(str, subclasses))}. "
    _queue_warning(message, _warnings)


def _find_module_refs(to: type) -> tuple[set[str], set[type]]:
    """The modules that hold *to*, as ``name (file)``, and its direct subclasses; ours and ``ssl`` apart."""
    import gc

    modules: set[str] = set()
    subclasses: set[type] = set()
    for referrer in gc.get_referrers(to):
        if isinstance(referrer, dict):
            name = referrer.get("__name__")
            if not isinstance(name, str) or name == "ssl" or name.startswith("greenloom."):
                continue
            if any(value is to for value in referrer.values()):
                modules.add(f"{name} ({referrer.get('__file__', '<unknown>')})")
        elif isinstance(referrer, type) and to in referrer.__bases__ and not _is_ours(referrer):
            subclasses.add(referrer)
    return modules, subclasses


def _is_ours(cls: type) -> bool:
    return cls.__module__.startswith("greenloom.")


@_ignores_DoNotPatch
def patch_subprocess() -> None:
    """Replace ``subprocess.Popen``, ``call``, ``check_call``, ``check_output`` and ``run``.

    Also makes ``multiprocessing`` start its processes by fork where another way is the default.
    """
    _patch_module("subprocess")


@_ignores_DoNotPatch
def patch_builtins() -> None:
    """Do nothing: importing takes a lock for each module, and those are replaced with the threads."""


@_ignores_DoNotPatch
def patch_signal() -> None:
    """Replace ``signal.signal`` and ``getsignal``, so that SIGCHLD reaches the program. Patch ``os`` as well."""
    _patch_module("signal")


@_ignores_DoNotPatch
def patch_queue() -> None:
    """Replace the classes of ``queue``; ``Queue`` not with ``GEVENT_MONKEY_DISABLE_QUEUE_QUEUE`` set."""
    import os

    from greenloom._config import validate_bool

    items = ["SimpleQueue", "PriorityQueue", "LifoQueue"]
    if not validate_bool(os.environ.get("GEVENT_MONKEY_DISABLE_QUEUE_QUEUE", "false")):
        items.append("Queue")
    _patch_module("queue", items=items)


@_ignores_DoNotPatch
def patch_contextvars() -> None:
    """Do nothing: each greenlet has a context of its own."""


#: Where :func:`patch_all` keeps, among the originals, what it was asked for. gevent's tests know the name.
_SETTINGS = "_gevent_saved_patch_all_module_settings"


def patch_all(
    socket: bool = True,
    dns: bool = True,
    time: bool = True,
    select: bool = True,
    thread: bool = True,
    os: bool = True,
    ssl: bool = True,
    subprocess: bool = True,
    sys: bool = False,
    aggressive: bool = True,
    Event: bool = True,
    builtins: bool = True,
    signal: bool = True,
    queue: bool = True,
    contextvars: bool = True,
    native: bool = False,
    **kwargs: Any,
) -> bool | None:
    """Patch every module whose argument is true; with *native*, also C libraries, as :func:`patch_native` does.

    A second call patches what the earlier ones did not, and nothing is ever taken back: other arguments than
    before warn with :class:`MonkeyPatchWarning`. So does patching ``signal`` without ``os``. Other keyword
    arguments are for the subscribers of the events. Returns True; False if a subscriber forbade it; None if there
    was nothing to do.
    """
    asked = dict(locals())
    del asked["kwargs"]
    settings: dict[str, bool] = saved.setdefault(_SETTINGS, {})
    first_time = not settings
    warnings: list[str] = []
    if not first_time and settings != asked:
        _queue_warning(
            "patch_all() was called more than once, with other arguments: all that was ever asked for is patched",
            warnings,
        )
    new = {
        name: value for name, value in asked.items() if name not in settings or (value and not settings[name])
    }
    settings.update(new)
    if not new:
        _process_warnings(warnings)
        return None

    from greenloom import events

    try:
        will: Any = events.GeventWillPatchAllEvent(new, kwargs)
        will._warnings = warnings
        _subscribe_signal_os(will)
        _notify_patch(will, warnings)
    except events.DoNotPatch:
        return False
    _patch_in_order(new, settings, warnings, first_time)
    _notify_patch(events.GeventDidPatchBuiltinModulesEvent(new, kwargs), warnings)
    _notify_patch(events.GeventDidPatchAllEvent(new, kwargs), warnings)
    _process_warnings(warnings)
    return True


def _patch_in_order(
    new: dict[str, bool], settings: dict[str, bool], warnings: list[str], first_time: bool
) -> None:
    """Patch what is true in *new*. The order matters.

    Parts that an earlier call left out of a module (``dns`` of ``socket``, ``Event`` of ``thread``) come alone.
    """
    aggressive = settings["aggressive"]
    if new.get("os"):
        patch_os()
    if new.get("thread"):
        patch_thread(Event=settings["Event"], _warnings=warnings)
    elif new.get("Event") and settings["thread"]:
        _patch_event()
    if new.get("time"):
        # After the threads, whose module takes the real sleep.
        patch_time()
    if new.get("sys"):
        patch_sys()
    if new.get("socket"):
        patch_socket(dns=settings["dns"], aggressive=aggressive)
    elif new.get("dns") and settings["socket"]:
        patch_dns()
    if new.get("select"):
        patch_select(aggressive=aggressive)
        patch_selectors(aggressive=aggressive)
    if new.get("ssl"):
        patch_ssl(_warnings=warnings, _first_time=first_time)
    if new.get("subprocess"):
        patch_subprocess()
    if new.get("builtins"):
        patch_builtins()
    if new.get("signal"):
        patch_signal()
    if new.get("queue"):
        patch_queue()
    if new.get("native"):
        # Last: it makes a hub, which is to be made of patched modules.
        patch_native()
    if new.get("contextvars"):
        patch_contextvars()


def _patch_event() -> None:
    from ._patch_thread import patch_event

    patch_event()


def _subscribe_signal_os(will_patch_all: Any) -> None:
    """Warn about patching ``signal`` without ``os``. gevent's distribution has it as an entry point, too."""
    if will_patch_all.will_patch_module("signal") and not will_patch_all.will_patch_module("os"):
        _queue_warning(
            "Patching signal but not os: the hub reaps the children of greenloom.subprocess, so SIGCHLD handlers set "
            "after this are not called, and os.waitpid may not see those children",
            will_patch_all._warnings,
        )


def main() -> object:
    """Patch, then run a script or module, as the command line says. Returns what ``runpy`` returns."""
    from ._main import main as run

    return run()
