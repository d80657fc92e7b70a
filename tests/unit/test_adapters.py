"""asgi.adapters: ASGI 2 and WSGI applications behind the ASGI 3 interface."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from addax.asgi.adapters.asgi2 import Asgi2Adapter
from addax.asgi.adapters.wsgi import wsgi_adapter
from addax.asgi.lifespan import Lifespan
from addax.core.errors import ClientDisconnected, ConfigError, LocalProtocolError

WAIT_S = 10.0


# ASGI 2.


class Instance:
    """An ASGI 2 application as they were written: a class whose instances serve one scope."""

    scopes: list[Any]

    def __init__(self, scope: Any) -> None:
        if scope["type"] == "lifespan":
            raise AssertionError("http only")
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await send({"scope": self.scope, "got": await receive()})


def test_asgi2_app_gets_scope_then_receive_and_send() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return "event"

    async def send(message: Any) -> None:
        sent.append(message)

    shared = {"version": "3.0", "spec_version": "2.5"}
    asyncio.run(Asgi2Adapter(Instance)({"type": "http", "asgi": shared}, receive, send))
    assert sent == [
        {"scope": {"type": "http", "asgi": {"version": "2.0", "spec_version": "2.5"}}, "got": "event"},
    ]
    assert shared["version"] == "3.0", "one dict is shared by all scopes"


def test_asgi2_app_without_lifespan_is_seen_as_such() -> None:
    lifespan = Lifespan(Asgi2Adapter(Instance), "auto")

    async def main() -> bool:
        await lifespan.startup()
        return await lifespan.shutdown()

    assert asyncio.run(main()) is True
    assert lifespan.error_occurred
    assert not lifespan.startup_failed


# WSGI.


class Client:
    """Plays the server: hands out request events, takes the response, and can leave in the middle."""

    def __init__(self, *body: bytes, leaves_after: int | None = None, error: Exception | None = None) -> None:
        self.events: list[Any] = [
            {"type": "http.request", "body": part, "more_body": part is not body[-1]} for part in body
        ] or [{"type": "http.request", "body": b"", "more_body": False}]
        self.sent: list[Any] = []
        self.leaves_after = leaves_after
        self.error = error or ClientDisconnected("gone")

    def receive(self) -> Any:
        """Not a coroutine function: the server's is not one either."""
        future = asyncio.get_running_loop().create_future()
        future.set_result(self.events.pop(0) if self.events else {"type": "http.disconnect"})
        return future

    async def send(self, message: Any) -> None:
        if self.leaves_after is not None and len(self.sent) >= self.leaves_after:
            raise self.error
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def http_scope(*headers: tuple[bytes, bytes], **changes: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/é",
        "raw_path": b"/api/%C3%A9",
        "query_string": b"a=1",
        "root_path": "/api",
        "headers": [(b"host", b"example.com"), *headers],
        "client": ("203.0.113.7", 4711),
        "server": ("10.0.0.9", 8000),
        **changes,
    }


def serve(app: Any, client: Client, scope: dict[str, Any] | None = None) -> None:
    adapter = wsgi_adapter(app)
    try:
        asyncio.run(asyncio.wait_for(adapter(scope or http_scope(), client.receive, client.send), WAIT_S))
    finally:
        stop_threads(adapter)


def stop_threads(adapter: Any) -> None:
    """Ends the threads of the pool, and proves that none of them hangs."""
    executor = adapter._serve.executor
    executor.shutdown(wait=False)
    for thread in executor._threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()


def environ_of(*headers: tuple[bytes, bytes], **changes: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("204 No Content", [])
        return []

    serve(app, Client(), http_scope(*headers, **changes))
    return seen


def test_wsgi_without_a2wsgi_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "a2wsgi", None)
    with pytest.raises(ConfigError, match=r'--interface: wsgi needs .* pip install "addax\[wsgi\]"'):
        wsgi_adapter(lambda environ, start_response: [])


def test_wsgi_request_and_response() -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        start_response("201 Created", [("Content-Type", "text/plain"), ("X-A", "1")])
        return [environ["REQUEST_METHOD"].encode(), b"", b" ", body]

    client = Client(b"hello ", b"world")
    serve(app, client)
    assert client.sent[0] == {
        "type": "http.response.start",
        "status": 201,
        "headers": [(b"content-type", b"text/plain"), (b"x-a", b"1")],
    }
    assert client.body == b"POST hello world"
    assert [message.get("more_body", False) for message in client.sent[1:]] == [True, True, True, False]


