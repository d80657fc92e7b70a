"""A client that reads slowly, or not at all: ``await send()`` waits, and memory stays bounded."""

from __future__ import annotations

from typing import Any

import pytest

from addax import testing
from addax.core.errors import ClientDisconnected

from .apps import HELLO, START, Stepped, body, hello
from .conftest import GET, Connect, ErrorLog, FakeClock

PIECE = b"z" * 20_000
STREAM = (START, *[body(PIECE, more=True)] * 20, body())


def test_send_waits_while_the_client_takes_nothing(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(*STREAM)
        client = connect(app, write_buffer_bytes=65536)
        client.host.is_client_taking = False
        await client.send(GET)
        app.go()
        await testing.settle()
        assert 3 <= app.sent <= 5
        assert client.host.unsent_bytes <= 65536 + 2 * len(PIECE)
        client.host.take()
        await testing.settle()
        assert app.sent == len(STREAM)
        (response,) = client.responses()
        assert response.is_complete
        assert response.body == PIECE * 20
        assert client.is_open

    testing.run(scenario())


def test_send_waits_again_and_again(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(*STREAM)
        client = connect(app, write_buffer_bytes=30_000)
        await client.send(GET)
        client.host.is_client_taking = False
        app.go()
        await testing.settle()
        rounds = 0
        while app.sent < len(STREAM):
            before = app.sent
            client.host.take()
            client.host.is_client_taking = False
            await testing.settle()
            assert app.sent > before
            rounds += 1
        assert rounds > 5
        assert client.responses()[0].body == PIECE * 20

    testing.run(scenario())


def test_the_bound_is_an_option(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(*STREAM)
        client = connect(app, write_buffer_bytes=200_000)
        client.host.is_client_taking = False
        await client.send(GET)
        app.go()
        await testing.settle()
        assert 10 <= app.sent <= 13
        await client.close()

    testing.run(scenario())


def test_waiting_send_raises_when_the_client_leaves(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        app = Stepped(*STREAM)
        client = connect(app)
        client.host.is_client_taking = False
        await client.send(GET)
        app.go()
        await testing.settle()
        assert app.errors == []
        await client.lose(ConnectionResetError("gone"))
        (error,) = app.errors
        assert isinstance(error, ClientDisconnected)
        assert isinstance(error, OSError)
        assert client.service.state.active_requests == 0

    testing.run(scenario())
    assert error_log.records == []


def test_client_that_takes_nothing_for_too_long_is_cut_off(
    connect: Connect, fake_clock: FakeClock, error_log: ErrorLog
) -> None:
    async def scenario() -> None:
        app = Stepped(*STREAM)
        client = connect(app, write_timeout_s=60)
        client.host.is_client_taking = False
        await client.send(GET)
        app.go()
        await testing.settle()
        assert client.host.deadline == fake_clock.time + 60
        await fake_clock.advance(client, 60)
        assert client.host.ending == "abort"
        assert isinstance(app.errors[0], ClientDisconnected)

    testing.run(scenario())
    assert error_log.records == []


def test_client_that_takes_a_little_is_given_more_time(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        app = Stepped(*STREAM)
        client = connect(app, write_timeout_s=60)
        client.host.is_client_taking = False
        await client.send(GET)
        app.go()
        await testing.settle()
        for _ in range(3):
            client.host.unsent_bytes -= 1000
            await fake_clock.advance(client, 60)
            assert client.is_open
        await fake_clock.advance(client, 60)
        assert client.host.ending == "abort"

    testing.run(scenario())


def test_pipelined_requests_wait_for_a_client_that_takes_nothing(connect: Connect) -> None:
    calls: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope["path"])
        await send(START)
        await send(body(b"x" * 50_000))

    async def scenario() -> None:
        client = connect(app, write_buffer_bytes=65536)
        client.host.is_client_taking = False
        await client.send(GET * 20)
        assert len(calls) <= 3
        client.host.take()
        await testing.settle()
        assert len(client.responses()) == 20

    testing.run(scenario())


def test_response_that_ends_while_paused_lets_the_next_request_in_later(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, body(b"x" * 100_000))
        client = connect(app)
        client.host.is_client_taking = False
        await client.send(GET)
        app.go()
        await testing.settle()
        await client.send(GET)
        client.host.take()
        await testing.settle()
        app.go(1)
        await testing.settle()
        assert [len(response.body) for response in client.responses()] == [100_000, 100_000]

    testing.run(scenario())


def test_close_waits_for_what_was_written(connect: Connect) -> None:
    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send(body(b"x" * 100_000))

        client = connect(app)
        client.host.is_client_taking = False
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.host.ending == "close" or client.is_open
        client.host.take()
        await testing.settle()
        assert client.host.ending == "close"
        assert client.host.is_lost
        assert len(client.responses()[0].body) == 100_000

    testing.run(scenario())


@pytest.mark.parametrize("sends_files", [False, True])
def test_file_to_a_client_that_takes_nothing(connect: Connect, tmp_path: Any, sends_files: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"f" * 2_000_000)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": "http.response.pathsend", "path": str(path)})

    async def scenario() -> None:
        client = connect(app, sends_files=sends_files)
        client.host.is_client_taking = sends_files
        await client.send(GET)
        if not sends_files:
            while client.connection.is_writable:
                await client.wait_for_event()
            assert client.host.unsent_bytes <= 65536 + 262144 + 1000
            client.host.take()
        (response,) = await client.wait_for_responses(1)
        assert response.body == b"f" * 2_000_000

    testing.run(scenario())


def test_other_clients_are_served_meanwhile(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(*STREAM)
        slow = connect(app)
        slow.host.is_client_taking = False
        await slow.send(GET)
        app.go()
        await testing.settle()
        other = connect(hello)
        await other.send(GET)
        assert [response.body for response in other.responses()] == [HELLO["body"]]
        await slow.close()

    testing.run(scenario())


async def whole_large_body(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": b"x" * 200_000})


def test_unsent_answer_has_the_time_of_a_write_and_not_that_of_an_idle_connection(
    connect: Connect, fake_clock: FakeClock
) -> None:
    async def scenario() -> None:
        client = connect(whole_large_body, keep_alive_timeout_s=5.0, write_timeout_s=60.0)
        client.host.is_client_taking = False
        await client.send(GET)
        await fake_clock.advance(client, 59.0)
        assert client.is_open
        client.host.take()
        await testing.settle()
        await fake_clock.advance(client, 4.0)
        assert client.is_open
        await fake_clock.advance(client, 1.5)
        assert client.host.ending == "close"

    testing.run(scenario())


def test_unsent_answer_that_nobody_takes_is_given_up(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        client = connect(whole_large_body, keep_alive_timeout_s=5.0, write_timeout_s=60.0)
        client.host.is_client_taking = False
        await client.send(GET)
        await fake_clock.advance(client, 60.5)
        assert client.host.ending == "abort"

    testing.run(scenario())
