"""The order and the form of an application's messages.

Its mistakes are told to it, quoted, and end in a 500 or in a broken connection, never in a malformed response.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from addax import testing
from addax.core.errors import LocalProtocolError

from .apps import END, HELLO, START, Sends, body, start
from .conftest import GET, Connect, ErrorLog

TRAILERS = {"type": "http.response.trailers", "headers": []}
HINT = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}

#: Messages, and what the error must quote.
BEFORE_THE_WIRE = {
    "body-first": ((HELLO,), "http.response.body", "http.response.start"),
    "empty-body-first": ((END,), "http.response.body", "http.response.start"),
    "trailers-first": ((TRAILERS,), "http.response.trailers", "http.response.start"),
    "pathsend-first": (
        ({"type": "http.response.pathsend", "path": "/x"},),
        "http.response.pathsend",
        "http.response.start",
    ),
    "zerocopysend-first": (({"type": "http.response.zerocopysend", "file": 0},), "zerocopysend", "http.response.start"),
    "start-twice": ((START, START), "http.response.start", "http.response.body"),
    "hint-after-start": ((START, HINT), "http.response.early_hint", "http.response.body"),
    "trailers-not-announced": ((START, TRAILERS), "http.response.trailers", "http.response.body"),
    "unknown-type": (({"type": "http.response.push"},), "http.response.push", "http.response.start"),
    "websocket-message": (({"type": "websocket.accept"},), "websocket.accept", "http.response.start"),
    "request-message": (({"type": "http.request", "body": b""},), "http.request", "http.response.start"),
    "type-of-wrong-kind": (({"type": 5},), "5", "http.response.start"),
    "no-type": (({"status": 200},), "{'status': 200}", "type"),
    "no-dict": (("http.response.start",), "'http.response.start'", "type"),
    "none": ((None,), "None", "type"),
    "no-status": (({"type": "http.response.start"},), "status", "http.response.start"),
    "status-string": ((start("200"),), "'200'", "status"),
    "status-99": ((start(99),), "99", "status"),
    "status-100": ((start(100),), "100", "status"),
    "status-101": ((start(101),), "101", "status"),
    "status-600": ((start(600),), "600", "status"),
    "status-float": ((start(200.5),), "200.5", "status"),
    "status-none": ((start(None),), "None", "status"),
    "body-string": ((START, body("hello")), "str", "body"),
    "body-none": ((START, body(None)), "NoneType", "body"),
    "body-list": ((START, body([b"a"])), "list", "body"),
    "name-string": ((start(200, ("x-a", b"1")),), "'x-a'", "str"),
    "value-string": ((start(200, (b"x-a", "1")),), "x-a", "str"),
    "value-number": ((start(200, (b"content-length", 5)),), "content-length", "int"),
    "length-malformed": ((start(200, (b"content-length", b"+5")),), "+5", "content-length"),
    "length-list": ((start(200, (b"content-length", b"5, 5")),), "5, 5", "content-length"),
    "length-twice": ((start(200, (b"content-length", b"5"), (b"content-length", b"6")),), "5", "6"),
}


@pytest.mark.parametrize("name", BEFORE_THE_WIRE)
def test_mistake_before_anything_was_sent_is_answered_500(connect: Connect, error_log: ErrorLog, name: str) -> None:
    messages, *quoted = BEFORE_THE_WIRE[name]
    app = Sends(*messages)

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        (response,) = client.responses()
        assert response.status == 500
        assert response.is_last
        assert not client.is_open

    testing.run(scenario())
    (error,) = app.errors
    assert isinstance(error, LocalProtocolError)
    assert isinstance(error, RuntimeError)
    for words in quoted:
        assert words in str(error)
    assert len(error_log.records) == 1
    assert "Exception in ASGI application" in error_log.text


@pytest.mark.parametrize(
    "name", sorted(set(BEFORE_THE_WIRE) - {"start-twice", "hint-after-start", "trailers-not-announced"})
)
def test_mistake_that_the_application_mends_has_no_effect(connect: Connect, error_log: ErrorLog, name: str) -> None:
    messages, *_ = BEFORE_THE_WIRE[name]
    mended = (HELLO,) if messages[0] is START else (START, HELLO)
    app = Sends(*messages, *mended, catch=True)

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        (response,) = client.responses()
        assert (response.status, response.body) == (200, b"hello")
        assert client.is_open

    testing.run(scenario())
    assert len(app.errors) == 1
    assert error_log.records == []


AFTER_THE_HEAD = {
    "start-twice": ((START, body(b"a", more=True), START), "http.response.start"),
    "trailers-not-announced": ((START, body(b"a", more=True), TRAILERS), "http.response.trailers"),
    "hint": ((START, body(b"a", more=True), HINT), "http.response.early_hint"),
    "body-string": ((START, body(b"a", more=True), body("b")), "str"),
    "unknown": ((START, body(b"a", more=True), {"type": "foo"}), "foo"),
    "no-type": ((START, body(b"a", more=True), {}), "type"),
    "body-after-last": ((start(trailers=True), body(b"a"), body(b"b")), "http.response.body"),
}


@pytest.mark.parametrize("yields", [False, True])
@pytest.mark.parametrize("name", AFTER_THE_HEAD)
def test_mistake_after_the_head_breaks_the_connection_off(
    connect: Connect, error_log: ErrorLog, name: str, yields: bool
) -> None:
    messages, quoted = AFTER_THE_HEAD[name]
    app = Sends(*messages, yields=yields)

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        # The client must be able to tell that this is not all.
        responses = client.responses()
        assert [response.is_complete for response in responses] in ([], [False])
        assert client.host.ending == "abort"

    testing.run(scenario())
    assert quoted in str(app.errors[0])
    assert isinstance(app.errors[0], LocalProtocolError)
    assert len(error_log.records) == 1


@pytest.mark.parametrize("message", [START, HELLO, END, TRAILERS, HINT], ids=lambda message: message["type"])
def test_message_after_the_end_is_an_error_and_harms_nobody(
    connect: Connect, error_log: ErrorLog, message: dict[str, Any]
) -> None:
    app = Sends(START, HELLO, message)

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        await client.send(GET)
        first, second = client.responses()
        assert first.body == second.body == b"hello"
        assert client.is_open

    testing.run(scenario())
    assert message["type"] in str(app.errors[0])
    assert "complete" in str(app.errors[0])
    assert len(error_log.records) == 2


def test_application_of_an_earlier_request_cannot_touch_the_next_response(connect: Connect) -> None:
    sends: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        sends.append(send)
        await send(START)
        if len(sends) == 2:
            with pytest.raises(LocalProtocolError):
                await sends[0](body(b"smuggled", more=True))
            with pytest.raises(LocalProtocolError):
                await sends[0](START)
        await send(HELLO)

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET + GET)
        assert [response.body for response in client.responses()] == [b"hello", b"hello"]

    testing.run(scenario())


def test_send_and_receive_work_as_coroutines_in_tasks(connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await asyncio.create_task(receive())
        assert message == {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.wait_for(asyncio.ensure_future(send(START)), timeout=60)
        await asyncio.gather(send(HELLO))

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        assert [response.body for response in client.responses()] == [b"hello"]

    testing.run(scenario())


@pytest.mark.parametrize("data", [b"hello", bytearray(b"hello"), memoryview(b"hello")])
def test_body_may_be_any_bytes_like_object(connect: Connect, data: Any) -> None:
    async def scenario() -> None:
        client = connect(Sends(START, body(data)))
        await client.send(GET)
        assert [response.body for response in client.responses()] == [b"hello"]

    testing.run(scenario())


def test_optional_keys_have_their_defaults(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(Sends({"type": "http.response.start", "status": 201}, {"type": "http.response.body"}))
        await client.send(GET)
        (response,) = client.responses()
        assert (response.status, response.body) == (201, b"")
        assert response.header(b"content-length") == b"0"

    testing.run(scenario())


@pytest.mark.parametrize("make", [list, tuple, iter, lambda pairs: [list(pair) for pair in pairs]])
def test_headers_may_be_any_iterable_of_pairs(connect: Connect, recorder: Any, make: Any) -> None:
    pairs = [(b"X-A", b"1"), (b"x-b", b"2")]
    message = {"type": "http.response.start", "status": 200, "headers": make(pairs)}

    async def scenario() -> None:
        client = connect(Sends(message, HELLO), access=recorder)
        await client.send(GET)
        (response,) = client.responses()
        assert response.values(b"x-a") == [b"1"]
        assert response.values(b"x-b") == [b"2"]

    testing.run(scenario())
    assert [tuple(pair) for pair in recorder.exchanges[0].response_headers] == pairs
