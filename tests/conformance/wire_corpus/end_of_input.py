"""The client half-closes: RFC 9112 §8 (incomplete messages), §9.6 (tear-down)."""

from __future__ import annotations

from .case import CLOSED, Case, Seen, bad, get, good, post, request

INCOMPLETE = "RFC 9112 §8"
TEAR_DOWN = "RFC 9112 §9.6"


def _cut_head(id: str, data: bytes) -> Case:
    return bad(id, INCOMPLETE, data, 400, eof=True)


def _cut_body(id: str, data: bytes) -> Case:
    """Nobody is told anything: the application hears of the disconnect, and the connection ends."""
    return good(id, INCOMPLETE, data, then=CLOSED, eof=True)


CASES = [
    good("eof-at-once", TEAR_DOWN, b"", then=CLOSED, eof=True),
    good("eof-after-request", TEAR_DOWN, get(), Seen(), then=CLOSED, eof=True),
    good(
        "eof-after-request-with-body",
        TEAR_DOWN,
        post(b"Content-Length: 2", body=b"ab"),
        Seen("POST", body=b"ab"),
        then=CLOSED,
        eof=True,
    ),
    good(
        "eof-after-chunked",
        TEAR_DOWN,
        post(b"Transfer-Encoding: chunked", body=b"2\r\nab\r\n0\r\n\r\n"),
        Seen("POST", body=b"ab"),
        then=CLOSED,
        eof=True,
    ),
    good("eof-after-two-requests", TEAR_DOWN, get() + get(), Seen(), Seen(), then=CLOSED, eof=True),
    good("eof-after-close", TEAR_DOWN, get(b"Connection: close"), Seen(), then=CLOSED, eof=True),
    good("eof-after-1.0", TEAR_DOWN, request(b"GET / HTTP/1.0"), Seen(version="1.0"), then=CLOSED, eof=True),
    good(
        "eof-after-upgrade",
        TEAR_DOWN,
        get(b"Connection: Upgrade", b"Upgrade: websocket"),
        Seen(),
        then=CLOSED,
        eof=True,
    ),
    bad("eof-after-error", TEAR_DOWN, request(b"GET / HTTP/1.1"), 400, eof=True),
    _cut_head("eof-in-method", b"GE"),
    _cut_head("eof-in-target", b"GET /a"),
    _cut_head("eof-in-version", b"GET / HTTP/1.1"),
    _cut_head("eof-in-line-end", b"GET / HTTP/1.1\r"),
    _cut_head("eof-after-line", b"GET / HTTP/1.1\r\n"),
    _cut_head("eof-in-name", b"GET / HTTP/1.1\r\nHos"),
    _cut_head("eof-in-value", b"GET / HTTP/1.1\r\nHost: h"),
    _cut_head("eof-before-empty-line", b"GET / HTTP/1.1\r\nHost: h\r\n"),
    _cut_head("eof-in-empty-line", b"GET / HTTP/1.1\r\nHost: h\r\n\r"),
    bad("eof-in-second-head", INCOMPLETE, get() + b"GET / HT", 400, Seen(), eof=True),
    _cut_body("eof-before-body", post(b"Content-Length: 5")),
    _cut_body("eof-in-body", post(b"Content-Length: 5", body=b"hell")),
    _cut_body("eof-before-chunk", post(b"Transfer-Encoding: chunked")),
    _cut_body("eof-in-chunk-size", post(b"Transfer-Encoding: chunked", body=b"5")),
    _cut_body("eof-in-chunk-data", post(b"Transfer-Encoding: chunked", body=b"5\r\nhel")),
    _cut_body("eof-after-chunk-data", post(b"Transfer-Encoding: chunked", body=b"5\r\nhello")),
    _cut_body("eof-before-last-chunk", post(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")),
    _cut_body("eof-in-last-chunk", post(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n")),
    _cut_body("eof-in-trailer", post(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX: y\r\n")),
]
