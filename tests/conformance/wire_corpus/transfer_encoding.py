"""Which transfer codings are understood, and never together with what: RFC 9112 §6.1, §6.3."""

from __future__ import annotations

from .case import Case, Seen, bad, get, good, post, request

CODING = "RFC 9112 §6.1"
BODY = b"5\r\nhello\r\n0\r\n\r\n"
HELLO = Seen("POST", body=b"hello")


def _good(id: str, value: bytes) -> Case:
    return good(id, CODING, post(b"Transfer-Encoding:" + value, body=BODY), HELLO)


def _bad(id: str, status: int, *values: bytes) -> Case:
    return bad(id, CODING, post(*(b"Transfer-Encoding: " + value for value in values), body=BODY), status)


CASES = [
    _good("coding-chunked", b" chunked"),
    _good("coding-capital", b" Chunked"),
    _good("coding-upper-case", b" CHUNKED"),
    _good("coding-without-space", b"chunked"),
    _good("coding-white-space-around", b" \tchunked \t"),
    good("coding-field-upper-case", CODING, post(b"TRANSFER-ENCODING: chunked", body=BODY), HELLO),
    good(
        "coding-field-is-passed-on",
        CODING,
        post(b"Transfer-Encoding: Chunked", body=BODY),
        Seen("POST", body=b"hello", fields={b"transfer-encoding": (b"Chunked",)}),
    ),
    good("coding-on-get", CODING, get(b"Transfer-Encoding: chunked") + BODY, Seen(body=b"hello")),
    good(
        "coding-on-head",
        CODING,
        request(b"HEAD / HTTP/1.1", b"Host: h", b"Transfer-Encoding: chunked") + BODY,
        Seen("HEAD", body=b"hello"),
    ),
    good("coding-with-te", "RFC 9110 §10.1.4", post(b"TE: trailers", b"Transfer-Encoding: chunked", body=BODY), HELLO),
    good("name-that-only-looks-like-coding", CODING, get(b"Transfer_Encoding: chunked"), Seen()),
    good("name-that-ends-like-coding", CODING, get(b"X-Transfer-Encoding: chunked"), Seen()),
    good("name-that-begins-like-coding", CODING, get(b"Transfer-Encoding-: chunked"), Seen()),
    good("te-is-not-transfer-encoding", "RFC 9110 §10.1.4", get(b"TE: chunked, gzip"), Seen()),
    # chunked, but not exactly once and last
    _bad("coding-empty", 400, b""),
    _bad("coding-only-comma", 400, b","),
    _bad("coding-chunked-twice", 400, b"chunked, chunked"),
    _bad("coding-chunked-twice-without-space", 400, b"chunked,chunked"),
    _bad("coding-chunked-in-two-fields", 400, b"chunked", b"chunked"),
    _bad("coding-chunked-then-empty", 400, b"chunked,"),
    _bad("coding-empty-then-chunked", 400, b", chunked"),
    _bad("coding-empty-field-then-chunked", 400, b"", b"chunked"),
    _bad("coding-chunked-field-then-empty", 400, b"chunked", b""),
    _bad("coding-chunked-not-last", 400, b"chunked, gzip"),
    _bad("coding-chunked-not-last-identity", 400, b"chunked, identity"),
    _bad("coding-chunked-not-last-in-two-fields", 400, b"chunked", b"gzip"),
    _bad("coding-chunked-first-and-last", 400, b"chunked, gzip, chunked"),
    # codings that are not understood
    _bad("coding-gzip", 501, b"gzip"),
    _bad("coding-gzip-chunked", 501, b"gzip, chunked"),
    _bad("coding-gzip-chunked-in-two-fields", 501, b"gzip", b"chunked"),
    _bad("coding-identity", 501, b"identity"),
    _bad("coding-identity-chunked", 501, b"identity, chunked"),
    _bad("coding-unknown", 501, b"foo"),
    _bad("coding-prefix-of-chunked", 501, b"chunke"),
    _bad("coding-chunked-as-prefix", 501, b"chunkedx"),
    _bad("coding-x-chunked", 501, b"x-chunked"),
    _bad("coding-space-inside", 501, b"chun ked"),
    _bad("coding-quoted", 501, b'"chunked"'),
    _bad("coding-long-s", 501, "chunKed".replace("K", "\u212a").encode()),
    # bytes that no value has
    _bad("coding-vertical-tab-before", 400, b"\x0bchunked"),
    _bad("coding-vertical-tab-after", 400, b"chunked\x0b"),
    _bad("coding-form-feed-after", 400, b"chunked\x0c"),
    _bad("coding-nul-after", 400, b"chunked\x00"),
    _bad("coding-no-break-space", 501, b"\xa0chunked"),
    _bad("coding-next-line", 501, b"chunked\x85"),
    # never with a length, and not on 1.0
    bad("coding-after-length", CODING, post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=BODY), 400),
    bad("coding-before-length", CODING, post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=BODY), 400),
    bad("coding-with-length-0", CODING, post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=BODY), 400),
    bad(
        "coding-with-right-length",
        CODING,
        post(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked", body=BODY),
        400,
    ),
    bad(
        "coding-unknown-with-length", CODING, post(b"Content-Length: 5", b"Transfer-Encoding: foo", body=b"hello"), 400
    ),
    bad(
        "coding-identity-with-length",
        CODING,
        post(b"Content-Length: 5", b"Transfer-Encoding: identity", body=b"hello"),
        400,
    ),
    bad("coding-empty-with-length", CODING, post(b"Content-Length: 5", b"Transfer-Encoding:", body=b"hello"), 400),
    bad("coding-on-1.0", CODING, request(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked") + BODY, 400),
    bad(
        "coding-on-1.0-keep-alive",
        CODING,
        request(b"POST / HTTP/1.0", b"Connection: keep-alive", b"Transfer-Encoding: chunked") + BODY,
        400,
    ),
    bad("coding-gzip-on-1.0", CODING, request(b"POST / HTTP/1.0", b"Transfer-Encoding: gzip") + BODY, 400),
]
