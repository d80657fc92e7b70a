"""WebSocket applications of the frameworks served to real clients: the same messages, the same answers."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from served import PATIENCE_S, Served
from ws_clients import ABNORMAL, CLIENTS, Closed, Connect, Refused, connect_httpx, connect_websockets

FRAMEWORKS = ("starlette", "fastapi", "channels", "litestar")
#: Of those, the ones that have a way to answer a handshake with a response of their own.
DENYING = ("starlette", "fastapi")
LARGE_BYTES = 1_000_000

Serve = Callable[..., Served]


@pytest.fixture(params=("uvloop", "asyncio"), scope="module")
def loop(request: pytest.FixtureRequest) -> str:
    """The server's event loop."""
    name: str = request.param
    return name


@pytest.fixture(params=FRAMEWORKS, scope="module")
def framework(request: pytest.FixtureRequest) -> str:
    """Each of the frameworks."""
    name: str = request.param
    return name


@pytest.fixture
def server(serve: Serve, framework: str, loop: str) -> Served:
    """The framework's application in that loop."""
    return serve(f"{framework}_ws_app:app", "--loop", loop)


@pytest.fixture(params=CLIENTS)
def connect(request: pytest.FixtureRequest) -> Connect:
    """How each of the clients connects."""
    return CLIENTS[request.param]


@pytest.fixture(params=[name for name in CLIENTS if name != "httpx"])
def compressing(request: pytest.FixtureRequest) -> Connect:
    """How those of the clients connect that know permessage-deflate."""
    return CLIENTS[request.param]


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run the client's side of a test, but not for ever."""
    asyncio.run(asyncio.wait_for(main, PATIENCE_S))


def has_left(server: Served) -> tuple[int, str]:
    """Wait until the application has seen the end of ``/watched``; return code and reason."""
    code, reason = httpx.get(f"{server.url}/left", timeout=PATIENCE_S).json()
    return code, reason or ""


# ---- messages


def test_text_and_binary(server: Served, connect: Connect) -> None:
    async def main() -> None:
        async with connect(f"{server.url}/echo") as client:
            assert client.subprotocol is None
            for data in ("text", "naïve ☃ 𝄞", "", b"binary \x00\xff", b""):
                await client.send(data)
                assert await client.receive() == data

    run(main())


def test_large_messages(server: Served, connect: Connect) -> None:
    binary = random.Random(3).randbytes(LARGE_BYTES)
    text = "0123456789abcdeß" * (LARGE_BYTES // 17)

    async def main() -> None:
        async with connect(f"{server.url}/echo") as client:
            for data in (binary, text):
                await client.send(data)
                assert await client.receive() == data

    run(main())


def test_json(server: Served, connect: Connect) -> None:
    async def main() -> None:
        async with connect(f"{server.url}/double") as client:
            for number in (1, 21, 2**60):
                await client.send(json.dumps({"once": number}))
                assert json.loads(await client.receive()) == {"twice": 2 * number}

    run(main())


def test_messages_that_nobody_asked_for(server: Served, connect: Connect) -> None:
    """They come together with the answer to the handshake, and the close frame behind them."""

    async def main() -> None:
        async with connect(f"{server.url}/push") as client:
            assert [await client.receive() for _ in range(3)] == ["piece 0", "piece 1", "piece 2"]
            with pytest.raises(Closed) as closed:
                await client.receive()
            assert closed.value.code == 1000

    run(main())


def test_many_messages_on_the_way(server: Served) -> None:
    messages = [f"message {number}" for number in range(500)]

    async def main() -> None:
        async with connect_websockets(f"{server.url}/echo") as client:
            await asyncio.gather(*map(client.send, messages))
            assert [await client.receive() for _ in messages] == messages

    run(main())


def test_many_clients_at_once(server: Served) -> None:
    async def talk(number: int) -> None:
        async with connect_websockets(f"{server.url}/echo") as client:
            for turn in range(3):
                await client.send(f"{number} {turn}")
                assert await client.receive() == f"{number} {turn}"

    async def main() -> None:
        await asyncio.gather(*map(talk, range(30)))

    run(main())


# ---- the handshake


def test_scope_and_answer(server: Served, connect: Connect, framework: str) -> None:
    async def main() -> None:
        fields = {"x-mark": "here", "cookie": "seen=yes; other=2"}
        async with connect(f"{server.url}/facts/r%C3%BCme?a=1&b=%C3%BC%20", headers=fields) as client:
            assert json.loads(await client.receive()) == {
                "room": "rüme",
                "query": {"a": "1", "b": "ü "},
                "cookies": {"seen": "yes", "other": "2"},
                "mark": "here",
                "scheme": "ws",
            }
            assert client.headers["x-served-by"] == framework
            assert client.headers["set-cookie"] == "seen=1"
            assert client.headers["server"] == "addax"
            assert "date" in client.headers

    run(main())


def test_subprotocol(server: Served, connect: Connect) -> None:
    async def main() -> None:
        async with connect(f"{server.url}/echo", subprotocols=["chat.v3", "chat.v2"]) as client:
            assert client.subprotocol == "chat.v2"
        async with connect(f"{server.url}/echo", subprotocols=["chat.v3"]) as client:
            assert client.subprotocol is None

    run(main())


def test_refusal(server: Served, connect: Connect) -> None:
    async def main() -> None:
        with pytest.raises(Refused) as refused:
            await connect(f"{server.url}/refuse").__aenter__()
        assert refused.value.status == 403

    run(main())
    server.wait_for('"WebSocket /refuse" 403')


@pytest.mark.parametrize("framework", DENYING, scope="module", indirect=True)
def test_denial_response(server: Served, connect: Connect) -> None:
    async def main() -> None:
        with pytest.raises(Refused) as refused:
            await connect(f"{server.url}/deny").__aenter__()
        assert refused.value.status == 401
        assert refused.value.headers["x-why"] == "no ticket"
        assert refused.value.body in (b"members only", None)

    run(main())
    server.wait_for('"WebSocket /deny" 401')


@pytest.mark.parametrize("framework", DENYING, scope="module", indirect=True)
def test_denial_response_has_a_body(server: Served) -> None:
    async def main() -> None:
        with pytest.raises(Refused) as refused:
            await connect_websockets(f"{server.url}/deny").__aenter__()
        assert refused.value.body == b"members only"

    run(main())


def test_log(server: Served) -> None:
    async def main() -> None:
        async with connect_websockets(f"{server.url}/echo?log=a%20b"):
            pass

    run(main())
    server.wait_for('"WebSocket /echo?log=a%20b" [accepted]')
    server.wait_for("connection open")
    server.wait_for("connection closed")


# ---- the end


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1000, "all said"), (1001, "going"), (3000, ""), (4999, "ü" * 61)]
)
def test_server_closes(server: Served, connect: Connect, code: int, reason: str) -> None:
    async def main() -> None:
        async with connect(f"{server.url}/close") as client:
            await client.send(f"{code} {reason}")
            with pytest.raises(Closed) as closed:
                await client.receive()
            assert (closed.value.code, closed.value.reason) == (code, reason)

    run(main())


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4001, "büy")])
def test_client_closes(server: Served, connect: Connect, code: int, reason: str) -> None:
    async def main() -> None:
        async with connect(f"{server.url}/watched") as client:
            await client.send("here")
            assert await client.receive() == "here"
            await client.close(code, reason)

    run(main())
    assert has_left(server) == (code, reason)


