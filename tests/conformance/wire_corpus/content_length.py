"""Bodies of a given length: RFC 9112 §6.2, §6.3, RFC 9110 §8.6."""

from __future__ import annotations

from .case import CLOSED, Case, Seen, bad, get, good, post, request, waiting

LENGTH = "RFC 9110 §8.6"
BODY = "RFC 9112 §6.2"
NO_BODY = "RFC 9112 §6.3"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


def _bad(id: str, value: bytes) -> Case:
    return bad(id, LENGTH, post(b"Content-Length: " + value, body=b"hello"), 400)


def _good(id: str, value: bytes) -> Case:
    return good(id, LENGTH, post(b"Content-Length: " + value, body=b"hello"), Seen("POST", body=b"hello"))


CASES = [
    _good("length-5", b"5"),
    _good("length-leading-zeros", b"005"),
    _good("length-18-digits", b"000000000000000005"),
    _good("length-white-space-around", b" \t5\t "),
    good("length-0", LENGTH, post(b"Content-Length: 0"), Seen("POST")),
    good("length-00", LENGTH, post(b"Content-Length: 00"), Seen("POST")),
    good("length-field-upper-case", LENGTH, post(b"CONTENT-LENGTH: 2", body=b"ab"), Seen("POST", body=b"ab")),
    good(
        "length-field-is-passed-on",
        LENGTH,
        post(b"Content-Length: 02", body=b"ab"),
        Seen("POST", body=b"ab", fields={b"content-length": (b"02",)}),
    ),
    good("body-none-without-length", NO_BODY, post(), Seen("POST")),
    good("body-none-without-length-with-type", NO_BODY, post(b"Content-Type: text/plain"), Seen("POST")),
    good("body-of-get", BODY, get(b"Content-Length: 5") + b"hello", Seen(body=b"hello")),
    good(
        "body-of-head",
        BODY,
        request(b"HEAD / HTTP/1.1", b"Host: h", b"Content-Length: 2") + b"ab",
        Seen("HEAD", body=b"ab"),
    ),
    good(
        "body-of-delete",
        BODY,
        request(b"DELETE / HTTP/1.1", b"Host: h", b"Content-Length: 2") + b"ab",
        Seen("DELETE", body=b"ab"),
    ),
    good(
        "body-of-options",
        BODY,
        request(b"OPTIONS * HTTP/1.1", b"Host: h", b"Content-Length: 2") + b"ab",
        Seen("OPTIONS", "*", body=b"ab"),
    ),
    good(
        "body-of-trace",
        BODY,
        request(b"TRACE / HTTP/1.1", b"Host: h", b"Content-Length: 2") + b"ab",
        Seen("TRACE", body=b"ab"),
    ),
    good(
        "body-of-line-ends", BODY, post(b"Content-Length: 8", body=b"\r\n\r\n\r\n\r\n"), Seen("POST", body=b"\r\n" * 4)
    ),
    good(
        "body-of-all-bytes",
        BODY,
        post(b"Content-Length: 256", body=bytes(range(256))),
        Seen("POST", body=bytes(range(256))),
    ),
    good(
        "body-that-is-a-request",
        BODY,
        post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
        Seen("POST", body=SMUGGLED),
    ),
    good(
        "body-that-is-chunked",
        BODY,
        post(b"Content-Length: 10", body=b"5\r\nhello\r\n"),
        Seen("POST", body=b"5\r\nhello\r\n"),
    ),
    good(
        "body-on-1.0",
        BODY,
        request(b"POST / HTTP/1.0", b"Content-Length: 2") + b"ab",
        Seen("POST", version="1.0", body=b"ab"),
        then=CLOSED,
    ),
    good("body-none-on-1.0", NO_BODY, request(b"POST / HTTP/1.0"), Seen("POST", version="1.0"), then=CLOSED),
    good(
        "name-that-only-looks-like-length", LENGTH, get(b"Content_Length: 5"), Seen(fields={b"content_length": (b"5",)})
    ),
    good("name-that-begins-like-length", LENGTH, get(b"Content-Length-X: 5"), Seen()),
    good("name-that-ends-like-length", LENGTH, get(b"X-Content-Length: 5"), Seen()),
    good(
        "body-of-200000-bytes",
        BODY,
        post(b"Content-Length: 200000", body=b"z" * 200_000),
        Seen("POST", body=b"z" * 200_000),
    ),
    waiting("body-not-there-yet", BODY, post(b"Content-Length: 5")),
    waiting("body-not-whole-yet", BODY, post(b"Content-Length: 5", body=b"hell")),
    waiting("length-999999999999999999", LENGTH, post(b"Content-Length: 999999999999999999", body=b"x")),
    _bad("length-empty", b""),
    _bad("length-only-white-space", b"  "),
    _bad("length-plus", b"+5"),
    _bad("length-minus", b"-5"),
    _bad("length-minus-zero", b"-0"),
    _bad("length-underscore", b"0_5"),
    _bad("length-hexadecimal", b"0x5"),
    _bad("length-fraction", b"5.0"),
    _bad("length-exponent", b"5e0"),
    _bad("length-letters", b"five"),
    _bad("length-digit-then-letter", b"5a"),
    _bad("length-two-numbers", b"5 5"),
    _bad("length-tab-inside", b"5\t5"),
    _bad("length-quoted", b'"5"'),
    _bad("length-parameter", b"5;a"),
    _bad("length-list-of-equals", b"5, 5"),
    _bad("length-list-without-space", b"5,5"),
    _bad("length-list-of-different", b"5, 6"),
    _bad("length-list-with-empty-member", b"5,"),
    _bad("length-list-begins-empty", b",5"),
    _bad("length-19-digits", b"1000000000000000000"),
    _bad("length-19-digits-of-5", b"0000000000000000005"),
    _bad("length-two-to-64", b"18446744073709551616"),
    _bad("length-two-to-64-and-5", b"18446744073709551621"),
    _bad("length-1000-digits", b"9" * 1000),
    _bad("length-full-width-digit", "\uff15".encode()),
    _bad("length-superscript-digit", b"\xb2"),
    _bad("length-no-break-space", b"\xa05"),
    bad("length-twice-equal", LENGTH, post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), 400),
    bad("length-twice-different", LENGTH, post(b"Content-Length: 5", b"Content-Length: 0", body=b"hello"), 400),
    bad("length-twice-apart", LENGTH, post(b"Content-Length: 5", b"X: y", b"content-length: 5", body=b"hello"), 400),
    bad("length-twice-second-empty", LENGTH, post(b"Content-Length: 5", b"Content-Length:", body=b"hello"), 400),
    bad("length-malformed-on-get", LENGTH, get(b"Content-Length: x"), 400),
    bad("length-malformed-on-1.0", LENGTH, request(b"POST / HTTP/1.0", b"Content-Length: +5") + b"hello", 400),
    bad("content-type-twice", "RFC 9110 §5.3", post(b"Content-Type: a/b", b"Content-Type: c/d"), 400),
    bad("content-type-twice-equal", "RFC 9110 §5.3", post(b"Content-Type: a/b", b"content-type: a/b"), 400),
]
