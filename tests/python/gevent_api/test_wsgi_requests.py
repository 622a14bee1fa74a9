"""The WSGI server's requests: what is understood, in which environment it comes, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

import greenloom
from greenloom.pywsgi import WSGIHandler
from wsgi_site import Site, body, hello, serving, status

END = b"Connection: close\r\n\r\n"


def show(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    environ["read"] = environ["wsgi.input"].read().decode("latin-1")
    strings = {key: value for key, value in environ.items() if isinstance(value, str)}
    return [json.dumps(strings).encode()]


def environ_of(request: bytes) -> dict[str, str]:
    with serving(show) as site:
        answer = site.ask(request)
    assert status(answer) == 200, answer
    shown: dict[str, str] = json.loads(body(answer))
    return shown


def refusal(request: bytes) -> Site:
    """Ask, expecting 400 and the end of the connection without the application being called."""
    called: list[object] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        called.append(environ)
        return hello(environ, start_response)

    with serving(application) as site:
        answer = site.ask(request)
    assert status(answer) == 400, answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not called
    return site


def test_the_environment_says_what_was_asked() -> None:
    environ = environ_of(
        b"POST /a%20b/%C3%A9?q=%20x HTTP/1.1\r\nHost: here\r\nContent-Type: text/x\r\nContent-Length: 3\r\n"
        b"X-Two: 1\r\nX-Two: 2\r\nCookie: a=1\r\nCookie: b=2\r\n" + END + b"abc"
    )
    assert environ["REQUEST_METHOD"] == "POST"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == "/a b/\xc3\xa9"
    assert environ["QUERY_STRING"] == "q=%20x"
    assert environ["CONTENT_TYPE"] == "text/x"
    assert environ["CONTENT_LENGTH"] == "3"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["REMOTE_PORT"].isdigit()
    assert environ["HTTP_HOST"] == "here"
    assert environ["HTTP_X_TWO"] == "1,2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["read"] == "abc"


def test_a_header_with_an_underscore_cannot_pass_for_another() -> None:
    environ = environ_of(b"GET / HTTP/1.1\r\nX_User: root\r\n" + END)
    assert "HTTP_X_USER" not in environ


def test_a_continued_header_is_one_line() -> None:
    environ = environ_of(b"GET / HTTP/1.1\r\nX-Long: one\r\n  two\r\n" + END)
    assert environ["HTTP_X_LONG"] == "one two"


def test_chunks_go_before_a_content_length() -> None:
    environ = environ_of(
        b"POST / HTTP/1.1\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n"
        + END
        + b"2\r\nab\r\n0\r\n\r\n"
    )
    assert environ["read"] == "ab"
    assert "CONTENT_LENGTH" not in environ


@pytest.mark.parametrize(
    "line",
    [
        b"GET\r\n",
        b"POST /\r\n",
        b"GET / HTTP/2.0\r\n",
        b"GET / HTTP/1.x\r\n",
        b"GET / HTTP/1\r\n",
        b"GET / FTP/1.1\r\n",
        b"GET / HTTP/1.1 more\r\n",
    ],
)
def test_what_is_no_request_line_is_refused(line: bytes) -> None:
    refusal(line + b"\r\n")


@pytest.mark.parametrize(
    "header",
    [
        b"no colon",
        b"Space : x",
        b": x",
        b"Na\xffme: x",
        b"X: a\rb",
        b"X: a\0b",
        b"Content-Length: -1",
        b"Content-Length: +1",
        b"Content-Length: 1_0",
        b"Content-Length: x",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: gzip, chunked",
        b"X: " + b"x" * 66000,
        b"\r\n".join([b"X: 1"] * 101),
    ],
)
def test_what_are_no_headers_is_refused(header: bytes) -> None:
    refusal(b"POST / HTTP/1.1\r\n" + header + b"\r\n\r\n")


def test_a_refusal_is_logged_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    site = refusal(b"GET /% HTTP%s\r\n\r\n")
    assert "Invalid http version: 'GET /% HTTP%s" in site.errors.getvalue()
    assert '"GET /% HTTP%s" 400 ' in site.log.getvalue()
    assert capsys.readouterr().err == ""


def test_a_refusal_after_a_response_is_logged_as_one() -> None:
    with serving(hello) as site:
        site.ask(b"GET / HTTP/1.1\r\n\r\nbad\r\n\r\n")
    assert [line.split('" ')[1][:3] for line in site.log.getvalue().splitlines()] == ["200", "400"]


def test_a_long_request_line_is_refused() -> None:
    with serving(hello) as site:
        assert status(site.ask(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n")) == 414


def test_a_bad_chunk_is_answered_and_ends_the_connection() -> None:
    with serving(show) as site:
        answer = site.ask(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + b"GET / HTTP/1.1\r\n\r\n"
        )
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1


def test_requests_may_be_sent_ahead() -> None:
    with serving(show) as site:
        answer = site.ask(
            b"POST /1 HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"
            b"POST /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n"
            b"GET /3 HTTP/1.1\r\n\r\n"
        )
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert [answer.count(b'"PATH_INFO": "/%d"' % number) for number in (1, 2, 3)] == [1, 1, 1]


def test_close_may_be_one_of_several_wishes() -> None:
    with serving(hello) as site:
        answer = site.ask(b"GET / HTTP/1.1\r\nConnection: TE, Close\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    assert answer.count(b"200 OK") == 1


def test_a_body_that_nobody_reads_does_not_become_a_request() -> None:
    with serving(hello) as site:
        answer = site.ask(
            b"POST / HTTP/1.1\r\nContent-Length: 21\r\n\r\nGET /evil HTTP/1.1\r\n\r"
            + b"GET / HTTP/1.1\r\n"
            + END
        )
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert "evil" not in site.log.getvalue()


def test_expect_continue_is_answered_when_the_body_is_read() -> None:
    with serving(show) as site, site.connection() as client:
        client.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n" + END)
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"ab")
        assert b'"read": "ab"' in b"".join(iter(lambda: client.recv(65536), b""))


def test_a_client_that_is_gone_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(hello) as site:
        for request in (b"", b"GET", b"GET / HTTP/1.1\r\nHost: x"):
            with site.connection() as client:
                client.sendall(request)
        greenloom.sleep(0.02)
    assert "Traceback" not in site.errors.getvalue() + capsys.readouterr().err


def test_connections_are_served_at_the_same_time() -> None:
    def slow(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        arrived.append(None)
        everybody.wait()
        return hello(environ, start_response)

    arrived: list[None] = []
    everybody = greenloom.event.Event()
    with serving(slow) as site:
        clients = [greenloom.spawn(site.ask, b"GET / HTTP/1.1\r\n" + END) for _ in range(20)]
        while len(arrived) < 20:
            greenloom.sleep(0)
        everybody.set()
        greenloom.joinall(clients)
    assert [body(client.value) for client in clients] == [b"hello"] * 20


def test_a_handler_of_the_programs_own_is_used() -> None:
    class Handler(WSGIHandler):
        def get_environ(self) -> Any:
            environ = super().get_environ()
            environ["RAW"] = self.path
            return environ

    def raw(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["RAW"].encode()]

    with serving(raw, handler_class=Handler) as site:
        assert body(site.ask(b"GET /%20 HTTP/1.1\r\n" + END)) == b"/%20"
