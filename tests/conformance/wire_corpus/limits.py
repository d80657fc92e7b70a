"""Bounds: RFC 9110 §15.5.14 (413), §15.5.15 (414), RFC 6585 §5 (431)."""

from __future__ import annotations

from addax.core.settings import Http1Settings

from .case import Case, Seen, bad, get, good, post, request, waiting

LINE = "RFC 9110 §15.5.15"
HEAD = "RFC 6585 §5"
BODY = "RFC 9110 §15.5.14"
FIXED = len(b"GET  HTTP/1.1")
SMALL_HEAD = Http1Settings(head_max_bytes=1000, request_line_max_bytes=100)
SMALL_BODY = Http1Settings(body_max_bytes=10)


def _line(id: str, length: int) -> Case:
    target = b"/" + b"a" * (length - FIXED - 1)
    data = request(b"GET " + target + b" HTTP/1.1", b"Host: h")
    if length <= 16384:
        return good(id, LINE, data, Seen("GET", target.decode()))
    return bad(id, LINE, data, 414)


def _chunked(id: str, status: int, body: bytes) -> Case:
    return bad(id, BODY, post(b"Transfer-Encoding: chunked", body=body), status, settings=SMALL_BODY)


CASES = [
    _line("line-8000", 8000),
    _line("line-16384", 16384),
    _line("line-16385", 16385),
    _line("line-20000", 20000),
    _line("line-100000", 100_000),
    bad("line-too-long-without-end", LINE, b"GET /" + b"a" * 17000, 414),
    bad("line-too-long-query", LINE, request(b"GET /?" + b"a" * 17000 + b" HTTP/1.1", b"Host: h"), 414),
    bad("line-too-long-method", LINE, b"A" * 17000 + b" / HTTP/1.1\r\n", 414),
    bad("line-too-long-no-space", LINE, b"x" * 17000, 414),
    bad("line-too-long-and-bad-version", LINE, request(b"GET /" + b"a" * 17000 + b" HTTP/3.0", b"Host: h"), 414),
    bad(
        "line-too-long-but-first-a-bad-byte", LINE, request(b"GET /\x00" + b"a" * 17000 + b" HTTP/1.1", b"Host: h"), 400
    ),
    bad(
        "line-too-long-and-then-a-bad-byte", LINE, request(b"GET /" + b"a" * 17000 + b"\x00 HTTP/1.1", b"Host: h"), 414
    ),
    bad(
        "line-limit-is-an-option",
        LINE,
        request(b"GET /" + b"a" * 100 + b" HTTP/1.1", b"Host: h"),
        414,
        settings=SMALL_HEAD,
    ),
    bad("line-second-request-too-long", LINE, get() + b"GET /" + b"a" * 17000, 414, Seen()),
    good("head-60000-bytes", HEAD, get(b"X: " + b"y" * 60_000), Seen(fields={b"x": (b"y" * 60_000,)})),
    good(
        "head-60000-bytes-in-many-fields",
        HEAD,
        get(*[b"X: " + b"y" * 290] * 200),
        Seen(fields={b"x": (b"y" * 290,) * 200}),
    ),
    bad("head-70000-bytes", HEAD, get(b"X: " + b"y" * 70_000), 431),
    bad("head-70000-bytes-in-many-fields", HEAD, get(*[b"X: " + b"y" * 290] * 240), 431),
    bad("head-too-large-without-end", HEAD, b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000, 431),
    bad("head-too-large-name", HEAD, b"GET / HTTP/1.1\r\n" + b"y" * 70_000 + b": x\r\n\r\n", 431),
    bad("head-too-large-only-spaces", HEAD, get(b"X:" + b" " * 70_000 + b"y"), 431),
    bad("head-too-large-but-first-a-bad-line", HEAD, get(b"X Y: z", b"X: " + b"y" * 70_000), 400),
    bad("head-too-large-but-first-a-bad-byte", HEAD, get(b"X: \x00", b"X: " + b"y" * 70_000), 400),
    bad("head-too-large-and-then-a-bad-line", HEAD, get(b"X: " + b"y" * 70_000, b"X Y: z"), 431),
    bad("head-too-large-and-no-host", HEAD, request(b"GET / HTTP/1.1", b"X: " + b"y" * 70_000), 431),
    good("head-limit-is-an-option-below", HEAD, get(b"X: " + b"y" * 900), Seen(), settings=SMALL_HEAD),
    bad("head-limit-is-an-option-above", HEAD, get(b"X: " + b"y" * 1100), 431, settings=SMALL_HEAD),
    bad("head-second-request-too-large", HEAD, get() + get(b"X: " + b"y" * 1100), 431, Seen(), settings=SMALL_HEAD),
    good("fields-256", HEAD, get(*[b"X-%d: 1" % number for number in range(255)]), Seen()),
    bad("fields-257", HEAD, get(*[b"X-%d: 1" % number for number in range(256)]), 431),
    bad("fields-5000", HEAD, get(*[b"a:"] * 5000), 431),
    bad("fields-too-many-but-first-a-bad-line", HEAD, get(b"X Y: z", *[b"a:"] * 300), 400),
    bad("fields-too-many-and-then-a-bad-line", HEAD, get(*[b"a:"] * 300, b"X Y: z"), 431),
    bad("fields-too-many-and-two-hosts", HEAD, get(b"Host: h", *[b"a:"] * 300), 431),
    bad("fields-too-many-without-end", HEAD, b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 300, 431),
    good(
        "fields-count-is-an-option-below",
        HEAD,
        get(b"A: 1", b"B: 2"),
        Seen(),
        settings=Http1Settings(header_max_count=3),
    ),
    bad(
        "fields-count-is-an-option-above",
        HEAD,
        get(b"A: 1", b"B: 2", b"C: 3"),
        431,
        settings=Http1Settings(header_max_count=3),
    ),
    good(
        "body-at-its-limit",
        BODY,
        post(b"Content-Length: 10", body=b"0123456789"),
        Seen("POST", body=b"0123456789"),
        settings=SMALL_BODY,
    ),
    bad("body-above-its-limit-at-once", BODY, post(b"Content-Length: 11"), 413, settings=SMALL_BODY),
    bad("body-above-its-limit", BODY, post(b"Content-Length: 11", body=b"0123456789a"), 413, settings=SMALL_BODY),
    bad(
        "body-far-above-its-limit",
        BODY,
        post(b"Content-Length: 999999999999999999", body=b"a"),
        413,
        settings=SMALL_BODY,
    ),
    good(
        "body-chunked-at-its-limit",
        BODY,
        post(b"Transfer-Encoding: chunked", body=b"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"),
        Seen("POST", body=b"0123456789"),
        settings=SMALL_BODY,
    ),
    _chunked("body-chunked-above-its-limit", 413, b"5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n"),
    _chunked("body-chunked-above-its-limit-in-one", 413, b"b\r\n0123456789a\r\n0\r\n\r\n"),
    _chunked("body-chunked-above-its-limit-but-first-a-bad-size", 400, b"5\r\n01234\r\nx\r\n56789a\r\n"),
    good(
        "body-limit-per-request",
        BODY,
        post(b"Content-Length: 8", body=b"01234567") * 2,
        Seen("POST", body=b"01234567"),
        Seen("POST", body=b"01234567"),
        settings=SMALL_BODY,
    ),
    bad("body-second-request-too-large", BODY, get() + post(b"Content-Length: 11"), 413, Seen(), settings=SMALL_BODY),
    waiting("head-60000-bytes-not-whole", HEAD, b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 60_000),
]
