"""Stream against real sockets: what no fake transport would show."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from addax.asgi.service import Service
from addax.asgi.state import ServerState
from addax.core import clock
from addax.core.clock import NEVER
from addax.core.registry import LOOPS, PARSERS, resolve
from addax.core.settings import Http1Settings
from addax.http1.encode import DefaultFields
from addax.net import stream as module
from addax.net.stream import Stream
from addax.net.timers import Wheel

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Bench:
    """A listening socket with Streams behind it, in one loop with the client."""

    def __init__(self, app: Any, settings: Http1Settings, family: int, path: Path) -> None:
        self.loop = asyncio.get_running_loop()
        self.wheel = Wheel(self.loop)
        self.state = ServerState()
        parser = resolve("--http", "auto", PARSERS)[1]
        self.service = Service(app, settings, self.loop, parser, self.state)
        self._defaults = DefaultFields(settings)
        self._family = family
        self._path = path
        self.streams: list[Stream] = []

    def _make(self) -> Stream:
        self.streams.append(Stream(self.service, self._defaults, self.wheel))
        return self.streams[-1]

    async def __aenter__(self) -> Bench:
        if self._family == socket.AF_INET:
            self._server = await self.loop.create_server(self._make, "127.0.0.1", 0)
        else:
            self._server = await self.loop.create_unix_server(self._make, str(self._path))
        return self

    async def __aexit__(self, *args: object) -> None:
        self._server.close()
        self.wheel.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._family == socket.AF_INET:
            return await asyncio.open_connection(*self._server.sockets[0].getsockname()[:2])
        return await asyncio.open_unix_connection(str(self._path))


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so; the bench has a time limit for the whole test."""
    while not condition():  # noqa: ASYNC110  # the other end is a socket, not an event
        await asyncio.sleep(0.001)


@pytest.fixture(params=list(LOOPS))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    factory = resolve("--loop", request.param, LOOPS)[1]

    def run(
        app: Any,
        test: Callable[[Bench], Awaitable[None]],
        settings: Http1Settings | None = None,
        family: int = socket.AF_INET,
    ) -> None:
        async def main() -> None:
            async with Bench(app, settings or Http1Settings(), family, tmp_path / "socket") as made:
                await test(made)

        loop = factory()
        try:
            loop.run_until_complete(asyncio.wait_for(main(), 30))
        finally:
            loop.close()

    return run


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr((scope["client"], scope["server"])).encode()})


async def read_all(reader: asyncio.StreamReader) -> bytes:
    return await reader.read()


def test_addresses_of_tcp(bench: Any):
    async def test(made: Bench) -> None:
        reader, writer = await made.connect()
        own, peer = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        writer.write(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await read_all(reader)).endswith(repr((tuple(own), tuple(peer))).encode())
        writer.close()
        await until(lambda: not made.state.connections)

    bench(hello, test)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="Unix sockets are what is tested")
def test_addresses_of_a_unix_socket(bench: Any, tmp_path: Path):
    async def test(made: Bench) -> None:
        reader, writer = await made.connect()
        writer.write(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await read_all(reader)).endswith(repr((None, (str(tmp_path / "socket"), None))).encode())
        writer.close()

    bench(hello, test, family=socket.AF_UNIX)


def test_an_error_can_be_read_while_the_client_still_sends(bench: Any):
    async def test(made: Bench) -> None:
        reader, writer = await made.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
        for _ in range(200):
            writer.write(b"x" * 65536)
            await writer.drain()
        answer = await read_all(reader)
        assert answer.startswith(b"HTTP/1.1 413 ")
        writer.close()
        await until(lambda: not made.state.connections)

    bench(hello, test, Http1Settings(body_max_bytes=1000))


def test_lingering_ends_by_itself(bench: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LINGER_SILENCE_S", 0.01)

    async def test(made: Bench) -> None:
        reader, writer = await made.connect()
        writer.write(b"garbage\r\n\r\n")
        assert (await read_all(reader)).startswith(b"HTTP/1.1 400 ")
        await until(lambda: not made.state.connections)
        writer.close()

    bench(hello, test)


def test_bytes_postpone_the_end_of_lingering_up_to_a_bound(bench: Any):
    async def test(made: Bench) -> None:
        reader, writer = await made.connect()
        writer.write(b"garbage\r\n\r\n")
        await read_all(reader)
        (stream,) = made.streams
        stream.deadline = 0.0
        stream.data_received(b"more")
        assert stream.deadline != NEVER
        assert stream.deadline > clock.now()
        stream._linger_until = 1.0
        stream.data_received(b"more")
        assert stream.deadline == 1.0
        writer.close()
        await until(lambda: not made.state.connections)

    bench(hello, test)


def test_a_file_is_sent_whole_to_a_slow_reader(bench: Any, tmp_path: Path):
    path = tmp_path / "file"
    content = bytes(range(256)) * 8192
    path.write_bytes(content)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": str(path)})

    async def test(made: Bench) -> None:
        reader, writer = await made.connect()
        writer.write(REQUEST + REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = await read_all(reader)
        assert answer.count(content) == 2
        assert answer.count(b"content-length: %d\r\n" % len(content)) == 2
        writer.close()

    bench(app, test)


def test_a_client_that_leaves_during_a_file_is_noticed(bench: Any, tmp_path: Path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await send({"type": "http.response.pathsend", "path": str(path)})
        except OSError as error:
            errors.append(error)
            raise

    async def test(made: Bench) -> None:
        reader, writer = await made.connect()
        writer.write(REQUEST)
        await reader.read(1000)
        writer.transport.abort()
        await until(lambda: bool(errors) and made.state.active_requests == 0)
        await until(lambda: not made.state.connections)

    bench(app, test)


def test_a_client_that_takes_nothing_is_cut_off(bench: Any):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})

    async def test(made: Bench) -> None:
        _, writer = await made.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(REQUEST)
        await until(lambda: bool(made.streams) and made.streams[0].write_buffer_size() > 65536)
        await until(lambda: made.state.active_requests == 0)
        await until(lambda: not made.state.connections)
        writer.transport.abort()

    bench(app, test, Http1Settings(write_timeout_s=0.3))


def test_a_close_does_not_wait_for_ever_for_a_client_that_takes_nothing(bench: Any):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b"x" * 30_000_000})

    async def test(made: Bench) -> None:
        _, writer = await made.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(REQUEST)
        await until(lambda: made.state.total_requests == 1)
        await until(lambda: not made.state.connections)
        writer.transport.abort()

    bench(app, test, Http1Settings(write_timeout_s=0.3))


def test_silence_is_bounded_before_the_first_byte_and_between_requests(bench: Any):
    settings = Http1Settings(head_timeout_s=0.3, keep_alive_timeout_s=0.3)

    async def test(made: Bench) -> None:
        reader, writer = await made.connect()
        assert await read_all(reader) == b""
        writer.close()
        reader, writer = await made.connect()
        writer.write(b"GET / HT")
        assert (await read_all(reader)).startswith(b"HTTP/1.1 408 ")
        writer.close()
        reader, writer = await made.connect()
        writer.write(REQUEST)
        answer = await read_all(reader)
        assert answer.count(b"HTTP/1.1") == 1
        writer.close()

    bench(hello, test, settings)


def test_an_abrupt_reset_is_quiet(bench: Any, caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def test(made: Bench) -> None:
        _, writer = await made.connect()
        writer.write(REQUEST)
        await until(lambda: made.state.active_requests == 1)
        writer.transport.abort()
        await until(lambda: made.state.active_requests == 0)
        await until(lambda: not made.state.connections)

    bench(app, test)
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []
