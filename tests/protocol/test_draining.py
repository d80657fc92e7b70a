"""The worker stops: what is in progress is finished, and announced as the last."""

from __future__ import annotations

from typing import Any

import pytest

from addax import testing
from addax.http1.connection import DRAIN_REST_S

from .apps import HELLO, START, Stepped, body, hello
from .conftest import GET, Connect, ErrorLog, FakeClock


def test_request_in_progress_is_answered_and_is_the_last(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = connect(app)
        await client.send(GET + GET)
        client.connection.start_draining()
        assert client.is_open
        app.go()
        await testing.settle()
        (response,) = client.responses()
        assert response.body == b"hello"
        assert response.is_last
        assert not client.is_open
        assert app.started == 1

    testing.run(scenario())


async def begun(connect: Connect) -> tuple[testing.FakeClient, Stepped]:
    """A client with a response whose head is on the wire, keeping the connection, when the worker stops."""
    app = Stepped(body(b"llo"))

    async def both(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"he", more=True))
        await app(scope, receive, send)

    client = connect(both)
    await client.send(GET)
    client.connection.start_draining()
    app.go()
    await testing.settle()
    (response,) = client.responses()
    assert response.body == b"hello"
    assert response.is_complete
    assert not response.is_last
    assert client.is_open
    return client, app


def test_response_that_promised_to_keep_the_connection_is_followed_by_one_that_does_not(connect: Connect) -> None:
    async def scenario() -> None:
        client, app = await begun(connect)
        await client.send(GET)
        app.go(1)
        await testing.settle()
        assert [response.is_last for response in client.responses()] == [False, True]
        assert not client.is_open

    testing.run(scenario())


def test_response_that_promised_to_keep_the_connection_is_followed_by_a_rest(
    connect: Connect, fake_clock: FakeClock
) -> None:
    async def scenario() -> None:
        client, _ = await begun(connect)
        await fake_clock.advance(client, DRAIN_REST_S - 0.1)
        assert client.is_open
        await fake_clock.advance(client, 0.2)
        assert client.host.ending == "close"

    testing.run(scenario())


def test_body_in_progress_is_read_to_its_end(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello_after_body)
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab")
        client.connection.start_draining()
        await client.send(b"cd")
        (response,) = client.responses()
        assert response.status == 200
        assert response.is_last
        assert not client.is_open

    testing.run(scenario())


async def hello_after_body(scope: Any, receive: Any, send: Any) -> None:
    while (await receive())["more_body"]:
        pass
    await hello(scope, receive, send)


def test_head_in_progress_is_answered(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello)
        await client.send(GET[:20])
        client.connection.start_draining()
        await testing.settle()
        assert client.is_open
        await client.send(GET[20:] + GET)
        (response,) = client.responses()
        assert response.status == 200
        assert response.is_last
        assert not client.is_open

    testing.run(scenario())


def test_idle_connection_is_closed(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        client = connect(hello)
        await client.send(GET)
        await fake_clock.advance(client, 3)
        client.connection.start_draining()
        await testing.settle()
        assert client.host.ending == "close"
        assert len(client.responses()) == 1

    testing.run(scenario())


def test_connection_idle_for_a_moment_is_closed_soon(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        client = connect(hello)
        await client.send(GET)
        client.connection.start_draining()
        await fake_clock.advance(client, 1)
        assert client.host.ending == "close"

    testing.run(scenario())


def test_request_that_was_on_its_way_is_answered(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        client = connect(hello)
        await client.send(GET)
        client.connection.start_draining()
        await client.send(GET)
        first, second = client.responses()
        assert not first.is_last
        assert second.is_last
        assert not client.is_open

    testing.run(scenario())


def test_fresh_connection_is_closed(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        client = connect(hello)
        await fake_clock.advance(client, 10)
        client.connection.start_draining()
        await testing.settle()
        assert client.host.ending == "close"
        assert client.host.written == b""

    testing.run(scenario())


def test_draining_twice_is_once(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = connect(app)
        await client.send(GET)
        client.connection.start_draining()
        client.connection.start_draining()
        app.go()
        await testing.settle()
        assert [response.is_last for response in client.responses()] == [True]

    testing.run(scenario())


@pytest.mark.parametrize(
    "data", [GET, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab"], ids=["get", "post"]
)
def test_notice_is_a_disconnect_to_receive_and_nothing_to_send(
    connect: Connect, error_log: ErrorLog, fake_clock: FakeClock, data: bytes
) -> None:
    messages: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"event 1\n", more=True))
        while not messages or messages[-1]["type"] != "http.disconnect":
            messages.append(await receive())
        await send(body(b"bye\n"))

    async def scenario() -> None:
        client = connect(app)
        await client.send(data)
        client.connection.start_draining()
        client.connection.notify_disconnect()
        await testing.settle()
        (response,) = client.responses()
        assert response.is_complete
        assert response.body == b"event 1\nbye\n"
        await fake_clock.advance(client, DRAIN_REST_S)
        assert not client.is_open

    testing.run(scenario())
    assert [message["type"] for message in messages] == ["http.request", "http.disconnect"]
    assert error_log.records == []


def test_notice_without_a_request_in_progress_is_nothing(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello)
        client.connection.notify_disconnect()
        await client.send(GET)
        client.connection.notify_disconnect()
        await client.send(GET)
        assert len(client.responses()) == 2

    testing.run(scenario())


def test_shutdown_extension_tells_a_stream(connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        shutdown = scope["extensions"]["addax.shutdown"]
        assert not shutdown.is_set()
        await send(START)
        await shutdown.wait()
        await send(body(b"bye"))

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        client.service.state.shutdown.set()
        client.connection.start_draining()
        await testing.settle()
        (response,) = client.responses()
        assert response.body == b"bye"
        assert response.is_complete

    testing.run(scenario())