def test_client_vanishes(server: Served) -> None:
    async def main() -> None:
        async with connect_websockets(f"{server.url}/watched") as client:
            await client.send("here")
            assert await client.receive() == "here"
            client.connection.transport.abort()

    run(main())
    assert has_left(server)[0] == ABNORMAL


def test_exception_before_the_answer(server: Served, framework: str) -> None:
    async def main() -> None:
        with pytest.raises(Refused) as refused:
            await connect_websockets(f"{server.url}/fail?when=at-once").__aenter__()
        assert refused.value.status == (403 if framework == "litestar" else 500)

    run(main())
    if framework != "litestar":
        server.expect_error("RuntimeError: on purpose, at-once")


def test_exception_in_an_open_websocket(server: Served, connect: Connect, framework: str) -> None:
    async def main() -> None:
        async with connect(f"{server.url}/fail?when=later") as client:
            await client.send("now")
            with pytest.raises(Closed) as closed:
                await client.receive()
            # Litestar catches what its handlers raise, and closes with a code of its own.
            assert closed.value.code == (4500 if framework == "litestar" else 1011)
            assert "on purpose" not in closed.value.reason or framework == "litestar"

    run(main())
    if framework != "litestar":
        server.expect_error("RuntimeError: on purpose, later")


# ---- compression


def test_compression_is_negotiated(server: Served, compressing: Connect) -> None:
    async def main() -> None:
        async with compressing(f"{server.url}/echo", compress=True) as client:
            assert client.headers["sec-websocket-extensions"].startswith("permessage-deflate")
            for data in ("x" * LARGE_BYTES, "x" * LARGE_BYTES, random.Random(4).randbytes(100_000), "", b"end"):
                await client.send(data)
                assert await client.receive() == data

    run(main())


def test_compression_that_is_not_offered(server: Served, connect: Connect) -> None:
    async def main() -> None:
        async with connect(f"{server.url}/echo") as client:
            assert "sec-websocket-extensions" not in client.headers

    run(main())


@pytest.mark.parametrize("framework", ["starlette"], scope="module", indirect=True)
@pytest.mark.parametrize("loop", ["uvloop"], scope="module", indirect=True)
def test_compression_that_is_switched_off(serve: Serve, framework: str, loop: str, compressing: Connect) -> None:
    server = serve(f"{framework}_ws_app:app", "--loop", loop, "--ws-per-message-deflate", "false")

    async def main() -> None:
        async with compressing(f"{server.url}/echo", compress=True) as client:
            assert "sec-websocket-extensions" not in client.headers
            await client.send("plain")
            assert await client.receive() == "plain"

    run(main())


# ---- only some


@pytest.mark.parametrize("framework", ["channels"], scope="module", indirect=True)
def test_channels_group(server: Served) -> None:
    async def main() -> None:
        url = f"{server.url}/room"
        async with connect_websockets(url) as first, connect_websockets(url) as second:
            await first.send("hello")
            assert await first.receive() == "hello"
            assert await second.receive() == "hello"

    run(main())


def test_pings_are_answered(server: Served) -> None:
    async def main() -> None:
        async with connect_websockets(f"{server.url}/echo") as client:
            await (await client.connection.ping(b"p" * 125))
        async with connect_httpx(f"{server.url}/echo") as other:
            await (await other.session.ping()).wait()

    run(main())
