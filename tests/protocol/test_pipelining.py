"""Requests that come before the answer to the one before them."""

from __future__ import annotations

import asyncio
from typing import Any

from addax import testing

from .apps import HELLO, START, Stepped, body, path_echo, read_body
from .conftest import GET, Connect


def get(path: str) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % path.encode()


def test_answers_come_in_order_however_long_each_takes(connect: Connect) -> None:
    gates = {"/1": asyncio.Event, "/2": None, "/3": None}

    async def scenario() -> None:
        gate = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/1":
                await gate.wait()
            await path_echo(scope, receive, send)

        client = connect(app)
        await client.send(b"".join(get(path) for path in gates))
        assert client.host.written == b""
        gate.set()
        await testing.settle()
        assert [response.body for response in client.responses()] == [path.encode() for path in gates]

    testing.run(scenario())


def test_one_application_call_at_a_time(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = connect(app)
        await client.send(GET * 3)
        for number in range(3):
            assert app.started == number + 1
            app.go(number)
            await testing.settle()
        assert len(client.responses()) == 3

    testing.run(scenario())


def test_next_request_starts_when_the_response_ended_not_the_application(connect: Connect) -> None:
    calls: list[str] = []

    async def scenario() -> None:
        gate = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            calls.append(scope["path"])
            await path_echo(scope, receive, send)
            await gate.wait()

        client = connect(app)
        await client.send(get("/1") + get("/2"))
        assert [response.body for response in client.responses()] == [b"/1", b"/2"]
        assert client.service.state.active_requests == 2
        gate.set()
        await testing.settle()
        assert client.service.state.active_requests == 0

    testing.run(scenario())
    assert calls == ["/1", "/2"]


def test_next_request_never_starts_inside_the_send_of_another(connect: Connect) -> None:
    events: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        events.append("begin " + scope["path"])
        await send(START)
        await send(HELLO)
        events.append("end " + scope["path"])

    async def scenario() -> None:
        client = connect(app)
        await client.send(get("/1") + get("/2") + get("/3"))

    testing.run(scenario())
    assert events == ["begin /1", "end /1", "begin /2", "end /2", "begin /3", "end /3"]


def test_thousands_of_requests_need_no_recursion(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(path_echo)
        await client.send(b"".join(get(f"/{number}") for number in range(3000)))
        responses = client.responses()
        assert [response.body for response in responses] == [b"/%d" % number for number in range(3000)]

    testing.run(scenario())


def test_reading_pauses_when_too_much_waits(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = connect(app, pipeline_max_bytes=200)
        await client.send(GET * 50, step=len(GET))
        assert not client.host.is_reading
        waiting = sum(len(piece) for piece in client.waiting if piece)
        assert len(GET) * 50 - waiting <= len(GET) + 200 + len(GET)
        for number in range(50):
            app.go(number)
            await testing.settle()
        assert len(client.responses()) == 50
        assert client.host.is_reading

    testing.run(scenario())


def test_reading_goes_on_below_the_bound(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = connect(app, pipeline_max_bytes=10_000)
        await client.send(GET * 50, step=len(GET))
        assert client.host.is_reading
        await client.close()

    testing.run(scenario())


def test_half_a_request_may_wait(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = connect(app)
        await client.send(GET + GET[:10])
        app.go()
        await testing.settle()
        assert len(client.responses()) == 1
        await client.send(GET[10:])
        app.go(1)
        await testing.settle()
        assert len(client.responses()) == 2

    testing.run(scenario())


def test_error_behind_a_request_in_progress_waits_for_its_turn(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = connect(app)
        await client.send(GET + b"BAD\r\n\r\n" + GET)
        assert client.host.written == b""
        app.go()
        await testing.settle()
        assert [response.status for response in client.responses()] == [200, 400]
        assert not client.is_open
        assert app.started == 1

    testing.run(scenario())


def test_bodies_do_not_mix(connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        content = await read_body(receive)
        await asyncio.sleep(0)
        await send(START)
        await send(body(content))

    async def scenario() -> None:
        contents = [bytes([65 + number]) * number for number in range(20)]
        data = b"".join(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)
            for content in contents
        )
        for step in (None, 1, 7, 50):
            client = connect(app)
            await client.send(data, step)
            assert [response.body for response in client.responses()] == contents

    testing.run(scenario())


def test_unread_body_of_one_is_not_given_to_the_next(connect: Connect) -> None:
    received: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/reads":
            received.append(await read_body(receive))
        await path_echo(scope, receive, send)

    async def scenario() -> None:
        client = connect(app)
        await client.send(b"POST /ignores HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nsecret" + get("/reads"))
        assert [response.body for response in client.responses()] == [b"/ignores", b"/reads"]

    testing.run(scenario())
    assert received == [b""]
