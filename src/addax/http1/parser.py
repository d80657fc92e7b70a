"""The interface between the connection and whatever cuts its bytes into messages.

A parser cuts; it decides nothing. Framing, keep-alive, limits on the body, Host rules and upgrades are decided by
``core.headers`` and by ``http1.connection``, so every parser gives the same answers. ``StrictParser`` (reader.py) has
all that is common to the parsers that come with addax; a foreign one may fill ``Parser`` from nothing.

Both sides are base classes, so that a compiled one calls the other without a look-up. A parser of somebody's own need
not inherit: ``adapt`` wraps what only has the methods.

A parser handles one message at a time. After its end it keeps further bytes to itself until ``next_message`` is called:
a pipelined request is not looked at while its predecessor is in progress.
"""

from __future__ import annotations

from typing import Any

from addax.asgi.sinks import ResponseSink
from addax.core.headers import RequestHead
from addax.core.settings import Http1Settings
from addax.core.types import Headers

#: What ``ParserHandler.on_head`` returns for a body in chunked coding.
CHUNKED = -1
#: What it returns when the bytes after the head are not HTTP/1.1 any more.
UPGRADED = -2


class ParserHandler(ResponseSink):
    """What a parser calls; filled by ``http1.connection.Http1Connection``.

    A connection is a ``ResponseSink`` too, and a compiled class has one base: hence this one's.
    """

    __slots__ = ()

    def on_head(
        self, method: str, target: bytes, minor: int, headers: Headers, known: RequestHead | None
    ) -> RequestHead:
        """A whole, well-formed request head.

        Args:
            method: one of ``grammar.METHODS``.
            target: request-target as sent, not empty, without white space.
            minor: 0 or 1, of HTTP/1.x.
            headers: names lower-cased.
            known: what this returned before, on this connection, for the same version and, to the byte, the same field
                lines, or at least the same ones of those that ``core.headers`` looks at; None if they are new, which is
                always right.

        Returns:
            What the head means. Its first item says how the body is framed: its length in bytes (0: none, and no
            ``on_end`` either), CHUNKED, or UPGRADED.

        Raises:
            RemoteProtocolError: the head is well-formed, but not acceptable.
        """
        raise NotImplementedError

    def on_body(self, chunk: bytes) -> None:
        """The next bytes of the body, chunk framing removed, never empty.

        Raises:
            RemoteProtocolError: the body is larger than it may be.
        """
        raise NotImplementedError

    def on_end(self) -> None:
        """A message with a body is complete (trailer fields were checked and dropped)."""
        raise NotImplementedError


class Parser:
    """What a value of ``--http`` names: a class called with a handler and settings.

    Args:
        handler: is told of what is found.
        settings: bounds of a head and of trailers.
    """

    __slots__ = ("is_inside_message", "pending_bytes")

    def __init__(self, handler: ParserHandler, settings: Http1Settings) -> None:
        #: How many bytes are kept back. Read by the connection with every piece of data, so not a method.
        self.pending_bytes = 0
        #: Whether the first byte of a message has come and its last has not. The same.
        self.is_inside_message = False

    def feed(self, data: bytes) -> None:
        """Take bytes and call the handler, until the end of the current message.

        Raises:
            RemoteProtocolError: and nothing else, whatever the bytes are. The parser is not used again after it.
        """
        raise NotImplementedError

    def keep(self, data: bytes) -> None:
        """Take bytes that came after the end of the current message, without looking at them."""
        raise NotImplementedError

    def next_message(self) -> None:
        """Go on with the bytes that were kept back after the end of a message; there are some.

        Raises:
            RemoteProtocolError: as ``feed``.
        """
        raise NotImplementedError

    def detach(self) -> bytes:
        """Give up the bytes after the head, on an upgrade. The parser is not used again."""
        raise NotImplementedError


class ForeignParser(Parser):
    """A parser of somebody's own, as a ``Parser``.

    Args:
        parser: has the methods and attributes of ``Parser``.
        handler: the one that it was made with.
        settings: the same.
    """

    __slots__ = ("_parser",)

    def __init__(self, parser: Any, handler: ParserHandler, settings: Http1Settings) -> None:
        super().__init__(handler, settings)
        self._parser = parser

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        try:
            self._parser.feed(data)
        finally:
            self._copy_state()

    def keep(self, data: bytes) -> None:
        """Take bytes without looking at them."""
        self._parser.keep(data)
        self._copy_state()

    def next_message(self) -> None:
        """Go on with the bytes that were kept back."""
        try:
            self._parser.next_message()
        finally:
            self._copy_state()

    def detach(self) -> bytes:
        """Give up the bytes after the head."""
        rest: bytes = self._parser.detach()
        return rest

    def _copy_state(self) -> None:
        self.pending_bytes = self._parser.pending_bytes
        self.is_inside_message = bool(self._parser.is_inside_message)


def adapt(parser: Any, handler: ParserHandler, settings: Http1Settings) -> Parser:
    """What a connection can work with, of whatever ``--http`` named.

    Args:
        parser: made with this handler and these settings.
        handler: the connection.
        settings: its bounds.
    """
    return parser if isinstance(parser, Parser) else ForeignParser(parser, handler, settings)
