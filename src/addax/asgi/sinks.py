"""What a cycle needs from whatever carries its side of an exchange: a response, or the messages of a WebSocket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from addax.asgi.http_cycle import HttpCycle
    from addax.asgi.ws_cycle import WebSocketCycle


class ResponseSink:
    """Filled by ``http1.connection.Http1Connection``. No method waits but ``drain`` and ``send_file``.

    A base class and no Protocol, because a compiled cycle then calls a compiled sink without a look-up.
    """

    __slots__ = ("is_writable",)

    def __init__(self) -> None:
        #: False while more bytes wait for the client than ``write_buffer_bytes``: ``await drain()`` before the next
        #: send.
        self.is_writable = True

    def send_head(self, status: int, headers: Iterable[tuple[bytes, bytes]], trailers: bool) -> None:
        """Take the response head; it may be held back until the first body bytes, one loop turn at the most.

        Args:
            status: 200-599.
            headers: as the application gave them.
            trailers: whether trailer fields will follow the body.

        Raises:
            LocalProtocolError: a name or value that HTTP does not allow, or contradicting framing fields.
        """
        raise NotImplementedError

    def send_informational(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send an interim response (103 Early Hints, RFC 8297) at once."""
        raise NotImplementedError

    def send_body(self, data: bytes, more: bool) -> None:
        """Send body bytes; with ``more`` False the body is complete.

        Raises:
            LocalProtocolError: more or fewer bytes than Content-Length said.
        """
        raise NotImplementedError

    async def send_file(self, file: BinaryIO, offset: int, count: int, more: bool) -> None:
        """Send part of an open regular file as body bytes, with the kernel's help where there is any.

        Raises:
            LocalProtocolError: more or fewer bytes than Content-Length said.
            OSError: the file cannot be read.
            ClientDisconnected: the client left before the end.
        """
        raise NotImplementedError

    def send_trailers(self, headers: Iterable[tuple[bytes, bytes]], more: bool) -> None:
        """Take trailer fields; with ``more`` False the response ends. Dropped where the framing has no place for them.

        Raises:
            LocalProtocolError: a name or value that HTTP does not allow, or a body shorter than Content-Length said.
        """
        raise NotImplementedError

    def accept_websocket(
        self, cycle: WebSocketCycle, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]]
    ) -> WebSocketSink:
        """Answer a handshake with yes. The exchange is over then, without an end of its own.

        Args:
            cycle: gets the messages.
            subprotocol: one of those that the client offered, or None.
            headers: further fields of the answer, as the application gave them.

        Raises:
            LocalProtocolError: a field that HTTP or the handshake does not allow, or a subprotocol that nobody offered.
            ClientDisconnected: the client left.
        """
        raise NotImplementedError

    def send_continue(self) -> None:
        """The application asks for the body: answer ``Expect: 100-continue`` if it was asked and not yet answered."""
        raise NotImplementedError

    def body_consumed(self) -> None:
        """The application has taken all body bytes there were: resume reading."""
        raise NotImplementedError

    def fail(self, cycle: HttpCycle) -> None:
        """The application cannot finish: answer 500 if nothing was sent yet, else break off visibly.

        Args:
            cycle: whose application it is; nothing happens if its response is over.
        """
        raise NotImplementedError

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was sent.

        Raises:
            ClientDisconnected: it left instead.
        """
        raise NotImplementedError


class WebSocketSink:
    """Filled by ``websocket.connection.WebSocketConnection``: an open WebSocket. No method waits but ``drain``."""

    __slots__ = ("is_writable",)

    def __init__(self) -> None:
        #: As of ``ResponseSink``: False means ``await drain()`` before the next send.
        self.is_writable = True

    def send_text(self, text: str) -> None:
        """Send a text message.

        Raises:
            LocalProtocolError: the text has surrogates.
        """
        raise NotImplementedError

    def send_binary(self, data: bytes) -> None:
        """Send a binary message."""
        raise NotImplementedError

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; nothing is sent after it.

        Args:
            code: one that may be sent (RFC 6455 §7.4).
            reason: as long as a close frame can hold.
        """
        raise NotImplementedError

    def messages_consumed(self) -> None:
        """The application has taken messages that waited: more may be read."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was sent.

        Raises:
            ClientDisconnected: it left instead.
        """
        raise NotImplementedError
