"""How a WebSocket ends: by the client, the application, the server, time, or the wire."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from addax import testing
from addax.core.errors import ClientDisconnected, LocalProtocolError
from addax.core.settings import WebSocketSettings
from addax.websocket import heap
from addax.websocket.connection import REST_S

from .conftest import Connect, ErrorLog, FakeClock
from .sockets import ACCEPT_MESSAGE, CLOSE, PING, PONG, App, Frame, Socket, close, disconnect, echo, frame, text

SEND: dict[str, Any] = {"type": "websocket.send", "text": "x"}


def close_message(code: int | None = None, reason: str | None = None) -> dict[str, Any]:
    fields = {"code": code, "reason": reason}
    return {"type": "websocket.close", **{name: value for name, value in fields.items() if value is not None}}


@pytest.mark.parametrize(
    ("sent", "received", "answered"),
    [
        (close(1000), (1000, ""), 1000),
        (close(1001, "gone"), (1001, "gone"), 1001),
        (close(4999, "grüß"), (4999, "grüß"), 4999),
        (close(None), (1005, ""), None),
    ],
)
def test_client_closes(
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    sent: bytes,
    received: tuple[int, str],
    answered: int | None,
) -> None:
    async def scenario() -> None:
        app = echo()
        socket = Socket(connect(app))
        await socket.open()
        await socket.send(text("x"))
        await socket.send(sent, text("behind it"))
        first, last = socket.frames()
        assert first.payload == b"x"
        assert (last.opcode, last.code, last.reason) == (CLOSE, answered, received[1])
        assert app.received[-1] == disconnect(*received)
        assert len(app.received) == 3
        assert socket.host.ending == "close"
        await testing.settle()
        assert socket.client.service.state.websockets.closes == {received[0]: 1}

    caplog.set_level("INFO", "addax.error")
    testing.run(scenario())
    assert caplog.messages == [
        '127.0.0.1:50000 - "WebSocket /ws" [accepted]',
        "connection open",
        "connection closed",
    ]


def test_send_after_the_client_closed_raises(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        app = App("receive", ACCEPT_MESSAGE, "receive", SEND)
        socket = Socket(connect(app))
        await socket.open()
        await socket.send(close())
        assert isinstance(app.errors[0], ClientDisconnected)
        assert isinstance(app.errors[0], OSError)

    testing.run(scenario())
    # What the application has let pass is no more than the news that the client left.
    assert not error_log.records


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        (close_message(), 1000, ""),
        (close_message(1001), 1001, ""),
        (close_message(3000, "because"), 3000, "because"),
        (close_message(4000, "ü" * 100), 4000, "ü" * 61),
        (close_message(1005), None, ""),
        ({"type": "websocket.close", "code": None, "reason": None}, 1000, ""),
    ],
)
def test_application_closes(connect: Connect, message: dict[str, Any], code: int | None, reason: str) -> None:
    async def scenario() -> None:
        app = App("receive", ACCEPT_MESSAGE, message, "receive", "receive")
        socket = Socket(connect(app))
        await socket.open()
        (last,) = socket.frames()
        assert (last.opcode, last.code, last.reason) == (CLOSE, code, reason)
        # The application need not wait for the client.
        assert app.is_done
        assert app.received[1] == app.received[2]
        assert (app.received[1]["type"], app.received[1]["code"]) == ("websocket.disconnect", code or 1005)
        assert socket.client.is_open
        await socket.send(text("late"), frame(PING, b"late"), close(code))
        assert socket.frames() == []
        assert socket.host.ending == "close"

    testing.run(scenario())


@pytest.mark.parametrize("message", [SEND, close_message(), ACCEPT_MESSAGE])
def test_send_after_the_application_closed_is_a_mistake(
    connect: Connect, error_log: ErrorLog, message: dict[str, Any]
) -> None:
    async def scenario() -> None:
        app = App("receive", ACCEPT_MESSAGE, close_message(), message)
        socket = Socket(connect(app))
        await socket.open()
        assert isinstance(app.errors[0], LocalProtocolError)
        assert [one.code for one in socket.frames()] == [1000]

    testing.run(scenario())
    assert "the WebSocket was closed" in error_log.text


def test_client_that_does_not_answer_a_close(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        app = App("receive", ACCEPT_MESSAGE, close_message(4000))
        socket = Socket(connect(app, websocket=WebSocketSettings(close_timeout_s=10.0)))
        await socket.open()
        await fake_clock.advance(socket.client, 9.0)
        await socket.send(text("still here"))
        assert socket.client.is_open
        await fake_clock.advance(socket.client, 2.0)
        assert socket.host.ending == "close"
        await testing.settle()
        assert socket.client.service.state.websockets.closes == {4000: 1}

    testing.run(scenario())


def test_application_that_returns_closes(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        socket = Socket(connect(App("receive", ACCEPT_MESSAGE)))
        await socket.open()
        assert [(one.code, one.reason) for one in socket.frames()] == [(1000, "")]

    testing.run(scenario())
    assert not error_log.records


def test_application_that_raises_closes_with_1011(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        async def fail(receive: Any, send: Any) -> None:
            raise ValueError("oops")

        socket = Socket(connect(App("receive", ACCEPT_MESSAGE, fail)))
        await socket.open()
        assert [(one.code, one.reason) for one in socket.frames()] == [(1011, "")]

    testing.run(scenario())
    assert "ValueError('oops')" in error_log.text


def test_application_that_returns_something(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> Any:
            await receive()
            await send(ACCEPT_MESSAGE)
            return 5

        socket = Socket(connect(app))
        await socket.open()
        assert [one.code for one in socket.frames()] == [1011]

    testing.run(scenario())
    assert "ASGI callable should return None, but returned '5'." in error_log.text


@pytest.mark.parametrize("how", ["lost", "eof"])
def test_client_vanishes(connect: Connect, how: str) -> None:
    async def scenario() -> None:
        app = echo()
        socket = Socket(connect(app))
        await socket.open()
        if how == "lost":
            await socket.client.lose(ConnectionResetError())
        else:
            await socket.client.send_eof()
            assert socket.host.ending == "close"
            await testing.settle()
        assert app.received[1:] == [disconnect(1006)]
        state = socket.client.service.state
        assert state.websockets.closes == {1006: 1}
        assert (state.active_requests, state.tasks) == (0, set())

    testing.run(scenario())


def test_client_vanishes_while_the_application_waits_to_send(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        async def pour(receive: Any, send: Any) -> None:
            while True:
                await send(SEND)

        app = App("receive", ACCEPT_MESSAGE, pour)
        socket = Socket(connect(app, write_buffer_bytes=100))
        socket.host.is_client_taking = False
        await socket.client.send(b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n")
        await socket.client.send(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert not app.is_done
        await socket.client.lose()
        assert isinstance(app.errors[0], ClientDisconnected)

    testing.run(scenario())
    assert not error_log.records


# ---- pings


def settings(**changes: Any) -> WebSocketSettings:
    return WebSocketSettings(**{"ping_interval_s": 20.0, "ping_timeout_s": 5.0, **changes})


def test_pings_at_intervals(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo(), websocket=settings()))
        await socket.open()
        for _ in range(3):
            await fake_clock.advance(socket.client, 19.0)
            assert socket.frames() == []
            await fake_clock.advance(socket.client, 1.0)
            assert socket.frames() == [Frame(PING, b"")]
            await socket.send(frame(PONG))
        assert socket.client.is_open

    testing.run(scenario())


def test_client_without_a_sign_of_life(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        app = echo()
        socket = Socket(connect(app, websocket=settings()))
        await socket.open()
        await socket.send(text("x"))
        await fake_clock.advance(socket.client, 20.0)
        await fake_clock.advance(socket.client, 5.0)
        ping, last = socket.frames()[1:]
        assert ping.opcode == PING
        assert (last.code, last.reason) == (1011, "keepalive ping timeout")
        assert app.received[-1] == disconnect(1011, "keepalive ping timeout")
        assert socket.client.is_open
        await fake_clock.advance(socket.client, 10.0)
        assert socket.host.ending == "close"

    testing.run(scenario())


@pytest.mark.parametrize("sign", [frame(PONG, b"x"), text("x"), frame(PING), text("x")[:3]])
def test_everything_is_a_sign_of_life(connect: Connect, fake_clock: FakeClock, sign: bytes) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo(), websocket=settings()))
        await socket.open()
        await fake_clock.advance(socket.client, 20.0)
        await socket.send(sign)
        await fake_clock.advance(socket.client, 5.0)
        assert all(one.opcode != CLOSE for one in socket.frames())
        assert socket.client.is_open

    testing.run(scenario())


@pytest.mark.parametrize("interval", [None, 0.0])
def test_no_pings(connect: Connect, fake_clock: FakeClock, interval: float | None) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo(), websocket=settings(ping_interval_s=interval)))
        await socket.open()
        await fake_clock.advance(socket.client, 1000.0)
        assert socket.frames() == []
        assert socket.client.is_open

    testing.run(scenario())


@pytest.mark.parametrize("timeout", [None, 0.0])
def test_pings_without_a_timeout(connect: Connect, fake_clock: FakeClock, timeout: float | None) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo(), websocket=settings(ping_timeout_s=timeout)))
        await socket.open()
        for _ in range(3):
            await fake_clock.advance(socket.client, 20.0)
            assert socket.frames() == [Frame(PING, b"")]
        assert socket.client.is_open

    testing.run(scenario())


def test_timeout_longer_than_the_interval(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo(), websocket=settings(ping_timeout_s=50.0)))
        await socket.open()
        await fake_clock.advance(socket.client, 20.0)
        assert len(socket.frames()) == 1
        await fake_clock.advance(socket.client, 40.0)
        assert socket.frames() == []
        await fake_clock.advance(socket.client, 10.0)
        assert [one.code for one in socket.frames()] == [1011]

    testing.run(scenario())


def test_pong_that_cannot_be_seen_because_reading_has_paused(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        app = App("receive", ACCEPT_MESSAGE, lambda receive, send: asyncio.Event().wait())
        socket = Socket(connect(app, websocket=settings(queue_max_count=1)))
        await socket.open()
        await socket.send(text("x"))
        assert not socket.host.is_reading
        for _ in range(5):
            await fake_clock.advance(socket.client, 20.0)
        assert {one.opcode for one in socket.frames()} == {PING}
        assert socket.client.is_open

    testing.run(scenario())


def test_clients_pings_are_answered(connect: Connect) -> None:
    async def scenario() -> None:
        app = echo()
        socket = Socket(connect(app))
        await socket.open()
        await socket.send(frame(PING, b"1"), frame(PONG, b"unasked"), frame(PING, b"x" * 125))
        assert socket.frames() == [Frame(PONG, b"1"), Frame(PONG, b"x" * 125)]
        assert len(app.received) == 1

    testing.run(scenario())


# ---- age and the end of the worker


def test_maximum_lifetime(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        app = echo()
        socket = Socket(connect(app, websocket=WebSocketSettings(lifetime_max_s=30.0, ping_interval_s=None)))
        await socket.open()
        await fake_clock.advance(socket.client, 29.0)
        await socket.send(text("x"))
        assert socket.texts() == ["x"]
        await fake_clock.advance(socket.client, 1.0)
        assert [(one.code, one.reason) for one in socket.frames()] == [(1001, "maximum lifetime reached")]
        assert app.received[-1] == disconnect(1001, "maximum lifetime reached")

    testing.run(scenario())


@pytest.mark.parametrize("code", [1012, 1001])
def test_worker_stops(connect: Connect, code: int) -> None:
    async def scenario() -> None:
        app = App("receive", {**ACCEPT_MESSAGE, **({"shutdown_code": code} if code != 1012 else {})}, "echo")
        socket = Socket(connect(app))
        await socket.open()
        await socket.send(text("x"))
        socket.client.connection.start_draining()
        await testing.settle()
        first, last = socket.frames()
        assert (first.payload, last.code) == (b"x", code)
        assert (app.received[-1]["type"], app.received[-1]["code"]) == ("websocket.disconnect", code)
        assert app.is_done
        assert socket.client.is_open
        # A second call changes nothing.
        socket.client.connection.start_draining()
        socket.client.connection.notify_disconnect()
        assert socket.frames() == []
        await socket.send(close(code))
        assert socket.host.ending == "close"

    testing.run(scenario())


def test_many_are_closed_one_after_the_other(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        first = connect(echo())
        clients = [first, *(testing.FakeClient(first.service) for _ in range(999))]
        sockets = [Socket(client) for client in clients]
        for socket in sockets:
            await socket.open()
        for client in clients:
            client.connection.start_draining()
        closed = []
        for _ in range(10):
            fake_clock.time += 0.2
            for client in clients:
                if client.host.deadline is not None and client.host.deadline <= fake_clock.time:
                    client.host.deadline = None
                    client.connection.deadline_reached()
            await testing.settle()
            closed.append(sum(bool(socket.frames()) for socket in sockets))
        # 1000 of them, at 500 a second: within two seconds, and never a third of them together.
        assert sum(closed) == 1000
        assert max(closed) < 300

    testing.run(scenario())


def test_notice_closes_what_has_not_had_its_turn(
    connect: Connect, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo()))
        await socket.open()
        socket.client.service.state.websockets.open = 5000
        monkeypatch.setattr(random, "uniform", lambda low, high: high)
        socket.client.connection.start_draining()
        assert socket.frames() == []
        socket.client.connection.notify_disconnect()
        await testing.settle()
        assert [one.code for one in socket.frames()] == [1012]
        socket.client.service.state.websockets.open = 1

    testing.run(scenario())


def test_cancelled_application_closes_with_1011(connect: Connect) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo()))
        await socket.open()
        (task,) = socket.client.service.state.tasks
        task.cancel()
        await testing.settle()
        assert [one.code for one in socket.frames()] == [1011]
        assert not socket.client.service.state.tasks

    testing.run(scenario())


# ---- rest


def test_compression_is_freed_when_no_messages_flow(
    connect: Connect, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[object] = []
    monkeypatch.setattr(heap, "freed", freed.append)

    async def scenario() -> None:
        socket = Socket(connect(echo(), websocket=settings(ping_interval_s=None)))
        answer = await socket.open(b"/", b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
        assert answer[b"sec-websocket-extensions"].startswith(b"permessage-deflate")
        assert socket.host.deadline is None
        long = "hello " * 100
        await socket.send(text(long))
        (first,) = socket.frames()
        assert first.rsv == 4
        await fake_clock.advance(socket.client, REST_S)
        # Something came since it was looked for, so the compressor is still there, and refers to the last message.
        await socket.send(text(long))
        (second,) = socket.frames()
        assert len(second.payload) < len(first.payload)
        await fake_clock.advance(socket.client, REST_S)
        assert not freed
        await fake_clock.advance(socket.client, REST_S)
        assert len(freed) == 1
        assert socket.host.deadline is None
        await socket.send(text(long))
        (third,) = socket.frames()
        assert third.payload == first.payload

    testing.run(scenario())


def test_without_compression_nothing_is_looked_for(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo(), websocket=settings(ping_interval_s=None)))
        await socket.open()
        await socket.send(text("hello"))
        assert socket.host.deadline is None

    testing.run(scenario())
