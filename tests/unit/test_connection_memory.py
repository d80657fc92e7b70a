"""What a connection was made of goes with its transport, at once: nothing is left to the collector of cycles."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from addax.asgi.state import ServerState
from addax.config import Config
from addax.core.registry import LOOPS, resolve
from addax.server.build import Assembly
from tests.parsers import USABLE_PARSERS

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1\r\nHost: a\r\n"
HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer, echo messages, or wait for the client to leave."""
    if scope["type"] == "websocket":
        await receive()
        if scope["path"] == "/refused":
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    while (message := await receive())["type"] == "http.request" and message["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    if scope["path"] == "/waits":
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.body", "body": b"ok"})


async def _read_until(reader: asyncio.StreamReader, end: bytes) -> None:
    await reader.readuntil(end)


async def kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in range(3):
        writer.write(b"GET / %b\r\n" % HEAD)
        await _read_until(reader, b"ok")


async def closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET / %bConnection: close\r\n\r\n" % HEAD)
    await reader.read()


async def body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"POST / %bTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" % HEAD)
    writer.write(b"0\r\n\r\n")
    await _read_until(reader, b"ok")


async def half_a_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"POST / %bContent-Length: 5\r\n\r\nabc" % HEAD)
    writer.write_eof()
    await reader.read()


async def half_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET / HTT")
    writer.write_eof()
    await reader.read()


async def refused(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\0\r\n\r\n")
    await reader.read()


async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /waits %b\r\n" % HEAD)
    await _read_until(reader, b"\r\n\r\no")


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write_eof()
    await reader.read()


async def websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HANDSHAKE + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    await _read_until(reader, b"\r\n\r\n")
    # A text frame of three letters, masked with zeros.
    writer.write(b"\x81\x83\0\0\0\0abc")
    await reader.readexactly(2)


async def websocket_refused(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HANDSHAKE.replace(b"/echo", b"/refused") + b"\r\n")
    await reader.read()


CLIENTS = [kept, closed, body, half_a_body, half_a_head, refused, waits, silent, websocket, websocket_refused]


@pytest.fixture(scope="module")
def _frozen() -> Iterator[None]:
    """What there is already is neither listed nor looked at again, which would take most of the time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def _uncollected(_frozen: None) -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def census() -> Counter[str]:
    """Objects of addax that there are, by class."""
    # Some classes of others have something else there than a name.
    names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    return Counter(name for name in names if name.startswith("addax."))


async def visit(loop: asyncio.AbstractEventLoop, client: Client, before: bytes, **options: Any) -> Counter[str]:
    """Connect twice; what the second connection has left behind."""
    config = Config(app, access_log=False, lifespan="off", log_level="critical", **options)
    config.load()
    state = ServerState()
    assembly = Assembly(config.settings(), config.loaded_app, state, {}, loop)
    server = await loop.create_server(assembly.make_protocol, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    found = []
    for _ in range(2):
        gone = asyncio.Event()
        state.on_quiet = lambda gone=gone: None if state.connections or state.active_requests else gone.set()
        reader, writer = await asyncio.open_connection(*address)
        writer.write(before)
        await client(reader, writer)
        writer.transport.abort()
        await asyncio.wait_for(gone.wait(), 30)
        # What has told of the end is still on its way back.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        found.append(census())
    server.close()
    assembly.close()
    return found[1] - found[0]


@pytest.mark.usefixtures("_uncollected")
@pytest.mark.parametrize("parser", USABLE_PARSERS)
@pytest.mark.parametrize("loop_name", list(LOOPS))
@pytest.mark.parametrize("before", [b"", b"PROXY TCP4 192.0.2.1 192.0.2.2 9 80\r\n"], ids=["", "proxied"])
@pytest.mark.parametrize("client", CLIENTS)
def test_nothing_of_a_connection_is_left(client: Client, before: bytes, loop_name: str, parser: str) -> None:
    loop = resolve("--loop", loop_name, LOOPS)[1]()
    try:
        left = loop.run_until_complete(visit(loop, client, before, http=parser, proxy_protocol=bool(before)))
    finally:
        loop.close()
    assert left == Counter()
