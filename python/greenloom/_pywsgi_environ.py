"""What the WSGI server hands to applications and writes its logs to: environments and log objects."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

LOG_INFO = 20
LOG_ERROR = 40


class _NoopLog:
    """Swallows what is logged. A file as far as WSGI asks for one."""

    def _swallow(self: object, *args: object, **kwargs: object) -> None:
        pass

    write = writelines = flush = _swallow


class LoggingLogAdapter:
    """Makes a file of a :class:`logging.Logger`: what is written is logged with *level*.

    Every other attribute is the logger's. Logging may take locks and write to sockets, and the server may log in
    the hub, so the process should be patched before logging is set up.
    """

    _logger: Any
    _level: int

    def __init__(self, logger: Any, level: int = LOG_INFO) -> None:
        # Set past `__setattr__`, which is the logger's.
        vars(self).update(_logger=logger, _level=level)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def __delattr__(self, name: str) -> None:
        delattr(self._logger, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self):
            vars(self)[name] = value
        else:
            setattr(self._logger, name, value)

    # Files have it.
    flush = _NoopLog._swallow

    def write(self, msg: str) -> None:
        """Log *msg*, less a line's end: handlers put one there."""
        self._logger.log(self._level, msg.removesuffix("\n") if msg else msg)

    def writelines(self, lines: Iterable[str]) -> None:
        """Log each of *lines*."""
        for line in lines:
            self.write(line)


def as_log(log: Any, level: int) -> Any:
    """The object to write to for a *log* argument of the server; see there."""
    match log:
        case None:
            return _NoopLog()
        case "default":
            # Now, not when this is imported: it may have been replaced since.
            return sys.stderr
    is_logger = hasattr(log, "log") and not hasattr(log, "write")
    return LoggingLogAdapter(log, level) if is_logger else log


class Environ(dict[str, Any]):
    """A base class for WSGI environments. Copies are of the same class; pickles are plain dicts."""

    __slots__ = ()

    def copy(self) -> Environ:
        """A shallow copy."""
        return type(self)(self)

    def iteritems(self) -> Iterable[tuple[str, Any]]:
        """The items."""
        return self.items()

    def __reduce_ex__(self, proto: Any) -> tuple[Any, ...]:
        return dict, (), None, None, iter(self.items())


def _setting(name: str) -> property:
    """An attribute whose value is ``default_NAME`` of the class until it is set, and after it is deleted."""

    def get(self: Any) -> Any:
        own = vars(self)
        return own[name] if name in own else getattr(type(self), f"default_{name}")

    def put(self: Any, value: Any) -> None:
        vars(self)[name] = value

    def delete(self: Any) -> None:
        del vars(self)[name]

    return property(get, put, delete)


class SecureEnviron(Environ):
    """An environment whose repr shows no secrets, so that it can be logged.

    While ``secure_repr`` is true, only the values of ``whitelist_keys`` are shown, the others masked, or, if
    ``print_masked_keys`` is false, left out. Each can be set for an object, and as ``default_*`` for a class.
    """

    default_secure_repr: bool = True
    default_print_masked_keys: bool = True
    default_whitelist_keys: Any = ()

    secure_repr = _setting("secure_repr")
    print_masked_keys = _setting("print_masked_keys")
    whitelist_keys = _setting("whitelist_keys")

    def __repr__(self) -> str:
        shown = self.whitelist_keys
        if not self.secure_repr:
            return dict.__repr__(self)
        if not shown:
            return f"<pywsgi.{type(self).__name__} dict (keys: {len(self)}) at {id(self)}>"
        if self.print_masked_keys:
            return repr({key: value if key in shown else "<MASKED>" for key, value in self.items()})
        clear = {key: value for key, value in self.items() if key in shown}
        hidden = len(self) - len(clear)
        return f"{repr(clear)[:-1]}, (hidden keys: {hidden})}}" if hidden else repr(clear)

    __str__ = __repr__


class WSGISecureEnviron(SecureEnviron):
    """Shows who asked for what host, and how many keys there are besides."""

    default_print_masked_keys = False
    default_whitelist_keys = ("HTTP_HOST", "REMOTE_ADDR", "REMOTE_PORT")
