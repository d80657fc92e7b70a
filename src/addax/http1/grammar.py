"""The grammar of an HTTP/1.1 message as this server takes it: one strict language, whatever the parser.

``STRICT_HEAD`` is the fast way, for a whole head without fault. ``HeadScanner`` is the slow way, for heads that
come in pieces or are wrong: it looks at the bytes in their order and says which was the first that could not stand,
so the answer to a bad head does not depend on how the network cut it.

Implements: RFC 9112 §2.2 (lines), §3 (request line), §5 (field lines); RFC 9110 §5.6.2 (token), §9 (methods).
"""

from __future__ import annotations

import re
import sys

from addax.core.errors import RemoteProtocolError
from addax.core.settings import Http1Settings
from addax.core.types import Headers

#: Methods of the IANA registry and of common use, as bytes of the wire → as ASGI has them. Others are answered 501:
#: RFC 9110 §9.1. CONNECT is missing on purpose: it makes a tunnel, which an origin server does not.
METHODS: dict[bytes, str] = {
    name.encode("ascii"): sys.intern(name)
    for name in """
        GET HEAD POST PUT DELETE OPTIONS PATCH TRACE ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE MKACTIVITY
        MKCALENDAR MKCOL MOVE NOTIFY PROPFIND PROPPATCH PURGE QUERY REBIND REPORT SEARCH SUBSCRIBE UNBIND UNLINK UNLOCK
        UNSUBSCRIBE
    """.split()  # noqa: SIM905  # a wall of quotation marks would hide the names
}

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_BAD_IN_REQUEST_LINE = re.compile(rb"[^\x20-\x7e]")
_BAD_IN_FIELD_LINE = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")


class RequestLine:
    """A request line taken apart: method, target as sent, and the minor version."""

    __slots__ = ("method", "minor", "target")

    def __init__(self, method: str, target: bytes, minor: int) -> None:
        self.method = method
        self.target = target
        self.minor = minor


def parse_request_line(line: bytes) -> RequestLine:
    """Take a request line (without its line end) apart.

    Raises:
        RemoteProtocolError: 400 malformed; 505 another version; 501 another method.
    """
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError("the request line is malformed")
    token, target, major, minor = match.groups()
    if major != b"1" or minor not in b"01":
        raise RemoteProtocolError("the HTTP version is neither 1.0 nor 1.1", 505)
    method = METHODS.get(token)
    if method is None:
        raise RemoteProtocolError("the method is not implemented", 501)
    return RequestLine(method, target, 1 if minor == b"1" else 0)


def parse_field_line(line: bytes) -> tuple[bytes, bytes]:
    """Take one field line (without its line end) apart: lower-cased name, value without surrounding white space.

    Raises:
        RemoteProtocolError: 400, which covers obs-fold, white space before the colon, and names that are no token.
    """
    match = _FIELD_LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError("a field line is malformed")
    return match[1].lower(), match[2].rstrip(b" \t")


#: A whole head that needs no second look, with method, target, and minor version as groups.
STRICT_HEAD = re.compile(
    rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.([01])\r\n(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n"
)


def cut_fields(head: bytes) -> Headers:
    """The field lines of a whole head, empty line included, that ``STRICT_HEAD`` has matched."""
    return [parse_field_line(line) for line in head.split(b"\r\n")[1:-2]]


class HeadScanner:
    """Looks at a head as it comes, piece by piece, and raises for the first byte in the stream that cannot stand.

    Every byte is looked at once, however small the pieces: a head that trickles in costs no more than one that comes
    whole.
    """

    __slots__ = ("_field_count", "_in_fields", "_line_start", "_scanned", "_settings")

    def __init__(self, settings: Http1Settings) -> None:
        self._settings = settings
        self._line_start = 0
        #: Where to go on looking: everything before it is known to be without fault.
        self._scanned = 0
        self._in_fields = False
        self._field_count = 0

    def scan(self, buffer: bytes | bytearray) -> int:
        """Look at what is new.

        Args:
            buffer: the head so far, from the first byte of the request line.

        Returns:
            How long the head is, empty line included, or -1 while it is not complete.

        Raises:
            RemoteProtocolError: 400, 414, 431, 501 or 505.
        """
        while True:
            newline = buffer.find(b"\n", self._scanned)
            self._check_bytes(buffer, len(buffer) if newline < 0 else newline)
            if newline < 0:
                return -1
            line = bytes(buffer[self._line_start : newline])
            if not line.endswith(b"\r"):
                raise RemoteProtocolError("a line ends with a bare LF")
            self._line_start = self._scanned = newline + 1
            if self._in_fields:
                if line == b"\r":
                    return newline + 1
                self._check_field(line[:-1])
            else:
                parse_request_line(line[:-1])
                self._in_fields = True

    def _check_bytes(self, buffer: bytes | bytearray, end: int) -> None:
        """Look for a byte that no line may have, and for the end of what a line or a head may be long."""
        limit = self._settings.head_max_bytes if self._in_fields else self._settings.request_line_max_bytes
        # A CR is right only before an LF, so one at the very end is left for later.
        stop = end - 1 if end > self._line_start and buffer[end - 1] == 0x0D else end
        bad = _BAD_IN_FIELD_LINE if self._in_fields else _BAD_IN_REQUEST_LINE
        if bad.search(buffer, self._scanned, min(stop, limit)) is not None:
            raise RemoteProtocolError("a control character or a bare CR in the head")
        if stop > limit:
            if self._in_fields:
                raise RemoteProtocolError("the request head is too large", 431)
            raise RemoteProtocolError("the request line is too long", 414)
        self._scanned = max(self._scanned, stop)

    def _check_field(self, line: bytes) -> None:
        self._field_count += 1
        if self._field_count > self._settings.header_max_count:
            raise RemoteProtocolError("the request has too many fields", 431)
        parse_field_line(line)
