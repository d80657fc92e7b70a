"""Stream over a transport that can be in every state: what sockets do seldom or only on some platforms."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from addax.asgi.service import Service
from addax.asgi.state import ServerState
from addax.core import clock
from addax.core.clock import NEVER
from addax.core.errors import LocalProtocolError
from addax.core.settings import Http1Settings
from addax.core.wire import Peer
from addax.http1.encode import DefaultFields
from addax.http1.h11 import H11Parser
from addax.net import stream as module
from addax.net.stream import Stream
from addax.net.timers import Wheel

NOW = 1000.0


class FakeTransport:
    """Notes what it is told; ``info`` is what ``get_extra_info`` knows."""

    def __init__(self, **info: Any) -> None:
        self.info = info
        self.calls: list[str] = []
        self.written = b""
        self.can_half_close = True
        self.is_reset = False
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        self.written += data

    def get_extra_info(self, name: str) -> Any:
        return self.info.get(name)

    def set_write_buffer_limits(self, high: int) -> None:
        self.calls.append(f"limit {high}")

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return bool({"close", "abort"} & set(self.calls))

    def can_write_eof(self) -> bool:
        return self.can_half_close

    def write_eof(self) -> None:
        if self.is_reset:
            raise OSError("Transport endpoint is not connected")
        self.calls.append("write_eof")

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")


class FakeConnection:
    """Fills ``core.wire.Connection``: notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def connected(self, host: Any, peer: Peer) -> None:
        self.calls.append(("connected", host, peer))

    def receive_data(self, data: bytes) -> None:
        self.calls.append(data)

    def receive_eof(self) -> bool:
        self.calls.append("eof")
        return True

    def lost(self, error: Exception | None) -> None:
        self.calls.append(("lost", error))

    def write_paused(self) -> None:
        self.calls.append("write_paused")

    def write_resumed(self) -> None:
        self.calls.append("write_resumed")

    def deadline_reached(self) -> None:
        self.calls.append("deadline_reached")

    def start_draining(self, rest_s: float | None = None) -> None:
        self.calls.append("start_draining")

    def notify_disconnect(self) -> None:
        self.calls.append("notify_disconnect")


class Bench:
    """A Stream between a FakeTransport and a FakeConnection, at a time that stands still."""

    def __init__(self, write_timeout_s: float, **info: Any) -> None:
        loop = asyncio.get_running_loop()
        self.state = ServerState()
        settings = Http1Settings(write_timeout_s=write_timeout_s)
        service = Service(_never, settings, loop, H11Parser, self.state)
        self.wheel = Wheel(loop)
        self.stream = Stream(service, DefaultFields(settings), self.wheel)
        self.transport = FakeTransport(**info)
        self.stream.connection_made(self.transport)  # type: ignore[arg-type]
        self.connection = FakeConnection()
        self.stream.replace(self.connection, b"")
        (_, _, self.peer) = self.connection.calls.pop()
        self.transport.calls.clear()

    @property
    def deadline_s(self) -> float | None:
        """How far away the deadline is."""
        return None if self.stream.deadline == NEVER else self.stream.deadline - NOW


async def _never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nothing is requested here")


@pytest.fixture(autouse=True)
def _frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


def play(test: Callable[[Bench], Awaitable[None] | None], write_timeout_s: float = 60.0, **info: Any) -> Bench:
    async def main() -> Bench:
        bench = Bench(write_timeout_s, **info)
        result = test(bench)
        if result is not None:
            await result
        bench.wheel.close()
        return bench

    return asyncio.run(main())


# Addresses.


@pytest.mark.parametrize(
    ("info", "peer"),
    [
        ({}, Peer(None, None, "http")),
        ({"sockname": ("::1", 80, 0, 0), "peername": ("::2", 9, 0, 0)}, Peer(("::2", 9), ("::1", 80), "http")),
        (
            {"sockname": ("::ffff:127.0.0.1", 80, 0, 0), "peername": ("::ffff:10.0.0.1", 9, 0, 0)},
            Peer(("10.0.0.1", 9), ("127.0.0.1", 80), "http"),
        ),
        (
            {"sockname": ("::ffff:0:1", 80), "peername": ("::ffff:7", 9)},
            Peer(("::ffff:7", 9), ("::ffff:0:1", 80), "http"),
        ),
        ({"sockname": (3, 80), "peername": (2, 9)}, Peer(("2", 9), ("3", 80), "http")),
        ({"sockname": "", "peername": b"\0abstract"}, Peer(None, None, "http")),
    ],
)
def test_peer_of_a_transport_is_what_it_knows(info: dict[str, Any], peer: Peer) -> None:
    assert play(lambda bench: None, **info).peer == peer