def test_wsgi_environ() -> None:
    environ = environ_of((b"content-type", b"text/x"), (b"content-length", b"0"), (b"accept", b"a"), (b"accept", b"b"))
    assert environ["SCRIPT_NAME"] == "/api"
    assert environ["PATH_INFO"] == "/\xc3\xa9"
    assert environ["QUERY_STRING"] == "a=1"
    assert (environ["REMOTE_ADDR"], environ["SERVER_NAME"], environ["SERVER_PORT"]) == (
        "203.0.113.7",
        "10.0.0.9",
        "8000",
    )
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"], environ["HTTP_ACCEPT"]) == ("text/x", "0", "a,b")
    assert environ["wsgi.errors"] is sys.stderr
    assert environ["wsgi.input_terminated"] is True
    assert "addax.wsgi" not in environ["asgi.scope"]


def test_wsgi_environ_over_a_unix_socket() -> None:
    environ = environ_of(client=None, server=("/run/x.sock", None))
    assert "REMOTE_ADDR" not in environ
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("/run/x.sock", "0")


def test_wsgi_environ_takes_no_name_with_an_underscore() -> None:
    environ = environ_of(
        (b"x_forwarded_for", b"1.1.1.1"), (b"x-forwarded-for", b"203.0.113.7"), (b"content_type", b"x")
    )
    assert environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.7"
    assert "HTTP_CONTENT_TYPE" not in environ


def test_wsgi_environ_joins_cookies_with_semicolons() -> None:
    assert environ_of((b"cookie", b"a=1"), (b"cookie", b"b=2"))["HTTP_COOKIE"] == "a=1; b=2"


@pytest.mark.parametrize(
    ("query", "expected"),
    [(b"q=\xc3\xa9&x=%20&y=1+1", "q=%C3%A9&x=%20&y=1+1"), (b"~!$&'()*+,;=:@/?", "~!$&'()*+,;=:@/?"), (b"", "")],
)
def test_wsgi_environ_quotes_a_query_that_is_not_ascii(query: bytes, expected: str) -> None:
    assert environ_of(query_string=query)["QUERY_STRING"] == expected


def test_wsgi_scope_of_the_server_is_not_changed() -> None:
    scope = http_scope((b"cookie", b"a=1"))
    before = dict(scope)
    environ_of(**scope)
    assert scope == before


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda body: [body.read(4), body.read(), body.read()], [b"one\n", b"two\nthree", b""]),
        (lambda body: [body.readline(), body.readline(2), body.read(1)], [b"one\n", b"tw", b"o"]),
        (lambda body: body.readlines(), [b"one\n", b"two\n", b"three"]),
        (lambda body: body.readlines(5), [b"one\n", b"two\n"]),
        (list, [b"one\n", b"two\n", b"three"]),
        (lambda body: [body.readline(1 << 16) for _ in range(4)], [b"one\n", b"two\n", b"three", b""]),
        (lambda body: [body.read1(1), body.read1(), body.read1()], [b"o", b"ne\nt", b"wo\nthr"]),
    ],
)
def test_wsgi_input_reads_like_a_file(read: Callable[[Any], list[bytes]], expected: list[bytes]) -> None:
    seen: list[bytes] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.extend(read(environ["wsgi.input"]))
        start_response("204 No Content", [])
        return []

    serve(app, Client(b"one\nt", b"wo\nthr", b"ee"))
    assert seen == expected


def test_wsgi_input_of_an_empty_body_has_no_lines() -> None:
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ["wsgi.input"].readlines())
        start_response("204 No Content", [])
        return []

    serve(app, Client())
    assert seen == [[]]


def test_wsgi_body_that_was_cut_off_raises_into_the_app() -> None:
    client = Client(b"part", b"never sent")
    client.events.pop()
    read: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            read.append(error)
            raise
        raise AssertionError("a short body was taken for a whole one")

    with pytest.raises(ClientDisconnected):
        serve(app, client)
    assert isinstance(read[0], ClientDisconnected)
    assert client.sent == []


