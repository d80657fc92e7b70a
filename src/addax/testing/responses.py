"""Reads responses as a strict client would: whatever is not exact HTTP/1.1 is an error of the test."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from addax.core.types import Headers


class MalformedResponse(AssertionError):
    """The server sent bytes that are not exact HTTP/1.1."""


@dataclass
class Response:
    """One response as it was on the wire.

    Attributes:
        status: the code, 200-599 (100-199 in ``interim``).
        reason: the reason phrase.
        headers: names lower-cased, in their order.
        body: without chunk framing.
        trailers: fields after a chunked body.
        interim: 1xx responses that came before this one.
        is_complete: False if the bytes end inside the body.
        chunks: sizes of the chunks, if the body is chunked.
    """

    status: int
    reason: str
    headers: Headers
    body: bytes = b""
    trailers: Headers = field(default_factory=list)
    interim: list[Response] = field(default_factory=list)
    is_complete: bool = True
    chunks: list[int] = field(default_factory=list)

    def header(self, name: bytes) -> bytes | None:
        """The value of a field that stands once or not at all.

        Raises:
            MalformedResponse: it stands more than once.
        """
        values = self.values(name)
        if len(values) > 1:
            raise MalformedResponse(f"{name!r} stands {len(values)} times")
        return values[0] if values else None

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field, in their order. ``name`` is lower-case."""
        return [value for key, value in self.headers if key == name]

    @property
    def connection_options(self) -> list[bytes]:
        """The members of Connection, lower-cased."""
        joined = b",".join(self.values(b"connection")).lower()
        return [option.strip() for option in joined.split(b",") if option.strip()]

    @property
    def is_last(self) -> bool:
        """Whether it says that the connection will be closed."""
        return b"close" in self.connection_options


_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[\x21-\x7e\x80-\xff][\t\x20-\x7e\x80-\xff]*)?)")
_DECIMAL = re.compile(rb"0|[1-9][0-9]*")
_CHUNK_SIZE = re.compile(rb"0|[1-9a-fA-F][0-9a-fA-F]*")
_IMF_FIXDATE = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    rb" [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)
#: Fields that a response must not have twice.
_SINGLE_FIELDS = (b"content-length", b"transfer-encoding", b"content-type", b"date", b"server", b"retry-after")


def parse_responses(data: bytes, methods: Sequence[str] = (), *, closed: bool = False) -> list[Response]:
    """Read all responses that a connection has sent.

    Args:
        data: every byte that was sent.
        methods: of the requests, in their order, because the answer to HEAD has no body; GET where none is given.
        closed: whether the server has closed, which ends a body without a length.

    Returns:
        The final responses, each with the interim ones before it. The last one may be incomplete.

    Raises:
        MalformedResponse: the bytes are not exact HTTP/1.1, or go on after ``connection: close``.

    Implements: RFC 9112 §4, §5, §6, §7.1; RFC 9110 §6.4.1, §8.6.
    """
    return _ResponseReader(data, methods, closed).read_all()


class _ResponseReader:
    def __init__(self, data: bytes, methods: Sequence[str], closed: bool) -> None:
        self.data = data
        self.methods = methods
        self.closed = closed
        self.position = 0

    def read_all(self) -> list[Response]:
        responses: list[Response] = []
        interim: list[Response] = []
        while self.position < len(self.data):
            if responses and responses[-1].is_last:
                raise MalformedResponse(f"bytes after connection: close: {self._rest()[:80]!r}")
            response = self._read_head()
            if response.status < 200:
                interim.append(response)
                continue
            response.interim, interim = interim, []
            method = self.methods[len(responses)] if len(responses) < len(self.methods) else "GET"
            self._read_body(response, method)
            responses.append(response)
        if interim:
            # Not final yet: shown as a response of their own, or the caller could not see them.
            responses.append(interim[-1])
            interim[-1].interim = interim[:-1]
            interim[-1].is_complete = False
        return responses

    def _rest(self) -> bytes:
        return self.data[self.position :]

    def _read_line(self) -> bytes:
        end = self.data.find(b"\r\n", self.position)
        if end < 0:
            raise MalformedResponse(f"no line end after {self._rest()[:80]!r}")
        line = self.data[self.position : end]
        self.position = end + 2
        return line

    def _read_head(self) -> Response:
        line = self._read_line()
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise MalformedResponse(f"status line {line[:80]!r}")
        response = Response(int(match[1]), match[2].decode("latin-1"), self._read_fields())
        _check_head(response)
        return response

    def _read_fields(self) -> Headers:
        fields: Headers = []
        while line := self._read_line():
            match = _FIELD_LINE.fullmatch(line)
            if match is None:
                raise MalformedResponse(f"field line {line[:80]!r}")
            fields.append((match[1].lower(), match[2].rstrip(b" \t")))
        return fields

    def _read_body(self, response: Response, method: str) -> None:
        length = response.header(b"content-length")
        if method == "HEAD" or response.status in (204, 304):
            return
        if response.header(b"transfer-encoding") is not None:
            self._read_chunked(response)
        elif length is not None:
            response.body = self._rest()[: int(length)]
            response.is_complete = len(response.body) == int(length)
            self.position += len(response.body)
        else:
            if not response.is_last:
                raise MalformedResponse("neither a length nor connection: close")
            response.body = self._rest()
            response.is_complete = self.closed
            self.position = len(self.data)

    def _read_chunked(self, response: Response) -> None:
        body = bytearray()
        while self.position < len(self.data):
            line = self._read_line()
            if _CHUNK_SIZE.fullmatch(line) is None:
                raise MalformedResponse(f"chunk size {line[:80]!r}")
            size = int(line, 16)
            if size == 0:
                response.trailers = self._read_fields()
                break
            response.chunks.append(size)
            body += self.data[self.position : self.position + size]
            self.position += size
            end = self.data[self.position : self.position + 2]
            self.position = min(self.position + 2, len(self.data))
            if not b"\r\n".startswith(end):
                raise MalformedResponse("a chunk is not as long as it says")
        else:
            response.is_complete = False
        response.body = bytes(body)


def _check_head(response: Response) -> None:
    for name in _SINGLE_FIELDS:
        response.header(name)
    length, coding = response.header(b"content-length"), response.header(b"transfer-encoding")
    if length is not None and _DECIMAL.fullmatch(length) is None:
        raise MalformedResponse(f"content-length {length!r}")
    if coding not in (None, b"chunked"):
        raise MalformedResponse(f"transfer-encoding {coding!r}")
    if length is not None and coding is not None:
        raise MalformedResponse("content-length and transfer-encoding together")
    if (response.status < 200 or response.status == 204) and (length is not None or coding is not None):
        raise MalformedResponse(f"a length in a response with status {response.status}")
    date = response.header(b"date")
    if date is not None and _IMF_FIXDATE.fullmatch(date) is None:
        raise MalformedResponse(f"date {date!r}")
