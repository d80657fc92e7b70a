"""The request line and what may stand before it: RFC 9112 §2.2, §2.3, §3."""

from __future__ import annotations

from .case import CLOSED, Seen, bad, get, good, request, waiting

VERSION = "RFC 9112 §2.3"
LINE = "RFC 9112 §3"
EMPTY = "RFC 9112 §2.2"


def _version(text: bytes) -> bytes:
    return request(b"GET / " + text, b"Host: h")


CASES = [
    good("version-1.1", VERSION, get(), Seen()),
    good("version-1.0", VERSION, _version(b"HTTP/1.0"), Seen(version="1.0"), then=CLOSED),
    # Well-formed, but another version.
    bad("version-0.9", VERSION, _version(b"HTTP/0.9"), 505),
    bad("version-1.2", VERSION, _version(b"HTTP/1.2"), 505),
    bad("version-1.9", VERSION, _version(b"HTTP/1.9"), 505),
    bad("version-2.0", VERSION, _version(b"HTTP/2.0"), 505),
    bad("version-3.0", VERSION, _version(b"HTTP/3.0"), 505),
    bad("version-9.9", VERSION, _version(b"HTTP/9.9"), 505),
    bad("version-http2-preface", "RFC 9113 §3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    # Malformed.
    bad("version-two-minor-digits", VERSION, _version(b"HTTP/1.10"), 400),
    bad("version-two-major-digits", VERSION, _version(b"HTTP/11.1"), 400),
    bad("version-leading-zero", VERSION, _version(b"HTTP/01.1"), 400),
    bad("version-no-minor", VERSION, _version(b"HTTP/1"), 400),
    bad("version-http2-without-minor", VERSION, _version(b"HTTP/2"), 400),
    bad("version-empty-minor", VERSION, _version(b"HTTP/1."), 400),
    bad("version-empty-major", VERSION, _version(b"HTTP/.1"), 400),
    bad("version-lower-case", VERSION, _version(b"http/1.1"), 400),
    bad("version-mixed-case", VERSION, _version(b"Http/1.1"), 400),
    bad("version-comma", VERSION, _version(b"HTTP/1,1"), 400),
    bad("version-no-slash", VERSION, _version(b"HTTP1.1"), 400),
    bad("version-two-slashes", VERSION, _version(b"HTTP//1.1"), 400),
    bad("version-space-for-slash", VERSION, _version(b"HTTP 1.1"), 400),
    bad("version-sign", VERSION, _version(b"HTTP/+1.1"), 400),
    bad("version-letter-after", VERSION, _version(b"HTTP/1.1x"), 400),
    bad("version-three-numbers", VERSION, _version(b"HTTP/1.1.1"), 400),
    bad("version-letters", VERSION, _version(b"HTTP/a.b"), 400),
    bad("version-other-protocol", VERSION, _version(b"HTTPS/1.1"), 400),
    bad("version-icy", VERSION, _version(b"ICY/1.1"), 400),
    bad("version-rtsp", VERSION, _version(b"RTSP/1.0"), 400),
    bad("version-obs-text-digit", VERSION, _version(b"HTTP/1.\xb2"), 400),
    bad("version-missing", VERSION, b"GET /\r\n", 400),
    bad("version-missing-with-fields", VERSION, b"GET /\r\nHost: h\r\n\r\n", 400),
    bad("version-missing-after-space", VERSION, b"GET / \r\nHost: h\r\n\r\n", 400),
    # Exactly one SP between the three parts.
    bad("line-two-spaces-after-method", LINE, request(b"GET  / HTTP/1.1", b"Host: h"), 400),
    bad("line-two-spaces-before-version", LINE, request(b"GET /  HTTP/1.1", b"Host: h"), 400),
    bad("line-leading-space", LINE, request(b" GET / HTTP/1.1", b"Host: h"), 400),
    bad("line-leading-tab", LINE, request(b"\tGET / HTTP/1.1", b"Host: h"), 400),
    bad("line-trailing-space", LINE, request(b"GET / HTTP/1.1 ", b"Host: h"), 400),
    bad("line-trailing-tab", LINE, request(b"GET / HTTP/1.1\t", b"Host: h"), 400),
    bad("line-tab-after-method", LINE, request(b"GET\t/ HTTP/1.1", b"Host: h"), 400),
    bad("line-tab-before-version", LINE, request(b"GET /\tHTTP/1.1", b"Host: h"), 400),
    bad("line-vertical-tab", LINE, request(b"GET\x0b/ HTTP/1.1", b"Host: h"), 400),
    bad("line-form-feed", LINE, request(b"GET /\x0cHTTP/1.1", b"Host: h"), 400),
    bad("line-no-break-space", LINE, request(b"GET\xa0/ HTTP/1.1", b"Host: h"), 400),
    bad("line-space-in-target", LINE, request(b"GET /a b HTTP/1.1", b"Host: h"), 400),
    bad("line-no-target", LINE, request(b"GET HTTP/1.1", b"Host: h"), 400),
    bad("line-only-method", LINE, request(b"GET", b"Host: h"), 400),
    bad("line-no-space-after-method", LINE, request(b"GET/ HTTP/1.1", b"Host: h"), 400),
    bad("line-only-spaces", LINE, b"   \r\n\r\n", 400),
    bad("line-status-line", LINE, b"HTTP/1.1 200 OK\r\n\r\n", 400),
    # Line ends and control characters.
    bad("line-ended-by-lf", "RFC 9112 §2.2", b"GET / HTTP/1.1\nHost: h\r\n\r\n", 400),
    bad("line-all-ended-by-lf", "RFC 9112 §2.2", b"GET / HTTP/1.1\nHost: h\n\n", 400),
    bad("line-ended-by-cr", "RFC 9112 §2.2", b"GET / HTTP/1.1\rHost: h\r\n\r\n", 400),
    bad("line-ended-by-cr-cr-lf", "RFC 9112 §2.2", b"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", 400),
    bad("line-bare-cr-in-target", "RFC 9112 §2.2", b"GET /a\rb HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    bad("line-bare-cr-for-space", "RFC 9112 §2.2", b"GET\r/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    bad("line-lf-in-target", "RFC 9112 §2.2", b"GET /a\nb HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    bad("line-ended-by-lf-cr", "RFC 9112 §2.2", b"GET / HTTP/1.1\n\rHost: h\n\r\n\r", 400),
    # Other protocols on this port.
    bad("other-tls-hello", LINE, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40, 400),
    bad("other-ssh", LINE, b"SSH-2.0-OpenSSH_9.9\r\n", 400),
    bad("other-redis", LINE, b"*1\r\n$4\r\nPING\r\n", 400),
    bad("other-smtp", LINE, b"EHLO example.org\r\n", 400),
    bad("other-socks5", LINE, b"\x05\x01\x00", 400),
    bad("other-proxy-protocol-1", LINE, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 400),
    bad("other-proxy-protocol-2", LINE, b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c", 400),
    # Empty lines before the request line.
    good("empty-line-before", EMPTY, b"\r\n" + get(), Seen()),
    bad("empty-lines-before", EMPTY, b"\r\n\r\n" + get(), 400),
    bad("empty-lines-only", EMPTY, b"\r\n" * 20, 400),
    bad("empty-line-of-lf-before", EMPTY, b"\n" + get(), 400),
    bad("empty-line-of-cr-before", EMPTY, b"\r" + get(), 400),
    bad("empty-line-of-cr-cr-lf-before", EMPTY, b"\r\r\n" + get(), 400),
    bad("empty-line-with-space-before", EMPTY, b" \r\n" + get(), 400),
    bad("empty-line-then-lf-before", EMPTY, b"\r\n\n" + get(), 400),
    # Not whole yet.
    waiting("partial-empty-line", EMPTY, b"\r\n"),
    waiting("partial-cr", EMPTY, b"\r"),
    waiting("partial-method", LINE, b"GE"),
    waiting("partial-version", LINE, b"GET / HTTP/1."),
    waiting("partial-line-end", LINE, b"GET / HTTP/1.1\r"),
    waiting("partial-line", LINE, b"GET / HTTP/1.1\r\n"),
]
