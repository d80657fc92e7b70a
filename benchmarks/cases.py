"""The requests that every benchmark sends, and the plain ASGI application that answers them.

Used in process and over real sockets, so that both measure the same work. The application does as little as it can:
what is measured is the server. What FastAPI answers is in ``fastapi_app.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

HOST = b"127.0.0.1:8000"
TEN_KIB = b"x" * 10240
ONE_KIB = bytes(range(256)) * 4
PIECE = b"a piece of a stream, one of ten\n" * 4
PIECES_COUNT = 10
#: The piece that large bodies are sent in.
BLOCK = b"b" * 65536
_TEXT = [(b"content-type", b"text/plain; charset=utf-8")]
_HELLO = b"Hello, world!"
#: What ``/json`` of ``fastapi_app.py`` answers with.
JSON = b'{"message":"Hello, world!","count":3}'

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
        request: all bytes of it; of the first one, where they differ.
        status: of the answer.
        body: of the answer, without its framing.
        vary: makes the n-th request where each differs from all others: bytes that come again flatter a cache.
    """

    name: str
    title: str
    request: bytes
    status: int
    body: bytes
    vary: Callable[[int], bytes] | None = None

    def requests(self, count: int) -> list[bytes]:
        """That many requests to send one after the other.

        Each is an object of its own, as those that a socket gives: an object met before has its hash at hand.
        """
        if self.vary is None:
            return [bytes(bytearray(self.request)) for _ in range(count)]
        return [self.vary(number) for number in range(count)]


def get(path: bytes, *fields: tuple[bytes, bytes]) -> bytes:
    """A request without a body."""
    lines = b"".join(b"%b: %b\r\n" % field for field in ((b"Host", HOST), *fields))
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (path, lines)


def post(path: bytes, body: bytes) -> bytes:
    """A request with a body of known length."""
    head = b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
    return head % (path, HOST, len(body)) + body


def _browser(path: bytes = b"/hello", session: bytes = b"5f2c6a1e9b7d4c3f8a0e") -> bytes:
    lines = b"".join(b"%b: %b\r\n" % field for field in BROWSER_FIELDS)
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (path, lines.replace(b"5f2c6a1e9b7d4c3f8a0e", session))


def _hello_number(number: int) -> bytes:
    return get(b"/hello?page=%06d" % number)


def _browser_number(number: int) -> bytes:
    # Nothing of the head comes again: another page, and another visitor.
    return _browser(b"/hello?page=%06d" % number, b"5f2c6a1e9b7d4c%06d" % number)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("hello", "GET, 13 bytes back", get(b"/hello"), 200, _HELLO),
        Case(
            "hello-varying",
            "the same, another query each time",
            _hello_number(0),
            200,
            _HELLO,
            _hello_number,
        ),
        Case("browser", "GET with the 15 fields of Chrome", _browser(), 200, _HELLO),
        Case(
            "browser-varying",
            "the same, another query and another cookie each time",
            _browser_number(0),
            200,
            _HELLO,
            _browser_number,
        ),
        Case("post", "POST of 1 KiB, echoed", post(b"/echo", ONE_KIB), 200, ONE_KIB),
        Case("large", "GET, 10 KiB back", get(b"/large"), 200, TEN_KIB),
        Case("missing", "GET, 404", get(b"/missing"), 404, b"Not Found"),
        Case("stream", "GET, 10 pieces of 128 bytes back", get(b"/stream"), 200, PIECE * PIECES_COUNT),
    )
}
#: Not over the connection of the one before, as the others are.
HELLO_CLOSE = Case(
    "hello-close", "GET, a connection for each request", get(b"/hello", (b"Connection", b"close")), 200, _HELLO
)
#: Sent over sockets only.
FASTAPI_JSON = Case("json", "FastAPI route, JSON back", get(b"/json"), 200, JSON)
ALL_CASES: dict[str, Case] = {**CASES, HELLO_CLOSE.name: HELLO_CLOSE, FASTAPI_JSON.name: FASTAPI_JSON}


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
    elif scope["type"] == "websocket":
        await (_broadcast if scope["path"].startswith("/socket/broadcast") else _echo_messages)(receive, send)
    elif path == "/bytes":
        await _send_bytes(send, int(scope["query_string"]))
    elif path == "/count":
        await _count_bytes(receive, send)
    else:
        await _answer(send, 404, b"Not Found")


async def _answer(send: Any, status: int, body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*_TEXT, length]})
    await send({"type": "http.response.body", "body": body})


async def _read_body(receive: Any) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _stream(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _TEXT})
    for _ in range(PIECES_COUNT):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_bytes(send: Any, size: int) -> None:
    """A body of any size, in the pieces that a file would be read in."""
    headers = [*_TEXT, (b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while size > len(BLOCK):
        await send({"type": "http.response.body", "body": BLOCK, "more_body": True})
        size -= len(BLOCK)
    await send({"type": "http.response.body", "body": BLOCK[:size]})


async def _count_bytes(receive: Any, send: Any) -> None:
    """Reads a body of any size and keeps nothing of it."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await _answer(send, 200, b"%d" % size)


async def _echo_messages(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})


#: The members of the one room there is.
_ROOM: dict[object, Any] = {}


async def _broadcast(receive: Any, send: Any) -> None:
    """What one says is sent to all, one after the other, as chat examples do it."""
    await receive()
    await send({"type": "websocket.accept"})
    key = object()
    _ROOM[key] = send
    try:
        while (message := await receive())["type"] == "websocket.receive":
            for member in tuple(_ROOM.values()):
                await member({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
    finally:
        del _ROOM[key]


async def _lifespan(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
