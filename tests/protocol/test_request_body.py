"""Request bodies: what ``receive`` gives, 100 (Continue), reading that pauses, and answers before the body's end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from addax import testing

from .apps import HELLO, START, Stepped, body, echo, hello, read_body, start
from .conftest import GET, Connect, ErrorLog


def post(length: int, *lines: bytes, version: bytes = b"1.1") -> bytes:
    fields = b"".join(line + b"\r\n" for line in lines)
    return b"POST / HTTP/%b\r\nHost: h\r\nContent-Length: %d\r\n%b\r\n" % (version, length, fields)


class Receiver:
    """Receives when the test says so."""

    def __init__(self, answers: bool = True) -> None:
        self.messages: list[Any] = []
        self.wanted = asyncio.Event()
        self.answers = answers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            await self.wanted.wait()
            self.wanted.clear()
            message = await receive()
            self.messages.append(message)
            more = message.get("more_body", False)
        if self.answers:
            await hello(scope, receive, send)

    async def receive_one(self) -> Any:
        self.wanted.set()
        await testing.settle()
        return self.messages[-1]


# ---- messages


def test_request_without_body_is_one_empty_message(connect: Connect) -> None:
    async def scenario() -> None:
        app = Receiver()
        client = connect(app)
        await client.send(GET)
        assert await app.receive_one() == {"type": "http.request", "body": b"", "more_body": False}

    testing.run(scenario())


def test_body_is_given_as_it_comes(connect: Connect) -> None:
    async def scenario() -> None:
        app = Receiver()
        client = connect(app)
        await client.send(post(6) + b"ab")
        assert await app.receive_one() == {"type": "http.request", "body": b"ab", "more_body": True}
        await client.send(b"c")
        await client.send(b"d")
        assert (await app.receive_one())["body"] == b"cd"
        app.wanted.set()
        await client.send(b"ef")
        assert app.messages[-1] == {"type": "http.request", "body": b"ef", "more_body": False}
        assert len(app.messages) == 3

    testing.run(scenario())


def test_receive_after_the_body_waits_for_the_end_of_the_response(connect: Connect) -> None:
    received: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = asyncio.create_task(receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        await hello(scope, receive, send)
        received.append(await waiting)
        received.append(await receive())
        received.append(await receive())

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        assert [response.body for response in client.responses()] == [b"hello"]

    testing.run(scenario())
    assert received == [{"type": "http.disconnect"}] * 3


def test_two_receives_at_once_both_end(connect: Connect) -> None:
    received: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received.extend(await asyncio.gather(receive(), receive()))
        await hello(scope, receive, send)

    async def scenario() -> None:
        client = connect(app)
        await client.send(post(2))
        await client.send(b"a")
        await client.send(b"b")
        assert [response.status for response in client.responses()] == [200]

    testing.run(scenario())
    assert b"".join(message["body"] for message in received) == b"ab"


def test_cancelled_receive_loses_nothing(connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        waiting = asyncio.create_task(receive())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await echo(scope, receive, send)

    async def scenario() -> None:
        client = connect(app)
        await client.send(post(2))
        await client.send(b"ab")
        assert [response.body for response in client.responses()] == [b"ab"]

    testing.run(scenario())


# ---- 100 (Continue)

EXPECT = b"Expect: 100-continue"


def test_continue_is_sent_when_the_application_asks(connect: Connect) -> None:
    async def scenario() -> None:
        app = Receiver()
        client = connect(app)
        await client.send(post(2, EXPECT))
        assert client.host.written == b""
        app.wanted.set()
        await testing.settle()
        assert client.host.written == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"ab")
        (response,) = client.responses()
        assert [interim.status for interim in response.interim] == [100]
        assert not response.is_last
        await client.send(GET)
        app.wanted.set()
        await testing.settle()
        assert len(client.responses()) == 2

    testing.run(scenario())


def test_continue_is_sent_once(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(echo)
        await client.send(post(4, EXPECT))
        for byte in (b"a", b"b", b"c", b"d"):
            await client.send(byte)
        (response,) = client.responses()
        assert len(response.interim) == 1
        assert response.body == b"abcd"

    testing.run(scenario())


def test_continue_for_a_chunked_body(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(echo)
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        assert client.host.written == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"2\r\nab\r\n0\r\n\r\n")
        assert [response.body for response in client.responses()] == [b"ab"]

    testing.run(scenario())


def test_continue_is_not_sent_when_the_body_is_there(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(echo)
        await client.send(post(2, EXPECT) + b"ab")
        (response,) = client.responses()
        assert response.interim == []
        assert not response.is_last

    testing.run(scenario())


def test_continue_is_not_sent_to_http10(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(echo)
        await client.send(post(2, EXPECT, version=b"1.0"))
        assert client.host.written == b""
        await client.send(b"ab")
        (response,) = client.responses()
        assert (response.body, response.interim) == (b"ab", [])

    testing.run(scenario())


def test_answer_without_asking_for_the_body_ends_the_connection(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello)
        await client.send(post(37, EXPECT))
        (response,) = client.responses()
        assert response.interim == []
        assert response.is_last
        assert client.host.ending == "linger"
        # What the client sends is its body, or a request: the server cannot know, and serves neither.
        await client.send(GET)
        assert len(client.responses()) == 1

    testing.run(scenario())


def test_continue_is_not_sent_after_the_response_began(connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"a", more=True))
        content = await read_body(receive)
        await send(body(content))

    async def scenario() -> None:
        client = connect(app)
        await client.send(post(2, EXPECT))
        await client.send(b"bc")
        (response,) = client.responses()
        assert (response.body, response.interim) == (b"abc", [])

    testing.run(scenario())


def test_continue_after_early_hints(connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</a>"]})
        await echo(scope, receive, send)

    async def scenario() -> None:
        client = connect(app)
        await client.send(post(2, EXPECT))
        await client.send(b"bc")
        (response,) = client.responses()
        assert [interim.status for interim in response.interim] == [103, 100]

    testing.run(scenario())


# ---- reading pauses


def test_reading_pauses_above_the_buffer_and_goes_on_when_it_was_taken(connect: Connect) -> None:
    async def scenario() -> None:
        app = Receiver()
        client = connect(app, body_buffer_bytes=1000)
        await client.send(post(5000))
        await client.send(b"x" * 4900, step=100)
        assert not client.host.is_reading
        waiting = sum(len(piece) for piece in client.waiting if piece)
        assert 4900 - waiting <= 1100
        assert len((await app.receive_one())["body"]) == 4900 - waiting
        # Reading went on, up to the next bound.
        assert sum(len(piece) for piece in client.waiting if piece) < waiting
        assert not client.host.is_reading
        for _ in range(10):
            await app.receive_one()
        assert client.host.is_reading
        assert sum(len(message["body"]) for message in app.messages) == 4900
        app.wanted.set()
        await client.send(b"y" * 100)
        assert [response.status for response in client.responses()] == [200]

    testing.run(scenario())


def test_reading_is_not_paused_below_the_buffer(connect: Connect) -> None:
    async def scenario() -> None:
        app = Receiver()
        client = connect(app, body_buffer_bytes=1000)
        await client.send(post(2000) + b"x" * 900)
        assert client.host.is_reading
        await client.close()

    testing.run(scenario())


def test_reading_pauses_in_a_chunked_body_too(connect: Connect) -> None:
    async def scenario() -> None:
        app = Receiver()
        client = connect(app, body_buffer_bytes=1000)
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.send(b"64\r\n" + b"x" * 100 + b"\r\n", step=50)
        assert client.host.is_reading
        for _ in range(20):
            await client.send(b"64\r\n" + b"x" * 100 + b"\r\n")
        assert not client.host.is_reading
        for _ in range(10):
            await app.receive_one()
        assert client.host.is_reading
        await client.close()

    testing.run(scenario())


def test_paused_body_is_delivered_whole(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(echo, body_buffer_bytes=100)
        data = bytes(range(256)) * 20
        await client.send(post(len(data)) + data, step=150)
        assert [response.body for response in client.responses()] == [data]

    testing.run(scenario())


# ---- the answer comes first


def test_unread_body_is_skipped_and_the_connection_goes_on(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello)
        await client.send(post(1000) + b"x" * 1000 + GET)
        assert [response.status for response in client.responses()] == [200, 200]
        assert client.is_open

    testing.run(scenario())


def test_unread_body_that_comes_later_is_skipped_too(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello)
        await client.send(post(1000) + b"x" * 10)
        assert len(client.responses()) == 1
        await client.send(b"x" * 990, step=100)
        await client.send(GET)
        assert [response.status for response in client.responses()] == [200, 200]
        assert client.is_open

    testing.run(scenario())


def test_body_that_nobody_reads_is_not_read_for_ever(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello)
        await client.send(post(10**9))
        for _ in range(100):
            if not client.is_open:
                break
            await client.send(b"x" * 65536)
        assert not client.is_open
        # The client is still sending: it can read its answer only if the end comes in two steps.
        assert client.host.ending == "linger"
        assert [response.status for response in client.responses()] == [200]

    testing.run(scenario())


def test_answer_before_a_paused_body_ends_does_not_hang(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = connect(app, body_buffer_bytes=100)
        await client.send(post(2000) + b"x" * 500)
        await client.send(b"x" * 1500, step=100)
        assert not client.host.is_reading
        app.go()
        await testing.settle()
        await client.send(GET)
        app.go(1)
        await testing.settle()
        assert [response.status for response in client.responses()] == [200, 200]

    testing.run(scenario())


def test_response_may_stream_while_the_body_comes(connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200))
        while True:
            message = await receive()
            await send(body(message["body"].upper(), more=message["more_body"]))
            if not message["more_body"]:
                return

    async def scenario() -> None:
        client = connect(app)
        await client.send(post(4))
        await client.send(b"ab")
        assert client.responses()[0].body == b"AB"
        await client.send(b"cd")
        assert client.responses()[0].body == b"ABCD"
        assert client.responses()[0].is_complete
        assert client.is_open

    testing.run(scenario())


# ---- errors inside a body


@pytest.mark.parametrize("started", [False, True])
def test_malformed_body_while_the_application_runs(connect: Connect, error_log: ErrorLog, started: bool) -> None:
    errors: list[Exception] = []
    messages: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if started:
            await send(START)
            await send(body(b"a", more=True))
        while not messages or messages[-1].get("more_body"):
            messages.append(await receive())
        try:
            await send(body(b"b", more=True) if started else START)
        except OSError as error:
            errors.append(error)
            raise

    async def scenario() -> None:
        client = connect(app)
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await client.send(b"x\r\n" + GET)
        responses = client.responses()
        if started:
            assert [(response.status, response.is_complete) for response in responses] == [(200, False)]
            assert client.host.ending == "abort"
        else:
            assert [response.status for response in responses] == [400]
            assert client.host.ending == "linger"
        await client.close()
        assert client.service.state.active_requests == 0

    testing.run(scenario())
    assert [message["type"] for message in messages] == ["http.request", "http.disconnect"]
    assert len(errors) == 1
    assert error_log.records == []


def test_too_large_body_while_the_application_runs(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        client = connect(echo_or_leave, body_max_bytes=10)
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n")
        await client.send(b"8\r\n12345678\r\n")
        assert [response.status for response in client.responses()] == [413]

    testing.run(scenario())
    assert error_log.records == []


async def echo_or_leave(scope: Any, receive: Any, send: Any) -> None:
    try:
        await echo(scope, receive, send)
    except ConnectionResetError:
        return
