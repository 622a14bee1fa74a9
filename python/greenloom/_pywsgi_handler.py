"""One connection of the WSGI server: requests in, the application called, responses out.

``handle`` loops over ``handle_one_request``: read the line and the headers -> ``get_environ`` ->
``handle_one_response`` -> the application, whose ``start_response`` and result come back to ``write``. Much of it
is overridden by programs' own handlers, hence the many small methods and attributes.
"""

from __future__ import annotations

import errno
import sys
import time
import traceback
from contextlib import suppress
from datetime import datetime
from io import BytesIO
from socket import SHUT_RDWR
from typing import Any

from greenloom._pywsgi_headers import headers_factory
from greenloom._pywsgi_input import MAX_REQUEST_LINE, Input, _InvalidClientInput
from greenloom._pywsgi_request import (
    _InvalidClientRequest,
    body_length,
    environ_of,
    parse_request_line,
    stays_open,
    wants_upgrade,
)
from greenloom._pywsgi_response import error_response, format_date_time, head, parse_response
from greenloom.hub import GreenletExit

_BAD_REQUEST_RESPONSE = error_response("400 Bad Request")
_REQUEST_TOO_LONG_RESPONSE = error_response("414 Request URI Too Long")

#: What is sent for an error when nothing else was: status and body.
_ERRORS = {400: ("400 Bad Request", b""), 500: ("500 Internal Server Error", b"Internal Server Error")}
#: Responses that have no body, whose end it would have to say.
_NO_BODY = (204, 304)
#: A body up to this many bytes is sent together with the headers: copying it is cheaper than a system call.
_SMALL_BODY = 16384
#: How many reads of so many bytes are spent on what the client still sends to a connection that is being closed.
_MAX_DRAINED, _DRAIN = 64, 16384


