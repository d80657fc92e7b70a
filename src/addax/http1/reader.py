"""What is common to all parsers that come with addax: where a message begins and ends, and what a head may look like.

A parser only takes a head apart that our own grammar has accepted. Bounds, framing, chunked coding and trailers are
read here, once, so the language that addax accepts is the same with every parser, and a body passes through without a
copy by a library.

Bytes are never moved to get at the next message: everything works on ``data`` from an offset, so many small messages in
one buffer cost no more than their bytes.
"""

from __future__ import annotations

import sys

from addax.core.errors import RemoteProtocolError
from addax.core.headers import RequestHead
from addax.core.settings import Http1Settings
from addax.core.types import Headers
from addax.http1.chunked import ChunkedDecoder
from addax.http1.grammar import METHODS, STRICT_HEAD, HeadScanner
from addax.http1.parser import CHUNKED, UPGRADED, Parser, ParserHandler

#: Two of them are still a size.
_HALF_OF_ALL = sys.maxsize // 2

#: A head up to this size is remembered for the next request; a longer one would cost an idle connection much memory.
REPEATED_MAX_BYTES = 2048

_HEAD = 0
_LENGTH = 1
_CHUNKED = 2
_ENDED = 3

# Of this module, so that they are numbers of C where it is compiled.
_CHUNKED_BODY = CHUNKED
_UPGRADED = UPGRADED


class LastHead:
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


