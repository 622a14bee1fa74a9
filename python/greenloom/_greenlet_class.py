"""``Greenlet``: a greenlet that the hub starts, and that others wait for, link to and kill."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable
from types import TracebackType
from typing import Any, NoReturn

from greenloom import _spawn_stack
from greenloom._compat import reraise
from greenloom._config import config
from greenloom._greenloom import (
    GreenletExit,
    HubGreenlet,
    set_greenlet_settings,
    set_greenlet_settings_reader,
    set_spawn_callbacks,
)
from greenloom._hub_primitives import iwait_on_objects, wait_on_objects
from greenloom._links import (
    FailureSpawnedLink as FailureSpawnedLink,
    SpawnedLink as SpawnedLink,
    SuccessSpawnedLink as SuccessSpawnedLink,
)
from greenloom._util import readproperty
from greenloom._waiter import Waiter
from greenloom.timeout import Timeout

__all__ = ["Greenlet", "joinall", "killall"]

_spawn_callbacks: frozenset[Callable[[Greenlet], object]] = frozenset()


def _read_settings() -> None:
    """Tell what the settings are: when the first greenlet is made, and after they were changed."""
    set_greenlet_settings(config.track_greenlet_tree, config.inherit_context)


set_greenlet_settings_reader(_read_settings)


def _as_exception(kind: Any = GreenletExit, value: Any = None, tb: TracebackType | None = None) -> Any:
    """Return the exception that ``throw`` with these arguments raises."""
    if isinstance(value, BaseException):
        return value.with_traceback(tb)
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return kind() if value is None else kind(value)
    # What is no exception at all is a mistake of the caller, but it has to end with something.
    return kind if isinstance(kind, BaseException) else BaseException(kind)


class Greenlet(HubGreenlet):
    """A function call of its own: ``run(*args, **kwargs)``, begun by the hub after :meth:`start`.

    Without ``run``, its method ``_run`` is called, which subclasses define. A keyword ``context`` that is a
    :class:`contextvars.Context` is not passed on: the greenlet runs in it, instead of in a new one.

    In a ``with`` it is waited for at the end, or killed if the block raises.

    Raises :class:`TypeError` if there is nothing to call.
    """

    #: Up to how many frames :attr:`spawning_stack` has.
    spawning_stack_limit = 10

    # On the class until they are set: most greenlets never need them.
    _formatted_info: str | None = None
    _ident: int | None = None

    @property
    def spawning_stack(self) -> Any:
        """The stack where it was made, as frames with ``f_code``, ``f_lineno``, ``f_back``; None if not tracked."""
        return _spawn_stack.frames(self._spawning_stack)

    @property
    def minimal_ident(self) -> int:
        """A small number that no other living greenlet of this hub has. Only in the hub's thread."""
        if self._ident is None:
            self._ident = self._hub_of.ident_registry.get_ident(self)
        return self._ident

    @readproperty
    def name(self) -> str:
        """Its name, ``Greenlet-N`` with the :attr:`minimal_ident` unless another was assigned."""
        return f"Greenlet-{self.minimal_ident}"

    def _raise_exception(self) -> NoReturn:
        info = self.exc_info
        assert info is not None, "failed"
        reraise(*info)

    def __repr__(self) -> str:
        # A name that nobody has asked for is not made up for this.
        name = f' "{self.name}"' if "name" in self.__dict__ or self._ident is not None else ""
        info = self._formatinfo()
        return f"<{type(self).__name__}{name} at {hex(id(self))}{': ' + info if info else ''}>"

    def _formatinfo(self) -> str:
        if self._formatted_info is not None:
            return self._formatted_info
        function = self._run
        owner = getattr(function, "__self__", None)
        if owner is self:
            info = "_run"
        elif owner is not None:
            info = repr(function)
        else:
            info = getattr(function, "__name__", "") or repr(function)
        arguments = [repr(value)[:50] for value in self.args]
        arguments += [f"{key}={repr(value)[:50]}" for key, value in self.kwargs.items()]
        if arguments:
            info += f"({', '.join(arguments)})"
        # Kept, because the function and its arguments are dropped when it ends.
        self._formatted_info = info
        return info

    @classmethod
    def spawn_later(cls, seconds: float, *args: Any, **kwargs: Any) -> Any:
        """Return a new greenlet of these arguments, to start ``seconds`` from now."""
        if cls is Greenlet and not args and "run" not in kwargs:
            raise TypeError("spawn_later needs a function to run")
        new = cls(*args, **kwargs)
        new.start_later(seconds)
        return new

    @staticmethod
    def add_spawn_callback(callback: Callable[[Greenlet], object]) -> None:
        """Call ``callback(greenlet)`` whenever one is started, from now on; once, however often it is added."""
        global _spawn_callbacks
        _spawn_callbacks |= {callback}
        set_spawn_callbacks(_spawn_callbacks)

    @staticmethod
    def remove_spawn_callback(callback: Callable[[Greenlet], object]) -> None:
        """Do not call ``callback`` any more. One that was not added is no error."""
        global _spawn_callbacks
        _spawn_callbacks -= {callback}
        set_spawn_callbacks(_spawn_callbacks)

    def link(
        self, callback: Callable[[Any], object], SpawnedLink: Callable[[Any], Any] = SpawnedLink
    ) -> None:
        """Call ``callback(self)`` in a raw greenlet of its own when it is done, also if it is already."""
        self.rawlink(SpawnedLink(callback))

    def link_value(
        self, callback: Callable[[Any], object], SpawnedLink: Callable[[Any], Any] = SuccessSpawnedLink
    ) -> None:
        """Do as :meth:`link`, but only if no error ends it."""
        self.rawlink(SpawnedLink(callback))

    def link_exception(
        self, callback: Callable[[Any], object], SpawnedLink: Callable[[Any], Any] = FailureSpawnedLink
    ) -> None:
        """Do as :meth:`link`, but only if an error ends it."""
        self.rawlink(SpawnedLink(callback))

    def _do_nothing(self) -> None:
        """Be what runs where nothing was given."""

    #: The exception that is raised by a throw with these arguments.
    _as_exception = staticmethod(_as_exception)

    def __enter__(self) -> Greenlet:
        return self

    def __exit__(
        self, t: type[BaseException] | None, v: BaseException | None, tb: TracebackType | None
    ) -> None:
        if t is not None:
            self.kill((t, v, tb))
            return
        try:
            self.join()
        finally:
            self.kill()