@pytest.mark.parametrize(
    ("name", "server"), [("/run/a", ("/run/a", None)), (b"\0a\xff", ("\0a\udcff", None)), ("", None)]
)
def test_peer_on_a_unix_socket_is_its_path(name: Any, server: Any) -> None:
    class Socket:
        family = getattr(socket, "AF_UNIX", None)

    assert play(lambda bench: None, sockname=name, peername="", socket=Socket()).peer == Peer(None, server, "http")


# Handing over.


def test_replace_gives_the_other_protocol_the_rest_and_all_that_follows() -> None:
    def test(bench: Bench) -> None:
        other = FakeConnection()
        bench.stream.replace(other, b"rest")
        bench.stream.data_received(b"more")
        bench.stream.connection_lost(None)
        assert other.calls == [("connected", bench.stream, bench.peer), b"rest", b"more", ("lost", None)]
        assert bench.transport.protocol is bench.stream
        assert bench.connection.calls == []
        assert bench.state.connections == set()

    play(test)


# Writing and closing.


def test_after_a_close_nothing_is_written_and_nothing_is_told() -> None:
    def test(bench: Bench) -> None:
        stream = bench.stream
        stream.write(b"last")
        stream.close()
        stream.close()
        stream.linger()
        stream.write(b"late")
        stream.pause_writing()
        stream.resume_writing()
        stream.notify_disconnect()
        stream.start_draining()
        stream.set_deadline(NOW + 1)
        assert bench.transport.written == b"last"
        assert bench.transport.calls == ["close"]
        assert bench.connection.calls == []
        assert bench.deadline_s == 60.0

    play(test)


def test_a_close_that_is_not_taken_in_time_becomes_an_abort() -> None:
    def test(bench: Bench) -> None:
        bench.stream.close()
        bench.stream.deadline_reached()
        assert bench.transport.calls == ["close", "abort"]

    play(test)


def test_while_open_the_connection_is_told() -> None:
    def test(bench: Bench) -> None:
        bench.stream.pause_writing()
        bench.stream.resume_writing()
        bench.stream.start_draining()
        bench.stream.notify_disconnect()
        bench.stream.deadline_reached()
        assert bench.stream.eof_received()
        assert bench.connection.calls == [
            "write_paused",
            "write_resumed",
            "start_draining",
            "notify_disconnect",
            "deadline_reached",
            "eof",
        ]

    play(test)


def test_reading_is_paused_and_resumed_once() -> None:
    def test(bench: Bench) -> None:
        for _ in range(2):
            bench.stream.pause_reading()
        for _ in range(2):
            bench.stream.resume_reading()
        assert bench.transport.calls == ["pause_reading", "resume_reading"]
        bench.stream.abort()
        bench.stream.pause_reading()
        bench.stream.resume_reading()
        assert bench.transport.calls == ["pause_reading", "resume_reading", "abort"]

    play(test)


def test_a_later_deadline_is_only_noted_and_an_earlier_one_is_put_into_the_wheel() -> None:
    def test(bench: Bench) -> None:
        bench.stream.set_deadline(NOW + 5)
        looked_at = bench.stream.looked_at
        assert looked_at != NEVER
        bench.stream.set_deadline(NOW + 9)
        assert (bench.deadline_s, bench.stream.looked_at) == (9.0, looked_at)
        bench.stream.set_deadline(NEVER)
        assert (bench.deadline_s, bench.stream.looked_at) == (None, looked_at)
        bench.stream.set_deadline(NOW + 1)
        assert bench.deadline_s == 1.0
        assert bench.stream.looked_at < looked_at

    play(test)


# Lingering.


def test_lingering_stops_sending_goes_on_reading_and_ends_in_a_close() -> None:
    def test(bench: Bench) -> None:
        stream = bench.stream
        stream.pause_reading()
        stream.linger()
        assert bench.transport.calls == ["pause_reading", "resume_reading", "write_eof"]
        assert bench.deadline_s == module.LINGER_SILENCE_S
        stream.deadline_reached()
        assert bench.transport.calls[-1] == "close"
        assert bench.deadline_s == 60.0
        stream.discarded()
        assert bench.deadline_s == 60.0, "the bound of a close is not postponed"
        stream.deadline_reached()
        assert bench.transport.calls[-1] == "abort"

    play(test)