class StrictParser(Parser):
    """A parser but for ``cut``, which a subclass has.

    Args:
        handler: is told of what is found.
        settings: bounds of a head and of trailers.
    """

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
        "_start",
        "_state",
    )

    def __init__(self, handler: ParserHandler, settings: Http1Settings) -> None:
        self._begin(handler, settings)

    def _begin(self, handler: ParserHandler, settings: Http1Settings) -> None:
        """The same, for a subclass that is compiled, which calls this for less."""
        # As ``Parser`` begins.
        self.pending_bytes = 0
        self.is_inside_message = False
        self._handler = handler
        self._settings = settings
        self._state = _HEAD
        #: A head that is not complete yet, or the bytes of messages that are not looked at yet; None if there are none.
        #: A bytearray as soon as there is something to append.
        self._buffer: bytes | bytearray | None = None
        #: Where in the buffer they begin.
        self._start = 0
        #: Not None while a head is looked at piece by piece.
        self._scanner: HeadScanner | None = None
        self._leading_line_skipped = False
        self._remaining = 0
        self._chunked: ChunkedDecoder | None = None
        # A head that ends within this many bytes cannot break a bound on its size.
        self._quick_max_bytes = min(settings.head_max_bytes, settings.request_line_max_bytes, _HALF_OF_ALL)
        self._last: LastHead | None = None

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
            if self._buffer is not None:
                self._feed_partial_head(data, 0)
            elif self._last is None:
                self._feed_head(data, 0)
            elif data == self._last.data:
                # A client that polls: what is below without a call.
                self._leading_line_skipped = False
                last = self._last
                self._handler.on_head(last.method, last.target, 1, last.headers.copy(), last.meaning)
            elif not self._feed_repeated(data):
                self._feed_head(data, 0)
        elif self._state == _LENGTH:
            self._feed_length(data, 0)
        elif self._state == _CHUNKED:
            self._feed_chunked(data, 0)
        else:
            self.keep(data)

    def keep(self, data: bytes) -> None:
        """Take bytes that came after the end of the current message, without looking at them."""
        self._state = _ENDED
        self._hold(data)
        self.pending_bytes += len(data)

    def next_message(self) -> None:
        """Go on with the bytes that were kept back after the end of a message."""
        assert self._buffer is not None
        data = bytes(self._buffer)
        start = self._start
        self._buffer = None
        self._start = 0
        self._state = _HEAD
        self.pending_bytes = 0
        self._feed_head(data, start)

    def detach(self) -> bytes:
        """Give up the bytes after the head, on an upgrade."""
        if self._buffer is None:
            return b""
        rest = bytes(self._buffer[self._start :])
        self._buffer = None
        return rest

    def _hold(self, data: bytes) -> None:
        """Put bytes behind those that wait."""
        if self._buffer is None:
            self._buffer = data
        elif isinstance(self._buffer, bytearray):
            self._buffer += data
        else:
            # From now on in place, so that bytes that trickle in are not moved again with each of them.
            joined = bytearray(self._buffer[self._start :])
            joined += data
            self._buffer = joined
            self._start = 0

    # ---- heads

    def _feed_head(self, data: bytes, start: int) -> None:
        """A head begins at ``start``."""
        if not self._take_head(data, start, self._quick_max_bytes):
            self._feed_partial_head(data, start)

    def _take_head(self, data: bytes, start: int, limit: int) -> bool:
        """Take a head that is whole and without fault.

        Args:
            data: the head, and what follows it.
            start: where it begins.
            limit: how many bytes to look at. A head that ends within them breaks no bound on its size.

        Returns:
            False if it is not complete or has a fault; nothing was done then.
        """
        match = STRICT_HEAD.match(data, start, start + limit)
        if match is None:
            return False
        token, target, minor = match.groups()
        method = METHODS.get(token)
        if method is None:
            raise RemoteProtocolError("the method is not implemented", 501)
        end = match.end()
        head = data if start == 0 and end == len(data) else data[start:end]
        headers = self.cut(head)
        if len(headers) > self._settings.header_max_count:
            raise RemoteProtocolError("the request has too many fields", 431)
        if minor != b"1" or len(head) > REPEATED_MAX_BYTES:
            self._head_taken(method, target, 1 if minor == b"1" else 0, headers, None, data, end)
            return True
        # The handler and the application may change the list.
        last_headers = headers.copy()
        meaning = self._head_taken(method, target, 1, headers, None, data, end)
        if meaning[0] == 0:
            self._last = LastHead(head, head[match.end(3) - start :], method, target, last_headers, meaning)
        return True

    def _feed_repeated(self, data: bytes) -> bool:
        """Take a head of which only the request line is new.

        Returns:
            False if there is more to it than that; nothing was done then.
        """
        last = self._last
        assert last is not None
        if len(data) > self._quick_max_bytes or not data.endswith(last.lines):
            return False
        parts = data[: len(data) - len(last.lines)].split(b" ")
        if len(parts) != 3 or parts[2] != b"HTTP/1.1":
            return False
        target = parts[1]
        # Visible ASCII, without a pattern, which would cost half as much again as all of this.
        if not target or not target.isascii() or not target.decode("ascii").isprintable():
            return False
        method = METHODS.get(parts[0])
        if method is None:
            return False
        last.data, last.method, last.target = data, method, target
        self._leading_line_skipped = False
        self._handler.on_head(last.method, last.target, 1, last.headers.copy(), last.meaning)
        return True

    def _feed_partial_head(self, data: bytes, start: int) -> None:
        """A head that comes in pieces, is large, or has a fault."""
        self.is_inside_message = True
        self._hold(data if start == 0 else data[start:])
        buffer = self._buffer
        assert buffer is not None
        if not self._leading_line_skipped and buffer.startswith(b"\r"):
            # RFC 9112 §2.2: at least one empty line before a request line is to be ignored; old clients send it after a
            # body.
            if len(buffer) == 1:
                return
            if buffer.startswith(b"\r\n"):
                self._leading_line_skipped = True
                self.is_inside_message = False
                self._buffer = None
                if len(buffer) > 2:
                    self._feed_head(bytes(buffer), 2)
                return
        if self._scanner is None:
            self._scanner = HeadScanner(self._settings)
        end = self._scanner.scan(buffer)
        if end < 0:
            return
        self._scanner = None
        self._buffer = None
        if not self._take_head(bytes(buffer), 0, end):
            raise RemoteProtocolError("the request head is malformed")

    def _head_taken(
        self,
        method: str,
        target: bytes,
        minor: int,
        headers: Headers,
        known: RequestHead | None,
        data: bytes,
        end: int,
    ) -> RequestHead:
        """Tell the handler, and go on with what follows the head.

        Args:
            method: as for ``ParserHandler.on_head``, like all up to ``known``.
            target: as sent.
            minor: of the version.
            headers: field lines.
            known: what the head means, or None.
            data: has the head, and what follows it.
            end: where in ``data`` the head ends.
        """
        meaning = self._handler.on_head(method, target, minor, headers, known)
        framing = meaning[0]
        if framing == 0:
            self._keep_back(data, end)
            return meaning
        self.head_with_body()
        if framing == _UPGRADED:
            self._keep_back(data, end)
            self._state = _ENDED
            return meaning
        self.is_inside_message = True
        if framing == _CHUNKED_BODY:
            self._state = _CHUNKED
            self._chunked = self._new_decoder()
            if end < len(data):
                self._feed_chunked(data, end)
        else:
            self._state = _LENGTH
            self._remaining = framing
            if end < len(data):
                self._feed_length(data, end)
        return meaning

    def _keep_back(self, data: bytes, end: int) -> None:
        """The message is complete; what follows is not looked at yet."""
        self.is_inside_message = False
        self._leading_line_skipped = False
        if end < len(data):
            self._state = _ENDED
            self._buffer = data
            self._start = end
            self.pending_bytes = len(data) - end
        else:
            self._state = _HEAD

    def head_with_body(self) -> None:
        """Called after ``cut`` when a body follows, which the library is not going to see."""

    # ---- bodies

    def _new_decoder(self) -> ChunkedDecoder:
        """For a body in chunked coding."""
        return ChunkedDecoder(self._handler, self._settings)

    def _piece(self, data: bytes, start: int, end: int) -> bytes:
        """A part of the data; a method, so that the native parser can make it for less."""
        return data[start:end]

    def _feed_length(self, data: bytes, start: int) -> None:
        available = len(data) - start
        remaining = self._remaining
        if available < remaining:
            self._remaining = remaining - available
            self._handler.on_body(data if start == 0 else self._piece(data, start, len(data)))
            return
        end = start + remaining
        self._handler.on_body(data if start == 0 and end == len(data) else self._piece(data, start, end))
        self._end(data, end)

    def _feed_chunked(self, data: bytes, start: int) -> None:
        assert self._chunked is not None
        end = self._chunked.feed(data, start)
        if end >= 0:
            self._chunked = None
            self._end(data, end)

    def _end(self, data: bytes, end: int) -> None:
        self._keep_back(data, end)
        self._handler.on_end()
