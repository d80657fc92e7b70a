"""The requests that every benchmark sends, and the plain ASGI application that answers them.

Used by ``inprocess.py`` (instruction counts) and ``loopback.py`` (real sockets), so that both measure the same work.
The application does as little as it can: what is measured is the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HOST = b"127.0.0.1:8000"
TEN_KIB = b"x" * 10240
ONE_KIB = bytes(range(256)) * 4
PIECE = b"a piece of a stream, one of ten\n" * 4
PIECES_COUNT = 10
_TEXT = [(b"content-type", b"text/plain; charset=utf-8")]
_HELLO = b"Hello, world!"

#: What Chrome sends for a page that it has a cookie for: fifteen fields.
BROWSER_FIELDS = (
    (b"Host", HOST),
    (b"Connection", b"keep-alive"),
    (b"Cache-Control", b"max-age=0"),
    (b"sec-ch-ua", b'"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"'),
    (b"sec-ch-ua-mobile", b"?0"),
    (b"sec-ch-ua-platform", b'"Linux"'),
    (b"Upgrade-Insecure-Requests", b"1"),
    (
        b"User-Agent",
        b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    (
        b"Accept",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    ),
    (b"Sec-Fetch-Site", b"none"),
    (b"Sec-Fetch-Mode", b"navigate"),
    (b"Sec-Fetch-Dest", b"document"),
    (b"Accept-Encoding", b"gzip, deflate, br, zstd"),
    (b"Accept-Language", b"en-GB,en;q=0.9,de;q=0.8"),
    (b"Cookie", b"session=5f2c6a1e9b7d4c3f8a0e; theme=dark"),
)


@dataclass(frozen=True)
class Case:
    """One kind of request.

    Attributes:
        name: as the command line and the tables call it.
        title: what it is, for the tables.
        request: all bytes of it.
        status: of the answer.
        body: of the answer, without its framing.
    """

    name: str
    title: str
    request: bytes
    status: int
    body: bytes


def _get(path: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path, HOST)


def _browser() -> bytes:
    lines = b"".join(b"%b: %b\r\n" % field for field in BROWSER_FIELDS)
    return b"GET /hello HTTP/1.1\r\n" + lines + b"\r\n"


def _post() -> bytes:
    head = b"POST /echo HTTP/1.1\r\nHost: %b\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
    return head % (HOST, len(ONE_KIB)) + ONE_KIB


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("hello", "GET, 13 bytes back", _get(b"/hello"), 200, _HELLO),
        Case("browser", "the same with the 15 fields of Chrome", _browser(), 200, _HELLO),
        Case("post", "POST of 1 KiB, echoed", _post(), 200, ONE_KIB),
        Case("large", "GET, 10 KiB back", _get(b"/large"), 200, TEN_KIB),
        Case("missing", "GET, 404", _get(b"/missing"), 404, b"Not Found"),
        Case("stream", "GET, 10 pieces of 128 bytes back", _get(b"/stream"), 200, PIECE * PIECES_COUNT),
    )
}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer every case; anything else is 404."""
    path = scope.get("path")
    if path == "/hello":
        await _answer(send, 200, _HELLO)
    elif path == "/echo":
        await _answer(send, 200, await _read_body(receive))
    elif path == "/large":
        await _answer(send, 200, TEN_KIB)
    elif path == "/stream":
        await _stream(send)
    elif scope["type"] == "lifespan":
        await _lifespan(receive, send)
    else:
        await _answer(send, 404, b"Not Found")


async def _answer(send: Any, status: int, body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*_TEXT, length]})
    await send({"type": "http.response.body", "body": body})


async def _read_body(receive: Any) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    return body


async def _stream(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _TEXT})
    for _ in range(PIECES_COUNT):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _lifespan(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
