"""What is common to all parsers that come with addax: where a message begins and ends, and what a head may look like.

The library behind a parser only cuts the field lines of a head that our own grammar has accepted. Bounds, framing,
chunked coding and trailers are read here, once, so the language that addax accepts is the same with every parser, and
a body passes through without a copy by the library.
"""

from __future__ import annotations

import re

from addax.core.errors import RemoteProtocolError
from addax.core.headers import RequestHead
from addax.core.settings import Http1Settings
from addax.core.types import Headers
from addax.http1.chunked import ChunkedDecoder
from addax.http1.grammar import METHODS, STRICT_HEAD, HeadScanner
from addax.http1.parser import CHUNKED, UPGRADED, ParserHandler

#: A head up to this size is remembered for the next request; a longer one would cost an idle connection much memory.
REPEATED_MAX_BYTES = 2048

_HEAD = 0
_LENGTH = 1
_CHUNKED = 2
_ENDED = 3


class _LastHead:
    """A head without a body, of HTTP/1.1, that was accepted, and what came of it.

    One client says the same of itself with every request, and some ask for the same thing again, so the next head of a
    connection is likely to have the same field lines. Of one connection only: nothing is shared between clients.
    """

    __slots__ = ("data", "headers", "lines", "meaning", "method", "target")

    def __init__(
        self, data: bytes, lines: bytes, method: str, target: bytes, headers: Headers, meaning: RequestHead
    ) -> None:
        self.data = data
        #: All from the end of the request line.
        self.lines = lines
        self.method = method
        self.target = target
        self.headers = headers
        self.meaning = meaning


class StrictParser:
    """Fills ``http1.parser.Parser`` but for ``cut``, which a subclass has."""

    __slots__ = (
        "_buffer",
        "_chunked",
        "_handler",
        "_last",
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
        self._last: _LastHead | None = None

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
            last = self._last
            if last is not None and not self._buffer:
                if data == last.data:
                    # A client that polls.
                    self._leading_line_skipped = False
                    self._handler.on_head(last.method, last.target, 1, last.headers.copy(), last.meaning)
                    return
                if data.endswith(last.lines) and self._feed_request_line(last, data):
                    return
            if self._buffer:
                self._feed_partial_head(data)
            else:
                self._feed_head(data)
        elif self._state == _LENGTH:
            self._feed_length(data)
        elif self._state == _CHUNKED:
            self._feed_chunked(data)
        else:
            self.keep(data)

    def keep(self, data: bytes) -> None:
        """Take bytes that came after the end of the current message, without looking at them."""
        self._state = _ENDED
        self._buffer += data
        self.pending_bytes = len(self._buffer)

    def next_message(self) -> None:
        """Go on with the bytes that were kept back after the end of a message."""
        data, self._buffer = self._buffer, b""
        self._state = _HEAD
        self.pending_bytes = 0
        self._feed_head(data)

    def detach(self) -> bytes:
        """Give up the bytes after the head, on an upgrade."""
        rest, self._buffer = self._buffer, b""
        return rest

    # ---- heads

    def _feed_request_line(self, last: _LastHead, data: bytes) -> bool:
        """Take a head of which only the request line is new.

        Returns:
            False if there is more to it than that; nothing was done then.
        """
        if len(data) > self._quick_max_bytes:
            return False
        parts = data[: len(data) - len(last.lines)].split(b" ")
        if len(parts) != 3 or parts[2] != b"HTTP/1.1" or not parts[1]:
            return False
        method = METHODS.get(parts[0])
        if method is None:
            return False
        self._leading_line_skipped = False
        last.data, last.method, last.target = data, method, parts[1]
        self._handler.on_head(method, parts[1], 1, last.headers.copy(), last.meaning)
        return True

    def _feed_head(self, data: bytes) -> None:
        match = STRICT_HEAD.match(data, 0, self._quick_max_bytes)
        if match is None:
            self._feed_partial_head(data)
            return
        end = match.end()
        if end == len(data):
            self._take_head(match, data, b"")
        else:
            self._take_head(match, data[:end], data[end:])

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
        self._take_head(match, data[:end], data[end:])

    def _take_head(self, match: re.Match[bytes], head: bytes, rest: bytes) -> None:
        token, target, minor = match.groups()
        method = METHODS.get(token)
        if method is None:
            raise RemoteProtocolError("the method is not implemented", 501)
        headers = self.cut(head)
        if len(headers) > self._settings.header_max_count:
            raise RemoteProtocolError("the request has too many fields", 431)
        # The handler and the application may change the list.
        last_headers = headers.copy()
        meaning = self._handler.on_head(method, target, 1 if minor == b"1" else 0, headers, None)
        framing = meaning[0]
        if framing == 0:
            if minor == b"1" and len(head) <= REPEATED_MAX_BYTES:
                self._last = _LastHead(head, head[match.end(3) :], method, target, last_headers, meaning)
            self._keep_back(rest)
            return
        self.head_with_body()
        if framing == UPGRADED:
            self._keep_back(rest)
            self._state = _ENDED
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
        self._state = _HEAD
        self.is_inside_message = False
        self._leading_line_skipped = False
        if rest:
            self.keep(rest)

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
