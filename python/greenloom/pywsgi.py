"""A WSGI server for HTTP/1.1: :class:`WSGIServer` accepts, and a :class:`WSGIHandler` serves each connection.

It knows keep-alive, pipelining, chunks in both directions and ``100 Continue``, and is strict about where requests
end. For the open internet, put a reverse proxy in front.
"""

from __future__ import annotations

import sys
from typing import Any

import greenloom
from greenloom import socket
from greenloom._pywsgi_environ import (
    LOG_ERROR,
    LOG_INFO,
    Environ,
    LoggingLogAdapter,
    SecureEnviron,
    WSGISecureEnviron,
    _NoopLog as _NoopLog,
    as_log,
)
from greenloom._pywsgi_handler import WSGIHandler

# What handlers of other libraries expect to find here.
from greenloom._pywsgi_headers import headers_factory as headers_factory
from greenloom._pywsgi_input import (
    MAX_REQUEST_LINE as MAX_REQUEST_LINE,
    Input as Input,
    _InvalidClientInput as _InvalidClientInput,
)
from greenloom._pywsgi_request import _InvalidClientRequest as _InvalidClientRequest
from greenloom._pywsgi_response import format_date_time as format_date_time
from greenloom.baseserver import _closed_on_error
from greenloom.server import StreamServer

__all__ = [
    "Environ",
    "LoggingLogAdapter",
    "SecureEnviron",
    "WSGIHandler",
    "WSGISecureEnviron",
    "WSGIServer",
]

_SOFTWARE = "gevent/{}.{} Python/{}.{}".format(*greenloom.version_info[:2], *sys.version_info[:2])


class WSGIServer(StreamServer):
    """Serves *application* on *listener*.

    *log* gets a line for each request, *error_log* the errors, and is ``wsgi.errors``: an object with ``write``,
    or a logger; the default is ``sys.stderr``, None is no log. *environ* is added to each request's environment.
    *listener*, *backlog*, *spawn* and keywords for TLS are those of :class:`~greenloom.server.StreamServer`.
    """

    application: Any

    #: Called with (socket, address, server) for each connection; the result's ``handle`` serves it.
    handler_class: Any = WSGIHandler

    #: The class of the environments: a dict itself, or a subclass, though PEP 3333 forbids it.
    environ_class: type[dict[str, Any]] = dict

    #: What environments are made to when an error is reported with them.
    secure_environ_class: type[dict[str, Any]] = WSGISecureEnviron

    #: Objects with ``write``, never None once the server is made.
    error_log: Any = None
    log: Any = None

    #: What every environment has.
    base_env: dict[str, Any] = {  # noqa: RUF012 - subclasses replace it
        "wsgi.run_once": False,
        "wsgi.multiprocess": False,
        "wsgi.multithread": False,
        "wsgi.version": (1, 0),
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SCRIPT_NAME": "",
        "SERVER_SOFTWARE": _SOFTWARE,
    }

    def __init__(
        self,
        listener: Any,
        application: Any = None,
        backlog: int | None = None,
        spawn: Any = "default",
        log: Any = "default",
        error_log: Any = "default",
        handler_class: Any = None,
        environ: dict[str, Any] | None = None,
        **ssl_args: Any,
    ) -> None:
        """See the class."""
        if "handle" in ssl_args:
            import warnings

            warnings.warn(
                "WSGIServer takes the keyword 'application'; 'handle' takes the place of what calls it",
                DeprecationWarning,
                stacklevel=2,
            )
        super().__init__(listener, backlog=backlog, spawn=spawn, **ssl_args)
        given = {"application": application, "handler_class": handler_class}
        vars(self).update((name, value) for name, value in given.items() if value is not None)
        self.error_log = as_log(error_log, LOG_ERROR)
        self.log = as_log(log, LOG_INFO)
        self.set_environ(environ)
        self.set_max_accept()

    def set_environ(self, environ: dict[str, Any] | None = None) -> None:
        """Make the environment that each request's begins with; *environ* is what the user adds.

        Without it, what a subclass has as ``environ`` is added, or what was made before is kept.
        """
        added = getattr(self, "environ", None) if environ is None else environ
        scheme = "https" if self.ssl_enabled else "http"
        self.environ = self.environ_class({**self.base_env, "wsgi.url_scheme": scheme, **(added or {})})
        if self.environ.get("wsgi.errors") is None:
            self.environ["wsgi.errors"] = self.error_log

    def get_environ(self) -> dict[str, Any]:
        """A copy of the environment, for a request."""
        return self.environ_class(self.environ)

    def set_max_accept(self) -> None:
        """Leave connections to the other processes, if there are any."""
        self.max_accept = 1 if self.environ.get("wsgi.multiprocess") else self.max_accept

    def init_socket(self) -> None:
        """Bind and listen. Raises OSError."""
        super().init_socket()
        # It may wait for a name server, and be killed there.
        with _closed_on_error(self):
            self.update_environ()

    def update_environ(self) -> None:
        """Add the server's name and port, which are known from the start on."""
        has_port = isinstance(self.address, tuple)
        self.environ.setdefault("SERVER_PORT", str(self.address[1]) if has_port else "")
        # Not asked for in vain: the name may come from a name server.
        if "SERVER_NAME" not in self.environ:
            self.environ["SERVER_NAME"] = _name_of(self.address[0]) if has_port else ""

    def handle(self, sock: Any, address: Any) -> None:
        """Serve a connection until it ends."""
        self.handler_class(sock, address, self).handle()


def _name_of(host: str) -> str:
    try:
        return socket.getfqdn(host)
    except OSError:
        return str(host)


def _main() -> None:
    from argparse import ArgumentParser
    from pkgutil import resolve_name

    from greenloom import monkey

    monkey.patch_all()
    parser = ArgumentParser(description="Serve a WSGI application.")
    parser.add_argument("app", type=resolve_name, help="the application, as module:name")
    parser.add_argument("-b", "--bind", default=":8080", help="the address, as host:port")
    arguments = parser.parse_args()
    WSGIServer(arguments.bind, arguments.app).serve_forever()


if __name__ == "__main__":
    _main()
