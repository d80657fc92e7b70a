"""A worker leaves connections to others that have fewer. Real sockets and loops; the other workers are numbers."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from addax.asgi.state import ServerState
from addax.core.load_table import LoadTable, create_table
from addax.core.registry import LOOPS, resolve
from addax.server import balancing
from addax.server.balancing import SLACK_COUNT, Balance

PATIENCE_S = 10.0


class Stage:
    """A listening socket, a worker of number 1, and a table."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        fd = create_table()
        self.table = LoadTable(fd)
        os.close(fd)
        self.state = ServerState()
        self.balance = Balance(self.table, 1, self.state)
        self.server: asyncio.AbstractServer | None = None
        self.news = asyncio.Event()
        self.clients: list[socket.socket] = []

    async def open(self) -> None:
        self.server = await self.balance.open_server(lambda: Connection(self), self.sock, 100)

    def connect(self) -> None:
        self.clients.append(socket.create_connection(self.sock.getsockname()))

    async def until(self, count: int) -> None:
        while len(self.state.connections) < count:
            await asyncio.wait_for(self.news.wait(), PATIENCE_S)
            self.news.clear()

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server.close()
        for client in self.clients:
            client.close()
        for connection in list(self.state.connections):
            connection.transport.abort()
        self.sock.close()


class Connection(asyncio.Protocol):
    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.stage.state.connections.add(self)
        self.stage.news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stage.state.connections.discard(self)


@pytest.fixture(params=sorted(LOOPS))
def play(request: pytest.FixtureRequest) -> Callable[[Callable[[Stage], Coroutine[Any, Any, None]]], None]:
    def play(scene: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            stage = Stage()
            try:
                await stage.open()
                await asyncio.wait_for(scene(stage), 2 * PATIENCE_S)
            finally:
                stage.close()
                # The loop gives transports of closed connections back.
                for _ in range(5):
                    await asyncio.sleep(0)

        loop = resolve("--loop", request.param, LOOPS)[1]()
        loop.run_until_complete(main())
        loop.close()

    return play


def test_worker_alone_takes_everything_and_says_how_much(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        for _ in range(20):
            stage.connect()
        await stage.until(20)
        assert stage.table.others(2) == [20]
        assert stage.server is not None
        assert stage.server.is_serving()
        assert stage.server.sockets[0] is stage.sock  # type: ignore[attr-defined]

    play(scene)


def test_worker_with_more_than_another_leaves_the_next_ones_to_it(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # For ever, as far as this test is concerned.
    monkeypatch.setattr(balancing, "PAUSE_S", 1000.0)

    async def scene(stage: Stage) -> None:
        stage.table.note(2, 0)
        for count in range(1, SLACK_COUNT + 2):
            stage.connect()
            await stage.until(count)
        for _ in range(5):
            await asyncio.sleep(0)
        stage.connect()
        # Somebody else takes it.
        taken = await asyncio.get_running_loop().sock_accept(stage.sock)
        taken[0].close()
        assert len(stage.state.connections) == SLACK_COUNT + 1

    play(scene)


def test_what_nobody_else_takes_is_taken(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balancing, "PAUSE_S", 0.001)

    async def scene(stage: Stage) -> None:
        stage.table.note(2, 0)
        for _ in range(40):
            stage.connect()
        await stage.until(40)

    play(scene)


def test_workers_that_are_gone_are_not_waited_for(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balancing, "PAUSE_S", 1000.0)

    async def scene(stage: Stage) -> None:
        stage.table.note(2, 0)
        stage.table.forget(2)
        for _ in range(20):
            stage.connect()
        await stage.until(20)

    play(scene)


def test_nothing_is_accepted_after_the_close_not_even_by_a_pause_that_ends(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balancing, "PAUSE_S", 0.0)

    async def scene(stage: Stage) -> None:
        stage.table.note(2, 0)
        for _ in range(SLACK_COUNT + 1):
            stage.connect()
        await stage.until(SLACK_COUNT + 1)
        assert stage.server is not None
        stage.server.close()
        await stage.server.wait_closed()
        stage.connect()
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(stage.state.connections) == SLACK_COUNT + 1
        assert not stage.server.is_serving()
        stage.balance.note()

    play(scene)


def test_without_descriptors_connections_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(balancing, "_RETRY_S", 0.0)

    class Exhausted(socket.socket):
        troubles = 1

        def accept(self) -> Any:
            if self.troubles:
                self.troubles -= 1
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return super().accept()

    async def main() -> None:
        stage = Stage()
        try:
            stage.sock = Exhausted(fileno=stage.sock.detach())
            await stage.open()
            stage.connect()
            await stage.until(1)
        finally:
            stage.close()
            for _ in range(5):
                await asyncio.sleep(0)

    loop = asyncio.SelectorEventLoop()
    loop.run_until_complete(main())
    loop.close()
    assert "Cannot accept connections: Too many open files" in caplog.text