def _throw_args(exception: Any) -> tuple[Any, ...]:
    return exception if isinstance(exception, tuple) and len(exception) == 3 else (exception,)


def _throw_into(target: Any, exception: Any) -> None:
    try:
        target.throw(*_throw_args(exception))
    except BaseException:
        target.parent.handle_error(target, *sys.exc_info())


def joinall(
    greenlets: Collection[Any],
    timeout: float | None = None,
    raise_error: bool = False,
    count: int | None = None,
) -> list[Any]:
    """Wait until all the ``greenlets`` are done (or ``count``), and return them in the order in which they were.

    After ``timeout`` seconds those that are done by then are returned. With ``raise_error`` the first error in
    one is raised at once; the others go on.
    """
    if not raise_error:
        return wait_on_objects(greenlets, timeout, count)  # type: ignore[no-any-return]
    with iwait_on_objects(greenlets, timeout, count) as ready:
        return [_unless_failed(one) for one in ready]


def _unless_failed(one: Any) -> Any:
    error = getattr(one, "exception", None)
    if error is None:
        return one
    if isinstance(one, Greenlet):
        # With the traceback that it had at first.
        one._raise_exception()
    raise error


def killall(
    greenlets: Iterable[Any], exception: Any = GreenletExit, block: bool = True, timeout: float | None = None
) -> None:
    """Raise ``exception`` in all the ``greenlets`` of this thread, raw ones too, and wait until they are done.

    Those that have not run never will. Without ``block`` nothing is waited for. Raises
    :class:`~greenloom.Timeout` if they are not done after ``timeout`` seconds.
    """
    running = []
    for one in greenlets:
        cancel = getattr(one, "_maybe_kill_before_start", None)
        if cancel is None or not cancel(exception):
            running.append(one)
    if not running:
        return
    thrown = Waiter()
    running[0].loop.run_callback(_kill_each, running, exception, thrown)
    if block:
        with Timeout._start_new_or_dummy(timeout):
            joinall(thrown.get())


def _kill_each(targets: list[Any], exception: Any, then: Waiter) -> None:
    """Throw, in the hub, and hand over those that have survived it."""
    for one in targets:
        if not one.dead:
            _throw_into(one, exception)
    then.switch([one for one in targets if not one.dead])
