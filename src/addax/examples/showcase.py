"""The bundled example: ``addax addax.examples.showcase:app``. Plain ASGI 3, no framework; runs on any ASGI server.

========  ===================================================================================
path      what it shows
========  ===================================================================================
/         the request's scope as a page, and controls for the rest
/json     the same scope as JSON
/stream   a response in chunks: ``?chunks=10&delay=0.4`` (seconds between two)
/upload   a form; POST or PUT a file (form or plain body), answered with its size and SHA-256
/clock    Server-Sent Events: the time, until the client leaves or the server stops
/file     this file, sent by the server itself where it offers ``http.response.pathsend``
/echo     a WebSocket: every message comes back
========  ===================================================================================

The lifespan puts one ``Uptime`` into the state; every request finds it in ``scope["state"]``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from addax.examples.multipart import FirstFile, MultipartError, boundary_of
from addax.examples.pages import (
    HTML_HEADERS,
    describe_scope,
    layout,
    message_page,
    scope_rows,
    showcase_page,
    upload_page,
)

SOURCE = Path(__file__).resolve()
FILE_CHUNK_BYTES = 65536
JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"


class BadInput(Exception):
    """The client's fault; the message is shown to it with status 400."""


class ClientLeft(Exception):
    """The client went away before its request was complete."""


class Uptime:
    """What the lifespan keeps for all requests."""

    def __init__(self) -> None:
        self.started_at = time.monotonic()
        self.request_count = 0


