"""Response heads and the three framings of a response body, as bytes.

Nothing that the application gives is trusted: each name and value is checked before any of it reaches the wire, so a
value with a line break is the application's error and never a second response (CVE-2020-7695 of uvicorn,
CVE-2018-1000164 of gunicorn).

Implements: RFC 9112 §4 (status-line), §6 (framing), §7.1 (chunked), §9.6 (close); RFC 9110 §6.5 (trailers), §15.2
(interim).
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from addax.core import clock
from addax.core.errors import LocalProtocolError
from addax.core.fields import CONNECTION, DATE, SERVER, TRANSFER_ENCODING
from addax.core.headers import encode_fields
from addax.core.settings import Http1Settings
from addax.core.status import STATUS_LINES, may_have_body

#: How a response body's end is told.
NO_BODY = 0
LENGTH = 1
CHUNKED = 2
UNTIL_CLOSE = 3

SERVER_LINE = b"server: addax\r\n"
LAST_CHUNK = b"0\r\n\r\n"


_wall_clock = time.time

_DATE_BIT = 1 << DATE
_SERVER_BIT = 1 << SERVER
_DATE_OR_SERVER_BITS = _DATE_BIT | _SERVER_BIT
#: What only the server may say, and what has no meaning after a head (RFC 9110 §6.5.1).
_HOP_BITS = 1 << TRANSFER_ENCODING | 1 << CONNECTION


class DefaultFields:
    """What the server adds to every response: Date, Server, and the fields of ``--header``.

    What the application says itself is not said twice, and ``--header`` can take the place of Date and Server.
    """

    __slots__ = ("_extra", "_has_date", "_server", "_starts", "last_start", "last_status", "until")

    def __init__(self, settings: Http1Settings) -> None:
        names = {name for name, _ in settings.extra_headers}
        self._has_date = settings.date_header and b"date" not in names
        self._server = SERVER_LINE if settings.server_header and b"server" not in names else b""
        self._extra = b"".join([b"%b: %b\r\n" % field for field in settings.extra_headers])
        #: When the second is over that ``_starts`` is for, and the last of them that was asked for.
        self.until = 0.0
        self._starts: dict[int, bytes] = {}
        self.last_status = 0
        self.last_start = b""

    def lines(self, special: int = 0) -> bytes:
        """The field lines for this second.

        Args:
            special: the bits of ``core.headers.ResponseFields``.
        """
        date = clock.date_line() if self._has_date and not special & _DATE_BIT else b""
        return date + (b"" if special & _SERVER_BIT else self._server) + self._extra

    def start(self, status: int, special: int, now: float) -> bytes:
        """Status line and field lines for this second, made once for each status in it.

        Args:
            status: 200-599.
            special: as of ``lines``.
            now: of ``core.clock.now``, which the caller needs anyway: the wall clock is asked once a second.
        """
        if special & _DATE_OR_SERVER_BITS:
            return STATUS_LINES[status] + self.lines(special)
        if status == self.last_status and now < self.until:
            return self.last_start
        if now >= self.until:
            self._starts.clear()
            self.until = now + 1.0 - _wall_clock() % 1.0
        start = self._starts.get(status)
        if start is None:
            start = self._starts[status] = STATUS_LINES[status] + self.lines()
        self.last_status, self.last_start = status, start
        return start


def choose_framing(status: int, method: str, minor: int, content_length: int) -> int:
    """How the end of a response's body is told.

    Args:
        status: of the response.
        method: of the request.
        minor: of the request's version.
        content_length: in bytes, or -1 if it is not known.
    """
    if method == "HEAD" or not may_have_body(status):
        return NO_BODY
    if content_length >= 0:
        return LENGTH
    return CHUNKED if minor == 1 else UNTIL_CLOSE


def field_block(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Field lines of an interim response or a trailer section, checked.

    Raises:
        LocalProtocolError: a name or value that HTTP does not allow, or a field that only the server may send.
    """
    lines, content_length, special = encode_fields(headers)
    if content_length is not None or special & _HOP_BITS:
        raise LocalProtocolError("fields of framing and of the connection are not allowed here (RFC 9110 §6.5.1)")
    return lines


def error_response(status: int, reason: str, is_head: bool, extra: bytes, defaults: DefaultFields) -> bytes:
    """A complete answer of the server's own, after which the connection closes.

    Args:
        status: 4xx or 5xx.
        reason: fixed text for the body; never bytes of the peer.
        is_head: the request was HEAD: no body.
        extra: further field lines with their line ends.
        defaults: the server's own fields.
    """
    body = reason.encode("utf-8")
    head = b"%bcontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n" % (
        STATUS_LINES[status] + defaults.lines(),
        len(body),
        extra,
    )
    return head if is_head else head + body
