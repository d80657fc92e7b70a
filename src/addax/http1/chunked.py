"""Takes a body in chunked transfer coding apart, as it comes.

Implements: RFC 9112 §7.1 (chunked coding), §7.1.1 (extensions, checked and dropped), §7.1.2 (trailer fields, checked
and dropped: ASGI has no place for them). Each line and the sum of all that is not data have bounds, because a peer
that sends one byte of data under a kilobyte of extensions is not sending a body.
"""

from __future__ import annotations

import re

from addax.core.errors import RemoteProtocolError
from addax.core.settings import Http1Settings
from addax.http1.grammar import parse_field_line
from addax.http1.parser import ParserHandler

#: One chunk's size line, and the extensions of all chunks of a body together, in bytes.
CHUNK_LINE_MAX_BYTES = 4096
EXTENSIONS_MAX_BYTES = 16384

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
#: As many as 64 bits hold.
_SIZE_MAX_DIGITS = 16
# Hexadecimal digits by pattern: int(…, 16) alone takes "0x5", "+5" and "5_0" (field reports of smuggling by each).
_CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*)"
)

#: Fields that mean something before the body or for the connection, and so nothing after it (RFC 9110 §6.5.1).
FORBIDDEN_TRAILERS = frozenset(
    b"accept-encoding age authorization cache-control connection content-encoding content-length content-location"
    b" content-range content-type cookie date expect expires forwarded host http2-settings if-match if-modified-since"
    b" if-none-match if-range if-unmodified-since keep-alive location max-forwards origin pragma proxy-authenticate"
    b" proxy-authorization proxy-connection range referer retry-after set-cookie te trailer transfer-encoding upgrade"
    b" vary via warning www-authenticate x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-prefix"
    b" x-forwarded-proto".split()
)

_SIZE = 0
_DATA = 1
_DATA_END = 2
_TRAILERS = 3


class ChunkedDecoder:
    """One body.

    Args:
        handler: gets the data by ``on_body``.
        settings: bounds of the trailer section, which are those of a head.
    """

    __slots__ = (
        "_extension_bytes",
        "_handler",
        "_line",
        "_remaining",
        "_settings",
        "_state",
        "_trailer_bytes",
        "_trailer_count",
    )

    def __init__(self, handler: ParserHandler, settings: Http1Settings) -> None:
        self._handler = handler
        self._settings = settings
        self._state = _SIZE
        self._remaining = 0
        #: The beginning of a line that is not complete; None if there is none.
        self._line: bytearray | None = None
        self._extension_bytes = 0
        self._trailer_bytes = 0
        self._trailer_count = 0

    def feed(self, data: bytes, position: int = 0) -> int:
        """Take the next bytes.

        Args:
            data: has them.
            position: where they begin.

        Returns:
            Where in ``data`` the body ended, or -1 if it goes on.

        Raises:
            RemoteProtocolError: 400, or 431 for too many trailer fields.
        """
        size = len(data)
        while position < size:
            if self._state == _DATA:
                end = size
                available = size - position
                if self._remaining <= available:
                    end = position + self._remaining
                    self._remaining = 2
                    self._state = _DATA_END
                else:
                    self._remaining -= available
                self._handler.on_body(data if position == 0 and end == size else self._piece(data, position, end))
                position = end
            elif self._state == _DATA_END:
                # CVE-2025-43859 of h11: these two bytes were skipped there without a look.
                if data[position] != (0x0D if self._remaining == 2 else 0x0A):
                    raise RemoteProtocolError("chunk data is not followed by CRLF")
                position += 1
                self._remaining -= 1
                if self._remaining == 0:
                    self._state = _SIZE
            else:
                end = self._take_short_line(data, position) if self._line is None else 0
                if end == 0:
                    end = self._take_line(data, position)
                if end < 0:
                    return -end
                position = end
        return -1

    def _piece(self, data: bytes, start: int, end: int) -> bytes:
        """A part of the data; a method, so that the native parser can make it for less."""
        return data[start:end]

    def _take_short_line(self, data: bytes, position: int) -> int:
        """Take the line that nearly every one is: a size alone, or the empty one at the end of the body.

        Returns:
            As ``_take_line``; 0 if it is another line or not complete, and nothing was done then.
        """
        end = position
        stop = min(len(data) - 1, position + _SIZE_MAX_DIGITS + 1)
        size = 0
        while end < stop:
            byte = data[end]
            if 0x30 <= byte <= 0x39:
                digit = byte - 0x30
            elif 0x61 <= byte <= 0x66:
                digit = byte - 0x57
            elif 0x41 <= byte <= 0x46:
                digit = byte - 0x37
            else:
                break
            if end - position == _SIZE_MAX_DIGITS:
                return 0
            size = size << 4 | digit
            end += 1
        if end >= stop or data[end] != 0x0D or data[end + 1] != 0x0A:
            return 0
        if self._state == _TRAILERS:
            return -(end + 2) if end == position and self._trailer_bytes == 0 else 0
        if end == position:
            return 0
        self._remaining = size
        self._state = _DATA if size else _TRAILERS
        return end + 2

    def _take_line(self, data: bytes, position: int) -> int:
        """Go on with a size or trailer line.

        Returns:
            Where to go on; negative, the position where the whole body ended.
        """
        newline = data.find(b"\n", position)
        end = len(data) if newline < 0 else newline + 1
        if self._line is None:
            self._line = bytearray()
        # In place: a line that trickles in is not moved again with each byte.
        self._line += data[position:end]
        length = len(self._line)
        if self._state == _SIZE:
            if length > CHUNK_LINE_MAX_BYTES:
                raise RemoteProtocolError("a chunk's size line is too long")
        elif self._trailer_bytes + length > self._settings.head_max_bytes:
            raise RemoteProtocolError("the trailer section is too large", 431)
        if newline < 0:
            return end
        line = bytes(self._line)
        self._line = None
        if not line.endswith(b"\r\n"):
            raise RemoteProtocolError("a line of the chunked coding ends with a bare LF")
        line = line[:-2]
        if self._state == _SIZE:
            self._take_size(line)
        elif line:
            self._take_trailer(line)
        else:
            return -end
        return end

    def _take_size(self, line: bytes) -> None:
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise RemoteProtocolError("a chunk's size line is malformed")
        self._extension_bytes += len(match[2])
        if self._extension_bytes > EXTENSIONS_MAX_BYTES:
            raise RemoteProtocolError("too many bytes of chunk extensions")
        self._remaining = int(match[1], 16)
        self._state = _DATA if self._remaining else _TRAILERS

    def _take_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line) + 2
        self._trailer_count += 1
        if self._trailer_count > self._settings.header_max_count:
            raise RemoteProtocolError("the request has too many trailer fields", 431)
        name, _ = parse_field_line(line)
        if name in FORBIDDEN_TRAILERS:
            raise RemoteProtocolError("a field that may not be a trailer")
