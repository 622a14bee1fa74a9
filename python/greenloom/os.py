"""Reading, writing and closing descriptors, and child processes, without blocking other greenlets.

``nb_read`` and ``nb_write`` are for descriptors that :func:`make_nonblocking` can change, such as pipes and
sockets; ``tp_read`` and ``tp_write`` are for any, and use the hub's thread pool. A child made by :func:`fork`
is watched by the loop, so that :func:`waitpid` waits for it in the current greenlet only. Everything else in
the standard :mod:`os` module is here too, unchanged.
"""

from __future__ import annotations

import errno
import functools
import os
import time
import warnings
from collections.abc import Callable
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

# The loop keeps the system's own `waitpid` and `close`: it has to take them before ours are in their place.
import greenloom._loop  # noqa: F401
from greenloom._config import config
from greenloom._hub_local import get_hub_if_exists, get_hub_noargs as get_hub
from greenloom._socketcommon import close_descriptor
from greenloom._util import copy_globals
from greenloom.event import Event
from greenloom.hub import reinit

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Stand for what is copied from the standard library below."""


__implements__ = ["fork", "close", "forkpty", "waitpid", "posix_spawn", "posix_spawnp"]
__extensions__ = [
    "tp_read",
    "tp_write",
    "make_nonblocking",
    "nb_read",
    "nb_write",
    "forkpty_gevent",
    "fork_and_watch",
    "fork_gevent",
    "forkpty_and_watch",
]

# The module is patched by name, so these have to be kept.
_fork, _forkpty, _waitpid = os.fork, os.forkpty, os.waitpid
_posix_spawn, _posix_spawnp = os.posix_spawn, os.posix_spawnp
_close, _read, _write = os.close, os.read, os.write

#: Errors after which a call on a non-blocking descriptor is tried again.
ignored_errors = [errno.EAGAIN, errno.EINTR]

# ---------------------------------------------------------------------------------------------- descriptors


def make_nonblocking(fd: int) -> bool | None:
    """Make ``fd`` non-blocking; return True if it was not, None if it was already."""
    if not os.get_blocking(fd):
        return None
    os.set_blocking(fd, False)
    return True


def nb_read(fd: int, n: int) -> bytes:
    """Wait for data on a non-blocking descriptor and return at most ``n`` bytes, none at the end of the file."""
    try:
        return _read(fd, n)
    except OSError as error:
        if error.errno not in ignored_errors:
            raise
    return _retry(_read, fd, n, 1)  # type: ignore[no-any-return]


def nb_write(fd: int, buf: Any) -> int:
    """Wait until a non-blocking descriptor takes some of ``buf``; return how many bytes."""
    try:
        return _write(fd, buf)
    except OSError as error:
        if error.errno not in ignored_errors:
            raise
    return _retry(_write, fd, buf, 2)  # type: ignore[no-any-return]


def _retry(call: Callable[[int, Any], Any], fd: int, arg: Any, events: int) -> Any:
    hub = get_hub()
    watcher = hub.loop.io(fd, events)
    try:
        while True:
            hub.wait(watcher)
            try:
                return call(fd, arg)
            except OSError as error:
                if error.errno not in ignored_errors:
                    raise
    finally:
        watcher.close()


def tp_read(fd: int, n: int) -> bytes:
    """Return at most ``n`` bytes read from ``fd`` by a thread of the hub's pool, none at the end of the file."""
    return get_hub().threadpool.apply(_read, (fd, n))  # type: ignore[no-any-return]


def tp_write(fd: int, buf: Any) -> int:
    """Let a thread of the hub's pool write ``buf`` to ``fd``; return how many bytes it wrote."""
    return get_hub().threadpool.apply(_write, (fd, buf))  # type: ignore[no-any-return]


#: Descriptors that are to be closed in the loop's next turn.
_closing: set[int] = set()


def close(fd: int) -> None:
    """Close ``fd``. If the loop still watches it, those who wait are woken first. Raises OSError if not open."""
    hub = get_hub_if_exists()
    if hub is None or hub.loop is None or S_ISREG(os.fstat(fd).st_mode):
        _close(fd)
        return
    if fd in _closing:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    _closing.add(fd)
    close_descriptor(hub, fd, _finish_close)


