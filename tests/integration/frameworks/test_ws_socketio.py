"""A python-socketio application and its own client: over a WebSocket alone, and with an upgrade from long polling."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import socketio
from served import PATIENCE_S, Served

LARGE_BYTES = 1_000_000


@pytest.fixture(params=("uvloop", "asyncio"), scope="module")
def loop(request: pytest.FixtureRequest) -> str:
    """The server's event loop."""
    name: str = request.param
    return name


@pytest.fixture
def server(serve: Callable[..., Served], loop: str) -> Served:
    """The application in that loop."""
    return serve("socketio_app:app", "--loop", loop)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run the client's side of a test, but not for ever."""
    asyncio.run(asyncio.wait_for(main, PATIENCE_S))


@asynccontextmanager
async def connect(server: Served, mark: str = "", **options: Any) -> AsyncIterator[socketio.AsyncClient]:
    """A client that is connected over a WebSocket, if the options do not say otherwise."""
    client = socketio.AsyncClient(reconnection=False)
    options = {"transports": ["websocket"], "wait_timeout": PATIENCE_S, **options}
    await client.connect(server.url, headers={"x-mark": mark}, **options)
    try:
        yield client
    finally:
        await client.disconnect()


def test_connection_over_a_websocket(server: Served) -> None:
    async def main() -> None:
        async with connect(server, "first") as client:
            facts = await client.call("facts")
            assert facts["transport"] == "websocket"
            assert facts["mark"] == "first"
            assert "transport=websocket" in facts["query"]

    run(main())


def test_events_with_answers(server: Served) -> None:
    async def main() -> None:
        async with connect(server) as client:
            for data in ("text ☃", {"list": [1, None, 2.5]}, b"binary \x00\xff", {"inside": [b"a", b"b"]}):
                assert await client.call("echo", data) == data
            numbers = await asyncio.gather(*[client.call("echo", number) for number in range(50)])
            assert numbers == list(range(50))

    run(main())


def test_large_binary(server: Served) -> None:
    data = random.Random(5).randbytes(LARGE_BYTES)

    async def main() -> None:
        async with connect(server) as client:
            assert await client.call("echo", data) == data

    run(main())


def test_rooms(server: Served) -> None:
    async def main() -> None:
        said: asyncio.Queue[str] = asyncio.Queue()
        async with connect(server) as speaker, connect(server) as listener:
            listener.on("said", said.put)
            await listener.call("join", "room")
            await speaker.call("join", "room")
            await speaker.emit("say", ("room", "hello"))
            assert await said.get() == "hello"

    run(main())


def test_namespaces_share_a_websocket(server: Served) -> None:
    async def main() -> None:
        async with connect(server, namespaces=["/", "/other"]) as client:
            assert await client.call("echo", 1) == 1
            assert await client.call("echo", 1, namespace="/other") == ["other", 1]

    run(main())


def test_refusal(server: Served) -> None:
    async def main() -> None:
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with connect(server, auth={"ticket": "forged"}):
                raise AssertionError

    run(main())


def test_server_disconnects(server: Served) -> None:
    async def main() -> None:
        async with connect(server) as client:
            gone = asyncio.Event()
            client.on("disconnect", lambda _reason: gone.set())
            await client.emit("leave")
            await gone.wait()

    run(main())


def test_server_sees_a_client_leave(server: Served) -> None:
    async def main() -> None:
        async with connect(server, "watcher") as watcher:
            # Clients of earlier tests have been seen off already, or are the first that are waited for.
            async with connect(server, "leaving") as client:
                await client.call("facts")
            while await watcher.call("wait_for_left") != "leaving":
                pass
            async with connect(server, "vanishing") as client:
                await client.call("facts")
                client.eio.ws._response.connection.transport.abort()
            while await watcher.call("wait_for_left") != "vanishing":
                pass

    run(main())


def test_upgrade_from_long_polling(server: Served) -> None:
    async def main() -> None:
        async with connect(server, "upgraded", transports=None) as client:
            assert client.transport() == "websocket"
            facts = await client.call("facts")
            assert facts["transport"] == "websocket"
            # The session was made by the first request, which was an ordinary one.
            assert "transport=polling" in facts["query"]
            assert await client.call("echo", b"binary") == b"binary"

    run(main())
