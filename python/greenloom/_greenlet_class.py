"""``Greenlet``: a greenlet that the hub starts, and that others wait for, link to and kill."""

from __future__ import annotations

import sys
from _contextvars import Context, copy_context
from collections.abc import Callable, Collection, Iterable
from types import TracebackType
from typing import Any, NoReturn
from weakref import ref as weakref

from greenloom import _spawn_stack
from greenloom._compat import reraise
from greenloom._config import config
from greenloom._greenlet_primitives import inherited_locals
from greenloom._greenloom import GreenletExit, getcurrent, greenlet
from greenloom._hub_local import get_hub_noargs as get_hub
from greenloom._hub_primitives import iwait_on_objects
from greenloom._links import (
    FailureSpawnedLink as FailureSpawnedLink,
    LinkedGreenlet,
    SpawnedLink as SpawnedLink,
    SuccessSpawnedLink as SuccessSpawnedLink,
)
from greenloom._util import readproperty
from greenloom._waiter import Waiter
from greenloom.exceptions import InvalidSwitchError
from greenloom.timeout import Timeout

__all__ = ["Greenlet", "joinall", "killall"]

_raw_init = greenlet.__init__
_raw_throw = greenlet.throw
_raw_dead: Any = greenlet.__dict__["dead"].__get__

# Looked at for every greenlet that is made: not through all of `config`.
_track_tree = config.settings["track_greenlet_tree"]
_inherit_context = config.settings["inherit_context"]

_ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class _NotAnEvent:
    """What a greenlet's start event is when there is no start to come."""

    __slots__ = ()
    pending = active = False

    def stop(self) -> None:
        pass

    close = stop


#: Killed before it ran: it never will.
_CANCELLED = _NotAnEvent()
#: Running, or has run.
_STARTED = _NotAnEvent()

_SUCCESS: _ExcInfo = (None, None, None)

_spawn_callbacks: frozenset[Callable[[Greenlet], object]] = frozenset()


