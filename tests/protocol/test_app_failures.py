"""Applications that raise, return too early, or are cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from addax import testing

from .apps import HELLO, START, Sends, body, hello, start, turn
from .conftest import GET, HEAD, Connect, ErrorLog


class Boom(Exception):
    pass


def _raising(*messages: Any, yields: bool = False, error: BaseException | None = None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
            if yields:
                await turn()
        if yields:
            await turn()
        raise error or Boom("secret detail")

    return app


def test_error_before_start_is_answered_500_without_details(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        client = connect(_raising())
        await client.send(GET + GET)
        (response,) = client.responses()
        assert response.status == 500
        assert response.header(b"content-type") == b"text/plain; charset=utf-8"
        assert b"secret" not in client.host.written
        assert response.is_last
        assert client.host.ending == "linger"
        assert client.service.state.active_requests == 0

    testing.run(scenario())
    (record,) = error_log.records
    assert record.name == "addax.error"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Boom)


def test_error_before_start_of_head_has_no_body(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(_raising())
        await client.send(HEAD)
        (response,) = client.responses("HEAD")
        assert response.status == 500

    testing.run(scenario())


def test_error_after_start_while_the_head_is_held_is_answered_500(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        client = connect(_raising(start(201, (b"x-a", b"1"))))
        await client.send(GET)
        (response,) = client.responses()
        assert response.status == 500
        assert response.values(b"x-a") == []

    testing.run(scenario())
    assert len(error_log.records) == 1


@pytest.mark.parametrize(
    "messages",
    [(START,), (START, body(b"a", more=True)), (start(200, (b"content-length", b"5")), body(b"a", more=True))],
    ids=["head", "chunked", "length"],
)
def test_error_after_the_head_breaks_the_connection_off(connect: Connect, error_log: ErrorLog, messages: Any) -> None:
    async def scenario() -> None:
        client = connect(_raising(*messages, yields=True))
        await client.send(GET + GET)
        (response,) = client.responses()
        assert response.status == 200
        assert not response.is_complete
        assert client.host.ending == "abort"

    testing.run(scenario())
    assert len(error_log.records) == 1


def test_error_after_the_end_is_logged_and_the_connection_goes_on(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        client = connect(_raising(START, HELLO))
        await client.send(GET)
        await client.send(GET)
        assert [response.body for response in client.responses()] == [b"hello", b"hello"]
        assert client.is_open

    testing.run(scenario())
    assert len(error_log.records) == 2


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ((), "returned without starting response"),
        ((START,), "returned without completing response"),
    ],
    ids=["nothing", "start"],
)
def test_return_before_anything_was_sent_is_answered_500(
    connect: Connect, error_log: ErrorLog, messages: Any, words: str
) -> None:
    async def scenario() -> None:
        client = connect(Sends(*messages))
        await client.send(GET + GET)
        (response,) = client.responses()
        assert response.status == 500
        assert client.host.ending == "linger"

    testing.run(scenario())
    assert words in error_log.text
    assert len(error_log.records) == 1


@pytest.mark.parametrize(
    "messages",
    [
        (START, body(b"a", more=True)),
        (start(200, (b"content-length", b"5")), body(b"a", more=True)),
        (start(200, trailers=True), body(b"a")),
    ],
    ids=["chunked", "length", "trailers"],
)
def test_return_inside_the_body_breaks_the_connection_off(connect: Connect, error_log: ErrorLog, messages: Any) -> None:
    async def scenario() -> None:
        client = connect(Sends(*messages, yields=True))
        await client.send(GET + GET)
        (response,) = client.responses()
        assert not response.is_complete
        assert client.host.ending == "abort"

    testing.run(scenario())
    assert "returned without completing response" in error_log.text


def test_return_value_is_an_error_but_the_response_stands(connect: Connect, error_log: ErrorLog) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> Any:
        await hello(scope, receive, send)
        return "done"

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        assert [response.body for response in client.responses()] == [b"hello"]

    testing.run(scenario())
    assert "'done'" in error_log.text


def test_cancelled_application_is_answered_500(connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        (task,) = client.service.state.tasks
        task.cancel()
        await testing.settle()
        (response,) = client.responses()
        assert response.status == 500
        assert client.service.state.tasks == set()
        assert client.service.state.active_requests == 0

    testing.run(scenario())


def test_cancelled_application_inside_the_body_breaks_the_connection_off(connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"a", more=True))
        await asyncio.Event().wait()

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        (task,) = client.service.state.tasks
        task.cancel()
        await testing.settle()
        (response,) = client.responses()
        assert not response.is_complete
        assert client.host.ending == "abort"

    testing.run(scenario())


def test_other_connections_do_not_notice(connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/bad":
            raise Boom
        await hello(scope, receive, send)

    async def scenario() -> None:
        bad = connect(app)
        good = testing.FakeClient(bad.service)
        await good.send(GET)
        await bad.send(GET.replace(b"/ ", b"/bad "))
        await good.send(GET)
        assert [response.status for response in good.responses()] == [200, 200]
        assert good.is_open
        assert not bad.is_open

    testing.run(scenario())


def test_outcomes_are_recorded_once_each(connect: Connect, recorder: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"abc", more=scope["path"] != "/whole"))
        if scope["path"] == "/raise":
            await turn()
            raise Boom
        if scope["path"] == "/wait":
            await asyncio.Event().wait()

    async def scenario() -> None:
        whole = connect(app, access=recorder)
        await whole.send(GET.replace(b"/ ", b"/whole "))
        raising = testing.FakeClient(whole.service)
        await raising.send(GET.replace(b"/ ", b"/raise "))
        left = testing.FakeClient(whole.service)
        await left.send(GET.replace(b"/ ", b"/wait "))
        await left.lose()
        for client in (whole, raising, left):
            await client.close()
        assert whole.service.state.total_requests == 3

    testing.run(scenario())
    assert [(one.scope["path"], one.status, one.outcome, one.bytes_sent) for one in recorder.exchanges] == [
        ("/whole", 200, "completed", 3),
        ("/raise", 200, "aborted", 3),
        ("/wait", 200, "disconnected", 3),
    ]
    for one in recorder.exchanges:
        assert one.started_at > 0


def test_server_errors_are_recorded_with_their_status(connect: Connect, recorder: Any) -> None:
    async def scenario() -> None:
        client = connect(_raising(), access=recorder)
        await client.send(GET)

    testing.run(scenario())
    assert [one.status for one in recorder.exchanges] == [500]
