"""One WebSocket: the application's ``receive`` and ``send``, and the order of their messages.

The handshake is an HTTP exchange like any other, with an ``HttpCycle`` of its own: an application that refuses answers
it, with a response that it makes itself or with 403, and what comes of that is the HTTP cycle's business. Accepting
ends it, and from there on a ``WebSocketSink`` carries what is sent. The phases::

    CONNECTING --websocket.accept--> OPEN --websocket.close, or the peer closes--> CLOSING --> WS_ENDED
    CONNECTING --websocket.http.response.start--> DENYING --body complete--> WS_ENDED
    CONNECTING --websocket.close, or the client leaves--> WS_ENDED

Implements: ASGI HTTP & WebSocket message format 2.5, "WebSocket" and the extension websocket.http.response.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from addax.asgi.http_cycle import HttpCycle, as_dict, no_type_error
from addax.asgi.phases import CLOSING, CONNECTING, DENYING, ENDED, OPEN, WS_ENDED
from addax.asgi.ready import SENT, Received, Receiver, Waiting
from addax.asgi.sinks import ResponseSink, WebSocketSink
from addax.core.errors import ClientDisconnected, LocalProtocolError
from addax.core.types import Message
from addax.observe.websocket import log_handshake

_NORMAL = 1000
#: What a close frame without a code means (RFC 6455 §7.1.5); an application may pass it on.
_NO_STATUS = 1005
_ABNORMAL = 1006
_SERVICE_RESTART = 1012
#: Codes that may be sent (RFC 6455 §7.4, and the registry that it began).
_SENDABLE_CODES = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))
#: Bytes of a close frame's reason.
_REASON_MAX_BYTES = 123

_EXPECTED_IN = {
    CONNECTING: "websocket.accept, websocket.close or websocket.http.response.start",
    OPEN: "websocket.send or websocket.close",
    DENYING: "websocket.http.response.body",
    CLOSING: "nothing more: the WebSocket was closed",
    WS_ENDED: "nothing more: the WebSocket was closed, or its handshake refused",
}


class WebSocketCycle(Receiver):
    """What the application sees of one WebSocket.

    Args:
        http: the exchange that the handshake is; its scope is the WebSocket's.
        sink: carries the handshake.
    """

    __slots__ = (
        "_close",
        "_http",
        "_is_announced",
        "_is_client_gone",
        "_queue",
        "_sink",
        "_socket",
        "is_full",
        "is_returned",
        "phase",
        "queued_bytes",
        "scope",
        "shutdown_code",
        "slot",
        "task",
    )

    def __init__(self, http: HttpCycle, sink: ResponseSink) -> None:
        super().__init__()
        self.scope = http.scope
        # Of the handshake; None after it.
        self._http: HttpCycle | None = http
        self._sink: ResponseSink | None = sink
        self._socket: WebSocketSink | None = None
        self.phase = CONNECTING
        self._is_announced = False
        self._is_client_gone = False
        #: Messages that the application has not taken, and about how many bytes they are.
        self._queue: list[Message] = []
        self.queued_bytes = 0
        #: Set by the socket: it has stopped reading until they are taken.
        self.is_full = False
        #: What ``websocket.disconnect`` says: code and reason.
        self._close: tuple[int, str] = (_ABNORMAL, "")
        #: What a server that stops closes this WebSocket with.
        self.shutdown_code = _SERVICE_RESTART
        #: The application was called, and has returned or raised.
        self.is_returned = False
        #: Of the worker's board, where it is written down; -1: nowhere.
        self.slot = -1
        #: The task that runs the application, once it has had to wait.
        self.task: Any = None

    # ---- what the socket tells

    def message_arrived(self, message: Message, size: int) -> None:
        """A whole message.

        Args:
            message: ``websocket.receive``.
            size: about how much memory it takes, in bytes.
        """
        self._queue.append(message)
        self.queued_bytes += size
        if self._waiters is not None:
            self.wake()

    def queued_count(self) -> int:
        """How many messages wait for the application."""
        return len(self._queue)

    def peer_closing(self, code: int, reason: str) -> None:
        """Nothing can be sent any more, because the peer has begun to close, or is being closed by the server.

        Args:
            code: what ``websocket.disconnect`` says.
            reason: the same.
        """
        if self.phase == OPEN:
            self.phase = CLOSING
            self._is_client_gone = True
            self._close = (code, reason)
            self.wake()

    def ended(self, code: int, reason: str) -> None:
        """The connection is gone, or nothing of it is looked at any more."""
        if self.phase == OPEN:
            self._is_client_gone = True
            self._close = (code, reason)
        self.phase = WS_ENDED
        self._socket = None
        self.wake()

    # ---- what the run of the application asks

    def is_client_gone(self) -> bool:
        """Whether ``send`` raises because nobody is there, rather than by a mistake of the application."""
        return self._is_client_gone or (self._http is not None and self._http.is_client_gone())

    def complaint(self) -> str:
        """What is wrong with an application that returns now; empty if nothing is."""
        http = self._http
        if http is None or http.is_client_gone() or http.is_notified():
            return ""
        if self.phase == CONNECTING:
            return "ASGI callable returned without completing handshake."
        return "ASGI callable returned without completing response."

    def returned(self) -> None:
        """The application has returned, in order: a WebSocket that is open is closed."""
        if self.phase == OPEN and self._socket is not None:
            self._begin_close(_NORMAL, "")
        else:
            self.fail()

    def fail(self) -> None:
        """The application cannot go on: 500 before the handshake is answered, 1011 on an open WebSocket."""
        http, sink = self._http, self._sink
        if self.phase == OPEN and self._socket is not None:
            self._begin_close(1011, "")
        elif http is not None and sink is not None:
            if self.phase == CONNECTING and not http.is_client_gone():
                log_handshake(self.scope, 500)
            self.phase = WS_ENDED
            self._http = self._sink = None
            sink.fail(http)
        # Nobody will take them.
        self._queue.clear()

    # ---- what the application calls

    def receive(self) -> Awaitable[Message]:
        """ASGI ``receive``: an awaitable of the next message."""
        if self.has_message():
            return Received(self.next_message())
        if self._http is not None:
            return self._receive_in_handshake()
        return Waiting(self)

    def has_message(self) -> bool:
        """See ``Receiver.has_message``."""
        return len(self._queue) > 0 or self.phase >= CLOSING or not self._is_announced

    def next_message(self) -> Message:
        """See ``Receiver.next_message``."""
        if not self._is_announced:
            self._is_announced = True
            return {"type": "websocket.connect"}
        queue = self._queue
        if queue:
            message = queue.pop(0)
            if not queue:
                self.queued_bytes = 0
                if self.is_full:
                    self.is_full = False
                    if self._socket is not None:
                        self._socket.messages_consumed()
            return message
        code, reason = self._close
        return {"type": "websocket.disconnect", "code": code, "reason": reason}

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI ``send``: takes one message; the awaitable ends when the client can take more.

        Raises:
            ClientDisconnected: nobody is there to take it.
            LocalProtocolError: the message is malformed or out of order.
        """
        fields = message if type(message) is dict else as_dict(message)
        kind = fields.get("type")
        socket = self._socket
        if self.phase == OPEN and kind == "websocket.send" and socket is not None:
            text = fields.get("text")
            if text is not None:
                if type(text) is not str:
                    text = _as_text(text)
                socket.send_text(text)
            else:
                data = fields.get("bytes")
                socket.send_binary(data if type(data) is bytes else _as_binary(data))
            return SENT if socket.is_writable else socket.drain()
        return self._send_rare(kind, fields)

    # ---- receive

    async def _receive_in_handshake(self) -> Message:
        """The application listens before it has answered: wait for the client to leave, or for the answer."""
        while not self.has_message():
            http = self._http
            if http is None:
                return await Waiting(self)
            message = await http.receive()
            if message["type"] == "http.disconnect" and self._http is http:
                self.phase = WS_ENDED
                self._is_client_gone = True
        return self.next_message()

    # ---- send

    def _send_rare(self, kind: Any, message: Message) -> Awaitable[None]:
        """Everything but a message in its place."""
        if kind is None:
            raise no_type_error(message)
        if self.is_client_gone():
            raise ClientDisconnected("the client has disconnected")
        http, sink = self._http, self._sink
        if self.phase == CONNECTING and http is not None and sink is not None:
            if kind == "websocket.accept":
                self._accept(message, http, sink)
                return SENT
            if kind == "websocket.close":
                return self._refuse(http)
            if kind == "websocket.http.response.start":
                sent = http.send({**message, "type": "http.response.start"})
                self.phase = DENYING
                log_handshake(self.scope, message["status"])
                return sent
        elif self.phase == DENYING and http is not None and kind == "websocket.http.response.body":
            sent = http.send({**message, "type": "http.response.body"})
            if http.phase == ENDED:
                self._end_handshake(WS_ENDED)
            return sent
        elif self.phase == OPEN and kind == "websocket.close":
            code, reason = _read_close(message)
            self._begin_close(code, reason)
            return SENT
        raise LocalProtocolError(f"unexpected message {kind!r}, expected {_EXPECTED_IN[self.phase]}")

    def _accept(self, message: Message, http: HttpCycle, sink: ResponseSink) -> None:
        subprotocol = message.get("subprotocol")
        shutdown_code = message.get("shutdown_code", _SERVICE_RESTART)
        if not isinstance(shutdown_code, int) or shutdown_code not in _SENDABLE_CODES:
            raise LocalProtocolError(f"websocket.accept with 'shutdown_code' {shutdown_code!r}, not a close code")
        self.shutdown_code = shutdown_code
        # Before the handshake is over: what follows it in the client's bytes arrives inside of this call.
        self.phase = OPEN
        try:
            self._socket = sink.accept_websocket(self, subprotocol, message.get("headers") or ())
        except BaseException:
            self.phase = CONNECTING
            raise
        self._end_handshake(self.phase)
        http.end("completed")

    def _refuse(self, http: HttpCycle) -> Awaitable[None]:
        """Closed before it was accepted: 403 (ASGI, "Close - send event")."""
        http.send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
        sent = http.send({"type": "http.response.body"})
        log_handshake(self.scope, 403)
        self._end_handshake(WS_ENDED)
        return sent

    def _end_handshake(self, phase: int) -> None:
        self.phase = phase
        self._http = self._sink = None
        self.wake()

    def _begin_close(self, code: int, reason: str) -> None:
        socket = self._socket
        assert socket is not None
        self.phase = CLOSING
        self._close = (code, reason)
        socket.close(code, reason)
        self.wake()


def _as_text(text: Any) -> str:
    if isinstance(text, str):
        # A subclass, whose own methods nobody wants to be asked.
        return str.__str__(text)
    raise LocalProtocolError(f"websocket.send with 'text' of {type(text).__name__}, not str")


def _as_binary(data: Any) -> bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    if data is None:
        raise LocalProtocolError("websocket.send with neither 'text' nor 'bytes'")
    raise LocalProtocolError(f"websocket.send with 'bytes' of {type(data).__name__}, not bytes")


def _read_close(message: Message) -> tuple[int, str]:
    code = message.get("code", _NORMAL)
    reason = message.get("reason") or ""
    if code is None:
        code = _NORMAL
    if not isinstance(code, int) or (code not in _SENDABLE_CODES and code != _NO_STATUS):
        raise LocalProtocolError(f"websocket.close with 'code' {code!r}, which may not be sent (RFC 6455 §7.4)")
    if not isinstance(reason, str):
        raise LocalProtocolError(f"websocket.close with 'reason' of {type(reason).__name__}, not str")
    return int(code), reason