class Request:
    """One HTTP request and the ways in which it can be answered."""

    def __init__(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.extensions: dict[str, Any] = scope.get("extensions") or {}
        #: None if the server was told to leave the lifespan out.
        self.uptime: Uptime | None = (scope.get("state") or {}).get("uptime")
        self.is_head: bool = scope["method"] == "HEAD"

    def header(self, name: bytes) -> str:
        """The value of the first field line of that lower-case name, or an empty text."""
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == name), "")

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """A number from the query string.

        Raises:
            BadInput: it is no number, or out of bounds.
        """
        text = dict(parse_qsl(self.scope["query_string"].decode("latin-1"))).get(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise BadInput(f"{name} must be a number from {least:g} to {most:g}")
        return value

    def wants_html(self) -> bool:
        """Whether a person in a browser asks, rather than a program."""
        return "text/html" in self.header(b"accept")

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of the response."""
        safe = [*headers, (b"x-content-type-options", b"nosniff")]
        await self.send({"type": "http.response.start", "status": status, "headers": safe})

    async def body(self, data: bytes, more: bool = True) -> None:
        """Send body bytes; nothing of them goes out in the answer to HEAD."""
        await self.send({"type": "http.response.body", "body": b"" if self.is_head else data, "more_body": more})

    async def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole response whose size is known."""
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.body(body, more=False)

    async def answer_json(self, value: object, status: int = 200) -> None:
        """Send a value as JSON."""
        body = json.dumps(value, indent=2, ensure_ascii=False).encode()
        await self.answer(status, [(b"content-type", JSON)], body + b"\n")

    async def answer_message(self, status: int, title: str, text: str, headers: list[tuple[bytes, bytes]]) -> None:
        """Send a short message: a page for a browser, JSON for a program."""
        if self.wants_html():
            await self.answer(status, [*HTML_HEADERS, *headers], message_page(self.scope, title, text))
        else:
            body = json.dumps({"error": title, "detail": text}).encode() + b"\n"
            await self.answer(status, [(b"content-type", JSON), *headers], body)


Handler = Callable[[Request], Awaitable[None]]


async def home(request: Request) -> None:
    """The page."""
    await request.answer(200, HTML_HEADERS, showcase_page(request.scope, facts(request)))


def facts(request: Request) -> list[str]:
    """A few words about this process, for the top of the page."""
    found = [f"Python {sys.version.split()[0]}", f"{type(asyncio.get_running_loop()).__module__} loop"]
    uptime = request.uptime
    if uptime is not None:
        found.append(f"{uptime.request_count} requests in {time.monotonic() - uptime.started_at:.0f} s")
    return found


async def show_json(request: Request) -> None:
    """The scope as JSON."""
    await request.answer_json({"now": datetime.now(timezone.utc).isoformat(), "scope": describe_scope(request.scope)})


async def stream(request: Request) -> None:
    """Count in chunks, one after another."""
    count = int(request.number("chunks", 10, 1, 1000))
    delay_s = request.number("delay", 0.4, 0, 5)
    await request.start(200, [(b"content-type", TEXT), (b"cache-control", b"no-store")])
    if not request.is_head:
        for number in range(1, count + 1):
            await request.body(b"chunk %d of %d\n" % (number, count))
            await asyncio.sleep(delay_s)
    await request.body(b"", more=False)


async def show_upload_form(request: Request) -> None:
    """The form alone."""
    await request.answer(200, HTML_HEADERS, upload_page(request.scope))


async def take_upload(request: Request) -> None:
    """Read a file of any size, keep none of it, and tell what it was."""
    content_type = request.header(b"content-type")
    form = FirstFile(boundary_of(content_type)) if content_type.lower().startswith("multipart/form-data") else None
    digest = hashlib.sha256()
    size = 0
    began_at = time.monotonic()
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        data = form.feed(chunk) if form else chunk
        digest.update(data)
        size += len(data)
    if form and not form.is_complete:
        raise BadInput("the form holds no complete file")
    result = {
        "name": form.file_name if form else None,
        "bytes": size,
        "sha256": digest.hexdigest(),
        "seconds": round(time.monotonic() - began_at, 3),
    }
    if request.wants_html():
        await request.answer(200, HTML_HEADERS, layout(request.scope, "Upload received", scope_rows(result)))
    else:
        await request.answer_json(result)


async def clock(request: Request) -> None:
    """Tell the time every second until the client leaves or the server stops."""
    interval_s = request.number("interval", 1, 0.05, 60)
    await request.start(200, [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")])
    if request.is_head:
        await request.body(b"", more=False)
        return
    notice = request.extensions.get("addax.shutdown")
    left = asyncio.ensure_future(wait_for_disconnect(request))
    stopping = asyncio.ensure_future(notice.wait()) if notice else asyncio.get_running_loop().create_future()
    try:
        while not left.done() and not stopping.done():
            now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
            await request.body(f"event: tick\ndata: {now}\n\n".encode())
            await asyncio.wait({left, stopping}, timeout=interval_s, return_when=asyncio.FIRST_COMPLETED)
        if not left.done():
            await request.body(b"event: bye\ndata: the server is stopping\n\n", more=False)
    finally:
        left.cancel()
        stopping.cancel()
        await asyncio.gather(left, stopping, return_exceptions=True)


async def wait_for_disconnect(request: Request) -> None:
    """Return when the client has gone; whatever it still sends is thrown away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def send_source(request: Request) -> None:
    """This file. The server reads it where it can, which spares this process the bytes."""
    size = (await asyncio.to_thread(SOURCE.stat)).st_size
    disposition = b'inline; filename="showcase.py"'
    head = [(b"content-type", TEXT), (b"content-length", b"%d" % size), (b"content-disposition", disposition)]
    await request.start(200, head)
    if request.is_head:
        await request.body(b"", more=False)
    elif "http.response.pathsend" in request.extensions:
        await request.send({"type": "http.response.pathsend", "path": str(SOURCE)})
    else:
        with await asyncio.to_thread(SOURCE.open, "rb") as file:
            while data := await asyncio.to_thread(file.read, FILE_CHUNK_BYTES):
                await request.body(data)
        await request.body(b"", more=False)


ROUTES: dict[str, dict[str, Handler]] = {
    "/": {"GET": home},
    "/json": {"GET": show_json},
    "/stream": {"GET": stream},
    "/upload": {"GET": show_upload_form, "POST": take_upload, "PUT": take_upload},
    "/clock": {"GET": clock},
    "/file": {"GET": send_source},
}


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """The ASGI 3 application."""
    if scope["type"] == "lifespan":
        await live(scope, receive, send)
    elif scope["type"] == "http":
        await respond(Request(scope, receive, send))
    elif scope["type"] == "websocket":
        await (echo if local_path(scope) == "/echo" else decline)(receive, send)
    else:
        raise NotImplementedError(f"scope type {scope['type']!r}")


def local_path(scope: Any) -> str:
    """The path below that which the application is mounted at."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"


async def echo(receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Accept a WebSocket and send every message back, until the client leaves or the server stops."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        kind = "bytes" if message.get("text") is None else "text"
        await send({"type": "websocket.send", kind: message[kind]})


async def decline(receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Answer the handshake 403: there is no WebSocket at this path."""
    await receive()
    await send({"type": "websocket.close", "code": 1000})


async def live(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Lifespan: what is made here is in every request's state."""
    await receive()
    scope.get("state", {})["uptime"] = Uptime()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def respond(request: Request) -> None:
    """Find who answers, and turn bad input into 400."""
    if request.uptime is not None:
        request.uptime.request_count += 1
    scope = request.scope
    methods = ROUTES.get(local_path(scope))
    if methods is None:
        await request.answer_message(404, "Not found", f"There is nothing at {scope['path']}", [])
        return
    allow = ", ".join(["HEAD", "OPTIONS", *methods]).encode()
    handler = methods.get("GET" if request.is_head else scope["method"])
    if scope["method"] == "OPTIONS":
        await request.start(204, [(b"allow", allow)])
        await request.body(b"", more=False)
    elif handler is None:
        await request.answer_message(405, "Method not allowed", "The field Allow says which are.", [(b"allow", allow)])
    else:
        try:
            await handler(request)
        except (BadInput, MultipartError) as error:
            await request.answer_message(400, "Bad request", str(error), [])
        except ClientLeft:
            return
