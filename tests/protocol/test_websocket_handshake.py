"""The handshake: how it is asked for, and the three ways in which an application answers it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from addax import testing
from addax.core.errors import ClientDisconnected, LocalProtocolError
from addax.core.settings import WebSocketSettings

from .conftest import GET, Connect, ErrorLog, FakeClock
from .sockets import ACCEPT_MESSAGE, App, Socket, disconnect, echo, handshake, text

REFUSE: dict[str, Any] = {"type": "websocket.close"}


def test_accepted(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        app = echo()
        socket = Socket(connect(app))
        answer = await socket.open(b"/ws?a=1")
        assert set(answer) == {b"date", b"server", b"upgrade", b"connection", b"sec-websocket-accept"}
        assert app.received == [{"type": "websocket.connect"}]
        await socket.send(text("hello"))
        assert socket.texts() == ["hello"]

    caplog.set_level("INFO", "addax.error")
    testing.run(scenario())
    assert caplog.messages[:2] == ['127.0.0.1:50000 - "WebSocket /ws?a=1" [accepted]', "connection open"]


def test_scope(connect: Connect) -> None:
    async def scenario() -> None:
        app = echo()
        client = connect(app, lifespan_state={"db": 1}, root_path="/api")
        await Socket(client).open(b"/a%20b?q=1", b"Sec-WebSocket-Protocol: chat, super", b"Cookie: c=d")
        (scope,) = app.scopes
        headers = scope.pop("headers")
        assert (b"cookie", b"c=d") in headers
        assert (b"sec-websocket-protocol", b"chat, super") in headers
        extensions = scope.pop("extensions")
        assert set(extensions) == {"websocket.http.response", "addax.shutdown", "addax.websocket.shutdown_code"}
        assert extensions["websocket.http.response"] == {}
        assert scope == {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "scheme": "ws",
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 50000),
            "root_path": "/api",
            "path": "/api/a b",
            "raw_path": b"/api/a%20b",
            "query_string": b"q=1",
            "subprotocols": ["chat", "super"],
            "state": {"db": 1},
        }

    testing.run(scenario())


def test_scopes_of_requests_are_as_before(connect: Connect) -> None:
    async def scenario() -> None:
        app = echo()
        client = connect(app)
        await Socket(client).open()
        seen: list[Any] = []

        async def plain(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        client.service.app = plain
        other = testing.FakeClient(client.service)
        await other.send(GET)
        assert (seen[0]["type"], seen[0]["method"], seen[0]["scheme"]) == ("http", "GET", "http")
        assert "http.response.trailers" in seen[0]["extensions"]

    testing.run(scenario())


def test_subprotocol_and_headers(connect: Connect) -> None:
    async def scenario() -> None:
        accept = {**ACCEPT_MESSAGE, "subprotocol": "b", "headers": [(b"Set-Cookie", b"s=1"), (b"X-A", b"1")]}
        socket = Socket(connect(App("receive", accept, "receive")))
        answer = await socket.open(b"/", b"Sec-WebSocket-Protocol: a, b")
        assert answer[b"sec-websocket-protocol"] == b"b"
        assert (answer[b"set-cookie"], answer[b"x-a"]) == (b"s=1", b"1")

    testing.run(scenario())


@pytest.mark.parametrize(
    ("fields", "quoted"),
    [
        ({"subprotocol": "c"}, "'c'"),
        ({"headers": [(b"x-a", b"1\r\nx-b: 2")]}, "control character"),
        ({"headers": [(b"x a", b"1")]}, "not a token"),
        ({"headers": [(b"sec-websocket-accept", b"x")]}, "sec-websocket-accept"),
        ({"headers": [(b"sec-websocket-extensions", b"x")]}, "sec-websocket-extensions"),
        ({"shutdown_code": 1006}, "1006"),
        ({"shutdown_code": "1001"}, "'1001'"),
    ],
)
def test_accept_that_may_not_be_sent(
    connect: Connect, error_log: ErrorLog, fields: dict[str, Any], quoted: str
) -> None:
    async def scenario() -> None:
        app = App("receive", {**ACCEPT_MESSAGE, **fields})
        socket = Socket(connect(app))
        await socket.client.send(handshake(b"/", b"Sec-WebSocket-Protocol: a, b"))
        assert socket.answer()[0] == b"HTTP/1.1 500 Internal Server Error"
        assert socket.host.ending == "linger"
        assert isinstance(app.errors[0], LocalProtocolError)
        assert quoted in str(app.errors[0])

    testing.run(scenario())
    assert quoted in error_log.text


def test_application_goes_on_after_a_wrong_accept(connect: Connect) -> None:
    async def scenario() -> None:
        async def accept_twice(receive: Any, send: Any) -> None:
            with pytest.raises(LocalProtocolError):
                await send({**ACCEPT_MESSAGE, "subprotocol": "never offered"})
            await send(ACCEPT_MESSAGE)

        socket = Socket(connect(App("receive", accept_twice, "echo")))
        await socket.open()
        await socket.send(text("x"))
        assert socket.texts() == ["x"]

    testing.run(scenario())


def test_refused_before_it_was_accepted(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        app = App("receive", REFUSE, "receive", "receive")
        client = connect(app)
        await client.send(handshake(b"/x") + GET)
        (response,) = client.responses()
        assert (response.status, response.body) == (403, b"")
        assert response.is_last
        assert client.host.ending == "close"
        assert app.received == [{"type": "websocket.connect"}, disconnect(1006), disconnect(1006)]
        assert app.is_done
        assert client.service.state.total_requests == 1
        assert client.service.state.active_requests == 0

    caplog.set_level("INFO", "addax.error")
    testing.run(scenario())
    assert caplog.messages == ['127.0.0.1:50000 - "WebSocket /x" 403']


def test_denied_with_a_response(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"no")]}
        more = {"type": "websocket.http.response.body", "body": b"go ", "more_body": True}
        end = {"type": "websocket.http.response.body", "body": b"away"}
        app = App("receive", start, more, end, "receive")
        client = connect(app)
        await client.send(handshake())
        (response,) = client.responses()
        assert (response.status, response.body) == (401, b"go away")
        assert (b"x-why", b"no") in response.headers
        assert response.is_last
        assert app.received[1:] == [disconnect(1006)]
        assert client.service.state.total_requests == 1

    caplog.set_level("INFO", "addax.error")
    testing.run(scenario())
    assert caplog.messages == ['127.0.0.1:50000 - "WebSocket /ws" 401']


def test_denial_of_a_slow_client_waits(connect: Connect) -> None:
    async def scenario() -> None:
        start = {"type": "websocket.http.response.start", "status": 400}
        more = {"type": "websocket.http.response.body", "body": b"x" * 100, "more_body": True}
        end = {"type": "websocket.http.response.body"}
        app = App("receive", start, more, end)
        client = connect(app, write_buffer_bytes=50)
        client.host.is_client_taking = False
        await client.send(handshake())
        assert not app.is_done
        client.host.take()
        await testing.settle()
        assert app.is_done
        assert client.responses()[0].body == b"x" * 100

    testing.run(scenario())


@pytest.mark.parametrize(
    ("app", "logged"),
    [
        (App("receive"), "ASGI callable returned without completing handshake."),
        (App(), "ASGI callable returned without completing handshake."),
        (App("receive", {"type": "websocket.send", "text": "x"}), "unexpected message 'websocket.send', expected"),
        (App("receive", {"type": "http.response.start", "status": 200}), "unexpected message 'http.response.start'"),
        (App("receive", {"type": "websocket.http.response.body"}), "unexpected message 'websocket.http.response.body'"),
        (App("receive", {"type": "websocket.http.response.start", "status": "x"}), "status 'x'"),
        (App("receive", {"text": "x"}), "key 'type'"),
        (App("receive", 5), "key 'type'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_application_that_does_not_answer(connect: Connect, error_log: ErrorLog, app: App, logged: str) -> None:
    async def scenario() -> None:
        client = connect(app)
        await client.send(handshake())
        (response,) = client.responses()
        assert (response.status, response.is_last) == (500, True)
        assert client.service.state.active_requests == 0
        assert not client.service.state.tasks

    testing.run(scenario())
    assert logged in error_log.text


def test_application_that_returns_in_the_middle_of_its_denial(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        client = connect(App("receive", {"type": "websocket.http.response.start", "status": 400, "headers": []}))
        await client.send(handshake())
        (response,) = client.responses()
        # Nothing of it was on the wire yet.
        assert response.status == 500

    testing.run(scenario())
    assert "ASGI callable returned without completing response." in error_log.text


def test_client_that_leaves_before_the_answer(connect: Connect, error_log: ErrorLog) -> None:
    async def scenario() -> None:
        go = asyncio.Event()

        async def wait(receive: Any, send: Any) -> None:
            await go.wait()

        app = App("receive", wait, ACCEPT_MESSAGE)
        client = connect(app)
        await client.send(handshake())
        await client.lose()
        go.set()
        await testing.settle()
        assert isinstance(app.errors[0], ClientDisconnected)
        assert client.service.state.websockets.total == 0

    testing.run(scenario())
    assert not error_log.records


@pytest.mark.parametrize("how", ["lost", "eof"])
def test_application_that_listens_before_it_answers_hears_the_client_leave(connect: Connect, how: str) -> None:
    async def scenario() -> None:
        app = App("receive", "receive")
        client = connect(app)
        await client.send(handshake())
        assert not app.is_done
        if how == "lost":
            await client.lose()
        else:
            await client.send_eof()
        assert app.is_done
        assert app.received == [{"type": "websocket.connect"}, disconnect(1006)]

    testing.run(scenario())


def test_application_that_listens_in_another_task_while_it_accepts(connect: Connect) -> None:
    async def scenario() -> None:
        heard: list[Any] = []

        async def both(receive: Any, send: Any) -> None:
            async def listen() -> None:
                heard.append(await receive())

            listener = asyncio.create_task(listen())
            await asyncio.sleep(0)
            await send(ACCEPT_MESSAGE)
            await listener

        socket = Socket(connect(App("receive", both)))
        await socket.open()
        await socket.send(text("x"))
        assert heard == [{"type": "websocket.receive", "text": "x"}]

    testing.run(scenario())


def test_accepted_without_listening_first(connect: Connect) -> None:
    """``websocket.connect`` is still the first that ``receive`` gives."""

    async def scenario() -> None:
        app = App(ACCEPT_MESSAGE, "receive", "receive")
        socket = Socket(connect(app))
        await socket.open()
        await socket.send(text("x"))
        assert [message["type"] for message in app.received] == ["websocket.connect", "websocket.receive"]

    testing.run(scenario())


def test_frames_in_the_piece_of_the_handshake_are_kept(connect: Connect) -> None:
    async def scenario() -> None:
        app = echo()
        socket = Socket(connect(app))
        await socket.open(extra=text("one") + text("two"))
        assert socket.texts() == ["one", "two"]

    testing.run(scenario())


def test_frames_that_come_before_the_answer_are_kept(connect: Connect) -> None:
    async def scenario() -> None:
        go = asyncio.Event()

        async def wait(receive: Any, send: Any) -> None:
            await go.wait()

        socket = Socket(connect(App("receive", wait, ACCEPT_MESSAGE, "echo"), pipeline_max_bytes=100))
        await socket.client.send(handshake() + text("one"))
        await socket.send(text("x" * 1000), step=100)
        assert not socket.host.is_reading
        go.set()
        await testing.settle()
        assert socket.host.is_reading
        socket.answer()
        assert socket.texts() == ["one", "x" * 1000]

    testing.run(scenario())


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (handshake(version=b"8"), 426),
        (handshake(key=b"short"), 400),
        (handshake().replace(b"GET", b"POST"), 400),
        (handshake(b"/", b"Content-Length: 3") + b"abc", 400),
        (handshake(b"/", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
        (handshake(b"/", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400),
        (handshake(b"/", b"Sec-WebSocket-Protocol: caf\xc3\xa9"), 400),
        (handshake(b"/", b"Sec-WebSocket-Protocol: a, a"), 400),
    ],
)
def test_malformed(connect: Connect, request_bytes: bytes, status: int) -> None:
    async def scenario() -> None:
        app = echo()
        client = connect(app)
        await client.send(request_bytes)
        response = client.responses()[0]
        assert response.status == status
        assert response.is_last
        assert not app.scopes
        if status == 426:
            # RFC 6455 §4.4: so that the client can try again.
            assert (b"sec-websocket-version", b"13") in response.headers
            assert (b"upgrade", b"websocket") in response.headers

    testing.run(scenario())


def test_origin_that_is_not_allowed(connect: Connect) -> None:
    async def scenario() -> None:
        app = echo()
        first = connect(app, websocket=WebSocketSettings(allowed_origins=("https://a.test",)))
        await first.send(handshake(b"/", b"Origin: https://b.test"))
        assert first.responses()[0].status == 403
        assert not app.scopes
        await Socket(testing.FakeClient(first.service)).open(b"/", b"Origin: https://a.test")
        await Socket(testing.FakeClient(first.service)).open(b"/")

    testing.run(scenario())


@pytest.mark.parametrize(
    "request_bytes",
    [
        handshake().replace(b"Connection: Upgrade", b"Connection: keep-alive"),
        handshake().replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["not named by Connection", "another protocol", "HTTP/1.0"],
)
def test_what_does_not_ask_for_a_websocket_is_a_request(connect: Connect, request_bytes: bytes) -> None:
    async def scenario() -> None:
        app = App({"type": "http.response.start", "status": 200, "headers": []}, {"type": "http.response.body"})
        client = connect(app)
        await client.send(request_bytes)
        assert client.responses()[0].status == 200
        assert app.scopes[0]["type"] == "http"

    testing.run(scenario())


def test_without_websockets_it_is_a_request(connect: Connect) -> None:
    async def scenario() -> None:
        app = App({"type": "http.response.start", "status": 200, "headers": []}, {"type": "http.response.body"})
        client = connect(app, ws="none")
        await client.send(handshake() + GET)
        assert [response.status for response in client.responses()] == [200, 200]
        assert app.scopes[0]["type"] == "http"

    testing.run(scenario())


def test_limit_of_concurrency_counts_websockets(connect: Connect) -> None:
    async def scenario() -> None:
        first = Socket(connect(echo(), concurrency_max_count=1))
        await first.open()
        second = testing.FakeClient(first.client.service)
        await second.send(handshake())
        assert second.responses()[0].status == 503
        await first.client.lose()
        await Socket(testing.FakeClient(first.client.service)).open()

    testing.run(scenario())


def test_application_that_does_not_answer_in_time(
    connect: Connect, fake_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        app = App("receive", "receive")
        client = connect(app, websocket=WebSocketSettings(handshake_timeout_s=5.0))
        await client.send(handshake())
        await fake_clock.advance(client, 3.0)
        # What the client sends meanwhile gives the application no more time.
        await client.send(text("x"))
        assert client.is_open
        await fake_clock.advance(client, 3.0)
        (response,) = client.responses()
        assert (response.status, response.is_last) == (503, True)
        assert app.received[1:] == [disconnect(1006)]

    caplog.set_level("INFO", "addax.error")
    testing.run(scenario())
    assert "not answered by the application in 5 s (--ws-handshake-timeout)" in caplog.text
    assert '"WebSocket /ws" 503' in caplog.text


def test_handshake_deadline_ends_with_the_handshake(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        socket = Socket(connect(echo(), websocket=WebSocketSettings(handshake_timeout_s=5.0, ping_interval_s=None)))
        await socket.open()
        await fake_clock.advance(socket.client, 100.0)
        assert socket.client.is_open
        assert socket.frames() == []

    testing.run(scenario())


def test_worker_that_stops_during_the_handshake(connect: Connect) -> None:
    async def scenario() -> None:
        app = App("receive", "receive")
        client = connect(app)
        await client.send(handshake())
        client.connection.start_draining()
        await testing.settle()
        assert not app.is_done
        client.connection.notify_disconnect()
        await testing.settle()
        assert app.received[1:] == [disconnect(1006)]
        assert client.responses()[0].status == 500

    testing.run(scenario())


def test_accepted_while_the_worker_stops(connect: Connect, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        go = asyncio.Event()

        async def wait(receive: Any, send: Any) -> None:
            await go.wait()

        socket = Socket(connect(App("receive", wait, ACCEPT_MESSAGE, "echo")))
        await socket.client.send(handshake())
        socket.client.connection.start_draining()
        go.set()
        await testing.settle()
        socket.answer()
        await fake_clock.advance(socket.client, 0.1)
        assert [frame.code for frame in socket.frames()] == [1012]

    testing.run(scenario())