def test_lingering_ends_with_the_end_of_what_the_peer_sends() -> None:
    def test(bench: Bench) -> None:
        bench.stream.linger()
        assert not bench.stream.eof_received()
        assert bench.transport.calls == ["write_eof", "close"]
        assert bench.connection.calls == []

    play(test)


def test_lingering_is_short_when_the_worker_stops() -> None:
    def test(bench: Bench) -> None:
        bench.stream.linger()
        bench.stream.start_draining()
        assert bench.deadline_s == module.LINGER_DRAIN_S
        bench.stream.discarded()
        assert bench.deadline_s == module.LINGER_DRAIN_S, "bytes do not postpone it"
        assert bench.connection.calls == []

    play(test)


def test_lingering_is_a_close_where_the_peer_has_ended_already() -> None:
    def test(bench: Bench) -> None:
        bench.stream.eof_received()
        bench.stream.linger()
        assert bench.transport.calls == ["close"]

    play(test)


def test_lingering_is_a_close_where_half_of_a_connection_cannot_be_closed() -> None:
    def test(bench: Bench) -> None:
        bench.transport.can_half_close = False
        bench.stream.linger()
        assert bench.transport.calls == ["close"]

    play(test)


def test_lingering_is_an_abort_where_the_peer_has_reset_the_connection() -> None:
    def test(bench: Bench) -> None:
        bench.transport.is_reset = True
        bench.stream.linger()
        assert bench.transport.calls == ["abort"]

    play(test)


# Files.


class Sendfile:
    """Stands in for the loop's ``sendfile``; each call does what is next in the plan."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *plan: int | Exception | None) -> None:
        self.plan = list(plan)
        self.calls: list[tuple[int, int]] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "sendfile", self, raising=False)

    async def __call__(self, transport: Any, file: Any, offset: int, count: int, *, fallback: bool) -> int:
        assert not fallback
        self.calls.append((offset, count))
        step = self.plan.pop(0)
        if step is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, int)
        return step


PIECE = module.SENDFILE_PIECE_BYTES


def send(bench: Bench, count: int) -> Awaitable[bool]:
    return bench.stream.send_file(io.BytesIO(), 3, count)


def test_a_file_goes_in_pieces_and_on_where_the_kernel_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(bench: Bench) -> None:
        sendfile = Sendfile(monkeypatch, PIECE, 5, 5)
        assert await send(bench, PIECE + 10)
        assert sendfile.calls == [(3, PIECE), (3 + PIECE, 10), (8 + PIECE, 5)]

    play(test)


@pytest.mark.parametrize("error", [NotImplementedError(), asyncio.SendfileNotAvailableError()])
def test_a_loop_without_sendfile_says_so_before_the_first_byte(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(bench: Bench) -> None:
        Sendfile(monkeypatch, error)
        assert not await send(bench, 10)

    play(test)


@pytest.mark.parametrize("error", [NotImplementedError(), asyncio.SendfileNotAvailableError()])
def test_sendfile_that_has_worked_and_fails_is_a_connection_that_broke(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(bench: Bench) -> None:
        Sendfile(monkeypatch, 4, error)
        with pytest.raises(ConnectionResetError):
            await send(bench, 10)

    play(test)


def test_a_client_that_takes_nothing_of_a_file_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(bench: Bench) -> None:
        Sendfile(monkeypatch, None)
        assert await send(bench, 10)
        assert bench.transport.calls == ["abort"]

    play(test, write_timeout_s=0.001)


def test_a_transport_that_closes_during_a_file_is_no_error_of_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(bench: Bench) -> None:
        Sendfile(monkeypatch, RuntimeError("Transport is closing"))
        bench.stream.close()
        assert await send(bench, 10)

    play(test)


def test_another_error_of_the_loop_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(bench: Bench) -> None:
        Sendfile(monkeypatch, RuntimeError("a bug"))
        with pytest.raises(RuntimeError, match="a bug"):
            await send(bench, 10)

    play(test)


def test_a_file_that_became_shorter_is_the_applications_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(bench: Bench) -> None:
        Sendfile(monkeypatch, 4, 0)
        with pytest.raises(LocalProtocolError, match="shorter"):
            await send(bench, 10)

    play(test)
