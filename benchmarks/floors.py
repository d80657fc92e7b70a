"""Two servers that leave out what a server is for: how cheap a request could be at the very most.

    python floors.py answer --port 8000       bytes come, the same ready-made bytes go: event loop and kernel only
    python floors.py app --port 8000 cases:app
                                              the application is run for each piece of data, as an eager task, with a
                                              scope that was made once; nothing is parsed, the answer is ready-made

Over WebSocket the first one sends back the bytes that came, and the second one runs the application for each message
that must have come by their number, and sends a frame that was made once.

Nobody can serve with them: they know the answer before the question, and take whatever comes in one piece for one
request. No other server can be expected to get below the second one on the same event loop; how far above it a server
is, is what it costs to be one.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from importlib import import_module
from typing import Any, ClassVar

from cases import ALL_CASES, CASES, HELLO_CLOSE, ONE_KIB, Case
from ws_cases import ACCEPT, BY_PATH, Exchange

DATE = b"Sun, 01 Nov 2026 12:00:00 GMT"
_NO_MORE = {"type": "http.request", "body": b"", "more_body": False}

Start = Callable[[Coroutine[Any, Any, None]], object]


def answer_of(case: Case) -> bytes:
    """All bytes of an answer as a server would write it."""
    reason = {200: b"OK", 404: b"Not Found"}[case.status]
    head = b"HTTP/1.1 %d %b\r\ndate: %b\r\nserver: floor\r\ncontent-type: text/plain; charset=utf-8\r\n"
    close = b"connection: close\r\n" if case is HELLO_CLOSE else b""
    return head % (case.status, reason, DATE) + close + b"content-length: %d\r\n\r\n" % len(case.body) + case.body


def scope_of(case: Case) -> dict[str, Any]:
    """The scope that the request of a case has."""
    head = case.request.partition(b"\r\n\r\n")[0]
    line, *fields = head.split(b"\r\n")
    method, target, _version = line.split()
    path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method.decode(),
        "scheme": "http",
        "path": path.decode(),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, _, value in (field.partition(b": ") for field in fields)],
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "state": {},
    }


class Sent:
    """What ``send`` returns: one object for all, already exhausted."""

    __slots__ = ()

    def __await__(self) -> Iterator[Any]:
        return _NOTHING


_NOTHING: Iterator[Any] = iter(())
_SENT = Sent()
_BY_REQUEST = {case.request: case for case in ALL_CASES.values()}


class AnswerFloor(asyncio.Protocol):
    """Writes the answer of the connection's first request for every piece of data."""

    def __init__(self) -> None:
        self._case: Case | None = None
        self._answer = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._case is None:
            exchange = find_exchange(data)
            if exchange is not None:
                return switch(self._transport, (BroadcastFloor if exchange.is_broadcast else EchoFloor)())
            self._case = _find(data)
            self._answer = answer_of(self._case)
        self._transport.write(self._answer)
        if self._case is HELLO_CLOSE:
            self._transport.close()


