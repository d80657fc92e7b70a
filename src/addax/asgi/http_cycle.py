"""One request and its response: the application's ``receive`` and ``send``, and the order of their messages.

Written once for every protocol: what carries the response is a ``ResponseSink``. The phases of a response::

    EXPECT_START --http.response.start--> EXPECT_BODY --body, pathsend, zerocopysend--> (EXPECT_TRAILERS) --> ENDED

Implements: ASGI HTTP & WebSocket message format 2.5; extensions http.response.early_hint, .trailers, .pathsend,
.zerocopysend.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from typing import Any, BinaryIO

from addax.asgi.exchange import HttpExchange
from addax.asgi.phases import (
    BODY_ARRIVING,
    BODY_COMPLETE,
    BODY_DELIVERED,
    CLIENT_GONE,
    CLIENT_LEAVING,
    CLIENT_THERE,
    ENDED,
    EXPECT_BODY,
    EXPECT_START,
    EXPECT_TRAILERS,
)
from addax.asgi.ready import SENT, Received
from addax.asgi.sinks import ResponseSink
from addax.core.errors import ClientDisconnected, LocalProtocolError
from addax.core.types import Message

_EXPECTED_IN = {
    EXPECT_START: "http.response.start",
    EXPECT_BODY: "http.response.body",
    EXPECT_TRAILERS: "http.response.trailers",
    ENDED: "nothing more: the response is complete",
}


# Not None, which an application may have put there by mistake.
_MISSING: Any = object()


class HttpCycle:
    """What the application sees of one request.

    Args:
        scope: the request's scope.
        sink: takes the response.
        has_body: whether ``body_arrived`` and ``body_ended`` are still to come.
        exchange: notes what an access log wants to know; None: nobody does.
    """

    __slots__ = (
        "_body",
        "_body_state",
        "_client",
        "_has_trailers",
        "_sink",
        "_waiters",
        "body_size",
        "exchange",
        "is_returned",
        "phase",
        "scope",
        "slot",
        "task",
    )

    def __init__(
        self,
        scope: dict[str, Any],
        sink: ResponseSink,
        has_body: bool,
        exchange: HttpExchange | None,
    ) -> None:
        self.scope = scope
        self._sink = sink
        self.exchange = exchange
        self.phase = EXPECT_START
        self._has_trailers = False
        #: Body chunks that the application has not asked for yet, and how many bytes they are.
        self._body: list[bytes] | None = None
        self.body_size = 0
        self._body_state = BODY_ARRIVING if has_body else BODY_COMPLETE
        self._client = CLIENT_THERE
        self._waiters: list[asyncio.Future[None]] | None = None
        #: The application was called, and has returned or raised.
        self.is_returned = False
        #: Of the worker's board, where this request is written down; -1: nowhere.
        self.slot = -1
        #: The task that runs the application, once it has had to wait.
        self.task: asyncio.Task[None] | None = None

    # ---- what the connection tells

    def body_arrived(self, chunk: bytes) -> None:
        """The next bytes of the request body."""
        if self.exchange is not None:
            self.exchange.bytes_received += len(chunk)
        if self.phase != ENDED:
            if self._body is None:
                self._body = []
            self._body.append(chunk)
            self.body_size += len(chunk)
            if self._waiters is not None:
                self._wake()

    def body_ended(self) -> None:
        """The request body is complete."""
        self._body_state = BODY_COMPLETE
        if self._waiters is not None:
            self._wake()

    def disconnected(self, outcome: str) -> None:
        """The client has gone, or is being refused: ``receive`` says so, ``send`` raises."""
        self._client = CLIENT_GONE
        if self.phase != ENDED:
            self.end(outcome)

    def answered_by_server(self, status: int, body_size: int) -> None:
        """The application did not answer, so the server did: for the record only."""
        if self.exchange is not None:
            self.exchange.status = status
            self.exchange.note_sent(body_size)

    def notify(self) -> None:
        """The server stops, or the client sends no more: ``receive`` says ``http.disconnect``, ``send`` goes on."""
        if self._client == CLIENT_THERE:
            self._client = CLIENT_LEAVING
        if self._waiters is not None:
            self._wake()

    # ---- what the run of the application asks

    def is_started(self) -> bool:
        """Whether the application has sent ``http.response.start``."""
        return self.phase != EXPECT_START

    def is_notified(self) -> bool:
        """Whether ``receive`` was made to say ``http.disconnect`` while the client may still be there."""
        return self._client == CLIENT_LEAVING

    def is_client_gone(self) -> bool:
        """Whether nobody is there any more to read the response."""
        return self._client == CLIENT_GONE

    def end(self, outcome: str) -> None:
        """The response is over; the sink says so, and how. Later receives give ``http.disconnect``.

        Args:
            outcome: ``completed``, ``disconnected`` (by the client) or ``aborted`` (by the application or the server).
        """
        self.phase = ENDED
        self._body = None
        self.body_size = 0
        if self.exchange is not None:
            self.exchange.outcome = outcome
        if self._waiters is not None:
            self._wake()

    # ---- what the application calls

    def receive(self) -> Awaitable[Message]:
        """ASGI ``receive``: an awaitable of the next message."""
        if self._has_message():
            return Received(self._next_message())
        return self._receive_later()

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI ``send``: takes one message; the awaitable ends when the client can take more.

        Raises:
            ClientDisconnected: nobody is there to take it.
            LocalProtocolError: the message is malformed or out of order.
        """
        if self._client == CLIENT_GONE:
            raise ClientDisconnected("the client has disconnected")
        # What is known to be a dict is looked into without a call, when this is compiled.
        fields = message if type(message) is dict else as_dict(message)
        kind = fields.get("type")
        if self.phase == EXPECT_BODY and kind == "http.response.body":
            body = fields.get("body", b"")
            data = body if type(body) is bytes else _as_bytes(body)
            # A message of two keys is "type" and "body", or has no body.
            if self._has_trailers or ((len(fields) > 2 or not body) and fields.get("more_body", False)):
                return self._send_more(data, fields)
            if self.exchange is not None:
                # Not ``note_sent``: if these are the first bytes, they are the last too, and both times are the end's.
                self.exchange.bytes_sent += len(data)
            self._sink.send_body(data, False)
            return SENT
        if self.phase == EXPECT_START and kind == "http.response.start":
            status = fields.get("status", _MISSING)
            if status is _MISSING:
                raise LocalProtocolError("http.response.start without 'status'")
            headers = fields.get("headers", ())
            if self.exchange is not None:
                # An iterator can be read only once.
                if type(headers) is not list:
                    headers = list(headers)
                self.exchange.response_headers = headers
            has_trailers = len(fields) > 3 and bool(fields.get("trailers", False))
            self._sink.send_head(status, headers, has_trailers)
            if has_trailers:
                self._has_trailers = True
            self.phase = EXPECT_BODY
            if self.exchange is not None:
                self.exchange.status = status
            return SENT
        return self._send_rare(kind, fields)

    # ---- receive

    def _has_message(self) -> bool:
        is_over = self._client != CLIENT_THERE or self.phase == ENDED
        return is_over or self.body_size > 0 or self._body_state == BODY_COMPLETE

    def _next_message(self) -> Message:
        # A notice does not cut a request off: what has come of the body is given first.
        has_body = self.body_size > 0 or self._body_state == BODY_COMPLETE
        if self._client == CLIENT_GONE or self.phase == ENDED or not has_body:
            return {"type": "http.disconnect"}
        body = b""
        chunks = self._body
        if chunks is not None:
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            self._body = None
            self.body_size = 0
            self._sink.body_consumed()
        is_complete = self._body_state == BODY_COMPLETE
        if is_complete:
            self._body_state = BODY_DELIVERED
        return {"type": "http.request", "body": body, "more_body": not is_complete}

    async def _receive_later(self) -> Message:
        if self._body_state == BODY_ARRIVING:
            self._sink.send_continue()
        while not self._has_message():
            # Made only by who really has to wait.
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(future)
            try:
                await future
            finally:
                # Cancelled, as by a timeout: an application that polls would leave one behind each time.
                if self._waiters is not None and future in self._waiters:
                    self._waiters.remove(future)
        return self._next_message()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        if waiters is not None:
            for future in waiters:
                if not future.done():
                    future.set_result(None)

    # ---- send

    def _send_more(self, data: bytes, message: Message) -> Awaitable[None]:
        """Body bytes after which something follows."""
        if self.exchange is not None:
            self.exchange.note_sent(len(data))
        self._sink.send_body(data, True)
        if not message.get("more_body", False):
            self.phase = EXPECT_TRAILERS
        return SENT if self._sink.is_writable else self._sink.drain()

    def _send_rare(self, kind: Any, message: Message) -> Awaitable[None]:
        """Everything but a start and a body in their places."""
        if kind is None:
            raise no_type_error(message)
        if kind == "http.response.early_hint" and self.phase == EXPECT_START:
            links = message.get("links", ())
            if not isinstance(links, list | tuple) or not all(isinstance(link, bytes) for link in links):
                raise LocalProtocolError(f"http.response.early_hint with 'links' {links!r}, not a list of bytes")
            self._sink.send_informational(103, [(b"link", link) for link in links])
            return SENT
        if kind == "http.response.trailers" and self.phase == EXPECT_TRAILERS:
            return self._send_trailers(message)
        if kind == "http.response.pathsend" and self.phase == EXPECT_BODY:
            return self._send_path(message)
        if kind == "http.response.zerocopysend" and self.phase == EXPECT_BODY:
            return self._send_file(message)
        raise LocalProtocolError(f"unexpected message {kind!r}, expected {_EXPECTED_IN[self.phase]}")

    def _send_trailers(self, message: Message) -> Awaitable[None]:
        headers = message.get("headers", ())
        self._sink.send_trailers(headers, bool(message.get("more_trailers", False)))
        return SENT

    async def _send_path(self, message: Message) -> None:
        path = message.get("path")
        if not isinstance(path, str):
            raise LocalProtocolError(f"http.response.pathsend with 'path' {path!r}, not a str")
        with open(path, "rb") as file:  # noqa: ASYNC230  # its bytes are read elsewhere
            count = os.fstat(file.fileno()).st_size
            await self._send_part(file, 0, count, more=False)

    async def _send_file(self, message: Message) -> None:
        given = message.get("file")
        descriptor = given if isinstance(given, int) else getattr(given, "fileno", lambda: None)()
        if not isinstance(descriptor, int):
            raise LocalProtocolError(
                f"http.response.zerocopysend with 'file' {given!r}, neither a descriptor nor a file"
            )
        offset, count = message.get("offset"), message.get("count")
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        start = position if offset is None else int(offset)
        length = max(0, os.fstat(descriptor).st_size - start)
        if count is not None:
            length = min(length, int(count))
        # A copy, so that closing ours leaves the application's open. Both share one position, which reading moves: it
        # ends behind what was sent, or where it was when the application named the offset itself.
        with os.fdopen(os.dup(descriptor), "rb") as file:
            await self._send_part(file, start, length, more=bool(message.get("more_body", False)))
        os.lseek(descriptor, start + length if offset is None else position, os.SEEK_SET)

    async def _send_part(self, file: BinaryIO, offset: int, count: int, more: bool) -> None:
        if self.exchange is not None:
            self.exchange.note_sent(count)
        await self._sink.send_file(file, offset, count, more or self._has_trailers)
        if self.phase == EXPECT_BODY and not more:
            self.phase = EXPECT_TRAILERS
        if not self._sink.is_writable and self.phase != ENDED:
            await self._sink.drain()


def as_dict(message: Any) -> dict[str, Any]:
    """A message of ``send`` that is some other mapping, as a dict."""
    try:
        return dict(message)
    except (TypeError, ValueError):
        raise no_type_error(message) from None


def no_type_error(message: Any) -> LocalProtocolError:
    """What to raise for a message without a type."""
    return LocalProtocolError(f"send() takes a dict with the key 'type', not {message!r}")


def _as_bytes(data: Any) -> bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise LocalProtocolError(f"http.response.body with 'body' of {type(data).__name__}, not bytes")
