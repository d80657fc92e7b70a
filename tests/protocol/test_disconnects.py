"""The client leaves, in every state: the application hears of it, and nobody is blamed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from addax import testing
from addax.core.errors import ClientDisconnected

from .apps import HELLO, START, Stepped, body, hello, read_body, start
from .conftest import GET, Connect, ErrorLog

POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello"


class Listener:
    """Receives until it hears of the disconnect, and then tries to send."""

    def __init__(self, *first: Any, catch: bool = True) -> None:
        self.first = first
        self.catch = catch
        self.messages: list[Any] = []
        self.errors: list[Exception] = []
        self.returned = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for message in self.first:
            await send(message)
        while not self.messages or self.messages[-1]["type"] != "http.disconnect":
            self.messages.append(await receive())
        self.messages.append(await receive())
        for message in (START, body(b"late", more=True), body(), {"type": "nonsense"}):
            try:
                await send(message)
            except OSError as error:
                self.errors.append(error)
                if not self.catch:
                    raise
        self.returned = True

    def check(self) -> None:
        assert self.messages[-2:] == [{"type": "http.disconnect"}] * 2
        assert self.errors
        assert all(isinstance(error, ClientDisconnected) for error in self.errors)


@pytest.mark.parametrize("first", [(), (START,), (START, body(b"a", more=True))], ids=["nothing", "head", "body"])
@pytest.mark.parametrize("data", [GET, POST], ids=["get", "post"])
@pytest.mark.parametrize("error", [None, ConnectionResetError("reset")], ids=["closed", "reset"])
def test_lost_connection_is_told(
    connect: Connect, error_log: ErrorLog, data: bytes, first: Any, error: Exception | None
) -> None:
    app = Listener(*first)

    async def scenario() -> None:
        client = connect(app)
        await client.send(data)
        written = bytes(client.host.written)
        await client.lose(error)
        assert client.host.written == written
        state = client.service.state
        assert (state.active_requests, state.tasks) == (0, set())

    testing.run(scenario())
    app.check()
    assert len(app.errors) == 4
    assert app.returned
    assert error_log.records == []


def test_error_of_send_may_pass_through_the_application(connect: Connect, error_log: ErrorLog) -> None:
    app = Listener(catch=False)

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        await client.lose()
        assert client.service.state.active_requests == 0

    testing.run(scenario())
    app.check()
    assert not app.returned
    assert error_log.records == []


def test_error_of_send_may_be_wrapped(connect: Connect, error_log: ErrorLog) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()
        try:
            await send(START)
        except OSError as error:
            raise RuntimeError("the framework's own") from error

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        await client.lose()

    testing.run(scenario())
    assert error_log.records == []


def test_other_errors_after_a_disconnect_are_logged(connect: Connect, error_log: ErrorLog) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()
        raise ValueError("a bug")

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        await client.lose()

    testing.run(scenario())
    assert "a bug" in error_log.text


def test_disconnect_before_the_application_was_called_is_quiet(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        client = connect(hello)
        await client.send(b"GET / HT")
        await client.lose()
        fresh = connect(hello)
        await fresh.lose()
        assert client.host.written == fresh.host.written == b""

    testing.run(scenario())
    assert error_log.records == []


def test_disconnect_in_the_turn_of_the_request(connect: Connect, error_log: ErrorLog) -> None:
    app = Listener()

    async def scenario() -> None:
        client = connect(app)
        client.connection.receive_data(POST)
        client.host.lose(ConnectionResetError("reset"))
        await testing.settle()
        assert client.service.state.active_requests == 0

    testing.run(scenario())
    app.check()
    assert error_log.records == []


def test_disconnect_drops_what_was_pipelined(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = connect(app)
        await client.send(GET * 3)
        await client.lose()
        app.go()
        await testing.settle()
        assert app.started == 1

    testing.run(scenario())


def test_disconnect_after_the_response_is_told_to_a_background_task(connect: Connect, error_log: ErrorLog) -> None:
    messages: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await hello(scope, receive, send)
        messages.append(await receive())
        await asyncio.sleep(0)
        messages.append(await receive())

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        await client.lose()
        assert client.service.state.active_requests == 0

    testing.run(scenario())
    assert messages == [{"type": "http.disconnect"}] * 2
    assert error_log.records == []


# ---- half-close: the client sends no more, and may still read


def test_half_close_after_a_request_still_gets_the_answer(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, body(b"hel", more=True), body(b"lo"))
        client = connect(app)
        await client.send(GET)
        await client.send_eof()
        app.go()
        await testing.settle()
        (response,) = client.responses()
        assert response.body == b"hello"
        assert response.is_complete
        assert not client.is_open

    testing.run(scenario())


def test_half_close_after_pipelined_requests_still_gets_all_answers(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = connect(app)
        await client.send(GET * 3)
        await client.send_eof()
        for number in range(3):
            assert client.host.ending is None
            app.go(number)
            await testing.settle()
        assert [response.body for response in client.responses()] == [b"hello"] * 3
        assert not client.is_open

    testing.run(scenario())


def test_half_close_inside_a_body_is_a_disconnect(connect: Connect, error_log: ErrorLog) -> None:
    app = Listener()

    async def scenario() -> None:
        client = connect(app)
        await client.send(POST)
        await client.send_eof()
        assert not client.is_open
        assert client.responses() == []
        assert client.service.state.active_requests == 0

    testing.run(scenario())
    app.check()
    assert error_log.records == []


def test_half_close_inside_a_body_after_the_answer_closes(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello)
        await client.send(POST)
        await client.send_eof()
        assert [response.body for response in client.responses()] == [b"hello"]
        assert not client.is_open

    testing.run(scenario())


def test_half_close_of_an_idle_connection_closes(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello)
        await client.send(GET)
        await client.send_eof()
        assert len(client.responses()) == 1
        assert client.host.ending == "close"

    testing.run(scenario())


def test_half_close_then_lost_is_a_disconnect(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        app = Stepped(start(), body(b"a", more=True), body())
        client = connect(app)
        await client.send(GET)
        await client.send_eof()
        await client.lose()
        app.go()
        await testing.settle()
        (error,) = app.errors
        assert isinstance(error, ClientDisconnected)
        assert client.service.state.active_requests == 0

    testing.run(scenario())
    assert error_log.records == []


def test_upload_that_breaks_off_is_not_taken_for_a_whole_one(connect: Connect, error_log: ErrorLog) -> None:
    bodies: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            bodies.append(await read_body(receive))
        except ConnectionResetError:
            return
        await hello(scope, receive, send)

    async def scenario() -> None:
        chunked = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        for data in (POST, chunked + b"5\r\nhello\r\n", chunked + b"5\r\nhello\r\n0\r\n"):
            for ends in (testing.FakeClient.send_eof, testing.FakeClient.lose):
                client = connect(app)
                await client.send(data)
                await ends(client)
                await client.close()

    testing.run(scenario())
    assert bodies == []
    assert error_log.records == []