class Chunks:
    """A response that never ends by itself and knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.given = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.given += 1
            yield b"x" * 10

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("error", [ClientDisconnected("gone"), LocalProtocolError("bad header")])
def test_wsgi_endless_response_stops_when_sending_fails(error: Exception) -> None:
    chunks = Chunks()

    def app(environ: Any, start_response: Any) -> Chunks:
        start_response("200 OK", [])
        return chunks

    with pytest.raises(type(error), match=str(error)):
        serve(app, Client(leaves_after=3, error=error))
    assert chunks.closed.is_set()
    assert chunks.given < 100


def test_wsgi_write_callable_sends_before_the_iterable() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"one ")
        write(b"two ")
        return [b"three"]

    client = Client()
    serve(app, client)
    assert client.body == b"one two three"


def test_wsgi_endless_write_stops_when_sending_fails() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        while True:
            write(b"x" * 10)

    with pytest.raises(ClientDisconnected, match="gone"):
        serve(app, Client(leaves_after=3))


def test_wsgi_short_response_to_a_client_that_left_is_a_disconnect() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"done"]

    client = Client(leaves_after=0)
    with pytest.raises(ClientDisconnected, match="gone"):
        serve(app, client)
    assert client.sent == []


def test_wsgi_app_error_is_raised() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        raise ZeroDivisionError("in the app")

    client = Client()
    with pytest.raises(ZeroDivisionError, match="in the app"):
        serve(app, client)
    assert client.sent == []


def run_cancelled(app: Any, receive: Any, send: Any, reached: Callable[[], asyncio.Event]) -> None:
    """Cancel a request once it has come to the point that `reached` gives, then end the threads."""
    adapter: Any = wsgi_adapter(app)

    async def main() -> None:
        event = reached()
        task = asyncio.ensure_future(adapter(http_scope(), receive, send))
        await asyncio.wait_for(event.wait(), WAIT_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait(adapter._tasks, timeout=WAIT_S)

    asyncio.run(main())
    assert adapter._tasks == set()
    stop_threads(adapter)


def test_wsgi_cancelled_while_sending_frees_the_thread() -> None:
    chunks = Chunks()
    events: list[asyncio.Event] = []

    def reached() -> asyncio.Event:
        events.append(asyncio.Event())
        return events[0]

    def app(environ: Any, start_response: Any) -> Chunks:
        start_response("200 OK", [])
        return chunks

    async def send(message: Any) -> None:
        events[0].set()
        await asyncio.Event().wait()

    run_cancelled(app, None, send, reached)
    assert chunks.closed.is_set()


def test_wsgi_cancelled_while_reading_frees_the_thread() -> None:
    events: list[asyncio.Event] = []
    errors: list[Exception] = []

    def reached() -> asyncio.Event:
        events.append(asyncio.Event())
        return events[0]

    def app(environ: Any, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        for _ in range(2):
            try:
                body.read()
            except OSError as error:
                errors.append(error)
        return []

    async def receive() -> Any:
        events[0].set()
        await asyncio.Event().wait()

    run_cancelled(app, receive, None, reached)
    assert [type(error) for error in errors] == [ClientDisconnected, ClientDisconnected]


def test_wsgi_loop_that_closes_in_the_middle_frees_the_thread() -> None:
    errors: list[BaseException] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except BaseException as error:
            errors.append(error)
        return []

    adapter: Any = wsgi_adapter(app)

    async def main() -> None:
        reading = asyncio.Event()

        async def receive() -> Any:
            reading.set()
            await asyncio.Event().wait()

        request = asyncio.ensure_future(adapter(http_scope(), receive, None))
        await asyncio.wait_for(reading.wait(), WAIT_S)
        assert not request.done()

    asyncio.run(main())
    stop_threads(adapter)
    assert len(errors) == 1


def test_wsgi_lifespan_is_answered_for_the_app() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        raise AssertionError("called")

    lifespan = Lifespan(wsgi_adapter(app), "on")

    async def main() -> bool:
        await lifespan.startup()
        return await lifespan.shutdown()

    assert asyncio.run(main()) is True
    assert not lifespan.error_occurred


def test_wsgi_refuses_websockets() -> None:
    events: list[Any] = []

    async def receive() -> Any:
        events.append("received")
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        events.append(message)

    asyncio.run(wsgi_adapter(lambda environ, start_response: [])({"type": "websocket"}, receive, send))
    assert events == ["received", {"type": "websocket.close", "code": 1000, "reason": ""}]


def test_wsgi_unknown_scope_is_an_error() -> None:
    async def nothing(*args: Any) -> Any:
        raise AssertionError("called")

    with pytest.raises(ValueError, match="cannot serve a scope of type 'mail'"):
        asyncio.run(wsgi_adapter(lambda environ, start_response: [])({"type": "mail"}, nothing, nothing))