def _finish_close(fd: int) -> None:
    _closing.discard(fd)
    _close(fd)


# --------------------------------------------------------------------------------------------------- children

#: The children that :func:`fork_and_watch` made and nobody has waited for: a watcher while the child runs, then
#: its process id, its status, the time, and whether it is waited for by someone who has started it, as Popen does.
_watched_children: dict[int, Any] = {}

#: Set when the child has finished, for those who wait for it; -1 is any child.
_finished_events: dict[int, Event] = {}

#: Seconds after which a finished child that nobody waits for is forgotten.
_FORGET_AFTER = 60

#: Seconds between two looks for children that are not watched.
_LOOK_AGAIN = 0.05


def _on_child_hook() -> None:
    """Called in the hub after a watched child has finished. :mod:`greenloom.signal` puts its own here."""


def _child_ended(watcher: Any, callback: Callable[[Any], object] | None, owned: bool) -> None:
    with watcher:
        pid = watcher.pid
        _reap_children()
        _watched_children[pid] = (pid, watcher.rstatus, time.monotonic(), owned)
        for who in (pid, -1):
            if who in _finished_events:
                _finished_events.pop(who).set()
        try:
            if callback is not None:
                callback(watcher)
        finally:
            _on_child_hook()


def _reap_children(timeout: float = _FORGET_AFTER) -> None:
    # A program that never calls `waitpid` must not make the dictionary grow for ever.
    oldest = time.monotonic() - timeout
    for pid, child in list(_watched_children.items()):
        if isinstance(child, tuple) and child[2] < oldest:
            del _watched_children[pid]


def _watch_child(
    pid: int, callback: Any = None, loop: Any = None, ref: bool = False, owned: bool = False
) -> None:
    if loop is None:
        loop = get_hub().loop
    former = _watched_children.get(pid)
    if former is not None and not isinstance(former, tuple):
        # Popen may start its program by our `posix_spawn`, and only one can see the status.
        former.close()
    child = _watched_children[pid] = loop.child(pid, ref=ref)
    child.start(_child_ended, child, callback, owned)


def _finished(who: int) -> Event:
    event = _finished_events.get(who)
    if event is None:
        event = _finished_events[who] = Event()
    return event


def _oldest_finished() -> int | None:
    finished = [child for child in _watched_children.values() if isinstance(child, tuple) and not child[3]]
    return min(finished, key=lambda child: child[2])[0] if finished else None


def waitpid(pid: int, options: int) -> tuple[int, int]:
    """Wait for a child as :func:`os.waitpid` does, and let other greenlets run meanwhile.

    Waiting for a process group, or with other ``options`` than ``WNOHANG``, blocks the thread. Raises
    ChildProcessError if there is no such child.
    """
    if pid == -1:
        found = _oldest_finished()
        if found is None:
            return _any_child(options)
        pid = found
    child = _watched_children.get(pid)
    if child is None:
        if pid > 0 and options == 0:
            _wait_for_unwatched(pid)
        return _waitpid(pid, options)
    if not isinstance(child, tuple):
        if options & os.WNOHANG:
            return 0, 0
        # Nobody waits in vain: from here on the child keeps the loop running.
        child.ref = True
        _finished(pid).wait()
        child = _watched_children.get(pid)
        if not isinstance(child, tuple):
            # Another greenlet has waited for it too, and was faster.
            return _waitpid(pid, options)
    del _watched_children[pid]
    return child[0], child[1]


def _any_child(options: int) -> tuple[int, int]:
    if options not in (0, os.WNOHANG):
        return _waitpid(-1, options)
    while True:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        # What is left of a child that has finished may have the number of a new one.
        if found is not None and isinstance(_watched_children.get(found.si_pid, ()), tuple):
            return _waitpid(found.si_pid, 0)
        if options:
            # There is none, or it is a watched one, whose status belongs to the loop and will come from there.
            return 0, 0
        # A watched one says when it has finished; the others have to be looked for.
        _finished(-1).wait(_LOOK_AGAIN)
        pid = _oldest_finished()
        if pid is not None:
            child = _watched_children.pop(pid)
            return child[0], child[1]