class Greenlet(LinkedGreenlet):
    """A function call of its own: ``run(*args, **kwargs)``, begun by the hub after :meth:`start`.

    Without ``run``, its method ``_run`` is called, which subclasses define. A keyword ``context`` that is a
    :class:`contextvars.Context` is not passed on: the greenlet runs in it, instead of in a new one.

    In a ``with`` it is waited for at the end, or killed if the block raises.

    Raises :class:`TypeError` if there is nothing to call.
    """

    #: Up to how many frames :attr:`spawning_stack` has.
    spawning_stack_limit = 10

    #: What the function returned; None until then, or if it failed.
    value: Any = None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    #: A weak reference to the greenlet that made this one; None if the tree is not tracked.
    spawning_greenlet: weakref[greenlet] | None = None
    #: A dictionary shared with the spawner and with all that this greenlet spawns; None if not tracked.
    spawn_tree_locals: dict[str, Any] | None = None

    # On the class until they are set: most greenlets never need the half of them.
    #
    # The callback or timer that will start it. None before it is scheduled, then one of the two markers above.
    _start_event: Any = None
    _formatted_info: str | None = None
    _ident: int | None = None
    # None until it is done, then _SUCCESS or what ended it.
    _exc_info: _ExcInfo | None = None
    _spawning_stack: _spawn_stack.Captured = ()

    def __init__(self, run: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> None:
        function = self._run if run is None else run
        if not callable(function):
            raise TypeError(f"what is to run must be callable, not {function!r}")
        _raw_init(self, None, get_hub())
        if run is not None:
            self._run = run  # type: ignore[method-assign]
        if kwargs and isinstance(kwargs.get("context"), Context):
            self.gr_context = kwargs.pop("context")
        elif _inherit_context.get():
            self.gr_context = copy_context()
        self._links = []
        self.args, self.kwargs = args, kwargs
        if _track_tree.get():
            maker = getcurrent()
            self.spawn_tree_locals = inherited_locals(maker)
            self.spawning_greenlet = weakref(maker)
            self._spawning_stack = _spawn_stack.capture(self.spawning_stack_limit)

    @property
    def spawning_stack(self) -> Any:
        """The stack where it was made, as frames with ``f_code``, ``f_lineno``, ``f_back``; None if not tracked."""
        return _spawn_stack.frames(self._spawning_stack)

    @property
    def minimal_ident(self) -> int:
        """A small number that no other living greenlet of this hub has. Only in the hub's thread."""
        if self._ident is None:
            self._ident = self._hub().ident_registry.get_ident(self)
        return self._ident

    @readproperty
    def name(self) -> str:
        """Its name, ``Greenlet-N`` with the :attr:`minimal_ident` unless another was assigned."""
        return f"Greenlet-{self.minimal_ident}"

    @property
    def loop(self) -> Any:
        """The loop of its hub."""
        return self._hub().loop

    # Where it stands.

    def __bool__(self) -> bool:
        """Whether it has been scheduled to start and is not done."""
        return self._start_event is not None and self._exc_info is None

    @property
    def started(self) -> bool:
        """The same as its truth value."""
        return self._start_event is not None and self._exc_info is None

    @property
    def dead(self) -> bool:
        """Whether it will not run any more: it has ended, or was killed before it began."""
        return self._start_event is _CANCELLED or _raw_dead(self)

    def ready(self) -> bool:
        """Whether it is done."""
        return self._exc_info is not None or self.dead

    def successful(self) -> bool:
        """Whether it is done and no error ended it. GreenletExit is not an error."""
        return self._exc_info is not None and self._exc_info[1] is None

    @property
    def exception(self) -> BaseException | None:
        """The exception that ended it, or None."""
        return None if self._exc_info is None else self._exc_info[1]

    @property
    def exc_info(self) -> _ExcInfo | None:
        """Type, value and traceback of what ended it, or None."""
        info = self._exc_info
        return None if info is None or info[0] is None else info

    def _raise_exception(self) -> NoReturn:
        assert self._exc_info is not None, "done"
        kind, value, tb = self._exc_info
        assert kind is not None, "failed"
        assert value is not None, "failed"
        reraise(kind, value, tb)

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

    # Starting.

    def start(self) -> None:
        """Let the hub start it in this turn of the loop. Does nothing if it was started or killed before."""
        if self._start_event is None:
            self._announce_start()
            self._start_event = self._hub().loop.run_callback(self.switch)

    def start_later(self, seconds: float) -> None:
        """Let the hub start it ``seconds`` from now. Does nothing if it was started or killed before."""
        if self._start_event is None:
            self._announce_start()
            self._start_event = self._hub().loop.timer(seconds)
            self._start_event.start(self.switch)

    def _announce_start(self) -> None:
        for callback in _spawn_callbacks:
            callback(self)

    @classmethod
    def spawn(cls, *args: Any, **kwargs: Any) -> Any:
        """Return a new greenlet of these arguments, started."""
        new = cls(*args, **kwargs)
        new.start()
        return new

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

    @staticmethod
    def remove_spawn_callback(callback: Callable[[Greenlet], object]) -> None:
        """Do not call ``callback`` any more. One that was not added is no error."""
        global _spawn_callbacks
        _spawn_callbacks -= {callback}

    # Running and ending.

    def run(self) -> None:
        """Run it. Called by the first switch to it."""
        event = self._start_event
        if event is not None:
            event.stop()
            event.close()
        self._start_event = _STARTED
        try:
            result = self._run(*self.args, **self.kwargs)
        except BaseException as error:
            # Without this frame, which refers to the greenlet, the traceback makes no cycle.
            tb = error.__traceback__
            if tb is not None:
                tb = tb.tb_next
            self._report_error((type(error), error.with_traceback(tb), tb))
        else:
            self._report_result(result)
        finally:
            self._free()
            # The frame of the function that failed, which the error keeps, refers back to this frame.
            del self

    def _run(self) -> Any:
        """Do nothing. Subclasses override it, with any arguments, to do something when no ``run`` is given."""

    def _report_result(self, result: Any) -> None:
        self._exc_info = _SUCCESS
        self.value = result
        self._schedule_links()

    def _report_error(self, exc_info: Any) -> None:
        if isinstance(exc_info[1], GreenletExit):
            self._report_result(exc_info[1])
            return
        self._exc_info = exc_info
        self._schedule_links()
        try:
            self._hub().handle_error(self, *exc_info)
        finally:
            del exc_info

    def _free(self) -> None:
        self.__dict__.pop("_run", None)
        self.args = ()
        self.kwargs = {}

    def _cancel_start(self) -> None:
        event = self._start_event
        if event is not _STARTED:
            self._start_event = _CANCELLED
            if event is not None:
                event.stop()
                event.close()

    def _report_death_before_start(self, thrown: tuple[Any, ...]) -> None:
        """Make it done if it is dead without having run; ``thrown`` is what ``throw`` was given."""
        if self._exc_info is None and self.dead:
            error = _as_exception(*thrown)
            self._report_error((type(error), error, error.__traceback__))

    def throw(self, *args: Any) -> Any:
        """Raise in it now, by switching to it. Only for the hub: others use :meth:`kill`."""
        self._cancel_start()
        try:
            if not self.dead:
                return _raw_throw(self, *args)
        finally:
            self._report_death_before_start(args)
        return None

    def _maybe_kill_before_start(self, exception: Any) -> bool:
        """Keep it from starting if it has not, and return whether it is dead."""
        self._cancel_start()
        dead = self.dead
        if dead:
            if self._exc_info is None and exception is not GreenletExit:
                # It will be printed, and shall say what did not run.
                self._formatinfo()
            self._free()
            self._report_death_before_start(_throw_args(exception))
        return dead

    def kill(self, exception: Any = GreenletExit, block: bool = True, timeout: float | None = None) -> None:
        """Raise ``exception`` in it where it waits, and wait until it is done, at most ``timeout`` seconds.

        One that has not run never will. Without ``block`` nothing is waited for. It may catch the exception and
        go on; the end of the timeout is not reported. One that is done stays as it is.
        """
        if self._maybe_kill_before_start(exception) or self.ready():
            return
        thrown = Waiter()
        self._hub().loop.run_callback(_kill, self, exception, thrown)
        if block:
            thrown.get()
            self.join(timeout)

    # Waiting for it.

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return what it returned, or raise what ended it, waiting at most ``timeout`` seconds.

        Raises :class:`~greenloom.Timeout` when the time is over, and at once without ``block``.
        """
        if not (block or self.ready()):
            raise Timeout
        with Timeout._start_new_or_dummy(timeout):
            self._wait()
        error = self.exception
        if error is not None:
            self._raise_exception()
        return self.value

    def join(self, timeout: float | None = None) -> None:
        """Wait until it is done, or ``timeout`` seconds are over."""
        limit = Timeout._start_new_or_dummy(timeout)
        try:
            self._wait()
        except Timeout as expired:
            if expired is not limit:
                raise
        finally:
            limit.close()

    def _wait(self) -> None:
        if self.ready():
            return
        resume = getcurrent().switch
        self.rawlink(resume)
        try:
            resumed_by = self._hub().switch()
            if resumed_by is not self:
                raise InvalidSwitchError(f"something else resumed who waits for {self!r}: {resumed_by!r}")
        except BaseException:
            # After the usual end the link is gone: it was called.
            self.unlink(resume)
            raise

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


_spawn_stack.internal |= {vars(Greenlet)[method].__func__.__code__ for method in ("spawn", "spawn_later")}


def _as_exception(kind: Any = GreenletExit, value: Any = None, tb: TracebackType | None = None) -> Any:
    """Return the exception that ``throw`` with these arguments raises."""
    if isinstance(value, BaseException):
        return value.with_traceback(tb)
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return kind() if value is None else kind(value)
    # What is no exception at all is a mistake of the caller, but it has to end with something.
    return kind if isinstance(kind, BaseException) else BaseException(kind)


def _throw_args(exception: Any) -> tuple[Any, ...]:
    return exception if isinstance(exception, tuple) and len(exception) == 3 else (exception,)


def _throw_into(target: Any, exception: Any) -> None:
    try:
        target.throw(*_throw_args(exception))
    except BaseException:
        target.parent.handle_error(target, *sys.exc_info())


def _kill(target: Greenlet, exception: Any, then: Waiter) -> None:
    """Throw, in the hub, and let the killer know that it has happened."""
    _throw_into(target, exception)
    then.switch(None)


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
    with iwait_on_objects(greenlets, timeout, count) as ready:
        if not raise_error:
            return ready.all()  # type: ignore[no-any-return]
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
