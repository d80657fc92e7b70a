"""Expect: RFC 9110 §10.1.1."""

from __future__ import annotations

from addax.core.settings import Http1Settings

from .case import CLOSED, Case, Seen, bad, get, good, post, request, waiting

EXPECT = "RFC 9110 §10.1.1"
CONTINUE = b"Expect: 100-continue"
BODY = Seen("POST", body=b"ab")


def _refused(id: str, *lines: bytes) -> Case:
    return bad(id, EXPECT, post(*lines, b"Content-Length: 2", body=b"ab"), 417)


CASES = [
    good("expect-length", EXPECT, post(CONTINUE, b"Content-Length: 2", body=b"ab"), BODY, may_continue=True),
    good(
        "expect-chunked",
        EXPECT,
        post(CONTINUE, b"Transfer-Encoding: chunked", body=b"2\r\nab\r\n0\r\n\r\n"),
        BODY,
        may_continue=True,
    ),
    good(
        "expect-capital",
        EXPECT,
        post(b"Expect: 100-Continue", b"Content-Length: 2", body=b"ab"),
        BODY,
        may_continue=True,
    ),
    good(
        "expect-upper-case",
        EXPECT,
        post(b"EXPECT: 100-CONTINUE", b"Content-Length: 2", body=b"ab"),
        BODY,
        may_continue=True,
    ),
    good(
        "expect-close",
        EXPECT,
        post(CONTINUE, b"Connection: close", b"Content-Length: 2", body=b"ab"),
        BODY,
        then=CLOSED,
        may_continue=True,
    ),
    good("expect-without-body", EXPECT, get(CONTINUE), Seen()),
    good("expect-length-0", EXPECT, post(CONTINUE, b"Content-Length: 0"), Seen("POST")),
    good(
        "expect-on-1.0",
        EXPECT,
        request(b"POST / HTTP/1.0", CONTINUE, b"Content-Length: 2") + b"ab",
        Seen("POST", version="1.0", body=b"ab"),
        then=CLOSED,
    ),
    good(
        "expect-unknown-on-1.0",
        EXPECT,
        request(b"POST / HTTP/1.0", b"Expect: foo", b"Content-Length: 2") + b"ab",
        Seen("POST", version="1.0", body=b"ab"),
        then=CLOSED,
    ),
    good(
        "expect-twice-in-a-row",
        EXPECT,
        post(CONTINUE, b"Content-Length: 2", body=b"ab") + post(CONTINUE, b"Content-Length: 2", body=b"ab"),
        BODY,
        BODY,
        may_continue=True,
    ),
    waiting("expect-body-not-there", EXPECT, post(CONTINUE, b"Content-Length: 2"), may_continue=True),
    _refused("expect-unknown", b"Expect: foo"),
    _refused("expect-empty", b"Expect:"),
    _refused("expect-200-ok", b"Expect: 200-ok"),
    _refused("expect-continue-with-value", b"Expect: 100-continue=1"),
    _refused("expect-continue-with-parameter", b"Expect: 100-continue;a"),
    _refused("expect-continue-as-prefix", b"Expect: 100-continued"),
    _refused("expect-continue-and-unknown", b"Expect: 100-continue, foo"),
    _refused("expect-continue-then-unknown-field", CONTINUE, b"Expect: foo"),
    _refused("expect-quoted", b'Expect: "100-continue"'),
    bad("expect-unknown-without-body", EXPECT, get(b"Expect: foo"), 417),
    bad(
        "expect-with-too-large-body",
        EXPECT,
        post(CONTINUE, b"Content-Length: 11"),
        413,
        settings=Http1Settings(body_max_bytes=10),
    ),
    bad("expect-with-malformed-length", EXPECT, post(CONTINUE, b"Content-Length: +2"), 400),
]