class AppFloor(asyncio.Protocol):
    """Runs the application for every piece of data.

    Args:
        app: the ASGI application.
        start: runs a coroutine as a task, see ``starter``.
        copies_scope: frameworks write into the scope, so each run needs one of its own.
    """

    def __init__(self, app: Any, start: Start, copies_scope: bool = False) -> None:
        self._app = app
        self._start = start
        self._copies_scope = copies_scope
        self._case: Case | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        if self._case is None:
            exchange = find_exchange(data)
            if exchange is not None:
                return switch(self._transport, MessageAppFloor(self._app, self._start, exchange))
            self._case = _find(data)
            self._scope, self._answer = _prepare(self._case)
            self._body = {**_NO_MORE, "body": ONE_KIB if self._case.name == "post" else b""}
        scope = self._scope.copy() if self._copies_scope else self._scope
        self._start(self._app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        return self._body

    def _send(self, message: dict[str, Any]) -> Sent:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._write(self._answer)
            if self._case is HELLO_CLOSE:
                self._transport.close()
        return _SENT


class EchoFloor(asyncio.Protocol):
    """WebSocket without any: what comes goes back as it is."""

    def connection_made(self, transport: Any) -> None:
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        self._write(data)


class BroadcastFloor(asyncio.Protocol):
    """The same, and it goes to all."""

    _members: ClassVar[list[Any]] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._members.append(transport)

    def data_received(self, data: bytes) -> None:
        for member in self._members:
            member.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._members.remove(self._transport)


class MessageAppFloor(asyncio.Protocol):
    """Runs the application over WebSocket; counts bytes, and reads none of them.

    Args:
        app: the ASGI application.
        start: runs a coroutine as a task.
        exchange: what the client says: always its first message.
    """

    def __init__(self, app: Any, start: Start, exchange: Exchange) -> None:
        payload = exchange.payloads[0]
        data = {"text": payload.decode()} if exchange.is_text else {"bytes": payload}
        self._message: dict[str, Any] = {"type": "websocket.receive", **data}
        self._answer = exchange.answers[0]
        self._frame_size = self._left = len(exchange.requests(None)[0])
        self._waiting_count = 0
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._app, self._start = app, start
        self._scope = {
            **scope_of(CASES["hello"]),
            "type": "websocket",
            "scheme": "ws",
            "path": exchange.path.decode(),
            "raw_path": exchange.path,
            "subprotocols": [],
        }
        self._opening: list[dict[str, Any]] = [{"type": "websocket.connect"}]

    def connection_made(self, transport: Any) -> None:
        self._write = transport.write
        self._start(self._app(self._scope, self._receive, self._send))

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        while self._left <= 0:
            self._left += self._frame_size
            self._waiting_count += 1
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._message = {"type": "websocket.disconnect", "code": 1005, "reason": ""}
        self._waiting_count = 1
        self._wake()

    def _wake(self) -> None:
        if self._waiting_count and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _receive(self) -> dict[str, Any]:
        if self._opening:
            return self._opening.pop()
        if not self._waiting_count:
            self._waiter = self._loop.create_future()
            await self._waiter
        self._waiting_count -= 1
        return self._message

    def _send(self, message: dict[str, Any]) -> Sent:
        if message["type"] == "websocket.send":
            self._write(self._answer)
        return _SENT


def find_exchange(data: bytes) -> Exchange | None:
    """What a client is going to say over WebSocket, by the path that it asks for."""
    return BY_PATH.get(data[4 : data.find(b" ", 4)])


def switch(transport: Any, protocol: Any) -> None:
    """Accept a WebSocket, and let another protocol go on."""
    transport.write(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-accept: %b\r\n\r\n" % ACCEPT
    )
    transport.set_protocol(protocol)
    protocol.connection_made(transport)


#: By name of the case: a connection for each request is not to pay for this each time.
_prepared: dict[str, tuple[dict[str, Any], bytes]] = {}


def _prepare(case: Case) -> tuple[dict[str, Any], bytes]:
    if case.name not in _prepared:
        _prepared[case.name] = (scope_of(case), answer_of(case))
    return _prepared[case.name]


def _find(data: bytes) -> Case:
    return _BY_REQUEST.get(data) or ALL_CASES["hello"]


def starter(loop: asyncio.AbstractEventLoop) -> Start:
    """What starts a coroutine as cheaply as this Python can."""
    if sys.version_info >= (3, 12):
        return lambda coroutine: asyncio.Task(coroutine, loop=loop, eager_start=True)
    return loop.create_task


async def serve(make_protocol: Callable[[], asyncio.Protocol], port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(make_protocol, "127.0.0.1", port, backlog=2048)
    await stopped.wait()
    server.close()


def main() -> None:
    """Serve what the command line names."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("floor", choices=["answer", "app"])
    arguments.add_argument("app", nargs="?", default="cases:app")
    arguments.add_argument("--port", type=int, required=True)
    options = arguments.parse_args()
    import uvloop

    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    make_protocol: Callable[[], asyncio.Protocol] = AnswerFloor
    if options.floor == "app":
        module, _, attribute = options.app.partition(":")
        app, start = getattr(import_module(module), attribute), starter(loop)
        copies_scope = not options.app.startswith("cases:")
        make_protocol = lambda: AppFloor(app, start, copies_scope)  # noqa: E731
    loop.run_until_complete(serve(make_protocol, options.port))


if __name__ == "__main__":
    main()
