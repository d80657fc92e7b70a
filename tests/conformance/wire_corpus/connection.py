"""Who closes the connection, and upgrades that are declined: RFC 9112 §9.3, §9.6, RFC 9110 §7.6.1, §7.8."""

from __future__ import annotations

from .case import CLOSED, OPEN, Case, Seen, get, good, post, request

PERSISTENCE = "RFC 9112 §9.3"
OPTION = "RFC 9110 §7.6.1"
UPGRADE = "RFC 9110 §7.8"
SOCKET = (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")


def _http11(id: str, then: str, *lines: bytes) -> Case:
    return good(id, OPTION, get(*lines), Seen(), then=then)


def _http10(id: str, then: str, *lines: bytes) -> Case:
    return good(id, PERSISTENCE, request(b"GET / HTTP/1.0", *lines), Seen(version="1.0"), then=then)


CASES = [
    _http11("connection-absent", OPEN),
    _http11("connection-keep-alive", OPEN, b"Connection: keep-alive"),
    _http11("connection-close", CLOSED, b"Connection: close"),
    _http11("connection-close-capital", CLOSED, b"Connection: Close"),
    _http11("connection-close-upper-case", CLOSED, b"CONNECTION: CLOSE"),
    _http11("connection-close-without-space", CLOSED, b"Connection:close"),
    _http11("connection-close-in-list", CLOSED, b"Connection: foo, close"),
    _http11("connection-close-first-in-list", CLOSED, b"Connection: close, foo"),
    _http11("connection-close-in-list-of-empties", CLOSED, b"Connection: ,, close ,"),
    _http11("connection-close-and-keep-alive", CLOSED, b"Connection: close, keep-alive"),
    _http11("connection-keep-alive-and-close", CLOSED, b"Connection: keep-alive, close"),
    _http11("connection-close-in-second-field", CLOSED, b"Connection: keep-alive", b"Connection: close"),
    _http11("connection-close-in-first-field", CLOSED, b"Connection: close", b"Connection: keep-alive"),
    _http11("connection-empty", OPEN, b"Connection:"),
    _http11("connection-close-as-prefix", OPEN, b"Connection: closed"),
    _http11("connection-close-as-suffix", OPEN, b"Connection: x-close"),
    _http11("connection-names-a-field", OPEN, b"Connection: x-a", b"X-A: close"),
    _http11("keep-alive-field-alone", OPEN, b"Keep-Alive: timeout=5, max=1"),
    _http11("proxy-connection-close-is-ignored", OPEN, b"Proxy-Connection: close"),
    good(
        "connection-close-after-body",
        PERSISTENCE,
        post(b"Connection: close", b"Content-Length: 2", body=b"ab"),
        Seen("POST", body=b"ab"),
        then=CLOSED,
    ),
    good(
        "connection-close-after-chunked",
        PERSISTENCE,
        post(b"Connection: close", b"Transfer-Encoding: chunked", body=b"2\r\nab\r\n0\r\n\r\n"),
        Seen("POST", body=b"ab"),
        then=CLOSED,
    ),
    good(
        "connection-close-head",
        PERSISTENCE,
        request(b"HEAD / HTTP/1.1", b"Host: h", b"Connection: close"),
        Seen("HEAD"),
        then=CLOSED,
    ),
    _http10("http10-default", CLOSED),
    _http10("http10-close", CLOSED, b"Connection: close"),
    _http10("http10-keep-alive", OPEN, b"Connection: keep-alive"),
    _http10("http10-keep-alive-capitals", OPEN, b"Connection: Keep-Alive"),
    _http10("http10-keep-alive-in-list", OPEN, b"Connection: foo, keep-alive"),
    _http10("http10-keep-alive-in-second-field", OPEN, b"Connection: foo", b"Connection: keep-alive"),
    _http10("http10-keep-alive-and-close", CLOSED, b"Connection: keep-alive, close"),
    _http10("http10-keep-alive-field-alone", CLOSED, b"Keep-Alive: timeout=5"),
    _http10("http10-proxy-connection", CLOSED, b"Proxy-Connection: keep-alive"),
    good(
        "http10-keep-alive-with-body",
        PERSISTENCE,
        request(b"POST / HTTP/1.0", b"Connection: keep-alive", b"Content-Length: 2") + b"ab",
        Seen("POST", version="1.0", body=b"ab"),
    ),
    good(
        "http10-keep-alive-head",
        PERSISTENCE,
        request(b"HEAD / HTTP/1.0", b"Connection: keep-alive"),
        Seen("HEAD", version="1.0"),
    ),
    good(
        "http10-then-http11",
        PERSISTENCE,
        request(b"GET / HTTP/1.0", b"Connection: keep-alive") + get(),
        Seen(version="1.0"),
        Seen(),
    ),
    # Nothing is upgraded to, so the request is an ordinary one, and so is what follows it.
    good(
        "upgrade-websocket",
        UPGRADE,
        get(b"Connection: Upgrade", b"Upgrade: websocket", *SOCKET),
        Seen(fields={b"upgrade": (b"websocket",)}),
    ),
    good(
        "upgrade-websocket-keep-alive",
        UPGRADE,
        get(b"Connection: keep-alive, Upgrade", b"Upgrade: websocket", *SOCKET),
        Seen(),
    ),
    good(
        "upgrade-websocket-and-close",
        UPGRADE,
        get(b"Connection: close, Upgrade", b"Upgrade: websocket", *SOCKET),
        Seen(),
        then=CLOSED,
    ),
    good(
        "upgrade-websocket-post",
        UPGRADE,
        post(b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 2", *SOCKET, body=b"ab"),
        Seen("POST", body=b"ab"),
    ),
    good(
        "upgrade-h2c",
        UPGRADE,
        get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
        Seen(fields={b"http2-settings": (b"AAMAAABk",)}),
    ),
    good(
        "upgrade-h2c-with-body",
        UPGRADE,
        post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 2", body=b"ab"),
        Seen("POST", body=b"ab"),
    ),
    good(
        "upgrade-chunked",
        UPGRADE,
        post(b"Connection: Upgrade", b"Upgrade: foo/1", b"Transfer-Encoding: chunked", body=b"2\r\nab\r\n0\r\n\r\n"),
        Seen("POST", body=b"ab"),
    ),
    good("upgrade-unknown", UPGRADE, get(b"Connection: Upgrade", b"Upgrade: foo/1, bar"), Seen()),
    good("upgrade-without-connection", UPGRADE, get(b"Upgrade: websocket", *SOCKET), Seen()),
    good("upgrade-connection-without-upgrade", UPGRADE, get(b"Connection: Upgrade"), Seen()),
    good(
        "upgrade-on-1.0",
        UPGRADE,
        request(b"GET / HTTP/1.0", b"Connection: Upgrade", b"Upgrade: websocket", *SOCKET),
        Seen(version="1.0"),
        then=CLOSED,
    ),
    good(
        "upgrade-then-pipelined",
        UPGRADE,
        get(b"Connection: Upgrade", b"Upgrade: websocket", *SOCKET) + get(),
        Seen(),
        Seen(),
    ),
]
