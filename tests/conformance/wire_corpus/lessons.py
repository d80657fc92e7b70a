"""What has gone wrong elsewhere, one row for each report; the id names the report.

Published advisories, and inputs that other servers were seen to take.
"""

from __future__ import annotations

from .case import Seen, bad, get, good, post, request

SMUGGLED = get()

CASES = [
    # Inputs that popular ASGI servers answered with 200.
    bad("lesson-header-of-1-megabyte", "RFC 6585 §5", get(b"X: " + b"y" * 1_000_000), 431),
    bad("lesson-header-of-5-megabytes", "RFC 6585 §5", get(b"X: " + b"y" * 5_000_000), 431),
    bad(
        "lesson-http-0.9-line-with-bare-lf-and-body",
        "RFC 9112 §2.3",
        b"GET /x\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        400,
    ),
    bad("lesson-duplicate-host", "RFC 9112 §3.2", request(b"GET / HTTP/1.1", b"Host: a", b"Host: b"), 400),
    bad("lesson-no-host", "RFC 9112 §3.2", request(b"GET / HTTP/1.1"), 400),
    bad(
        "lesson-content-length-and-transfer-encoding",
        "RFC 9112 §6.1",
        post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED),
        400,
    ),
    bad("lesson-obs-fold", "RFC 9112 §5.2", get(b"X: a", b" b"), 400),
    bad("lesson-bare-lf-after-field", "RFC 9112 §2.2", b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400),
    # What parser libraries took.
    bad(
        "lesson-transfer-encoding-on-1.0",
        "RFC 9112 §6.1",
        request(b"POST / HTTP/1.0", b"Host: h", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        400,
    ),
    bad("lesson-gzip-chunked", "RFC 9112 §6.1", post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501),
    bad("lesson-content-length-list", "RFC 9110 §8.6", post(b"Content-Length: 5, 5", body=b"hello"), 400),
    bad(
        "lesson-content-length-twice",
        "RFC 9110 §8.6",
        post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
        400,
    ),
    bad("lesson-two-spaces-in-request-line", "RFC 9112 §3", b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    bad("lesson-leading-bare-lf", "RFC 9112 §2.2", b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    bad("lesson-5000-fields", "RFC 6585 §5", get(*[b"X: y"] * 5000), 431),
    bad("lesson-http-2.0-on-the-wire", "RFC 9112 §2.3", b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    bad("lesson-lower-case-method", "RFC 9110 §9.1", b"get / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    bad("lesson-http-1.2", "RFC 9112 §2.3", b"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505),
    # Advisories.
    good(
        "CVE-2020-7694-uvicorn-escapes-in-path",
        "RFC 3986 §2.1",
        request(b"GET /%1b[31m%0a HTTP/1.1", b"Host: h"),
        Seen("GET", "/\x1b[31m\n", b"/%1b[31m%0a"),
    ),
    bad(
        "CVE-2024-1135-gunicorn-unknown-coding-with-length",
        "RFC 9112 §6.1",
        post(b"Transfer-Encoding: chunked;foo", b"Content-Length: 6", body=b"0\r\n\r\nX"),
        400,
    ),
    bad(
        "CVE-2024-1135-gunicorn-two-codings",
        "RFC 9112 §6.1",
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", body=b"0\r\n\r\n"),
        400,
    ),
    bad(
        "CVE-2024-6827-gunicorn-invalid-coding-falls-back-to-length",
        "RFC 9112 §6.1",
        post(b'Transfer-Encoding: "chunked"', b"Content-Length: 4", body=b"0\r\n\r\n"),
        400,
    ),
    bad(
        "gunicorn-hardening-stacked-chunked",
        "RFC 9112 §6.1",
        post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
        400,
    ),
    bad(
        "gunicorn-hardening-bare-cr-in-extension",
        "RFC 9112 §7.1.1",
        post(b"Transfer-Encoding: chunked", body=b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
        400,
    ),
    bad(
        "gunicorn-hardening-forbidden-trailer",
        "RFC 9110 §6.5.1",
        post(b"Transfer-Encoding: chunked", body=b"0\r\nContent-Length: 5\r\n\r\n"),
        400,
    ),
    bad("gunicorn-hardening-authority-form", "RFC 9112 §3.2.3", b"GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    bad("gunicorn-hardening-asterisk-form", "RFC 9112 §3.2.4", b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    bad(
        "gunicorn-hardening-duplicate-content-type",
        "RFC 9110 §5.3",
        post(b"Content-Type: a/b", b"Content-Type: c/d"),
        400,
    ),
    good(
        "gunicorn-hardening-truncated-final-chunk",
        "RFC 9112 §8",
        post(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n"),
        then="closed",
        eof=True,
    ),
    bad(
        "CVE-2025-43859-h11-chunk-terminator",
        "RFC 9112 §7.1",
        post(b"Transfer-Encoding: chunked", body=b"5\r\nhelloXX0\r\n\r\n"),
        400,
    ),
    bad(
        "CVE-2025-43859-h11-smuggled-in-terminator",
        "RFC 9112 §7.1",
        post(b"Transfer-Encoding: chunked", body=b"3\r\nabc0\r\n\r\n" + SMUGGLED),
        400,
    ),
    bad(
        "CVE-2024-27982-llhttp-space-before-content-length",
        "RFC 9112 §5.2",
        request(b"POST / HTTP/1.1", b"Host: h", b" Content-Length: 5") + b"hello",
        400,
    ),
    bad(
        "CVE-2023-30589-llhttp-cr-as-separator",
        "RFC 9112 §2.2",
        b"POST / HTTP/1.1\r\nHost: h\r\nX:\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    bad(
        "CVE-2023-30589-llhttp-empty-value-then-cr",
        "RFC 9112 §2.2",
        b"GET / HTTP/1.1\r\nHost: h\r\nX:\r\rY: z\r\n\r\n",
        400,
    ),
    bad("llhttp-877-versionless-line-with-bare-lf", "RFC 9112 §2.3", b"GET /\nHost: h\r\n\r\n", 400),
    bad("llhttp-877-versionless-line-then-request", "RFC 9112 §2.3", b"GET /\n" + SMUGGLED, 400),
    bad(
        "CVE-2019-16785-waitress-bare-lf",
        "RFC 9112 §2.2",
        b"POST / HTTP/1.1\r\nHost: h\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    bad(
        "CVE-2019-16789-waitress-white-space-in-coding",
        "RFC 9112 §6.1",
        post(b"Transfer-Encoding: \x0bchunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
        400,
    ),
    bad(
        "CVE-2022-24761-waitress-plus-in-length", "RFC 9110 §8.6", post(b"Content-Length: +10", body=b"0123456789"), 400
    ),
    bad(
        "CVE-2022-24761-waitress-prefix-in-chunk-size",
        "RFC 9112 §7.1",
        post(b"Transfer-Encoding: chunked", body=b"0x5\r\nhello\r\n0\r\n\r\n"),
        400,
    ),
    bad(
        "CVE-2022-24761-waitress-underscore-in-chunk-size",
        "RFC 9112 §7.1",
        post(b"Transfer-Encoding: chunked", body=b"0_5\r\nhello\r\n0\r\n\r\n"),
        400,
    ),
    bad(
        "CVE-2023-38697-protocol-http1-chunk-size",
        "RFC 9112 §7.1",
        post(b"Transfer-Encoding: chunked", body=b"+5\r\nhello\r\n0\r\n\r\n"),
        400,
    ),
    bad(
        "CVE-2023-38697-protocol-http1-chunk-extension",
        "RFC 9112 §7.1.1",
        post(b"Transfer-Encoding: chunked", body=b"5;\x00\r\nhello\r\n0\r\n\r\n"),
        400,
    ),
    bad(
        "GHSA-9298-4cf8-g4wj-waitress-request-after-error",
        "RFC 9112 §9.6",
        post(b"Content-Length: bad") + SMUGGLED * 3,
        400,
    ),
    bad("CVE-2022-24801-twisted-plus-in-length", "RFC 9110 §8.6", post(b"Content-Length: +0"), 400),
    bad(
        "CVE-2022-24801-twisted-lenient-chunk-white-space",
        "RFC 9112 §7.1",
        post(b"Transfer-Encoding: chunked", body=b" 5 \r\nhello\r\n0\r\n\r\n"),
        400,
    ),
    good(
        "twisted-responses-in-order",
        "RFC 9112 §9.3.2",
        post(b"Content-Length: 3", body=b"abc") + get() + SMUGGLED,
        Seen("POST", body=b"abc"),
        Seen(),
        Seen(),
    ),
    good(
        "CVE-2026-44546-daphne-next-line-is-no-line-end",
        "RFC 9110 §5.5",
        get(b"X: a\x85Content-Length: 5"),
        Seen(fields={b"x": (b"a\x85Content-Length: 5",), b"content-length": ()}),
    ),
    bad("CVE-2026-44546-daphne-vertical-tab-is-no-line-end", "RFC 9110 §5.5", get(b"X: a\x0bContent-Length: 5"), 400),
    bad("CVE-2026-44546-daphne-form-feed-is-no-line-end", "RFC 9110 §5.5", get(b"X: a\x0cContent-Length: 5"), 400),
    bad(
        "CVE-2026-44546-daphne-record-separator-is-no-line-end", "RFC 9110 §5.5", get(b"X: a\x1eContent-Length: 5"), 400
    ),
    good(
        "CVE-2026-42544-granian-subprotocol-not-ascii",
        "RFC 9110 §5.5",
        get(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Protocol: \xff\xfe"),
        Seen(fields={b"sec-websocket-protocol": (b"\xff\xfe",)}),
    ),
    good("daphne-root-path-field-is-only-a-field", "RFC 9110 §5.1", get(b"Daphne-Root-Path: /admin"), Seen("GET", "/")),
]
