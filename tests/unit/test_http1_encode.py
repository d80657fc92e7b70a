from __future__ import annotations

import pytest

from addax.core.errors import LocalProtocolError
from addax.core.settings import Http1Settings
from addax.http1.encode import (
    CHUNKED,
    CLOSE_LINE,
    LENGTH,
    NO_BODY,
    UNTIL_CLOSE,
    DefaultFields,
    ResponseHead,
    error_response,
    field_block,
)

BARE = DefaultFields(Http1Settings(date_header=False, server_header=False))


def encode(head: ResponseHead, framing: int = LENGTH, persistence: bytes = b"") -> bytes:
    return head.encode(framing, persistence, BARE)


def test_names_are_lowered_and_order_is_kept():
    head = ResponseHead(200, [(b"Content-Type", b"a/b"), (b"X-B", b"2"), (b"X-A", b"1"), (b"X-B", b"3")])
    assert encode(head, CHUNKED) == (
        b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\nx-b: 2\r\nx-a: 1\r\nx-b: 3\r\ntransfer-encoding: chunked\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("status", "method", "minor", "length", "whole", "framing"),
    [
        (200, "GET", 1, None, None, CHUNKED),
        (200, "GET", 0, None, None, UNTIL_CLOSE),
        (200, "GET", 1, None, 5, LENGTH),
        (200, "GET", 0, None, 5, LENGTH),
        (200, "GET", 1, b"7", None, LENGTH),
        (200, "HEAD", 1, b"7", None, NO_BODY),
        (200, "HEAD", 1, None, 5, NO_BODY),
        (204, "GET", 1, None, 0, NO_BODY),
        (304, "GET", 1, b"7", None, NO_BODY),
    ],
)
def test_framing(status: int, method: str, minor: int, length: bytes | None, whole: int | None, framing: int):
    head = ResponseHead(status, [] if length is None else [(b"content-length", length)])
    assert head.framing(method, minor, whole) == framing


def test_a_body_that_is_known_gets_its_length():
    head = ResponseHead(200, [])
    head.framing("GET", 1, 5)
    assert b"content-length: 5\r\n" in encode(head)


def test_204_has_no_content_length_but_head_and_304_keep_theirs():
    for status, kept in ((204, False), (304, True), (200, True)):
        head = ResponseHead(status, [(b"content-length", b"3")])
        assert (b"content-length: 3" in encode(head, NO_BODY)) is kept


def test_fields_of_the_hop_are_the_servers():
    head = ResponseHead(
        200, [(b"transfer-encoding", b"gzip"), (b"keep-alive", b"timeout=9"), (b"connection", b"Close, x-a")]
    )
    assert head.close is True
    assert encode(head, CHUNKED, CLOSE_LINE) == (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )


def test_defaults_yield_to_the_applications_own():
    defaults = DefaultFields(Http1Settings(extra_headers=((b"x-one", b"1"),)))
    plain = defaults.lines(False, False)
    assert plain.startswith(b"date: ")
    assert plain.endswith(b"server: addax\r\nx-one: 1\r\n")
    assert defaults.lines(True, True) == b"x-one: 1\r\n"
    mine = ResponseHead(200, [(b"date", b"x"), (b"server", b"y")]).encode(NO_BODY, b"", defaults)
    assert mine == b"HTTP/1.1 200 OK\r\nx-one: 1\r\ndate: x\r\nserver: y\r\n\r\n"


def test_a_server_header_of_the_options_replaces_the_default():
    defaults = DefaultFields(Http1Settings(date_header=False, extra_headers=((b"server", b"mine"),)))
    assert defaults.lines(False, False) == b"server: mine\r\n"


@pytest.mark.parametrize("status", [100, 101, 103, 199, 600, "200", None])
def test_only_final_statuses_start_a_response(status: object):
    with pytest.raises(LocalProtocolError, match="status"):
        ResponseHead(status, [])  # type: ignore[arg-type]


def test_content_length_must_not_contradict_itself():
    assert ResponseHead(200, [(b"content-length", b"3"), (b"Content-Length", b"3")]).content_length == 3
    with pytest.raises(LocalProtocolError, match="two content-length fields: 3 and 4"):
        ResponseHead(200, [(b"content-length", b"3"), (b"content-length", b"4")])


@pytest.mark.parametrize(
    "field", [(b"x", b"a\r\nset-cookie: b=c"), (b"x\r\ny", b"a"), (b"x", b"a\nb"), (b"x", b"a\x00"), (b"", b"a")]
)
def test_response_splitting_is_refused_in_heads_and_in_blocks(field: tuple[bytes, bytes]):
    with pytest.raises(LocalProtocolError):
        ResponseHead(200, [field])
    with pytest.raises(LocalProtocolError):
        field_block([field])


@pytest.mark.parametrize("name", [b"content-length", b"Transfer-Encoding", b"connection", b"keep-alive"])
def test_framing_has_no_place_in_trailers_and_interim_responses(name: bytes):
    with pytest.raises(LocalProtocolError, match="not allowed here"):
        field_block([(name, b"1")])


def test_error_responses_close_and_leave_the_body_to_get():
    answer = error_response(503, "No.", False, b"retry-after: 1\r\n", BARE)
    assert answer == (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 3\r\n"
        b"retry-after: 1\r\nconnection: close\r\n\r\nNo."
    )
    assert error_response(503, "No.", True, b"", BARE).endswith(b"\r\n\r\n")