def _wait_for_unwatched(pid: int) -> None:
    """Wait in this greenlet until the child ``pid``, which is left to be waited for, has finished."""
    hub = get_hub_if_exists()
    if hub is None:
        return
    try:
        # Refuses what is not a child of ours, which would be waited for in vain.
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        descriptor = os.pidfd_open(pid)
    except (OSError, AttributeError):
        return
    try:
        with hub.loop.io(descriptor, 1) as watcher:
            hub.wait(watcher)
    finally:
        _close(descriptor)


# ------------------------------------------------------------------------------------------------------- fork


def fork_gevent() -> int:
    """Fork as :func:`os.fork` does; in the child, the hub is made usable again. The child is not watched."""
    with warnings.catch_warnings():
        # About other threads: those of the pool, of which the child is rid.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = _fork()
    if not pid:
        reinit()
    return pid


def forkpty_gevent() -> tuple[int, int]:
    """Fork as :func:`os.forkpty` does and return ``(pid, master descriptor)``; the rest is :func:`fork_gevent`'s."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid, master = _forkpty()
    if not pid:
        reinit()
    return pid, master


def fork_and_watch(
    callback: Callable[[Any], object] | None = None,
    loop: Any = None,
    ref: bool = False,
    fork: Callable[[], int] = fork_gevent,
) -> int:
    """Fork, and let ``loop`` (by default the current hub's) watch the child, as :func:`waitpid` needs it.

    ``callback`` is called in the hub with the child watcher when the child has finished. With ``ref`` the child
    keeps the loop running. ``fork`` is what forks.
    """
    if child := fork():
        _watch_child(child, callback, loop, ref)
    return child


def forkpty_and_watch(
    callback: Callable[[Any], object] | None = None,
    loop: Any = None,
    ref: bool = False,
    forkpty: Callable[[], tuple[int, int]] = forkpty_gevent,
) -> tuple[int, int]:
    """Do what :func:`fork_and_watch` does in a new terminal; return ``(pid, master descriptor)``."""
    pid, master = forkpty()
    if pid:
        _watch_child(pid, callback, loop, ref)
    return pid, master


if config.disable_watch_children:
    # GEVENT_NOWAITPID is set: children are the program's own business.
    for _name in ("waitpid", "posix_spawn", "posix_spawnp"):
        __implements__.remove(_name)
    __extensions__.append("waitpid")
    del _name

    def fork(*args: Any, **kwargs: Any) -> int:
        """Fork, without a watcher for the child: see :func:`fork_gevent`."""
        return fork_gevent(*args, **kwargs)

    def forkpty(*args: Any, **kwargs: Any) -> tuple[int, int]:
        """Fork in a new terminal, without a watcher for the child: see :func:`forkpty_gevent`."""
        return forkpty_gevent(*args, **kwargs)

else:

    def fork(*args: Any, **kwargs: Any) -> int:
        """Fork a child that the loop watches: see :func:`fork_and_watch`, which has the same arguments."""
        return fork_and_watch(*args, **kwargs)

    def forkpty(*args: Any, **kwargs: Any) -> tuple[int, int]:
        """Fork a child in a new terminal that the loop watches: see :func:`forkpty_and_watch`."""
        return forkpty_and_watch(*args, **kwargs)

    def _watching(spawn: Callable[..., int]) -> Callable[..., int]:
        """Return a function that does what ``spawn`` does, and lets the loop watch the child."""

        @functools.wraps(spawn)
        def spawn_and_watch(*args: Any, **kwargs: Any) -> int:
            child = spawn(*args, **kwargs)
            _watch_child(child)
            return child

        return spawn_and_watch

    posix_spawn = _watching(_posix_spawn)
    posix_spawnp = _watching(_posix_spawnp)


__imports__ = copy_globals(
    os, globals(), names_to_ignore=(*__implements__, *__extensions__), dunder_names_to_keep=()
)

__all__ = sorted({*__implements__, *__extensions__})
