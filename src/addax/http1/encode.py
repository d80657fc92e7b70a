"""Response heads and the three framings of a response body, as bytes.

Nothing that the application gives is trusted: each name and value is checked before any of it reaches the wire, so a
value with a line break is the application's error and never a second response (CVE-2020-7695 of uvicorn,
CVE-2018-1000164 of gunicorn).

Implements: RFC 9112 §4 (status-line), §6 (framing), §7.1 (chunked), §9.6 (close); RFC 9110 §6.5 (trailers), §15.2
(interim).
"""

from __future__ import annotations

from collections.abc import Iterable

from addax.core import clock
from addax.core.errors import LocalProtocolError
from addax.core.headers import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    ORDINARY,
    SERVER,
    TRANSFER_ENCODING,
    check_value,
    field_name,
    parse_content_length,
    tokens,
)
from addax.core.settings import Http1Settings
from addax.core.status import may_have_body, status_line

#: How a response body's end is told.
NO_BODY = 0
LENGTH = 1
CHUNKED = 2
UNTIL_CLOSE = 3

SERVER_LINE = b"server: addax\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class DefaultFields:
    """What the server adds to every response: Date, Server, and the fields of ``--header``."""

    __slots__ = ("_extra", "_fields", "_has_date", "_has_server", "_server")

    def __init__(self, settings: Http1Settings) -> None:
        self._fields = settings.extra_headers
        names = {name for name, _ in self._fields}
        self._has_date = settings.date_header and b"date" not in names
        self._has_server = settings.server_header and b"server" not in names
        self._server = SERVER_LINE if self._has_server else b""
        self._extra = b"".join([b"%b: %b\r\n" % field for field in self._fields])

    def lines(self, app_has_date: bool, app_has_server: bool) -> bytes:
        """The field lines; what the application says itself is not said twice."""
        date = clock.date_line() if self._has_date and not app_has_date else b""
        return date + (b"" if app_has_server else self._server) + self._extra


class ResponseHead:
    """A checked response head that waits for its framing.

    Attributes:
        content_length: as the application said; None if it did not.
        close: the application wants the connection closed.
    """

    __slots__ = ("_has_date", "_has_server", "_lines", "_status_line", "close", "content_length", "status")

    def __init__(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if not isinstance(status, int) or status < 200:
            raise LocalProtocolError(f"status {status!r} is not an integer from 200 to 599")
        self.status = status
        self.content_length: int | None = None
        self.close = False
        self._has_date = False
        self._has_server = False
        self._status_line = status_line(status)
        lines: list[bytes] = []
        for name, value in headers:
            field = field_name(name)
            check_value(name, value)
            if field.kind != ORDINARY and not self._take_special(field.kind, value):
                continue
            lines.append(field.prefix + value)
        lines.append(b"")
        self._lines = b"\r\n".join(lines)

    def _take_special(self, kind: int, value: bytes) -> bool:
        """Note a field that the server decides about; whether its line is sent as it is."""
        if kind == CONTENT_LENGTH:
            length = parse_content_length(value)
            if self.content_length is not None and self.content_length != length:
                raise LocalProtocolError(f"two content-length fields: {self.content_length} and {length}")
            self.content_length = length
            return False
        if kind == DATE:
            self._has_date = True
        elif kind == SERVER:
            self._has_server = True
        elif kind == CONNECTION:
            self.close = self.close or b"close" in tokens(value)
            return False
        elif kind == TRANSFER_ENCODING:
            # "The server must ignore it": ASGI, http.response.start. Framing is the server's.
            return False
        return True

    def framing(self, method: str, minor: int, whole_length: int | None) -> int:
        """How the body's end will be told.

        Args:
            method: of the request.
            minor: of the request's version.
            whole_length: of a body that is completely known already, in bytes; None if there is more to come.
        """
        if method == "HEAD" or not may_have_body(self.status):
            return NO_BODY
        if self.content_length is None and whole_length is not None:
            self.content_length = whole_length
        if self.content_length is not None:
            return LENGTH
        return CHUNKED if minor == 1 else UNTIL_CLOSE

    def encode(self, framing: int, persistence: bytes, defaults: DefaultFields) -> bytes:
        """The head for the wire, empty line included.

        Args:
            framing: what ``framing`` returned.
            persistence: the line that says what becomes of the connection, or nothing.
            defaults: the server's own fields.
        """
        length = b""
        if framing == CHUNKED:
            length = b"transfer-encoding: chunked\r\n"
        elif self.content_length is not None and self.status != 204:
            # RFC 9110 §8.6: "A server MUST NOT send a Content-Length header field in any response with a status code
            # of […] 204". For HEAD and 304 it says what the length would have been.
            length = b"content-length: %d\r\n" % self.content_length
        lines = defaults.lines(self._has_date, self._has_server)
        return b"".join((self._status_line, lines, self._lines, length, persistence, b"\r\n"))


CLOSE_LINE = b"connection: close\r\n"
KEEP_ALIVE_LINE = b"connection: keep-alive\r\n"


def field_block(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Field lines of an interim response or a trailer section, checked.

    Raises:
        LocalProtocolError: a name or value that HTTP does not allow, or a field that only the server may send.
    """
    lines: list[bytes] = []
    for name, value in headers:
        field = field_name(name)
        check_value(name, value)
        if field.kind in (CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION):
            raise LocalProtocolError(f"header {name!r} is not allowed here (RFC 9110 §6.5.1)")
        lines.append(field.prefix + value + b"\r\n")
    return b"".join(lines)


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
        status_line(status) + defaults.lines(False, False),
        len(body),
        extra,
    )
    return head if is_head else head + body
