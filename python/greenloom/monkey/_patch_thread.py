"""Patches ``_thread`` and ``threading``, and sets right what the standard library holds of the old ones.

Three things cannot be done by replacing names. Locks that exist already know their owner by the old identity.
The main thread's object is known by the old one as well, and the interpreter ends it: who joins it from a
greenlet must hear of that. And at exit the interpreter waits for threads that it does not know to be greenlets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType, SimpleNamespace
from typing import Any

from ._state import is_object_patched
from ._util import _notify_patch, _patch_module, _queue_warning
from .api import patch_item

#: From here on a thread's end is told by its handle; before, by the lock of its thread state.
_HANDLES = sys.version_info >= (3, 13)


def patch(
    *,
    threading: bool,
    threading_local: bool,
    event: bool,
    logging: bool,
    existing_locks: bool,
    warnings: list[str] | None,
) -> None:
    """Patch the modules; see :func:`greenloom.monkey.patch_thread`."""
    # Imported before `_thread` is patched, for it takes names from there that are to be saved as they were.
    stdlib: Any = __import__("threading")
    # Likewise: afterwards the current thread may be one that stands for a greenlet.
    in_main_thread = stdlib.current_thread() is stdlib.main_thread()
    shutdown_is_ours = is_object_patched("threading", "_shutdown")

    source, target = _patch_module("thread", _warnings=warnings, _notify_did_subscribers=False)
    threading_source: ModuleType | None = None
    if threading:
        threading_source, _ = _patch_module("threading", _warnings=warnings, _notify_did_subscribers=False)
        if event:
            patch_event()
        if existing_locks:
            _adopt_existing_locks(stdlib)
        if logging and "logging" in sys.modules:
            _replace_logging_locks(stdlib)
    if threading_local:
        from greenloom.local import local

        patch_item(__import__("_threading_local"), "local", local)
    if threading:
        _adopt_threads(stdlib)
    if threading and not shutdown_is_ours:
        if in_main_thread:
            _end_main_thread_for_greenlets(stdlib)
            _rename_main_thread(stdlib)
        else:
            _shut_down_although_patched_elsewhere(stdlib, warnings)

    from greenloom import events

    _notify_patch(events.GeventDidPatchModuleEvent("thread", source, target), warnings)
    if threading_source is not None:
        _notify_patch(events.GeventDidPatchModuleEvent("threading", threading_source, stdlib), warnings)


def patch_event() -> None:
    """Replace ``threading.Event``."""
    from greenloom.event import Event

    patch_item(__import__("threading"), "Event", Event)


# -- Locks ---------------------------------------------------------------------------------------------------


def _adopt_existing_locks(stdlib: Any) -> None:
    """Let the greenlet that runs own the locks that its thread owns, if that thread is the only one."""
    if len(stdlib.enumerate()) != 1:
        return
    _free_executors_lock(stdlib)
    # Held while threads start and end. Both may switch greenlets now, and the next one to take the native lock
    # would stop the thread, with its holder.
    stdlib._active_limbo_lock = stdlib._allocate_lock()

    import gc
    import importlib

    ident = stdlib.get_ident()
    lock_type = type(stdlib.RLock())
    module_lock_type = vars(importlib)["_bootstrap"]._ModuleLock
    for candidate in gc.get_objects():
        # By type, not isinstance: that asks a proxy for its `__class__`, which may run anything.
        kind = type(candidate)
        if issubclass(kind, lock_type):
            if candidate._owner is not None:
                candidate._owner = ident
        elif issubclass(kind, module_lock_type) and candidate.owner is not None:
            candidate.owner = ident
            if not candidate.waiters:
                # What another greenlet that imports the same module is going to wait for.
                candidate.wakeup = stdlib._allocate_lock()


def _free_executors_lock(stdlib: Any) -> None:
    """Give ``concurrent.futures.thread`` another lock than the one that it takes before a fork.

    It holds that lock while a thread starts. A greenlet that forks at this moment would wait for it: native, for
    ever; cooperative, it would switch in the middle of the fork. The handlers keep the old one to themselves.
    """
    import concurrent.futures.thread as executors

    if hasattr(executors, "_global_shutdown_lock"):
        executors._global_shutdown_lock = stdlib._allocate_lock()


def _replace_logging_locks(stdlib: Any) -> None:
    logging: Any = sys.modules["logging"]
    patch_item(logging, "_lock", stdlib.RLock())
    for reference in logging._handlerList:
        handler = reference() if callable(reference) else reference
        if handler is None:
            continue
        if not hasattr(handler, "lock"):
            raise TypeError(f"a logging handler without a lock: {handler!r}")
        # A handler may be without, as NullHandler is.
        if handler.lock is not None:
            handler.lock = stdlib.RLock()


# -- Threads that run already --------------------------------------------------------------------------------


def _adopt_threads(stdlib: Any) -> None:
    """Make the threads that run joinable from greenlets, the main one included."""
    main_thread = stdlib.main_thread()
    for thread in list(stdlib._active.values()):
        if thread is not main_thread:
            thread.join = _polling_join(thread, stdlib)
            thread._delete = _forgetting(thread.ident, stdlib)
        elif _HANDLES:
            _give_greenlet_handle(thread)


def _polling_join(thread: Any, stdlib: Any) -> Callable[..., None]:
    """A ``join`` for a thread that ends without telling the hub."""

    def join(timeout: float | None = None) -> None:
        from time import monotonic

        from greenloom.hub import sleep

        if stdlib.current_thread() is thread:
            raise RuntimeError("Cannot join current thread")
        deadline = None if timeout is None else monotonic() + timeout
        while thread.is_alive():
            if deadline is not None and monotonic() >= deadline:
                return
            sleep(0.01)

    return join


def _forgetting(ident: int, stdlib: Any) -> Callable[[], None]:
    """What takes a thread from the table at its end: the standard one would look for its new identity."""

    def _delete() -> None:
        with stdlib._active_limbo_lock:
            for key in (ident, stdlib.get_ident()):
                stdlib._active.pop(key, None)

    return _delete


def _handle_name(thread: Any) -> str:
    # Its name differs among minor versions.
    return "_os_thread_handle" if hasattr(thread, "_os_thread_handle") else "_handle"


def _give_greenlet_handle(thread: Any) -> None:
    from greenloom.greenlet import getcurrent
    from greenloom.thread import _ThreadHandle

    handle = _ThreadHandle()
    handle._set_greenlet(getcurrent())
    vars(thread).update({_handle_name(thread): handle, "_ident": handle.ident})
    # What it does after a fork is for the handle that it had.
    thread._after_fork = lambda new_ident=None: new_ident


# -- The end -------------------------------------------------------------------------------------------------


def _rename_main_thread(stdlib: Any) -> None:
    """Let the main thread be found by the identity of the main greenlet."""
    main_thread = stdlib.main_thread()
    # Our shutdown function keeps it alive; without this, tests complain about a thread that is left over.
    stdlib._dangling.discard(main_thread)
    old = main_thread.ident
    new = stdlib.get_ident()
    main_thread._ident = new
    if old != new:
        stdlib._active[new] = stdlib._active.pop(old, main_thread)


def _end_main_thread_for_greenlets(stdlib: Any) -> None:
    """Wrap ``threading._shutdown``, which the interpreter calls when the main thread has come to its end."""
    from greenloom.greenlet import getcurrent

    main_thread = stdlib.main_thread()
    original: Callable[[], None] = stdlib._shutdown
    main_thread._greenlet = getcurrent()
    end = _by_handle(stdlib, main_thread) if _HANDLES else _by_lock(stdlib, main_thread)

    def _shutdown() -> None:
        if end():
            _ignoring_loop_exit(original)
            patch_item(stdlib, "_shutdown", original)

    patch_item(stdlib, "_shutdown", _shutdown)


def _by_lock(stdlib: Any, main_thread: Any) -> Callable[[], bool]:
    """Up to 3.12: while the program runs, who joins the main thread waits for a lock of ours."""
    native = main_thread._tstate_lock
    assert native is not None, "the main thread runs"
    main_thread._tstate_lock = stdlib.Lock()
    main_thread._tstate_lock.acquire()

    def end() -> bool:
        if not main_thread._tstate_lock:
            return False
        main_thread._tstate_lock.release()
        _let_others_run(main_thread._greenlet)
        # A greenlet that has joined it has marked it as stopped. The original ends it by the lock it had.
        main_thread._is_stopped = False
        main_thread._tstate_lock = native
        return True

    return end


def _by_handle(stdlib: Any, main_thread: Any) -> Callable[[], bool]:
    """From 3.13 on: the handle tells. The interpreter waits only for threads that it started itself."""
    name = _handle_name(main_thread)

    def end() -> bool:
        getattr(main_thread, name)._set_done()
        _let_others_run(main_thread._greenlet)
        # Ended for the greenlets, but not yet for the interpreter.
        running = SimpleNamespace(is_done=lambda: False, join=lambda timeout=-1: None, _set_done=lambda: None)
        setattr(main_thread, name, running)
        # Before the threads are waited for, as the original does: one may wait for such a function's work, as
        # the workers of an executor do. The original runs what is in the list, which is nothing then.
        stdlib._SHUTTING_DOWN = True
        while stdlib._threading_atexits:
            stdlib._threading_atexits.pop()()
        _ignoring_loop_exit(lambda: _join_threads(stdlib, main_thread, name))
        return True

    return end


def _join_threads(stdlib: Any, main_thread: Any, name: str) -> None:
    """Wait for the threads that are greenlets, and for those that they start meanwhile."""
    while True:
        threads = [
            thread
            for thread in stdlib.enumerate()
            if not thread.daemon and thread is not main_thread and thread.is_alive()
        ]
        if not threads:
            return
        for thread in threads:
            try:
                thread.join()
            except RuntimeError:
                # The one that runs this.
                getattr(thread, name)._set_done()


def _let_others_run(main_greenlet: Any) -> None:
    from greenloom.hub import get_hub, sleep

    try:
        sleep()
    except BaseException:
        # Somebody has killed the main greenlet; there is nobody else to be told.
        get_hub().print_exception(main_greenlet, *sys.exc_info())


def _ignoring_loop_exit(function: Callable[[], object]) -> None:
    from greenloom.exceptions import LoopExit

    # Of a thread that nothing can wake any more: waiting for it would be for ever.
    with suppress(LoopExit):
        function()


def _shut_down_although_patched_elsewhere(stdlib: Any, warnings: list[str] | None) -> None:
    _queue_warning(
        "Monkey-patching not on the main thread; threading.main_thread().join() will hang from a greenlet",
        warnings,
    )
    main_thread = stdlib.main_thread()
    original: Callable[[], None] = stdlib._shutdown

    def _shutdown() -> None:
        # The original ends the main thread only if it finds itself in it, by the identity; otherwise it waits
        # for the lock that this end would release.
        main_thread._ident = stdlib.get_ident()
        _ignoring_loop_exit(original)
        patch_item(stdlib, "_shutdown", original)

    patch_item(stdlib, "_shutdown", _shutdown)
