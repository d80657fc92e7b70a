"""The interface between the connection and whatever cuts its bytes into messages.

A parser cuts; it decides nothing. Framing, keep-alive, limits on the body, Host rules and upgrades are decided by
``core.headers`` and by ``http1.connection``, so every parser gives the same answers. ``StrictParser`` (reader.py) has
all that is common to the parsers that come with addax; a foreign one may fill ``Parser`` from nothing.

A parser handles one message at a time. After its end it keeps further bytes to itself until ``next_message`` is called:
a pipelined request is not looked at while its predecessor is in progress.
"""

from __future__ import annotations

from typing import Protocol

from addax.core.headers import RequestHead
from addax.core.settings import Http1Settings
from addax.core.types import Headers

#: What ``ParserHandler.on_head`` returns for a body in chunked coding.
CHUNKED = -1
#: What it returns when the bytes after the head are not HTTP/1.1 any more.
UPGRADED = -2


class ParserHandler(Protocol):
    """What a parser calls; filled by ``http1.connection.Http1Connection``."""

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
                lines; None if they are new, which is always right.

        Returns:
            What the head means. Its first item says how the body is framed: its length in bytes (0: none, and no
            ``on_end`` either), CHUNKED, or UPGRADED.

        Raises:
            RemoteProtocolError: the head is well-formed, but not acceptable.
        """

    def on_body(self, chunk: bytes) -> None:
        """The next bytes of the body, chunk framing removed, never empty.

        Raises:
            RemoteProtocolError: the body is larger than it may be.
        """

    def on_end(self) -> None:
        """A message with a body is complete (trailer fields were checked and dropped)."""


class Parser(Protocol):
    """What a value of ``--http`` names: a class called with a handler and settings."""

    #: How many bytes are kept back. Read by the connection with every piece of data, so not a method.
    pending_bytes: int
    #: Whether the first byte of a message has come and its last has not. The same.
    is_inside_message: bool

    def __init__(self, handler: ParserHandler, settings: Http1Settings) -> None: ...

    def feed(self, data: bytes) -> None:
        """Take bytes and call the handler, until the end of the current message.

        Raises:
            RemoteProtocolError: and nothing else, whatever the bytes are. The parser is not used again after it.
        """

    def keep(self, data: bytes) -> None:
        """Take bytes that came after the end of the current message, without looking at them."""

    def next_message(self) -> None:
        """Go on with the bytes that were kept back after the end of a message; there are some.

        Raises:
            RemoteProtocolError: as ``feed``.
        """

    def detach(self) -> bytes:
        """Give up the bytes after the head, on an upgrade. The parser is not used again."""