class WSGIHandler:
    """Handles the requests of one connection.

    Made for each with the socket, the client's address and the server. Subclasses are given to the server as
    ``handler_class``, and may override what is here, carefully.
    """

    protocol_version = "HTTP/1.1"

    #: Raised for applications that break the rules.
    ApplicationError: type[Exception] = AssertionError

    #: Errors that say that the client is gone. They are not reported.
    ignored_socket_errors: tuple[int, ...] = (errno.ECONNRESET, errno.EPIPE)

    _print_unexpected_exc = staticmethod(traceback.print_exc)

    # What a request and its response consist of. As attributes of the class they cost nothing in a connection.

    application: Any = None
    close_connection: bool = False
    #: The response's number; negative if it could not be sent.
    code: int | None = None
    command: str | None = None
    connection_upgraded: bool = False
    content_length: int | None = 0
    environ: Any = None
    #: Not None: gunicorn asks it for the items even where no request could be read.
    headers: Any = headers_factory(BytesIO())
    headers_sent: bool = False
    path: str | None = None
    #: What the application gave of these headers.
    provided_content_length: str | None = None
    provided_date: str | None = None
    request_version: str | None = None
    requestline: Any = None
    #: Pairs of bytes.
    response_headers: Any = None
    #: How many bytes were sent, headers included.
    response_length: int = 0
    response_use_chunked: bool = False
    #: What the application returned, while it is being sent.
    result: Any = None
    #: The response's first line after the protocol, as bytes and as the application gave it.
    status: Any = None
    _orig_status: str | None = None
    #: Seconds since the epoch.
    time_finish: float = 0
    time_start: float = 0
    wsgi_input: Any = None

    def __init__(self, sock: Any, address: Any, server: Any, rfile: Any = None) -> None:
        self.rfile = rfile or sock.makefile("rb", -1)
        self.server = server
        self.client_address = address
        self.socket = sock

    def MessageClass(self, *args: Any) -> Any:
        """Read the headers; called with the file that they are read from."""
        return headers_factory(*args)

    # -- The connection --------------------------------------------------------------------------------------

    def handle(self) -> None:
        """Handle requests until the connection is to be closed, and close it.

        A subclass that goes on using the socket afterwards sets ``self.socket`` to None.
        """
        try:
            outcome: Any = True
            while outcome is True and self.socket is not None:
                self.time_start, self.time_finish = time.time(), 0
                outcome = self.handle_one_request()
            if isinstance(outcome, tuple) and self.socket is not None:
                self._send_refusal(*outcome)
        finally:
            if self.socket is not None:
                _close(self.socket, self.rfile)
            # For nobody to hold the connection by: frames may be kept, and applications keep environments.
            own = vars(self)
            for name in ("wsgi_input", "rfile", "socket"):
                own.pop(name, None)

    def _send_refusal(self, status: str, response: bytes) -> None:
        self.status = self._orig_status = status
        # The client may be gone; the log tells of the request all the same.
        with suppress(OSError):
            self.socket.sendall(response)
        self._finish()

    def handle_one_request(self) -> Any:
        """Read a request and respond to it.

        Returns True to go on with the next one; None to close the connection; and a pair of status and complete
        response, to send it and close.
        """
        line = self._next_request_line()
        if not line:
            return None
        if len(line) >= MAX_REQUEST_LINE:
            return "414", _REQUEST_TOO_LONG_RESPONSE
        try:
            understood = self.read_request(line)
        except ConnectionError:
            return None
        except Exception as error:
            return self._handle_client_error(error)
        if not understood:
            return "400", _BAD_REQUEST_RESPONSE

        self.application = self.server.application
        self.environ = self.get_environ()
        self.handle_one_response()
        return True if not (self.close_connection or self.rfile.closed) else None

    def _next_request_line(self) -> str | None:
        """The request line; None if there is none, or the connection was lost."""
        line: Any = None
        if not self.rfile.closed:
            self.response_length = 0
            with suppress(OSError):
                line = self.read_requestline()
        self.requestline = text = line.decode("latin-1") if isinstance(line, bytes) else line
        return text

    # -- The request -----------------------------------------------------------------------------------------

    def read_requestline(self) -> Any:
        """The request line as a string, or something empty to close the connection. Raises OSError."""
        return str(self.rfile.readline(MAX_REQUEST_LINE), "latin-1")

    def read_request(self, raw_requestline: str) -> bool:
        """Take the request line apart, and read the headers.

        Returns True; raises ValueError for what the client has to answer for.
        """
        self.requestline = raw_requestline.rstrip()
        self.command, self.path, self.request_version = parse_request_line(raw_requestline)
        headers = self.headers = self.MessageClass(self.rfile, 0)
        if headers.status:
            raise _InvalidClientRequest(f"Invalid headers: {headers.status}")
        self.content_length = body_length(headers, self.command)
        self.close_connection = not stays_open(headers, self.request_version)
        return True

    def _connection_upgrade_requested(self) -> bool:
        return wants_upgrade(self.headers)

    def get_environ(self) -> Any:
        """A new WSGI environment: the server's, and the request's."""
        env = self.server.get_environ()
        env["REQUEST_METHOD"] = self.command
        env["SERVER_PROTOCOL"] = self.request_version
        if isinstance(self.client_address, tuple):
            env["REMOTE_ADDR"], env["REMOTE_PORT"] = map(str, self.client_address[:2])
        environ_of(env, self.path or "", self.headers)

        waits_for_us = env.get("HTTP_EXPECT", "").lower() == "100-continue"
        self.wsgi_input = Input(
            self.rfile,
            self.content_length,
            self.socket if waits_for_us else None,
            env.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked",
        )
        # What follows a request to upgrade is not HTTP's, so nobody knows where it ends.
        endless = self._connection_upgrade_requested()
        env["wsgi.input"] = self.rfile if endless else self.wsgi_input
        env["wsgi.input_terminated"] = not endless
        return env

    # -- The response ----------------------------------------------------------------------------------------

    def handle_one_response(self) -> None:
        """Call the application, send what it gives, and answer for what it raises."""
        self.time_start = time.time()
        self.response_length = 0
        self.status = self._orig_status = self.result = None
        self.headers_sent = self.response_use_chunked = self.connection_upgraded = False
        try:
            self._respond()
        except _InvalidClientInput as error:
            # Reported, for the application may have acted on the part that it read. And the next request cannot
            # be found.
            self.close_connection = True
            self._handle_client_error(error)
            self._send_error_response_if_possible(400)
        except BaseException as error:
            self.close_connection = True
            gone = isinstance(error, OSError) and error.errno in self.ignored_socket_errors
            if not gone:
                self.handle_error(*sys.exc_info())
        self._finish()

    def _finish(self) -> None:
        self.time_finish = time.time()
        self.log_request()

    def _respond(self) -> None:
        try:
            self.run_application()
        finally:
            try:
                self.wsgi_input._discard()
            except OSError as error:
                self.close_connection = True
                # That the client is gone matters less than what the application has raised, if it has.
                if isinstance(error, _InvalidClientInput):
                    raise

    def run_application(self) -> None:
        """Call the application, and send its result."""
        try:
            self.result = self.application(self.environ, self.start_response)
            self.process_result()
        finally:
            # A generator's frame holds much; it goes before the next request is waited for.
            result, self.result = self.result, None
            if hasattr(result, "close"):
                result.close()

    def process_result(self) -> None:
        """Send the application's result."""
        for part in filter(None, self.result):
            self.write(part)
        # An application that has sent a response of its own, as one that upgrades does, gave no status.
        if not self.headers_sent and self.status:
            self.write(b"")
        if self.response_use_chunked and self.command != "HEAD":
            self._sendall(b"0\r\n\r\n")

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Take the status and the headers, as PEP 3333 has it, and return :meth:`write`.

        Raises UnicodeError for what is no latin-1 string, ValueError for a status or header of more than one line.
        """
        if exc_info and self.headers_sent:
            try:
                raise exc_info[1].with_traceback(exc_info[2])
            finally:
                # Its traceback has this frame.
                del exc_info
        # All of it first: what is refused must not be half of the response to the error.
        code, line, encoded = parse_response(status, headers)
        self.code, self.status, self._orig_status, self.response_headers = code, line, status, encoded

        provided = {name.lower(): value for name, value in headers}
        self.provided_content_length = provided.get("content-length")
        self.provided_date = provided.get("date")
        if "connection" in provided:
            self.close_connection |= provided["connection"].lower() == "close"
        elif self.request_version == "HTTP/1.0":
            encoded.append((b"Connection", b"close" if self.close_connection else b"keep-alive"))
        if code in _NO_BODY and self.provided_content_length not in (None, "0"):
            message = f"Invalid Content-Length for {code} response: {self.provided_content_length!r}"
            # As bytes: applications may send it as the body of another response.
            raise self.ApplicationError(f"{message} (must be absent or zero)".encode("latin-1"))
        return self.write

    def finalize_headers(self) -> None:
        """Add what the application left out, and decide how the end of the body is shown."""
        add = self.response_headers.append
        self.connection_upgraded = self.code == 101
        if not self.provided_date:
            add((b"Date", format_date_time(time.time())))
        if self.provided_content_length is not None or self.code in _NO_BODY:
            return
        if hasattr(self.result, "__len__"):
            add((b"Content-Length", b"%d" % sum(map(len, self.result))))
        elif self.request_version == "HTTP/1.0":
            self._end_body_by_closing()
        elif not self.connection_upgraded:
            self.response_use_chunked = True
            add((b"Transfer-Encoding", b"chunked"))

    def _end_body_by_closing(self) -> None:
        """HTTP/1.0 has no other end for a body of unknown length, whatever was promised."""
        if not self.close_connection:
            self.close_connection = True
            self.response_headers = [
                (name, b"close" if name.lower() == b"connection" else value)
                for name, value in self.response_headers
            ]

    def write(self, data: Any) -> None:
        """Send a part of the body, and the headers ahead of the first."""
        if data and self.code in _NO_BODY:
            raise self.ApplicationError(f"The {self.code} response must have no body")
        if not (self.headers_sent or self.status):
            raise self.ApplicationError("The application has sent a body without calling start_response()")
        send = self._write if self.headers_sent else self._write_with_headers
        send(data)

    def _framed(self, data: Any) -> Any:
        """What is sent for a part of the body; nothing if it is empty, and nothing in answer to HEAD."""
        if not data or self.command == "HEAD":
            return b""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.response_use_chunked else data

    def _write(self, data: Any) -> None:
        framed = self._framed(data)
        if framed:
            self._sendall(framed)

    def _write_with_headers(self, data: Any) -> None:
        self.finalize_headers()
        self.headers_sent = True
        start = head(self.status, self.response_headers)
        if len(data) > _SMALL_BODY:
            self._sendall(start)
            self._write(data)
        else:
            self._sendall(start + self._framed(data))

    def _sendall(self, data: Any) -> None:
        sent = False
        try:
            self.socket.sendall(data)
            sent = True
        except OSError as error:
            self.status = f"socket error: {error}"
            raise
        finally:
            if sent:
                self.response_length += len(data)
            elif self.code:
                self.code = -abs(self.code)

    # -- Errors and logs -------------------------------------------------------------------------------------

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        """Report an error of the application or of ours, and send a 500 if nothing was sent yet."""
        self._log_error(kind, error, trace)
        # This frame would be part of a cycle.
        del error, trace
        self._send_error_response_if_possible(500)

    def _log_error(self, kind: Any, error: Any, trace: Any) -> None:
        # Being killed is no error.
        if not issubclass(kind, GreenletExit):
            secure = self.server.secure_environ_class
            shown = self.environ if isinstance(self.environ, secure) else secure(self.environ)
            self.server.loop.handle_error(shown, kind, error, trace)

    def _send_error_response_if_possible(self, error_code: int) -> None:
        self.close_connection = True
        if self.response_length == 0:
            status, body = _ERRORS[error_code]
            headers = {"Content-Type": "text/plain", "Connection": "close", "Content-Length": str(len(body))}
            with suppress(OSError):
                self.start_response(status, [*headers.items()])
                self.write(body)

    def _handle_client_error(self, ex: BaseException) -> tuple[str, bytes]:
        """Log what the client did wrong, and return the response to it."""
        if not isinstance(ex, (_InvalidClientInput, ValueError)):
            self._print_unexpected_exc()
        what = getattr(ex, "formatted_message", None) or f"Invalid request: {str(ex) or type(ex).__name__}"
        self.log_error("(from %s) %s", self.client_address, what)
        return "400", _BAD_REQUEST_RESPONSE

    def log_error(self, msg: str, *args: Any) -> None:
        """Write ``msg % args`` to the server's error log. Without arguments, % signs are the text's."""
        try:
            text = msg % args if args else msg
        except Exception:
            self._print_unexpected_exc()
            text = f"{msg!r} {args!r}"
        with suppress(Exception):
            text = f"{self.socket}: {text}"
        try:
            self.server.error_log.write(f"{text}\n")
        except Exception:
            self._print_unexpected_exc()

    def log_request(self) -> None:
        """Write the request to the server's log."""
        self.server.log.write(f"{self.format_request()}\n")

    def format_request(self) -> str:
        """The line for the log: client, time, request line, status, bytes sent, seconds."""
        address = self.client_address
        client = (address[0] if isinstance(address, tuple) else address) or "-"
        code = (self._orig_status or self.status or "000").split()[0]
        took = f"{self.time_finish - self.time_start:.6f}" if self.time_finish else "-"
        when = datetime.now().isoformat(" ", "seconds")
        return f'{client} - - [{when}] "{self.requestline or ""}" {code} {self.response_length or "-"} {took}'


def _close(sock: Any, rfile: Any) -> None:
    """Close a connection so that the client gets all that was sent to it."""
    raw: Any = getattr(sock, "_sock", None)
    with suppress(OSError):
        # Data that nobody has read would make the system reset the connection, and what is on the way might be
        # lost. The raw socket does not wait for more.
        for _ in range(_MAX_DRAINED if raw is not None else 0):
            if len(raw.recv(_DRAIN)) < _DRAIN:
                break
    # The file as well: applications may keep it, with an environment, and it would hold the socket open.
    try:
        rfile.close()
    except RuntimeError:
        # A greenlet of the application's is reading it. For that one the connection ends here as well.
        with suppress(OSError):
            sock.shutdown(SHUT_RDWR)
    except OSError:
        pass
    with suppress(OSError):
        sock.close()
