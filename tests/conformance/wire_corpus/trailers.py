"""Trailer fields of a request: checked, bounded, dropped. RFC 9112 §7.1.2, RFC 9110 §6.5."""

from __future__ import annotations

from addax.core.settings import Http1Settings

from .case import Case, Seen, bad, good, post, waiting

TRAILER = "RFC 9112 §7.1.2"
FORBIDDEN = "RFC 9110 §6.5.1"
NAMES = """
Transfer-Encoding Content-Length Host Connection Keep-Alive TE Trailer Upgrade Expect Authorization Cookie Set-Cookie
Content-Type Content-Encoding Content-Range Range Max-Forwards Cache-Control Proxy-Authorization If-Match
X-Forwarded-For Forwarded
"""
FORBIDDEN_NAMES = NAMES.split()


def _post(*lines: bytes) -> bytes:
    return post(
        b"Transfer-Encoding: chunked",
        body=b"5\r\nhello\r\n0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n",
    )


def _good(id: str, *lines: bytes, **more: object) -> Case:
    dropped = {line.partition(b":")[0].lower(): () for line in lines}
    return good(id, TRAILER, _post(*lines), Seen("POST", body=b"hello", fields=dropped), **more)


def _bad(id: str, section: str, status: int, *lines: bytes, **more: object) -> Case:
    return bad(id, section, _post(*lines), status, **more)


CASES = [
    _good("trailer-one", b"X-Checksum: 1"),
    _good("trailer-several", b"X-A: 1", b"X-B: 2", b"x-a: 3"),
    _good("trailer-empty-value", b"X-A:"),
    _good("trailer-obs-text", b"X-A: \xe9"),
    _good("trailer-256", *[b"X-%d: 1" % number for number in range(256)]),
    good(
        "trailer-is-not-a-field-of-the-head",
        TRAILER,
        post(b"X-A: head", b"Trailer: X-A", b"Transfer-Encoding: chunked", body=b"0\r\nX-A: trailer\r\n\r\n"),
        Seen("POST", fields={b"x-a": (b"head",)}),
    ),
    *(_bad(f"trailer-forbidden-{name}", FORBIDDEN, 400, name.encode() + b": 1") for name in FORBIDDEN_NAMES),
    _bad("trailer-forbidden-lower-case", FORBIDDEN, 400, b"content-length: 0"),
    _bad("trailer-forbidden-second", FORBIDDEN, 400, b"X-A: 1", b"Host: h"),
    _bad("trailer-no-colon", TRAILER, 400, b"X-A"),
    _bad("trailer-empty-name", TRAILER, 400, b": 1"),
    _bad("trailer-space-before-colon", TRAILER, 400, b"X-A : 1"),
    _bad("trailer-leading-space", TRAILER, 400, b" X-A: 1"),
    _bad("trailer-fold", TRAILER, 400, b"X-A: 1", b" 2"),
    _bad("trailer-name-not-token", TRAILER, 400, b"X@A: 1"),
    _bad("trailer-nul", TRAILER, 400, b"X-A: \x00"),
    _bad("trailer-vertical-tab", TRAILER, 400, b"X-A: 1\x0b"),
    _bad("trailer-bare-cr", TRAILER, 400, b"X-A: 1\r2"),
    _bad("trailer-bare-lf", TRAILER, 400, b"X-A: 1\nX-B: 2"),
    bad("trailer-ended-by-lf", TRAILER, post(b"Transfer-Encoding: chunked", body=b"0\r\nX-A: 1\n\r\n"), 400),
    bad("trailer-section-ended-by-lf", TRAILER, post(b"Transfer-Encoding: chunked", body=b"0\r\nX-A: 1\r\n\n"), 400),
    _bad("trailer-257", "RFC 6585 §5", 431, *[b"X-%d: 1" % number for number in range(257)]),
    _bad("trailer-line-of-70000-bytes", "RFC 6585 §5", 431, b"X-A: " + b"y" * 70_000),
    _bad("trailer-section-of-80000-bytes", "RFC 6585 §5", 431, *[b"X-A: " + b"y" * 8000] * 10),
    _bad(
        "trailer-count-is-an-option",
        "RFC 6585 §5",
        431,
        b"A: 1",
        b"B: 2",
        b"C: 3",
        b"D: 4",
        settings=Http1Settings(header_max_count=3),
    ),
    waiting("trailer-inside-name", TRAILER, post(b"Transfer-Encoding: chunked", body=b"0\r\nX-")),
    waiting("trailer-before-empty-line", TRAILER, post(b"Transfer-Encoding: chunked", body=b"0\r\nX-A: 1\r\n")),
]
