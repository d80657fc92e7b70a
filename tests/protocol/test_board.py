"""A request has a slot on the worker's board from the call of the application to its end, whatever end that is; and a
connection can say which request it serves.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest

from addax import testing
from addax.asgi.diagnosis import find_request
from addax.core.board import Board, create_board
from addax.core.clock import now
from addax.core.report import InProgress
from addax.core.settings import WebSocketSettings
from addax.core.slots import SLOT_COUNT
from addax.core.wire import Peer

from .apps import END, HELLO, START, Sends, Stepped, body, echo, hello, turn
from .conftest import GET, Connect
from .sockets import ACCEPT_MESSAGE, App, Socket, close, handshake, text
from .sockets import echo as echo_messages

CLIENT = ("127.0.0.1", 50000)


class Watched:
    """A board, and the clients of services that write on it."""

    def __init__(self, connect: Connect, is_eager: bool) -> None:
        fd = create_board()
        self.board = Board(fd)
        os.close(fd)
        self._connect = connect
        self._settings: dict[str, Any] = {} if is_eager else {"reset_contextvars": True}

    def connect(self, app: Any, **settings: Any) -> testing.FakeClient:
        client = self._connect(app, **self._settings, **settings)
        client.service.state.board = self.board
        return client

    def told(self) -> list[str]:
        return [f"{request.method} {request.target}" for request in self.board.requests(now())]

    def assert_all_free(self) -> None:
        assert self.told() == []
        taken = [self.board.begin("GET", b"/", 0.0) for _ in range(SLOT_COUNT)]
        assert sorted(taken) == list(range(SLOT_COUNT))
        for slot in taken:
            self.board.end(slot)


@pytest.fixture(params=[True, False], ids=["eager", "later"])
def watched(request: pytest.FixtureRequest, connect: Connect) -> Iterator[Watched]:
    """With applications that begin inside of the call that has received their request, where Python can do that."""
    made = Watched(connect, request.param)
    yield made
    made.assert_all_free()
    made.board.close()


def get(target: bytes) -> bytes:
    return GET.replace(b"/ ", target + b" ")


# ---- slots of requests


def test_request_is_told_as_it_was_sent_until_the_application_returns(watched: Watched) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = watched.connect(app)
        await client.send(get(b"/a%20b?c=d"))
        assert watched.told() == ["GET /a%20b?c=d"]
        app.go()
        await testing.settle()
        assert watched.told() == []
        assert [response.body for response in client.responses()] == [b"hello"]

    testing.run(scenario())


def test_request_is_told_before_its_application_does_anything(watched: Watched) -> None:
    seen: list[list[str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(watched.told())
        await hello(scope, receive, send)
        seen.append(watched.told())

    async def scenario() -> None:
        client = watched.connect(app)
        await client.send(get(b"/"))
        await client.send(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
        assert len(client.responses()) == 2

    testing.run(scenario())
    assert seen == [["GET /"], ["GET /"], ["OPTIONS *"], ["OPTIONS *"]]


def test_request_is_told_as_long_as_its_application_works_behind_the_response(watched: Watched) -> None:
    async def scenario() -> None:
        done = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await hello(scope, receive, send)
            if scope["path"] == "/job":
                await done.wait()

        client = watched.connect(app)
        await client.send(get(b"/job"))
        await client.send(get(b"/next"))
        assert len(client.responses()) == 2
        assert watched.told() == ["GET /job"]
        done.set()
        await testing.settle()

    testing.run(scenario())


def test_pipelined_requests_have_it_one_after_the_other(watched: Watched) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = watched.connect(app)
        await client.send(get(b"/1") + get(b"/2") + get(b"/3"))
        for number in range(3):
            assert watched.told() == [f"GET /{number + 1}"]
            app.go(number)
            await testing.settle()
        assert len(client.responses()) == 3

    testing.run(scenario())


def test_pipelined_requests_that_are_answered_at_once(watched: Watched) -> None:
    async def scenario() -> None:
        client = watched.connect(hello)
        await client.send(GET * 40)
        assert len(client.responses()) == 40

    testing.run(scenario())


@pytest.mark.parametrize("messages", [(), (START,), (START, body(b"a", more=True)), (START, HELLO)])
@pytest.mark.parametrize("error", [None, ValueError("x"), SystemExit(1), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("yields", [False, True], ids=["at-once", "waiting"])
def test_application_that_raises_or_returns_early(
    watched: Watched, messages: Any, error: BaseException | None, yields: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Sends(*messages, yields=yields)(scope, receive, send)
        if error is not None:
            raise error

    async def scenario() -> None:
        client = watched.connect(app)
        await client.send(GET)
        assert client.service.state.active_requests == 0

    testing.run(scenario())


def test_application_that_cannot_be_called(watched: Watched) -> None:
    async def scenario() -> None:
        client = watched.connect(lambda scope, receive, send: 5)
        await client.send(GET)
        assert client.responses()[0].status == 500

    testing.run(scenario())


def test_application_that_is_cancelled(watched: Watched) -> None:
    async def scenario() -> None:
        client = watched.connect(Stepped(START, HELLO))
        await client.send(GET)
        (task,) = client.service.state.tasks
        task.cancel()
        await testing.settle()
        assert client.responses()[0].status == 500

    testing.run(scenario())


def test_client_that_leaves_does_not_end_the_application(watched: Watched) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = watched.connect(app)
        await client.send(get(b"/left"))
        await client.lose()
        assert watched.told() == ["GET /left"]
        app.go()
        await testing.settle()

    testing.run(scenario())


def test_client_that_leaves_in_the_middle_of_its_request(watched: Watched) -> None:
    async def scenario() -> None:
        client = watched.connect(echo)
        await client.send(b"POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
        assert watched.told() == ["POST /upload"]
        await client.lose()
        assert watched.told() == []

    testing.run(scenario())


def test_request_that_is_refused_while_its_application_runs(watched: Watched) -> None:
    async def scenario() -> None:
        client = watched.connect(echo, body_max_bytes=4)
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        assert watched.told() == ["POST /"]
        await client.send(b"5\r\nabcde\r\n")
        assert client.responses()[0].status == 413
        assert watched.told() == []

    testing.run(scenario())


@pytest.mark.parametrize(
    "request_bytes",
    [b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n"],
    ids=["no-host", "nonsense", "too-large"],
)
def test_request_that_never_gets_to_the_application(watched: Watched, request_bytes: bytes) -> None:
    async def scenario() -> None:
        client = watched.connect(Stepped(), body_max_bytes=4)
        await client.send(request_bytes)
        assert client.responses()[0].status in (400, 413)
        assert watched.told() == []

    testing.run(scenario())


def test_request_beyond_the_concurrency_limit(watched: Watched) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        first = watched.connect(app, concurrency_max_count=1)
        await first.send(get(b"/first"))
        second = testing.FakeClient(first.service)
        await second.send(get(b"/second"))
        assert second.responses()[0].status == 503
        assert watched.told() == ["GET /first"]
        app.go()
        await testing.settle()

    testing.run(scenario())


def test_without_a_free_slot_requests_are_served_all_the_same(watched: Watched) -> None:
    async def scenario() -> None:
        client = watched.connect(hello)
        taken = [watched.board.begin("GET", b"/other", 0.0) for _ in range(SLOT_COUNT)]
        await client.send(GET)
        assert client.responses()[0].status == 200
        assert len(watched.told()) == SLOT_COUNT
        for slot in taken:
            watched.board.end(slot)

    testing.run(scenario())


def test_board_that_comes_and_goes_while_a_request_is_in_progress(watched: Watched) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        first = watched.connect(app)
        first.service.state.board = None
        await first.send(get(b"/first"))
        first.service.state.board = watched.board
        second = testing.FakeClient(first.service)
        await second.send(get(b"/second"))
        assert watched.told() == ["GET /second"]
        for number in range(2):
            app.go(number)
        await testing.settle()
        assert [client.responses()[0].status for client in (first, second)] == [200, 200]

    testing.run(scenario())


def test_time_is_that_of_the_access_log_where_there_is_one(watched: Watched, recorder: Any) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = watched.connect(app, access=recorder)
        await client.send(GET)
        found = client.connection.in_progress()
        assert found is not None
        (request,) = watched.board.requests(found.started_at + 2.0)
        assert request.age_s == 2.0
        app.go()
        await testing.settle()
        assert recorder.exchanges[0].started_at == found.started_at

    testing.run(scenario())


# ---- slots of WebSockets


def test_websocket_is_told_from_its_handshake_to_its_end(watched: Watched) -> None:
    async def scenario() -> None:
        socket = Socket(watched.connect(echo_messages()))
        await socket.open(b"/ws?a=1")
        await socket.send(text("x"))
        assert watched.told() == ["WebSocket /ws?a=1"]
        await socket.send(close())
        assert watched.told() == []

    testing.run(scenario())


def _waits(receive: Any, send: Any) -> Any:
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    "steps",
    [
        ("receive", {"type": "websocket.close"}),
        ("receive", {"type": "websocket.http.response.start", "status": 404}, {"type": "websocket.http.response.body"}),
        ("receive", {"type": "websocket.http.response.start", "status": 404}),
        ("receive",),
        ({"type": "nonsense"},),
        ("receive", ACCEPT_MESSAGE),
        ("receive", ACCEPT_MESSAGE, {"type": "nonsense"}),
        ("receive", ACCEPT_MESSAGE, {"type": "websocket.close"}),
    ],
    ids=["refused", "denied", "half-denied", "returns", "raises", "returns-open", "raises-open", "closes"],
)
def test_websocket_whose_application_ends_by_itself(watched: Watched, steps: Any) -> None:
    async def scenario() -> None:
        client = watched.connect(App(*steps))
        await client.send(handshake())
        assert watched.told() == []
        await client.close()

    testing.run(scenario())


@pytest.mark.parametrize("steps", [("receive", _waits), ("receive", ACCEPT_MESSAGE, _waits)], ids=["handshake", "open"])
@pytest.mark.parametrize("how", ["cancelled", "left"])
def test_websocket_whose_application_is_ended(watched: Watched, steps: Any, how: str) -> None:
    async def scenario() -> None:
        client = watched.connect(App(*steps))
        await client.send(handshake())
        assert watched.told() == ["WebSocket /ws"]
        (task,) = client.service.state.tasks
        if how == "left":
            await client.lose()
            assert watched.told() == ["WebSocket /ws"]
        task.cancel()
        await testing.settle()
        assert watched.told() == []
        await client.close()

    testing.run(scenario())


def test_websocket_that_the_application_is_too_slow_to_accept(watched: Watched) -> None:
    async def scenario() -> None:
        client = watched.connect(App("receive", "receive"), websocket=WebSocketSettings(handshake_timeout_s=5.0))
        await client.send(handshake())
        assert watched.told() == ["WebSocket /ws"]
        await client.reach_deadline()
        assert client.responses()[0].status == 503
        assert watched.told() == []

    testing.run(scenario())


def test_handshake_that_never_gets_to_the_application(watched: Watched) -> None:
    async def scenario() -> None:
        client = watched.connect(echo_messages())
        await client.send(handshake(version=b"12"))
        assert client.responses()[0].status == 426
        assert watched.told() == []

    testing.run(scenario())


# ---- what a connection says of itself


def asked(client: testing.FakeClient) -> InProgress | None:
    return client.connection.in_progress()


def test_request_in_progress(watched: Watched) -> None:
    async def scenario() -> None:
        app = Stepped(START, HELLO)
        client = watched.connect(app)
        assert asked(client) is None
        before = now()
        await client.send(b"POST /a%20b?c=d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n")
        found = asked(client)
        assert found is not None
        (task,) = client.service.state.tasks
        assert found == InProgress("http", "POST", "/a b", CLIENT, found.started_at, task)
        assert before <= found.started_at <= now()
        await client.send(b"ab")
        assert asked(client) == found
        app.go()
        await testing.settle()
        assert asked(client) is None
        await client.send(b"GET / HTT")
        assert asked(client) is None
        await client.lose()
        assert asked(client) is None

    testing.run(scenario())


def test_request_in_progress_without_a_board_has_no_time(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(Stepped(START, HELLO), peer=Peer(None, ("/run/a.sock", None)))
        await client.send(GET)
        found = asked(client)
        assert found is not None
        assert (found.client, found.started_at) == (None, None)

    testing.run(scenario())


def test_request_is_found_by_its_task_at_any_time(watched: Watched) -> None:
    found: dict[str, tuple[InProgress | None, InProgress | None]] = {}

    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            def look(when: str) -> None:
                task = asyncio.current_task()
                assert task is not None
                found[when] = asked(client), find_request(task, client.service.state)

            look("begin")
            await turn()
            look("later")
            await send(START)
            await send(END)
            look("after")
            await turn()
            look("behind")

        client = watched.connect(app)
        client.service.state.connections.add(client.connection)
        await client.send(get(b"/a?b"))
        assert asked(client) is None

    testing.run(scenario())
    assert list(found) == ["begin", "later", "after", "behind"]
    assert found["later"][0] == found["later"][1]
    assert found["behind"][0] is None
    for _, by_task in found.values():
        assert by_task is not None
        assert by_task[:4] == ("http", "GET", "/a", CLIENT)
        assert by_task.started_at is not None
    assert len({by_task.task for _, by_task in found.values() if by_task is not None}) == 1


def test_websocket_in_progress(watched: Watched) -> None:
    async def scenario() -> None:
        accept = asyncio.Event()

        async def wait(receive: Any, send: Any) -> None:
            await accept.wait()

        socket = Socket(watched.connect(App("receive", wait, ACCEPT_MESSAGE, "echo")))
        client, state = socket.client, socket.client.service.state
        state.connections.add(client.connection)
        before = now()
        await client.send(handshake(b"/w%20s?a"))
        (task,) = state.tasks
        shaking = asked(client)
        assert shaking is not None
        assert shaking == ("websocket", "GET", "/w s", CLIENT, shaking.started_at, task)
        assert before <= shaking.started_at <= now()
        assert find_request(task, state) == shaking
        accept.set()
        await testing.settle()
        state.connections.add(client.connection)
        assert asked(client) == find_request(task, state) == shaking
        await socket.send(close())
        assert asked(client) is None
        assert find_request(task, state) is None

    testing.run(scenario())


def test_refused_websocket_is_not_in_progress(watched: Watched) -> None:
    async def scenario() -> None:
        client = watched.connect(App("receive", {"type": "websocket.close"}))
        await client.send(handshake())
        assert asked(client) is None

    testing.run(scenario())


def test_task_of_somebody_else_serves_nothing(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(Stepped(START, HELLO))
        client.service.state.connections.add(client.connection)
        await client.send(GET)

        async def other() -> None:
            task = asyncio.current_task()
            assert task is not None
            assert find_request(task, client.service.state) is None

        await asyncio.create_task(other())

    testing.run(scenario())


@pytest.mark.parametrize("change", [{"method": 5, "path": None, "client": "x"}, None], ids=["changed", "cleared"])
def test_scope_may_have_become_anything(watched: Watched, change: dict[str, Any] | None) -> None:
    found: list[Any] = []

    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if change is None:
                scope.clear()
            else:
                scope.update(change)
            await hello(scope, receive, send)
            task = asyncio.current_task()
            assert task is not None
            found.append(find_request(task, client.service.state))

        client = watched.connect(app)
        await client.send(GET)

    testing.run(scenario())
    assert isinstance(found[0].method, str)
    assert isinstance(found[0].path, str)
