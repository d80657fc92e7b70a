from __future__ import annotations

import pytest

from addax.core.errors import LocalProtocolError
from addax.core.fields import DATE, SERVER
from addax.core.settings import Http1Settings
from addax.http1 import encode
from addax.http1.encode import (
    CHUNKED,
    LENGTH,
    NO_BODY,
    UNTIL_CLOSE,
    DefaultFields,
    choose_framing,
    error_response,
    field_block,
)

BARE = DefaultFields(Http1Settings(date_header=False, server_header=False))


@pytest.mark.parametrize(
    ("status", "method", "minor", "length", "framing"),
    [
        (200, "GET", 1, -1, CHUNKED),
        (200, "GET", 0, -1, UNTIL_CLOSE),
        (200, "GET", 1, 5, LENGTH),
        (200, "GET", 0, 5, LENGTH),
        (200, "HEAD", 1, 7, NO_BODY),
        (200, "HEAD", 0, -1, NO_BODY),
        (204, "GET", 1, 0, NO_BODY),
        (204, "GET", 1, -1, NO_BODY),
        (304, "GET", 1, 7, NO_BODY),
    ],
)
def test_framing(status: int, method: str, minor: int, length: int, framing: int):
    assert choose_framing(status, method, minor, length) == framing


def test_defaults_yield_to_the_applications_own():
    defaults = DefaultFields(Http1Settings(extra_headers=((b"x-one", b"1"),)))
    plain = defaults.lines()
    assert plain.startswith(b"date: ")
    assert plain.endswith(b"server: addax\r\nx-one: 1\r\n")
    assert defaults.lines(1 << DATE) == b"server: addax\r\nx-one: 1\r\n"
    assert defaults.lines(1 << SERVER).endswith(b"GMT\r\nx-one: 1\r\n")
    assert defaults.lines(1 << DATE | 1 << SERVER) == b"x-one: 1\r\n"


def test_defaults_are_made_once_a_second(monkeypatch: pytest.MonkeyPatch):
    now = 784111777.9
    monkeypatch.setattr("addax.core.clock._wall_clock", lambda: now)
    monkeypatch.setattr(encode, "_wall_clock", lambda: now)
    defaults = DefaultFields(Http1Settings())
    first = defaults.start(200, 0, 5.0)
    assert first == b"HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nserver: addax\r\n"
    assert defaults.start(200, 0, 5.09) is first
    assert defaults.start(404, 0, 5.0).startswith(b"HTTP/1.1 404 Not Found\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT")
    assert defaults.start(200, 1 << DATE, 5.0) == b"HTTP/1.1 200 OK\r\nserver: addax\r\n"
    now += 1
    # The wall clock is asked when the rest of its second is over.
    assert defaults.start(200, 0, 5.09) is first
    assert b"08:49:38" in defaults.start(200, 0, 5.11)


def test_fields_of_the_options_replace_date_and_server():
    own = ((b"server", b"mine"), (b"date", b"never"))
    assert DefaultFields(Http1Settings(extra_headers=own)).lines() == b"server: mine\r\ndate: never\r\n"


def test_field_blocks_are_checked():
    assert field_block([(b"X-A", b"1"), (b"link", b"</a>")]) == b"x-a: 1\r\nlink: </a>\r\n"
    with pytest.raises(LocalProtocolError):
        field_block([(b"x", b"a\r\nset-cookie: b=c")])


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
