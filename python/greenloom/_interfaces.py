"""What a loop, a watcher and a callback have, as zope interfaces to test against."""

# Interfaces describe calls, so their methods have no `self`, and they are never called.
# mypy: disable-error-code="misc, empty-body"

from __future__ import annotations

from typing import Any

from greenloom._zope import Attribute, Interface, classImplements

__all__ = ["ICallback", "ILoop", "IWatcher"]


class ILoop(Interface):
    """An event loop. Its methods that make watchers take ``ref``: whether the watcher keeps the loop running."""

    default = Attribute("Whether it is the process's default loop.")
    approx_timer_resolution = Attribute("The shortest sleep that is possible, about, in seconds.")

    def run(nowait: bool = False, once: bool = False) -> Any:
        """Run until there is nothing left to wait for; once; or only what is due now."""

    def now() -> float:
        """Return the time that the loop last looked at, in seconds."""

    def update_now() -> None:
        """Look at the clock."""

    def destroy() -> Any:
        """Give up what the loop holds. It cannot be used any more."""

    def io(fd: int, events: int, ref: bool = True, priority: int | None = None) -> Any:
        """Return a watcher for ``fd`` becoming readable (1), writable (2), or either (3)."""

    def closing_fd(fd: int) -> bool:
        """Let the loop know that ``fd`` will be closed; return whether somebody is still to be told."""

    def timer(after: float, repeat: float = 0.0, ref: bool = True, priority: int | None = None) -> Any:
        """Return a watcher that fires ``after`` seconds after its start, and then every ``repeat`` seconds."""

    def signal(signum: int, ref: bool = True, priority: int | None = None) -> Any:
        """Return a watcher for a signal."""

    def idle(ref: bool = True, priority: int | None = None) -> Any:
        """Return a watcher that fires when there is nothing else to do."""

    def prepare(ref: bool = True, priority: int | None = None) -> Any:
        """Return a watcher that fires before the loop waits."""

    def check(ref: bool = True, priority: int | None = None) -> Any:
        """Return a watcher that fires after the loop has waited."""

    def fork(ref: bool = True, priority: int | None = None) -> Any:
        """Return a watcher that fires in the child after a fork."""

    def async_(ref: bool = True, priority: int | None = None) -> Any:
        """Return a watcher that any thread can fire."""

    def child(pid: int, trace: int = 0, ref: bool = True) -> Any:
        """Return a watcher for the end of a child process."""

    def stat(path: str, interval: float = 0.0, ref: bool = True, priority: int | None = None) -> Any:
        """Return a watcher for changes of a file's status, looked at every ``interval`` seconds."""

    def run_callback(func: Any, *args: Any) -> Any:
        """Call ``func(*args)`` soon, in the loop; return an :class:`ICallback`."""

    def run_callback_threadsafe(func: Any, *args: Any) -> Any:
        """Do as ``run_callback``, from any thread."""


class IWatcher(Interface):
    """Calls a function whenever its event happens, from ``start`` to ``stop``."""

    def start(callback: Any, *args: Any, **kwargs: Any) -> None:
        """Call ``callback(*args)`` when the event happens."""

    def stop() -> None:
        """Do not call it any more. The watcher can be started again."""

    def close() -> None:
        """Stop it and give up what it holds. It cannot be used any more."""


class ICallback(Interface):
    """A function that the loop will call once."""

    pending = Attribute("Whether it is still to be called.")

    def stop() -> None:
        """Do not call it."""

    def close() -> None:
        """Do the same as ``stop``."""


def _declare() -> None:
    from greenloom import core

    classImplements(core.loop, ILoop)
    callback = getattr(core, "callback", None)
    if callback is not None:
        classImplements(callback, ICallback)


_declare()
