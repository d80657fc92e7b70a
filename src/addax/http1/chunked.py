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
        self._line = b""
        self._extension_bytes = 0
        self._trailer_bytes = 0
        self._trailer_count = 0

    def feed(self, data: bytes) -> int:
        """Take the next bytes.

        Returns:
            Where in ``data`` the body ended, or -1 if it goes on.

        Raises:
            RemoteProtocolError: 400, or 431 for too many trailer fields.
        """
        position = 0
        size = len(data)
        while position < size:
            if self._state == _DATA:
                taken = min(self._remaining, size - position)
                self._handler.on_body(data[position : position + taken])
                position += taken
                self._remaining -= taken
                if self._remaining == 0:
                    self._remaining = 2
                    self._state = _DATA_END
            elif self._state == _DATA_END:
                # CVE-2025-43859 of h11: these two bytes were skipped there without a look.
                if data[position] != (0x0D if self._remaining == 2 else 0x0A):
                    raise RemoteProtocolError("chunk data is not followed by CRLF")
                position += 1
                self._remaining -= 1
                if self._remaining == 0:
                    self._state = _SIZE
            else:
                position = self._take_line(data, position)
                if position < 0:
                    return -position
        return -1

    def _take_line(self, data: bytes, position: int) -> int:
        """Go on with a size or trailer line.

        Returns:
            Where to go on; negative, the position where the whole body ended.
        """
        newline = data.find(b"\n", position)
        end = len(data) if newline < 0 else newline + 1
        line = self._line + data[position:end]
        if self._state == _SIZE:
            if len(line) > CHUNK_LINE_MAX_BYTES:
                raise RemoteProtocolError("a chunk's size line is too long")
        elif self._trailer_bytes + len(line) > self._settings.head_max_bytes:
            raise RemoteProtocolError("the trailer section is too large", 431)
        if newline < 0:
            self._line = line
            return end
        self._line = b""
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
