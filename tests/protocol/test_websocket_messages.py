"""An open WebSocket: messages both ways, their bounds, and what the application may not do."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest

from addax import testing
from addax.core.errors import ClientDisconnected, LocalProtocolError
from addax.core.settings import WebSocketSettings

from .conftest import Connect, ErrorLog, FakeClock
from .sockets import (
    ACCEPT_MESSAGE,
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    App,
    Frame,
    Socket,
    close,
    disconnect,
    echo,
    frame,
    handshake,
    text,
)


@pytest.fixture(params=["native", "wsproto"])
def ws(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("step", [None, 1])
def test_echo(connect: Connect, ws: str, step: int | None) -> None:
    async def scenario() -> None:
        app = echo()
        socket = Socket(connect(app, ws=ws))
        await socket.open()
        await socket.send(text("héllo"), frame(BINARY, b"\x00\xff"), text(""), step=step)
        assert socket.frames() == [Frame(TEXT, "héllo".encode()), Frame(BINARY, b"\x00\xff"), Frame(TEXT, b"")]
        assert app.received[1:] == [
            {"type": "websocket.receive", "text": "héllo"},
            {"type": "websocket.receive", "bytes": b"\x00\xff"},
            {"type": "websocket.receive", "text": ""},
        ]

    testing.run(scenario())


def test_fragments_with_a_ping_between(connect: Connect, ws: str) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo(), ws=ws))
        await socket.open()
        await socket.send(frame(TEXT, b"a", fin=False), frame(PING, b"p"), frame(0, b"b", fin=False), frame(0, b"c"))
        assert socket.frames() == [Frame(PONG, b"p"), Frame(TEXT, b"abc")]

    testing.run(scenario())


def test_large_messages(connect: Connect, ws: str) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo(), ws=ws))
        await socket.open()
        for size in (125, 126, 65535, 65536, 1_000_000):
            await socket.send(frame(BINARY, b"x" * size), step=65536)
            (answer,) = socket.frames()
            assert answer.payload == b"x" * size

    testing.run(scenario())


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"text": "a"}, Frame(TEXT, b"a")),
        ({"text": ""}, Frame(TEXT, b"")),
        ({"bytes": b"a"}, Frame(BINARY, b"a")),
        ({"bytes": b""}, Frame(BINARY, b"")),
        ({"bytes": b"a", "text": None}, Frame(BINARY, b"a")),
        ({"bytes": None, "text": "a"}, Frame(TEXT, b"a")),
        ({"bytes": bytearray(b"a")}, Frame(BINARY, b"a")),
        ({"bytes": memoryview(b"a")}, Frame(BINARY, b"a")),
        ({"text": type("Text", (str,), {})("a")}, Frame(TEXT, b"a")),
    ],
)
def test_what_can_be_sent(connect: Connect, message: dict[str, Any], expected: Frame) -> None:
    async def scenario() -> None:
        socket = Socket(connect(App("receive", ACCEPT_MESSAGE, {"type": "websocket.send", **message}, "receive")))
        await socket.open()
        assert socket.frames() == [expected]

    testing.run(scenario())


@pytest.mark.parametrize(
    ("message", "quoted"),
    [
        ({"type": "websocket.send"}, "neither 'text' nor 'bytes'"),
        ({"type": "websocket.send", "text": None, "bytes": None}, "neither 'text' nor 'bytes'"),
        ({"type": "websocket.send", "text": b"x"}, "'text' of bytes, not str"),
        ({"type": "websocket.send", "bytes": "x"}, "'bytes' of str, not bytes"),
        ({"type": "websocket.send", "text": "\ud800"}, "surrogate"),
        ({"type": "websocket.accept"}, "unexpected message 'websocket.accept', expected websocket.send"),
        ({"type": "websocket.http.response.start", "status": 200}, "'websocket.http.response.start'"),
        ({"type": "http.response.body"}, "unexpected message 'http.response.body'"),
        ({"type": "websocket.close", "code": 1006}, "1006"),
        ({"type": "websocket.close", "code": 999}, "999"),
        ({"type": "websocket.close", "code": 5000}, "5000"),
        ({"type": "websocket.close", "code": "1000"}, "'1000'"),
        ({"type": "websocket.close", "reason": b"x"}, "'reason' of bytes, not str"),
        ({"text": "x"}, "key 'type'"),
    ],
)
def test_what_can_not_be_sent(connect: Connect, error_log: ErrorLog, message: dict[str, Any], quoted: str) -> None:
    async def scenario() -> None:
        app = App("receive", ACCEPT_MESSAGE, message)
        socket = Socket(connect(app))
        await socket.open()
        (last,) = socket.frames()
        assert (last.opcode, last.code) == (CLOSE, 1011)
        assert isinstance(app.errors[0], LocalProtocolError)
        assert quoted in str(app.errors[0])

    testing.run(scenario())
    assert quoted in error_log.text


def test_wrong_message_changes_nothing(connect: Connect) -> None:
    async def scenario() -> None:
        async def wrong(receive: Any, send: Any) -> None:
            for message in ({"type": "websocket.send"}, {"type": "websocket.close", "code": 1}, {"type": "x"}, {}):
                with pytest.raises(LocalProtocolError):
                    await send(message)

        socket = Socket(connect(App("receive", ACCEPT_MESSAGE, wrong, "echo")))
        await socket.open()
        await socket.send(text("x"))
        assert socket.texts() == ["x"]

    testing.run(scenario())


# ---- the peer's mistakes


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x01a", 1002),
        (frame(TEXT, b"a", rsv=4), 1002),
        (frame(3), 1002),
        (frame(0, b"a"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, struct.pack("!H", 1005)), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    ],
)
def test_mistake_is_told_and_ends_the_websocket(
    connect: Connect, ws: str, error_log: ErrorLog, data: bytes, code: int
) -> None:
    async def scenario() -> None:
        app = echo()
        socket = Socket(connect(app, ws=ws))
        await socket.open()
        await socket.send(text("before"), data, text("behind"))
        first, last = socket.frames()
        assert first == Frame(TEXT, b"before")
        assert (last.opcode, last.code) == (CLOSE, code)
        assert socket.host.ending == "linger"
        assert app.received[1]["text"] == "before"
        assert (app.received[-1]["type"], app.received[-1]["code"]) == ("websocket.disconnect", code)
        assert app.is_done
        await socket.client.lose()
        assert socket.client.service.state.websockets.closes == {code: 1}

    testing.run(scenario())
    assert not error_log.records


def test_send_after_the_peer_failed_raises(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        app = App("receive", ACCEPT_MESSAGE, "receive", {"type": "websocket.send", "text": "x"})
        socket = Socket(connect(app))
        await socket.open()
        await socket.send(frame(3))
        assert isinstance(app.errors[0], ClientDisconnected)

    testing.run(scenario())
    assert not error_log.records


@pytest.mark.parametrize("step", [None, 100])
def test_message_that_is_too_large(connect: Connect, ws: str, step: int | None) -> None:
    async def scenario() -> None:
        app = echo()
        socket = Socket(connect(app, ws=ws, websocket=WebSocketSettings(message_max_bytes=1000)))
        await socket.open()
        await socket.send(frame(BINARY, b"x" * 1000), step=step)
        assert [one.payload for one in socket.frames()] == [b"x" * 1000]
        await socket.send(frame(BINARY, b"x" * 600, fin=False), frame(0, b"x" * 401), step=step)
        assert [one.code for one in socket.frames()] == [1009]

    testing.run(scenario())


def test_frame_that_is_too_large(connect: Connect) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo(), websocket=WebSocketSettings(frame_max_bytes=10)))
        await socket.open()
        await socket.send(frame(TEXT, b"x" * 10, fin=False), frame(0, b"y" * 10))
        assert socket.texts() == ["x" * 10 + "y" * 10]
        # Its head is enough to know.
        await socket.send(frame(TEXT, b"x" * 11)[:6])
        assert [one.code for one in socket.frames()] == [1009]

    testing.run(scenario())


# ---- messages that wait


@pytest.mark.parametrize("step", [None, 7])
def test_reading_pauses_while_messages_wait(connect: Connect, ws: str, step: int | None) -> None:
    async def scenario() -> None:
        go = asyncio.Event()

        async def wait(receive: Any, send: Any) -> None:
            await go.wait()

        app = App("receive", ACCEPT_MESSAGE, wait, "echo")
        socket = Socket(connect(app, ws=ws, websocket=WebSocketSettings(queue_max_count=4)))
        await socket.open()
        names = [f"{number}" for number in range(20)]
        await socket.send(*map(text, names), close(1000, "bye"), step=step)
        assert not socket.host.is_reading
        assert socket.frames() == []
        go.set()
        await testing.settle()
        assert [message.get("text") for message in app.received[1:]] == [*names, None]
        assert app.received[-1] == disconnect(1000, "bye")
        *echoed, last = socket.frames()
        assert last.code == 1000
        # The peer's close frame was found before the last of its messages were taken.
        assert names[: len(echoed)] == [one.payload.decode() for one in echoed]
        assert socket.host.ending == "close"

    testing.run(scenario())


def test_reading_pauses_for_few_large_messages_too(connect: Connect, ws: str) -> None:
    async def scenario() -> None:
        go = asyncio.Event()

        async def wait(receive: Any, send: Any) -> None:
            await go.wait()

        app = App("receive", ACCEPT_MESSAGE, wait, "echo")
        socket = Socket(connect(app, ws=ws, body_buffer_bytes=1000))
        await socket.open()
        await socket.send(*[frame(BINARY, b"x" * 600)] * 3)
        assert not socket.host.is_reading
        go.set()
        await testing.settle()
        assert socket.host.is_reading
        assert [len(one.payload) for one in socket.frames()] == [600] * 3

    testing.run(scenario())


def test_mistake_behind_messages_that_wait(connect: Connect, ws: str) -> None:
    async def scenario() -> None:
        go = asyncio.Event()

        async def wait(receive: Any, send: Any) -> None:
            await go.wait()

        app = App("receive", ACCEPT_MESSAGE, wait, "receive", "receive", "receive")
        socket = Socket(connect(app, ws=ws, websocket=WebSocketSettings(queue_max_count=2)))
        await socket.open()
        await socket.send(text("a"), text("b"), frame(3))
        assert socket.frames() == []
        go.set()
        await testing.settle()
        assert [one.code for one in socket.frames()] == [1002]
        assert [message.get("text") for message in app.received[1:3]] == ["a", "b"]
        assert app.received[3]["code"] == 1002

    testing.run(scenario())


def test_application_that_closes_while_reading_has_paused_still_sees_the_answer(connect: Connect, ws: str) -> None:
    async def scenario() -> None:
        go = asyncio.Event()

        async def wait(receive: Any, send: Any) -> None:
            await go.wait()

        app = App("receive", ACCEPT_MESSAGE, wait, {"type": "websocket.close", "code": 4000})
        socket = Socket(connect(app, ws=ws, websocket=WebSocketSettings(queue_max_count=2)))
        await socket.open()
        await socket.send(*[text("x")] * 9)
        assert not socket.host.is_reading
        go.set()
        await testing.settle()
        assert socket.host.is_reading
        assert [one.code for one in socket.frames()] == [4000]
        await socket.send(text("late"), close(4000))
        assert socket.host.ending == "close"
        assert socket.frames() == []

    testing.run(scenario())


def test_cancelled_receive_takes_no_message_along(connect: Connect) -> None:
    async def scenario() -> None:
        async def race(receive: Any, send: Any) -> None:
            task = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            # The message comes, and before the waiter has had its turn it is cancelled.
            socket.client.connection.receive_data(text("kept"))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            app.received.append(await receive())

        app = App("receive", ACCEPT_MESSAGE, race)
        socket = Socket(connect(app))
        await socket.open()
        assert app.received[1:] == [{"type": "websocket.receive", "text": "kept"}]

    testing.run(scenario())


def test_receive_in_all_the_ways_that_it_can_be_awaited(connect: Connect) -> None:
    async def scenario() -> None:
        async def ways(receive: Any, send: Any) -> None:
            ways: list[Callable[[], Any]] = [
                receive,
                lambda: asyncio.ensure_future(receive()),
                lambda: asyncio.wait_for(receive(), 5),
                lambda: asyncio.gather(receive()),
            ]
            for way in ways:
                asyncio.get_running_loop().call_later(0.0, socket.client.connection.receive_data, text("x"))
                found = await way()
                app.received.append(found[0] if isinstance(found, list) else found)
            never = receive()
            never.close()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(receive(), 0.001)

        app = App("receive", ACCEPT_MESSAGE, ways)
        socket = Socket(connect(app))
        await socket.open()
        while not app.is_done:
            await socket.client.wait_for_event()
        assert app.received[1:] == [{"type": "websocket.receive", "text": "x"}] * 4

    testing.run(scenario())


# ---- a client that is slow


def test_send_waits_for_a_slow_client(connect: Connect) -> None:
    async def scenario() -> None:
        sent = []

        async def pour(receive: Any, send: Any) -> None:
            for number in range(100):
                await send({"type": "websocket.send", "bytes": b"x" * 100})
                sent.append(number)

        app = App("receive", ACCEPT_MESSAGE, pour, "receive")
        socket = Socket(connect(app, write_buffer_bytes=1000))
        socket.host.is_client_taking = False
        await open_slowly(socket)
        assert 5 < len(sent) < 20
        while len(sent) < 100:
            socket.host.take()
            socket.host.is_client_taking = False
            await testing.settle()

    testing.run(scenario())


async def open_slowly(socket: Socket) -> None:
    """Shake hands with a client that does not look at the answer."""
    await socket.client.send(handshake())


def test_client_that_takes_nothing_is_given_up(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        async def pour(receive: Any, send: Any) -> None:
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 100})

        app = App("receive", ACCEPT_MESSAGE, pour)
        socket = Socket(connect(app, write_buffer_bytes=1000, write_timeout_s=60.0))
        socket.host.is_client_taking = False
        await open_slowly(socket)
        await fake_clock.advance(socket.client, 50.0)
        # It takes a little: that gives it time.
        socket.host.unsent_bytes -= 100
        await fake_clock.advance(socket.client, 20.0)
        assert socket.client.is_open
        await fake_clock.advance(socket.client, 70.0)
        assert socket.host.ending == "abort"
        assert isinstance(app.errors[0], ClientDisconnected)

    testing.run(scenario())


def test_pings_of_a_client_that_takes_nothing_are_not_answered(connect: Connect) -> None:
    async def scenario() -> None:
        socket = Socket(connect(App("receive", ACCEPT_MESSAGE, "receive"), write_buffer_bytes=300))
        socket.host.is_client_taking = False
        await open_slowly(socket)
        before = len(socket.host.written)
        await socket.send(*[frame(PING, b"x" * 100)] * 1000)
        assert len(socket.host.written) - before < 1000
        socket.host.take()
        await socket.send(frame(PING, b"again"))
        assert bytes(socket.host.written).endswith(b"again")

    testing.run(scenario())


def test_sends_of_one_turn_are_one_write(connect: Connect) -> None:
    async def scenario() -> None:
        async def three(receive: Any, send: Any) -> None:
            await receive()
            for name in "abc":
                await send({"type": "websocket.send", "text": name})

        socket = Socket(connect(App("receive", ACCEPT_MESSAGE, three, "receive")))
        await socket.open()
        before = socket.host.write_count
        await socket.send(text("x"))
        assert socket.texts() == ["a", "b", "c"]
        assert socket.host.write_count == before + 1

    testing.run(scenario())


# ---- counters


def test_counters(connect: Connect) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo()))
        counters = socket.client.service.state.websockets
        await socket.open()
        assert (counters.open, counters.total) == (1, 1)
        await socket.send(text("abc"), frame(PING), frame(BINARY, b"d"))
        assert (counters.messages_received, counters.messages_sent) == (2, 2)
        assert counters.bytes_received == len(text("abc") + frame(PING) + frame(BINARY, b"d"))
        assert counters.bytes_sent == 5 + 2 + 3
        await socket.send(close(1001))
        await socket.client.lose()
        assert (counters.open, counters.total, counters.closes) == (0, 1, {1001: 1})
        state = socket.client.service.state
        assert (state.active_requests, state.total_requests, state.tasks) == (0, 1, set())

    testing.run(scenario())


@pytest.mark.parametrize("counts", [True, False])
def test_messages_count_as_requests_where_that_is_asked_for(connect: Connect, counts: bool) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo(), websocket=WebSocketSettings(counts_messages=counts)))
        state = socket.client.service.state
        reached = []
        state.requests_limit = 4
        state.on_limit = lambda: reached.append(state.total_requests)
        await socket.open()
        await socket.send(text("1"), text("2"))
        assert reached == []
        await socket.send(text("3"), text("4"))
        assert reached == [4] * counts
        assert state.total_requests == (5 if counts else 1)

    testing.run(scenario())
