"""Bounds that are on by default: concurrency, and the time that each step of an exchange may take."""

from __future__ import annotations

from typing import Any

import pytest

from addax import testing

from .apps import HELLO, START, Stepped, body, echo, hello
from .conftest import GET, Connect, ErrorLog, FakeClock

POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"

# ---- --limit-concurrency


def test_request_above_the_limit_is_answered_503(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        first = connect(app, concurrency_max_count=1)
        second = testing.FakeClient(first.service)
        await first.send(GET)
        await second.send(GET + GET)
        (response,) = second.responses()
        assert response.status == 503
        assert (response.header(b"retry-after") or b"").isdigit()
        assert response.is_last
        assert not second.is_open
        app.go()
        await testing.settle()
        assert first.responses()[0].status == 200
        third = testing.FakeClient(first.service)
        await third.send(GET)
        app.go(1)
        await testing.settle()
        assert third.responses()[0].status == 200
        assert app.started == 2

    testing.run(scenario())


def test_idle_connections_do_not_count(connect: Connect) -> None:
    async def scenario() -> None:
        first = connect(hello, concurrency_max_count=1)
        clients = [first, *(testing.FakeClient(first.service) for _ in range(5))]
        for client in clients * 2:
            await client.send(GET)
        assert [len(client.responses()) for client in clients] == [2] * 6
        assert all(response.status == 200 for client in clients for response in client.responses())

    testing.run(scenario())


def test_application_that_works_on_after_its_response_counts(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped()
        background = Background(app)
        first = connect(background, concurrency_max_count=1)
        await first.send(GET)
        assert first.responses()[0].body == b"hello"
        second = testing.FakeClient(first.service)
        await second.send(GET)
        assert [response.status for response in second.responses()] == [503]
        app.go()
        await testing.settle()
        third = testing.FakeClient(first.service)
        await third.send(GET)
        assert [response.status for response in third.responses()] == [200]
        app.go(1)

    testing.run(scenario())


class Background:
    """Answers, and then does what the other application does."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await hello(scope, receive, send)
        await self.app(scope, receive, send)


def test_limit_is_reached_with_several(connect: Connect) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        first = connect(app, concurrency_max_count=3)
        clients = [first, *(testing.FakeClient(first.service) for _ in range(4))]
        for client in clients:
            await client.send(GET)
        assert app.started == 3
        statuses = [[response.status for response in client.responses()] for client in clients]
        assert statuses == [[], [], [], [503], [503]]
        for client in clients:
            await client.close()

    testing.run(scenario())


# ---- the first byte and the head


def test_connection_without_a_byte_is_closed_silently(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        client = connect(hello, head_timeout_s=30)
        assert client.host.deadline == fake_clock.time + 30
        await fake_clock.advance(client, 29)
        assert client.is_open
        await fake_clock.advance(client, 1)
        assert client.host.ending == "close"
        assert client.host.written == b""

    testing.run(scenario())


@pytest.mark.parametrize("data", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nX: y"])
def test_head_that_does_not_end_is_answered_408(connect: Connect, fake_clock: FakeClock, data: bytes) -> None:
    async def scenario() -> None:
        client = connect(hello, head_timeout_s=30)
        await fake_clock.advance(client, 10)
        await client.send(data)
        await fake_clock.advance(client, 19)
        assert client.is_open
        await fake_clock.advance(client, 1)
        (response,) = client.responses()
        assert response.status == 408
        assert response.is_last
        assert client.host.ending == "linger"

    testing.run(scenario())


def test_head_that_trickles_in_gets_no_more_time(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        client = connect(hello, head_timeout_s=30)
        for _ in range(29):
            await fake_clock.advance(client, 1)
            await client.send(b"x")
        assert client.is_open
        await fake_clock.advance(client, 1)
        assert [response.status for response in client.responses()] == [408]

    testing.run(scenario())


def test_second_head_has_its_own_time(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        client = connect(hello, head_timeout_s=30, keep_alive_timeout_s=5)
        await client.send(GET)
        await fake_clock.advance(client, 4)
        await client.send(b"GET /")
        assert client.host.deadline == fake_clock.time + 30
        await fake_clock.advance(client, 20)
        await client.send(b"x HTTP/1.1\r\n")
        await fake_clock.advance(client, 9)
        assert client.is_open
        await fake_clock.advance(client, 1)
        assert [response.status for response in client.responses()] == [200, 408]

    testing.run(scenario())


def test_head_that_comes_behind_another_request_has_its_own_time(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = connect(app, head_timeout_s=30)
        await client.send(GET + b"GET / HT")
        await fake_clock.advance(client, 1000)
        assert client.is_open
        app.go()
        await testing.settle()
        assert client.host.deadline == fake_clock.time + 30
        await fake_clock.advance(client, 30)
        assert [response.status for response in client.responses()] == [200, 408]

    testing.run(scenario())


# ---- the body


def test_body_that_does_not_come_is_answered_408(connect: Connect, fake_clock: FakeClock, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        client = connect(echo_quietly, body_timeout_s=60)
        await client.send(POST)
        assert client.host.deadline == fake_clock.time + 60
        await fake_clock.advance(client, 60)
        (response,) = client.responses()
        assert response.status == 408
        assert client.host.ending == "linger"
        assert client.service.state.active_requests == 0

    testing.run(scenario())
    assert error_log.records == []


async def echo_quietly(scope: Any, receive: Any, send: Any) -> None:
    try:
        await echo(scope, receive, send)
    except ConnectionResetError:
        return


def test_each_piece_of_a_body_gets_new_time(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        client = connect(echo, body_timeout_s=60)
        await client.send(POST)
        for _ in range(10):
            await fake_clock.advance(client, 59)
            await client.send(b"x")
        assert [response.body for response in client.responses()] == [b"x" * 10]

    testing.run(scenario())


def test_chunked_body_that_stalls_is_answered_408(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        client = connect(echo_quietly, body_timeout_s=60)
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
        await fake_clock.advance(client, 60)
        assert [response.status for response in client.responses()] == [408]

    testing.run(scenario())


def test_body_that_stalls_after_the_response_began_breaks_it_off(connect: Connect, fake_clock: FakeClock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"a", more=True))
        await echo_quietly(scope, receive, send)

    async def scenario() -> None:
        client = connect(app, body_timeout_s=60)
        await client.send(POST)
        await fake_clock.advance(client, 60)
        (response,) = client.responses()
        assert not response.is_complete
        assert client.host.ending == "abort"

    testing.run(scenario())


def test_body_that_stalls_after_the_response_ended_ends_the_connection(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        client = connect(hello, body_timeout_s=60)
        await client.send(POST)
        assert client.is_open
        await fake_clock.advance(client, 60)
        assert [response.status for response in client.responses()] == [200]
        assert not client.is_open

    testing.run(scenario())


def test_time_does_not_run_while_reading_is_paused(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        app = Stepped()
        client = connect(app, body_timeout_s=60, body_buffer_bytes=3)
        await client.send(POST + b"hello")
        assert not client.host.is_reading
        await fake_clock.advance(client, 10_000)
        assert client.is_open
        await client.close()

    testing.run(scenario())


def test_time_of_the_body_runs_again_when_reading_goes_on(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        app = Stepped()
        both = Then(app, echo_quietly)
        client = connect(both, body_timeout_s=60, body_buffer_bytes=3)
        await client.send(POST + b"hello")
        await fake_clock.advance(client, 10_000)
        app.go()
        await testing.settle()
        await fake_clock.advance(client, 60)
        assert [response.status for response in client.responses()] == [408]

    testing.run(scenario())


class Then:
    """One application after another."""

    def __init__(self, *apps: Any) -> None:
        self.apps = apps

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for app in self.apps:
            await app(scope, receive, send)


# ---- the application and keep-alive


def test_application_may_take_its_time(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = connect(app)
        await client.send(GET)
        await fake_clock.advance(client, 100_000)
        assert client.is_open
        app.go()
        await testing.settle()
        assert [response.body for response in client.responses()] == [b"hello"]

    testing.run(scenario())


def test_idle_connection_is_closed_silently(connect: Connect, fake_clock: FakeClock, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        client = connect(hello, keep_alive_timeout_s=5)
        for _ in range(3):
            await client.send(GET)
            assert client.host.deadline == fake_clock.time + 5
            await fake_clock.advance(client, 4)
        await fake_clock.advance(client, 1)
        assert client.host.ending == "close"
        assert [response.status for response in client.responses()] == [200] * 3

    testing.run(scenario())
    assert error_log.records == []


def test_idle_time_begins_with_the_end_of_the_response(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = connect(app, keep_alive_timeout_s=5)
        await client.send(GET)
        await fake_clock.advance(client, 1000)
        app.go()
        await testing.settle()
        assert client.host.deadline == fake_clock.time + 5

    testing.run(scenario())


def test_empty_line_does_not_keep_a_connection(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        client = connect(hello, keep_alive_timeout_s=5, head_timeout_s=30)
        await client.send(GET)
        await client.send(b"\r\n")
        for _ in range(8):
            await fake_clock.advance(client, 5)
        assert not client.is_open
        assert client.responses()[0].status == 200

    testing.run(scenario())
