"""``wsgi.input``: a request's body, all of it and nothing after it."""

from __future__ import annotations

from io import BytesIO

import pytest

from greenloom.pywsgi import MAX_REQUEST_LINE, Input, _InvalidClientInput

NEXT = b"GET /next HTTP/1.1\r\n\r\n"


def chunked(data: bytes) -> Input:
    return Input(BytesIO(data), None, chunked_input=True)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_a_body_ends_where_its_length_says() -> None:
    body = Input(BytesIO(b"12345" + NEXT), 5)
    assert body.read(2) == b"12"
    assert body.read() == b"345"
    assert body.read() == b""


def test_without_a_length_there_is_no_body() -> None:
    assert Input(BytesIO(NEXT), None).read() == b""


def test_lines_end_at_the_body_too() -> None:
    body = Input(BytesIO(b"one\ntwo" + NEXT), 7)
    assert list(body) == [b"one\n", b"two"]


def test_a_line_may_be_limited() -> None:
    body = Input(BytesIO(b"one\ntwo\n"), 8)
    assert [body.readline(2), body.readline(9), body.readline(-1)] == [b"on", b"e\n", b"two\n"]


def test_a_client_that_leaves_early_is_an_error() -> None:
    with pytest.raises(OSError, match="at position 3"):
        Input(BytesIO(b"123"), 4).read()


def test_chunks_are_put_together() -> None:
    body = chunked(chunk(b"one") + chunk(b" two\nth") + chunk(b"ree") + b"0\r\n\r\n" + NEXT)
    assert body.read(5) == b"one t"
    assert body.readline() == b"wo\n"
    assert body.read() == b"three"
    assert body.read() == b""
    assert body.rfile.read() == NEXT


def test_chunk_extensions_and_trailers_are_skipped() -> None:
    body = chunked(b'3;a=b;c="d e"\r\none\r\n0;last\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n' + NEXT)
    assert body.read() == b"one"
    assert body.rfile.read() == NEXT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"g\r\n",
        b"-1\r\n",
        b"0x1\r\na\r\n",
        b"\r\n",
        b" 1\r\na\r\n",
        b"f" * 17 + b"\r\n",
        b"1\na\r\n",
        b"1;x\ny\r\na\r\n",
        b"1\rx\r\na\r\n",
        b"1;" + b"x" * MAX_REQUEST_LINE + b"\r\na\r\n",
        b"1\r\nabc\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
        b"0\r\nX: 1\n\r\n",
        b"0\r\n: 1\r\n\r\n",
        b"0\r\nX: " + b"x" * MAX_REQUEST_LINE + b"\r\n\r\n",
        b"0\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
        b"0\r\nX: 1\r\n",
    ],
)
def test_what_is_no_chunk_is_refused_and_not_read_on(data: bytes) -> None:
    body = chunked(data)
    with pytest.raises(_InvalidClientInput):
        body.read()
    before = body.rfile.tell()
    body._discard()
    assert body.rfile.tell() == before


def test_what_is_no_size_is_refused_before_the_line_ends() -> None:
    body = chunked(b"1{never the end of a line")
    with pytest.raises(_InvalidClientInput):
        body.read()
    assert body.rfile.tell() == 2


def test_a_client_that_leaves_within_a_chunk_is_an_error() -> None:
    with pytest.raises(OSError, match="unexpected end of file"):
        chunked(b"5\r\nabc").read()


def test_what_the_application_leaves_is_discarded() -> None:
    body = chunked(chunk(b"x" * 50000) + b"0\r\n\r\n" + NEXT)
    assert body.read(1) == b"x"
    body._discard()
    assert body.rfile.read() == NEXT


class Peer:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)


def test_100_continue_is_sent_once_before_the_first_read() -> None:
    peer = Peer()
    body = Input(BytesIO(b"1234"), 4, socket=peer)
    assert peer.sent == []
    body.read(2)
    body.read(2)
    assert peer.sent == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_100_continue_is_not_sent_for_a_body_that_nobody_reads() -> None:
    peer = Peer()
    Input(BytesIO(b"1234"), 4, socket=peer)._discard()
    assert peer.sent == []
