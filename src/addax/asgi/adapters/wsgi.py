"""WSGI applications, run in threads by the package ``a2wsgi`` (the extra ``addax[wsgi]``).

``config.load_app`` calls ``wsgi_adapter`` when ``--interface`` says ``wsgi``. a2wsgi translates; what is added here is
what a server needs around it: threads are set free when the client leaves or the request is cancelled, a body that was
cut off is an error rather than a short body, and what the peer sends cannot pass for something else.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

from addax.core.errors import ClientDisconnected, ConfigError
from addax.core.types import ASGIApp, Headers, Message, Receive, Scope, Send

Environ: TypeAlias = dict[str, Any]
WSGIApp: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

T = TypeVar("T")

#: Where the scope carries the exchange to the application's thread.
_EXCHANGE = "addax.wsgi"
_INPUT_BUFFER_BYTES = 65536


def wsgi_adapter(app: WSGIApp) -> ASGIApp:
    """Make an ASGI 3 application of a WSGI one.

    Args:
        app: the WSGI application; it is called in one of ten threads.

    Raises:
        ConfigError: ``a2wsgi`` is not installed.
    """
    try:
        from a2wsgi import WSGIMiddleware
    except ImportError as error:
        raise ConfigError("--interface", 'wsgi needs the package a2wsgi: pip install "addax[wsgi]"') from error
    return WsgiAdapter(app, WSGIMiddleware)


class WsgiAdapter:
    """HTTP scopes go to the application, a WebSocket is refused, the lifespan is answered for it.

    Args:
        app: the WSGI application.
        middleware: ``a2wsgi.WSGIMiddleware``.
    """

    def __init__(self, app: WSGIApp, middleware: Callable[[Any], Any]) -> None:
        self.app = app
        self._serve: ASGIApp = middleware(self._respond)
        self._tasks: set[asyncio.Future[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope.

        Raises:
            ClientDisconnected: the client left before the response was complete.
        """
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await _lifespan(receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
        else:
            raise ValueError(f"a WSGI application cannot serve a scope of type {kind!r}")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(receive, send)
        scope = {**scope, **_clean(scope), _EXCHANGE: exchange}
        # a2wsgi stops taking the thread's messages when it is cancelled, and the thread would wait for it for ever:
        # so it is never cancelled, but told through the exchange, and it ends when the thread next does anything.
        task = asyncio.ensure_future(self._serve(scope, exchange.receive, exchange.send))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            exchange.abandon(ClientDisconnected("the request was cancelled"))
            raise
        if exchange.broken is not None:
            raise exchange.broken

    def _respond(self, environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        """The application's answer, chunk by chunk; runs in a thread of a2wsgi."""
        exchange: _Exchange = environ["asgi.scope"].pop(_EXCHANGE)
        environ["wsgi.errors"] = sys.stderr
        environ["wsgi.input"] = io.BufferedReader(_Body(environ["wsgi.input"]), _INPUT_BUFFER_BYTES)
        # Frameworks read a body without Content-Length only if the server says that it ends by itself.
        environ["wsgi.input_terminated"] = True

        def start(*args: Any) -> Callable[[bytes], None]:
            exchange.check()
            send = start_response(*args)

            def write(chunk: bytes) -> None:
                exchange.check()
                send(chunk)

            return write

        chunks = self.app(environ, start)
        try:
            for chunk in chunks:
                exchange.check()
                if chunk:
                    yield chunk
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        # What is left for a2wsgi to do would need the event loop, which may be gone by now.
        exchange.check()


class _Exchange:
    """``receive`` and ``send`` of one request, as a2wsgi may use them."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        #: Why nothing more can be sent or received.
        self.broken: Exception | None = None
        self._waiting: set[asyncio.Task[Any]] = set()

    def check(self) -> None:
        """Raise what broke the exchange, if anything did; called in the application's thread."""
        if self.broken is not None:
            raise self.broken

    async def receive(self) -> Message:
        """The next part of the body. a2wsgi asks only while the body has not ended.

        Raises:
            ClientDisconnected: it will never end; the application's ``read`` raises this.
        """
        message = await self._wait_for(self._receive)
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("the client left before it had sent the whole request body")
        return message

    async def send(self, message: Message) -> None:
        """Never raises: a2wsgi would leave the application's thread waiting. The thread finds ``broken`` instead."""
        try:
            await self._wait_for(lambda: self._send(message))
        except Exception as error:
            self.broken = self.broken or error

    def abandon(self, reason: Exception) -> None:
        """Let everything that waits for the client, and everything that will, fail with ``reason``."""
        self.broken = self.broken or reason
        for task in self._waiting:
            task.cancel()

    async def _wait_for(self, call: Callable[[], Awaitable[T]]) -> T:
        self.check()
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            return await call()
        except asyncio.CancelledError:
            self.check()
            self.broken = ClientDisconnected("the event loop is being closed")
            raise
        finally:
            self._waiting.discard(task)


class _Body(io.RawIOBase):
    """What ``wsgi.input`` reads from. a2wsgi's own object makes up line ends and gives short lines for whole ones."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        """It is an input."""
        return True

    def readinto(self, target: Any) -> int:
        """Wait for one byte and take what came with it, so that no byte waits for others."""
        data: bytes = self._body.read(1)
        if data:
            data += self._body.read(min(len(self._body.buffer), len(target) - 1))
        target[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Wait for the whole body."""
        data: bytes = self._body.read()
        return data


async def _lifespan(receive: Receive, send: Send) -> None:
    """A WSGI application has nothing to start or to stop."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def _clean(scope: Scope) -> Scope:
    """What of the scope must be changed before it becomes an environ."""
    headers: Headers = []
    cookies: list[bytes] = []
    for name, value in scope["headers"]:
        if name == b"cookie":
            cookies.append(value)
        elif b"_" not in name:
            # In an environ `x_forwarded_for` and `x-forwarded-for` have one name, but only one of them is a proxy's.
            headers.append((name, value))
    if cookies:
        headers.append((b"cookie", b"; ".join(cookies)))
    query = scope["query_string"]
    if not query.isascii():
        query = quote(query, safe="!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~").encode("ascii")
    return {"headers": headers, "query_string": query}
