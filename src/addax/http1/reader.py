"""What is common to all parsers that come with addax: where a message begins and ends, and what a head may look like.

The library behind a parser only cuts the field lines of a head that our own grammar has accepted. Bounds, framing,
chunked coding and trailers are read here, once, so the language that addax accepts is the same with every parser, and
a body passes through without a copy by the library.
"""

from __future__ import annotations

from addax.core.errors import RemoteProtocolError
from addax.core.settings import Http1Settings
from addax.core.types import Headers
from addax.http1.chunked import ChunkedDecoder
from addax.http1.grammar import METHODS, STRICT_HEAD, HeadScanner
from addax.http1.parser import CHUNKED, UPGRADED, ParserHandler

_HEAD = 0
_LENGTH = 1
_CHUNKED = 2
_ENDED = 3


class StrictParser:
    """Fills ``http1.parser.Parser`` but for ``cut``, which a subclass has."""

    __slots__ = (
        "_buffer",
        "_chunked",
        "_handler",
        "_leading_line_skipped",
        "_quick_max_bytes",
        "_remaining",
        "_scanner",
        "_settings",
        "_state",
        "is_inside_message",
        "pending_bytes",
    )

    def __init__(self, handler: ParserHandler, settings: Http1Settings) -> None:
        self._handler = handler
        self._settings = settings
        self._state = _HEAD
        #: A head that is not complete yet, or the bytes of messages that are not looked at yet.
        self._buffer = b""
        #: Not None while a head is looked at piece by piece.
        self._scanner: HeadScanner | None = None
        self._leading_line_skipped = False
        self._remaining = 0
        self._chunked: ChunkedDecoder | None = None
        # A head that ends within this many bytes cannot break a bound on its size.
        self._quick_max_bytes = min(settings.head_max_bytes, settings.request_line_max_bytes)
        self.pending_bytes = 0
        self.is_inside_message = False

    def cut(self, head: bytes) -> Headers:
        """Cut the field lines of a head.

        Args:
            head: whole, with the empty line, and accepted by ``grammar.STRICT_HEAD``.

        Returns:
            Names lower-cased, values without surrounding white space.
        """
        raise NotImplementedError

    def feed(self, data: bytes) -> None:
        """Take bytes and call the handler, until the end of the current message."""
        if self._state == _HEAD:
            if self._buffer:
                self._feed_partial_head(data)
            else:
                self._feed_head(data)
        elif self._state == _LENGTH:
            self._feed_length(data)
        elif self._state == _CHUNKED:
            self._feed_chunked(data)
        else:
            self._buffer += data
            self.pending_bytes = len(self._buffer)

    def next_message(self) -> bool:
        """Go on with the bytes that were kept back after the end of a message."""
        self._state = _HEAD
        self._leading_line_skipped = False
        if not self.pending_bytes:
            return False
        data, self._buffer = self._buffer, b""
        self.pending_bytes = 0
        self._feed_head(data)
        return True

    def detach(self) -> bytes:
        """Give up the bytes after the head, on an upgrade."""
        rest, self._buffer = self._buffer, b""
        return rest

    # ---- heads

    def _feed_head(self, data: bytes) -> None:
        match = STRICT_HEAD.match(data, 0, self._quick_max_bytes)
        if match is None:
            self._feed_partial_head(data)
            return
        token, target, minor = match.groups()
        end = match.end()
        if end == len(data):
            self._take_head(data, b"", token, target, minor)
        else:
            self._take_head(data[:end], data[end:], token, target, minor)

    def _feed_partial_head(self, data: bytes) -> None:
        """A head that comes in pieces, is large, or has a fault."""
        self.is_inside_message = True
        data = self._buffer + data
        self._buffer = data
        if not self._leading_line_skipped and data.startswith(b"\r"):
            # RFC 9112 §2.2: at least one empty line before a request line is to be ignored; old clients send it after a
            # body.
            if data == b"\r":
                return
            if data.startswith(b"\r\n"):
                self._leading_line_skipped = True
                self.is_inside_message = False
                self._buffer = b""
                if len(data) > 2:
                    self._feed_head(data[2:])
                return
        if self._scanner is None:
            self._scanner = HeadScanner(self._settings)
        end = self._scanner.scan(data)
        if end < 0:
            return
        self._scanner = None
        self._buffer = b""
        match = STRICT_HEAD.match(data)
        if match is None or match.end() != end:
            raise RemoteProtocolError("the request head is malformed")
        self._take_head(data[:end], data[end:], *match.groups())

    def _take_head(self, head: bytes, rest: bytes, token: bytes, target: bytes, minor: bytes) -> None:
        method = METHODS.get(token)
        if method is None:
            raise RemoteProtocolError("the method is not implemented", 501)
        headers = self.cut(head)
        if len(headers) > self._settings.header_max_count:
            raise RemoteProtocolError("the request has too many fields", 431)
        framing = self._handler.on_head(method, target, 1 if minor == b"1" else 0, headers)
        if framing == 0:
            self._keep_back(rest)
            return
        self.head_with_body()
        if framing == UPGRADED:
            self._keep_back(rest)
            return
        self.is_inside_message = True
        if framing == CHUNKED:
            self._state = _CHUNKED
            self._chunked = ChunkedDecoder(self._handler, self._settings)
        else:
            self._state = _LENGTH
            self._remaining = framing
        if rest:
            self.feed(rest)

    def _keep_back(self, rest: bytes) -> None:
        """The message is complete; what follows is not looked at yet."""
        self._state = _ENDED
        self.is_inside_message = False
        self._buffer = rest
        self.pending_bytes = len(rest)

    def head_with_body(self) -> None:
        """Called after ``cut`` when a body follows, which the library is not going to see."""

    # ---- bodies

    def _feed_length(self, data: bytes) -> None:
        remaining = self._remaining
        if len(data) < remaining:
            self._remaining = remaining - len(data)
            self._handler.on_body(data)
        elif len(data) == remaining:
            self._handler.on_body(data)
            self._end(b"")
        else:
            self._handler.on_body(data[:remaining])
            self._end(data[remaining:])

    def _feed_chunked(self, data: bytes) -> None:
        assert self._chunked is not None
        end = self._chunked.feed(data)
        if end >= 0:
            self._chunked = None
            self._end(data[end:])

    def _end(self, rest: bytes) -> None:
        self._keep_back(rest)
        self._handler.on_end()
