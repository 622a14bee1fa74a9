"""The WSGI server's responses: framing, keep-alive, errors of the application, logs."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Any

import pytest

import greenloom
from greenloom.pywsgi import LoggingLogAdapter, SecureEnviron, WSGISecureEnviron, format_date_time
from wsgi_site import body, hello, serving, status

GET = b"GET / HTTP/1.1\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"


def streamed(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"one"
    yield b""
    yield b"x" * 40000


def test_a_list_has_a_content_length() -> None:
    with serving(hello) as site:
        answer = site.ask(LAST)
    head = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"HTTP/1.1 200 OK"
    assert b"Content-Length: 5" in head
    assert any(re.fullmatch(rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", line) for line in head)
    assert body(answer) == b"hello"


def test_a_generator_is_sent_in_chunks() -> None:
    with serving(streamed) as site:
        answer = site.ask(LAST)
    assert b"Transfer-Encoding: chunked" in answer
    assert body(answer) == b"3\r\none\r\n9c40\r\n" + b"x" * 40000 + b"\r\n0\r\n\r\n"


def test_for_an_old_client_a_generator_ends_with_the_connection() -> None:
    with serving(streamed) as site:
        answer = site.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
    assert b"Connection: close" in answer
    assert b"keep-alive" not in answer
    assert body(answer) == b"one" + b"x" * 40000


def test_an_old_client_may_keep_the_connection() -> None:
    with serving(hello) as site:
        answer = site.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n" + GET)
    assert answer.count(b"200 OK") == 2
    assert answer.count(b"Connection: keep-alive") == 1
    assert answer.count(b"Connection: close") == 1


@pytest.mark.parametrize("application", [hello, streamed])
def test_the_answer_to_head_has_no_body(application: Any) -> None:
    with serving(application) as site:
        answer = site.ask(b"HEAD / HTTP/1.1\r\n\r\n" * 2)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert (b"Content-Length: 5" if application is hello else b"Transfer-Encoding: chunked") in answer
    assert all(body(part) == b"" for part in answer.split(b"HTTP/1.1 ")[1:])


def test_write_sends_at_once() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "4")])
        write(b"ab")
        return [b"cd"]

    with serving(application) as site:
        assert body(site.ask(LAST)) == b"abcd"


@pytest.mark.parametrize("code", ["204 No Content", "304 Not Modified"])
def test_where_no_body_is_allowed_none_is_announced(code: str) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response(code, [])
        return []

    with serving(application) as site:
        answer = site.ask(GET + LAST)
    assert answer.count(code.encode()) == 2
    assert b"Content-Length" not in answer
    assert b"Transfer-Encoding" not in answer


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        ("200 OK\r\nX: 1", []),
        ("200 OK", [("X", "1\r\nY: 2")]),
        ("200 OK", [("X\n", "1")]),
        ("200 OK", [("X", "\u0100")]),
        ("200 OK", [("X", b"1")]),
        ("fine", []),
    ],
)
def test_what_is_no_header_is_an_error_of_the_application(
    code: str, headers: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response(code, headers)
        return [b"body"]

    with serving(application) as site:
        answer = site.ask(LAST)
    assert status(answer) == 500
    assert body(answer) == b"Internal Server Error"
    assert "Traceback" in capsys.readouterr().err


def test_an_error_shows_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise LookupError("on purpose")

    with serving(application) as site:
        assert status(site.ask(b"GET / HTTP/1.1\r\nAuthorization: geheim\r\n\r\n")) == 500
    errors = capsys.readouterr().err
    assert "LookupError: on purpose" in errors
    assert "'REMOTE_ADDR': '127.0.0.1'" in errors
    assert "geheim" not in errors


def test_an_error_after_the_first_bytes_ends_the_connection(capsys: pytest.CaptureFixture[str]) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        raise LookupError("on purpose")

    with serving(application) as site:
        assert body(site.ask(GET + GET)) == b"3\r\none\r\n"
    assert "LookupError" in capsys.readouterr().err


def test_the_result_is_closed_whatever_happens(capsys: pytest.CaptureFixture[str]) -> None:
    class Result:
        closed = 0

        def __iter__(self) -> Iterator[bytes]:
            yield b"one"
            if failing:
                raise LookupError("on purpose")

        def close(self) -> None:
            Result.closed += 1

    def application(environ: dict[str, Any], start_response: Any) -> Result:
        start_response("200 OK", [])
        return Result()

    with serving(application) as site:
        failing = False
        site.ask(LAST)
        failing = True
        site.ask(LAST)
    assert Result.closed == 2
    capsys.readouterr()


def test_a_request_is_one_line_in_the_log() -> None:
    with serving(hello) as site:
        answer = site.ask(b"GET /x?y HTTP/1.1\r\nConnection: close\r\n\r\n")
    pattern = (
        r'127\.0\.0\.1 - - \[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] "GET /x\?y HTTP/1\.1" 200 (\d+) 0\.\d{6}\n'
    )
    match = re.fullmatch(pattern, site.log.getvalue())
    assert match is not None, site.log.getvalue()
    assert int(match[1]) == len(answer)


def test_a_logger_may_be_the_log() -> None:
    class Logger:
        name = "mine"

        def __init__(self) -> None:
            self.records: list[tuple[int, str]] = []

        def log(self, level: int, message: str) -> None:
            self.records.append((level, message))

    logger = Logger()
    with serving(hello, log=logger, error_log=logger) as site:
        site.ask(b"bad\r\n\r\n")
        adapter = site.server.log
    assert isinstance(adapter, LoggingLogAdapter)
    assert adapter.name == "mine"
    assert [level for level, _ in logger.records] == [40, 20]
    assert not any(message.endswith("\n") for _, message in logger.records)


def test_there_may_be_no_log() -> None:
    with serving(hello, log=None, error_log=None) as site:
        assert body(site.ask(LAST)) == b"hello"


def test_a_client_that_leaves_during_the_response_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    def endless(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        while True:
            yield b"x" * 65536

    with serving(endless) as site:
        with site.connection() as client:
            client.sendall(GET)
            client.recv(1)
        while not site.log.getvalue():
            greenloom.sleep(0.005)
    assert capsys.readouterr().err == ""


def test_the_connection_ends_although_the_application_still_reads_from_it() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        reading.append(greenloom.spawn(read, environ["wsgi.input"]))
        greenloom.sleep(0)
        start_response("101 Switching Protocols", [("Connection", "close")])
        return []

    def read(file: Any) -> str:
        try:
            return f"read {file.read()!r}"
        except OSError as error:
            return f"failed: {error.errno}"

    reading: list[Any] = []
    with serving(application) as site, site.connection() as client:
        client.sendall(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\n\r\n")
        assert status(b"".join(iter(lambda: client.recv(65536), b""))) == 101
        assert reading[0].get(timeout=5) in ("read b''", f"failed: {errno.EBADF}")


def test_dates_are_as_http_has_them() -> None:
    assert format_date_time(784111777) == b"Sun, 06 Nov 1994 08:49:37 GMT"


def test_environments_hide_what_is_not_listed() -> None:
    environ = SecureEnviron(a=1, b=2)
    assert "1" not in repr(environ).partition(" at ")[0].replace("keys: 2", "")
    environ.whitelist_keys = ("a",)
    assert repr(environ) == "{'a': 1, 'b': '<MASKED>'}"
    environ.secure_repr = False
    assert repr(environ) == "{'a': 1, 'b': 2}"
    assert repr(WSGISecureEnviron(REMOTE_ADDR="x", b=2)) == "{'REMOTE_ADDR': 'x', (hidden keys: 1)}"
