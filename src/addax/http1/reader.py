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
            self._feed_head(data)
        elif self._state == _LENGTH:
            self._feed_length(data)
        elif self._state == _CHUNKED:
            self._feed_chunked(data)
        else:
            self._buffer += data

    def next_message(self) -> bool:
        """Go on with the bytes that were kept back after ``on_end``."""
        data = self._buffer
        self._state = _HEAD
        self._leading_line_skipped = False
        if not data:
            return False
        self._buffer = b""
        self._feed_head(data)
        return True

    def pending_bytes(self) -> int:
        """How many bytes are kept back."""
        return len(self._buffer) if self._state == _ENDED else 0

    def is_inside_message(self) -> bool:
        """Whether the first byte of a message has come and its last has not."""
        return self._state in (_LENGTH, _CHUNKED) or (self._state == _HEAD and bool(self._buffer))

    def detach(self) -> bytes:
        """Give up the bytes after the head, on an upgrade."""
        rest, self._buffer = self._buffer, b""
        return rest

    # ---- heads

    def _feed_head(self, data: bytes) -> None:
        if not self._buffer:
            match = STRICT_HEAD.match(data)
            if (
                match is not None
                and match.end() <= self._settings.head_max_bytes
                and match.end(3) <= self._settings.request_line_max_bytes
            ):
                token, target, minor = match.groups()
                self._take_head(data, match.end(), token, target, 1 if minor == b"1" else 0)
                return
        self._feed_partial_head(data)

    def _feed_partial_head(self, data: bytes) -> None:
        data = self._buffer + data
        if not self._leading_line_skipped and data.startswith(b"\r"):
            # RFC 9112 §2.2: at least one empty line before a request line is to be ignored; old clients send it after
            # a body.
            if data == b"\r":
                self._buffer = data
                return
            if data.startswith(b"\r\n"):
                self._leading_line_skipped = True
                self._buffer = b""
                if len(data) > 2:
                    self._feed_head(data[2:])
                return
        if self._scanner is None:
            self._scanner = HeadScanner(self._settings)
        end = self._scanner.scan(data)
        if end < 0:
            self._buffer = data
            return
        self._scanner = None
        self._buffer = b""
        match = STRICT_HEAD.match(data)
        if match is None or match.end() != end:
            raise RemoteProtocolError("the request head is malformed")
        token, target, minor = match.groups()
        self._take_head(data, end, token, target, 1 if minor == b"1" else 0)

    def _take_head(self, data: bytes, end: int, token: bytes, target: bytes, minor: int) -> None:
        method = METHODS.get(token)
        if method is None:
            raise RemoteProtocolError("the method is not implemented", 501)
        has_rest = end < len(data)
        headers = self.cut(data[:end] if has_rest else data)
        if len(headers) > self._settings.header_max_count:
            raise RemoteProtocolError("the request has too many fields", 431)
        framing = self._handler.on_head(method, target, minor, headers)
        if framing == 0:
            self._end(data[end:] if has_rest else b"")
            return
        self.head_with_body()
        if framing == CHUNKED:
            self._state = _CHUNKED
            self._chunked = ChunkedDecoder(self._handler, self._settings)
        elif framing == UPGRADED:
            self._state = _ENDED
        else:
            self._state = _LENGTH
            self._remaining = framing
        if has_rest:
            self.feed(data[end:])

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
        self._state = _ENDED
        self._buffer = rest
        self._handler.on_end()
