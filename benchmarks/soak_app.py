"""The application that ``soak.py`` has served, and what it can tell about the server that it runs in."""

from __future__ import annotations

import asyncio
import gc
import json
import zlib
from typing import Any
from urllib.parse import parse_qsl

PIECE = bytes(range(256)) * 64


def piece_count(size: int) -> int:
    """How many pieces ``/large`` sends for a size."""
    return -(-size // len(PIECE))


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Dispatch by path."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    query = {name: int(value) for name, value in parse_qsl(scope["query_string"].decode("ascii"))}
    await ROUTES.get(scope["path"], missing)(query, receive, send)


async def _lifespan(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Any) -> Any:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise OSError("the client left in the middle of its body")
        yield message["body"]
        if not message["more_body"]:
            return


async def hello(query: dict[str, int], _receive: Any, send: Any) -> None:
    """Answer at once."""
    await _answer(send, 200, b"hello %d" % query.get("n", 0))


async def wait(query: dict[str, int], _receive: Any, send: Any) -> None:
    """Answer after ``ms`` milliseconds."""
    await asyncio.sleep(query["ms"] / 1000)
    await _answer(send, 200, b"waited")


async def upload(_query: dict[str, int], receive: Any, send: Any) -> None:
    """Answer with the size and the checksum of the body."""
    size = checksum = 0
    try:
        async for chunk in _body(receive):
            size += len(chunk)
            checksum = zlib.crc32(chunk, checksum)
    except OSError:
        return
    await _answer(send, 200, b"%d %d" % (size, checksum))


async def stream(query: dict[str, int], _receive: Any, send: Any) -> None:
    """Send ``n`` numbered lines, without a length, giving way to others in between."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(query["n"]):
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"line %d\n" % number, "more_body": True})
    await send({"type": "http.response.body"})


async def large(query: dict[str, int], _receive: Any, send: Any) -> None:
    """Send ``n`` bytes or a little more, as fast as the client takes them."""
    count = piece_count(query["n"])
    headers = [(b"content-length", b"%d" % (count * len(PIECE)))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(count):
        await send({"type": "http.response.body", "body": PIECE, "more_body": number < count - 1})


async def endless(_query: dict[str, int], _receive: Any, send: Any) -> None:
    """Send until the client leaves."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
        await asyncio.sleep(0.005)


async def stats(_query: dict[str, int], _receive: Any, send: Any) -> None:
    """What is alive in this process, after everything that is not was collected."""
    from addax.asgi.state import ServerState  # the clients import this module without addax

    gc.collect()
    (state,) = [thing for thing in gc.get_objects() if type(thing) is ServerState]
    numbers = {
        "asyncio_tasks": len(asyncio.all_tasks()),
        "connections": len(state.connections),
        "application_tasks": len(state.tasks),
        "active_requests": state.active_requests,
        "total_requests": state.total_requests,
        "objects": len(gc.get_objects()),
    }
    await _answer(send, 200, json.dumps(numbers).encode())


async def missing(_query: dict[str, int], _receive: Any, send: Any) -> None:
    """Answer every other path."""
    await _answer(send, 404, b"missing")


ROUTES: dict[str, Any] = {
    "/hello": hello,
    "/wait": wait,
    "/upload": upload,
    "/stream": stream,
    "/large": large,
    "/endless": endless,
    "/stats": stats,
}
