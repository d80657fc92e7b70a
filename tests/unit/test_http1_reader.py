"""StrictParser, HeadScanner and ChunkedDecoder: the same calls and the same error however the bytes are cut."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest

from addax.core.errors import RemoteProtocolError
from addax.core.headers import RequestHead, read_request_head
from addax.core.registry import PARSERS, resolve
from addax.core.settings import Http1Settings
from addax.core.types import Headers
from addax.http1.chunked import CHUNK_LINE_MAX_BYTES, EXTENSIONS_MAX_BYTES
from addax.http1.parser import UPGRADED, ParserHandler
from tests.parsers import USABLE_PARSERS

SMALL = Http1Settings(head_max_bytes=200, request_line_max_bytes=60, header_max_count=4)


class Recorder(ParserHandler):
    """A handler that notes what it is told, body bytes joined, so that the cut does not show."""

    def __init__(self, upgrade: bool = False) -> None:
        self.events: list[Any] = []
        self.upgrade = upgrade

    def on_head(
        self, method: str, target: bytes, minor: int, headers: Headers, known: RequestHead | None
    ) -> RequestHead:
        self.events.append((method, target, minor, headers))
        if self.upgrade:
            return UPGRADED, 0
        head = read_request_head(minor, headers)
        assert known in (None, head)
        if head[0] == 0:
            self.events.append("end")
        return head

    def on_body(self, chunk: bytes) -> None:
        assert chunk
        if isinstance(self.events[-1], bytes):
            self.events[-1] += chunk
        else:
            self.events.append(chunk)

    def on_end(self) -> None:
        self.events.append("end")


@pytest.fixture(params=USABLE_PARSERS)
def parser_class(request: pytest.FixtureRequest) -> Any:
    return resolve("--http", request.param, PARSERS)[1]


def run(parser_class: Any, pieces: list[bytes], settings: Http1Settings) -> tuple[list[Any], int | None]:
    """Feed pieces, and go on to pipelined messages; the events and the status of the error, if there was one."""
    recorder = Recorder()
    parser = parser_class(recorder, settings)
    try:
        for piece in pieces:
            parser.feed(piece)
            while recorder.events and recorder.events[-1] == "end" and parser.pending_bytes:
                parser.next_message()
    except RemoteProtocolError as error:
        return recorder.events, error.status
    return recorder.events, None


def check_every_cut(parser_class: Any, data: bytes, settings: Http1Settings = SMALL) -> tuple[list[Any], int | None]:
    whole = run(parser_class, [data], settings)
    bytewise = run(parser_class, [data[i : i + 1] for i in range(len(data))], settings)
    assert bytewise[1] == whole[1]
    if whole[1] is None:
        assert bytewise == whole
    shuffle = random.Random(len(data))
    for _ in range(20):
        cuts = sorted({0, len(data), *(shuffle.randrange(len(data) + 1) for _ in range(3))})
        pieces = [data[a:b] for a, b in pairwise(cuts)]
        assert run(parser_class, pieces, settings)[1] == whole[1]
    return whole


HEAD = b"GET /x HTTP/1.1\r\nHost: a\r\nX-Y:  z \t\r\n\r\n"
HEAD_EVENTS = [("GET", b"/x", 1, [(b"host", b"a"), (b"x-y", b"z")]), "end"]


def test_a_head(parser_class: Any):
    assert check_every_cut(parser_class, HEAD) == (HEAD_EVENTS, None)


def test_an_empty_line_before_the_request_is_ignored_once(parser_class: Any):
    assert check_every_cut(parser_class, b"\r\n" + HEAD) == (HEAD_EVENTS, None)
    assert check_every_cut(parser_class, b"\r\n\r\n" + HEAD)[1] == 400
    assert check_every_cut(parser_class, b"\n" + HEAD)[1] == 400


def test_pipelined_messages_come_in_their_order(parser_class: Any):
    body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    events, status = check_every_cut(parser_class, HEAD + body + b"\r\n" + HEAD)
    assert status is None
    assert [event if isinstance(event, bytes | str) else event[0] for event in events] == [
        "GET",
        "end",
        "POST",
        b"hello",
        "end",
        "GET",
        "end",
    ]


def test_empty_values_and_bytes_above_ascii(parser_class: Any):
    events, _ = check_every_cut(parser_class, b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \xe4\t\xff\r\n\r\n")
    assert events[0][3][1:] == [(b"x", b""), (b"y", b"\xe4\t\xff")]


def test_a_chunked_body_with_extensions_and_trailers(parser_class: Any):
    data = (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'3;a\r\nabc\r\n0A ; b = "q\\"; " ;c=d\r\n0123456789\r\n000\r\nX-Sum: 1\r\n\r\n'
    )
    events, status = check_every_cut(parser_class, data + HEAD)
    assert status is None
    assert events[1:3] == [b"abc0123456789", "end"]
    assert events[3:] == HEAD_EVENTS


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n", 400),
        (b"GET /  HTTP/1.1\r\n", 400),
        (b" GET / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1 \r\n", 400),
        (b"GET /\r\n", 400),
        (b"GET /\x80 HTTP/1.1\r\n", 400),
        (b"G@T / HTTP/1.1\r\n", 400),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET / HTTP/2.0\r\n", 505),
        (b"GET / HTTP/1.2\r\n", 505),
        (b"GET / HTTP/0.9\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost : a\r\n", 400),
        (b"GET / HTTP/1.1\r\n: a\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost\r\n", 400),
        (b"GET / HTTP/1.1\r\n Host: a\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\r\n b\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\x00\r\n", 400),
        (b"GET / HTTP/1.1\r\nX\xff: a\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        (b"GET /" + b"a" * 60, 414),
        (b"GET /" + b"a" * 60 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /\x01" + b"a" * 60, 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 200, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 200 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: \x01" + b"a" * 200, 400),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 5 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 5, 431),
        (b"FROB / HTTP/1.1\r\n" + b"X: a\r\n" * 5 + b"\r\n", 501),
    ],
)
def test_bad_heads_have_one_answer(parser_class: Any, data: bytes, status: int):
    events, seen = check_every_cut(parser_class, data)
    assert (events, seen) == ([], status)


CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"zz\r\n", 400),
        (b"\r\n", 400),
        (b"0x5\r\n", 400),
        (b"+5\r\n", 400),
        (b"-5\r\n", 400),
        (b"5_0\r\n", 400),
        (b" 5\r\n", 400),
        (b"5 \r\n", 400),
        (b"5\n", 400),
        (b"5\r\nhelloX\r\n", 400),
        (b"5\r\nhello\n", 400),
        (b"5\r\nhello\rX", 400),
        (b"1" * 17 + b"\r\n", 400),
        (b"5;\r\n", 400),
        (b"5;a=\r\n", 400),
        (b'5;a="b\r\n', 400),
        (b"5;a\x01\r\n", 400),
        (b"5;a\r\r\n", 400),
        (b"0\r\nX\r\n", 400),
        (b"0\r\nX : y\r\n", 400),
        (b"0\r\nContent-Length: 5\r\n", 400),
        (b"0\r\nHost: b\r\n", 400),
        (b"0\r\n X: y\r\n", 400),
        (b"0\r\nX: y\n", 400),
        (b"0\r\n" + b"X: a\r\n" * 5, 431),
        (b"0\r\nX: " + b"a" * 300, 431),
    ],
)
def test_bad_chunked_bodies_have_one_answer(parser_class: Any, body: bytes, status: int):
    events, seen = check_every_cut(parser_class, CHUNKED_HEAD + body)
    assert seen == status
    assert "end" not in events


def test_extensions_are_bounded_each_and_together(parser_class: Any):
    long = b"5;" + b"a" * CHUNK_LINE_MAX_BYTES
    assert run(parser_class, [CHUNKED_HEAD, long], SMALL)[1] == 400
    chunk = b"1;" + b"a" * 1000 + b"\r\nx\r\n"
    many = chunk * (EXTENSIONS_MAX_BYTES // 1000 + 1)
    assert run(parser_class, [CHUNKED_HEAD, many], SMALL)[1] == 400
    assert run(parser_class, [CHUNKED_HEAD, chunk * 10], SMALL)[1] is None


def test_a_length_body_is_not_copied(parser_class: Any):
    recorder = Recorder()
    parser = parser_class(recorder, SMALL)
    parser.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
    piece = b"0123456789"
    parser.feed(piece)
    assert recorder.events[1] is piece


def test_inside_and_pending(parser_class: Any):
    recorder = Recorder()
    parser = parser_class(recorder, SMALL)
    assert not parser.is_inside_message
    parser.feed(b"POST /")
    assert parser.is_inside_message
    parser.feed(b" HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
    assert parser.is_inside_message
    assert parser.pending_bytes == 0
    parser.feed(b"abcGET")
    assert not parser.is_inside_message
    assert parser.pending_bytes == 3
    parser.feed(b" /")
    assert parser.pending_bytes == 5
    parser.next_message()
    assert parser.is_inside_message
    assert parser.pending_bytes == 0


def test_bytes_after_an_upgrade_are_given_up_untouched(parser_class: Any):
    recorder = Recorder(upgrade=True)
    parser = parser_class(recorder, SMALL)
    parser.feed(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\x00\x01")
    parser.feed(b"\x02")
    assert parser.detach() == b"\x00\x01\x02"
    assert "end" not in recorder.events


GET = b"GET /%d HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"


@pytest.mark.parametrize(
    "between",
    [
        b"",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"GET / HTTP/1.0\r\nHost: a\r\nX: y\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n" + b"\r\n\r",
    ],
)
def test_a_head_that_is_like_the_one_before_means_what_it_says(parser_class: Any, between: bytes):
    settings = Http1Settings()
    events, status = run(parser_class, [GET % 1, GET % 2, between, GET % 3, GET % 4], settings)
    assert status is None
    fields = [(b"host", b"a"), (b"x", b"y")]
    assert [event for event in events if isinstance(event, tuple) and event[3] == fields and event[2] == 1] == [
        ("GET", b"/%d" % number, 1, fields) for number in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"get /x HTTP/1.1", 501),
        (b"GET /x HTTP/1.2", 505),
        (b"GET /x HTTP/1.1 ", 400),
        (b"GET  HTTP/1.1", 400),
        (b"GET /x  HTTP/1.1", 400),
        (b"GET /x\nHost: b HTTP/1.1", 400),
        (b"\nGET /x HTTP/1.1", 400),
        (b"GET /\x93 HTTP/1.1", 400),
    ],
)
def test_a_bad_request_line_over_known_fields_is_still_bad(parser_class: Any, line: bytes, status: int):
    assert run(parser_class, [GET % 1, line + (GET % 1)[15:]], Http1Settings())[1] == status
    assert run(parser_class, [GET % 1, line + (GET % 1)[15:]], SMALL)[1] == status


def test_a_target_over_known_fields_is_looked_at_like_any_other(parser_class: Any):
    recorder = Recorder()
    parser = parser_class(recorder, SMALL)
    parser.feed(GET % 1)
    with pytest.raises(RemoteProtocolError, match="a control character or a bare CR in the head"):
        parser.feed((GET % 1).replace(b"/1", b"/\x93"))
    assert len(recorder.events) == 2


def test_the_remembered_fields_are_a_copy(parser_class: Any):
    recorder = Recorder()
    parser = parser_class(recorder, SMALL)
    for _ in range(3):
        parser.feed(GET % 1)
        recorder.events[-2][3].clear()
    parser.feed(GET % 1)
    assert recorder.events[-2][3] == [(b"host", b"a"), (b"x", b"y")]
