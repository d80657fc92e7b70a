"""The chunked decoder says of every stream, however it is cut, what a reference says that knows nothing of pieces.

The reference below is written from RFC 9112 §7.1 with other means than the decoder: it has all bytes at once, looks at
single characters and uses no patterns. Both give the same body, the same end, and the same status of an error.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from addax.core.errors import RemoteProtocolError
from addax.core.headers import RequestHead
from addax.core.settings import Http1Settings
from addax.core.types import Headers
from addax.http1.chunked import CHUNK_LINE_MAX_BYTES, EXTENSIONS_MAX_BYTES, FORBIDDEN_TRAILERS, ChunkedDecoder
from addax.http1.parser import ParserHandler

from .profile import fuzz
from .wire import Cut, chunked_bodies, cut_up, cuts, damage

SETTINGS = Http1Settings(head_max_bytes=40, header_max_count=3)
DIGITS = b"0123456789abcdefABCDEF"
TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
TEXT = frozenset([9, *range(0x20, 0x7F), *range(0x80, 0x100)])


@dataclass
class Decoded:
    """What came out: the body so far; where it ended, or -1; the status of the error, or 0."""

    body: bytes = b""
    end: int = -1
    status: int = 0


class Fault(Exception):
    def __init__(self, status: int = 400) -> None:
        self.status = status


class Waiting(Exception):
    """The bytes end in the middle."""


class Reference:
    """The coding, read in one go."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.decoded = Decoded()

    def decode(self) -> Decoded:
        try:
            self.chunks()
            self.trailers()
            self.decoded.end = self.position
        except Waiting:
            pass
        except Fault as fault:
            self.decoded.status = fault.status
        return self.decoded

    def chunks(self) -> None:
        extensions = 0
        while True:
            line = self.line(CHUNK_LINE_MAX_BYTES, 400)
            digits = 0
            while digits < len(line) and line[digits] in DIGITS:
                digits += 1
            if not 1 <= digits <= 16:
                raise Fault
            self.extensions(line[digits:])
            extensions += len(line) - digits
            if extensions > EXTENSIONS_MAX_BYTES:
                raise Fault
            size = int(line[:digits], 16)
            if size == 0:
                return
            self.decoded.body += self.data[self.position : self.position + size]
            self.position += size
            for expected in b"\r\n":
                if self.position >= len(self.data):
                    raise Waiting
                if self.data[self.position] != expected:
                    raise Fault
                self.position += 1

    def extensions(self, rest: bytes) -> None:
        while rest:
            rest = rest.lstrip(b" \t")
            if not rest.startswith(b";"):
                raise Fault
            rest = after_token(rest[1:].lstrip(b" \t"))
            value = rest.lstrip(b" \t")
            if value.startswith(b"="):
                value = value[1:].lstrip(b" \t")
                rest = after_quoted(value) if value.startswith(b'"') else after_token(value)

    def trailers(self) -> None:
        left = SETTINGS.head_max_bytes
        count = 0
        while line := self.line(left, 431):
            left -= len(line) + 2
            count += 1
            if count > SETTINGS.header_max_count:
                raise Fault(431)
            value = after_token(line)
            name = line[: len(line) - len(value)].lower()
            if not value.startswith(b":") or not TEXT.issuperset(value) or name in FORBIDDEN_TRAILERS:
                raise Fault

    def line(self, limit: int, status: int) -> bytes:
        end = self.data.find(b"\n", self.position) + 1
        line = self.data[self.position : end or None]
        if len(line) > limit:
            raise Fault(status)
        if not end:
            raise Waiting
        if not line.endswith(b"\r\n"):
            raise Fault
        self.position = end
        return line[:-2]


def after_token(data: bytes) -> bytes:
    length = 0
    while length < len(data) and data[length] in TOKEN:
        length += 1
    if length == 0:
        raise Fault
    return data[length:]


def after_quoted(data: bytes) -> bytes:
    position = 1
    while position < len(data) and data[position] in TEXT:
        if data[position] == 0x22:
            return data[position + 1 :]
        if data[position] == 0x5C:
            position += 1
            if position >= len(data) or data[position] not in TEXT:
                raise Fault
        position += 1
    raise Fault


class Collector(ParserHandler):
    """Fills ``ParserHandler`` as far as a body goes."""

    def __init__(self) -> None:
        self.body = b""

    def on_head(
        self, method: str, target: bytes, minor: int, headers: Headers, known: RequestHead | None
    ) -> RequestHead:
        raise NotImplementedError

    def on_body(self, chunk: bytes) -> None:
        assert chunk
        self.body += chunk

    def on_end(self) -> None:
        raise NotImplementedError


def decode(pieces: list[bytes]) -> Decoded:
    collector = Collector()
    decoder = ChunkedDecoder(collector, SETTINGS)
    position = 0
    for piece in pieces:
        try:
            end = decoder.feed(piece)
        except RemoteProtocolError as error:
            return Decoded(collector.body, status=error.status)
        if end >= 0:
            assert end <= len(piece)
            return Decoded(collector.body, end=position + end)
        position += len(piece)
    return Decoded(collector.body)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    body = draw(chunked_bodies())
    if draw(st.booleans()):
        body = damage(draw, body)
    if draw(st.integers(0, 7)) == 0:
        # Around the bounds of one line and of all extensions together.
        count = draw(st.integers(1, 5))
        length = draw(st.sampled_from([CHUNK_LINE_MAX_BYTES - 6, CHUNK_LINE_MAX_BYTES - 5, CHUNK_LINE_MAX_BYTES - 4]))
        body = (b"1;" + b"e" * length + b"\r\na\r\n") * count + body
    return body + draw(st.sampled_from([b"", b"GET / HTTP/1.1\r\n"]))


@fuzz(500)
@given(bodies(), cuts())
def test_decoder_agrees_with_a_reference(body: bytes, cut: Cut) -> None:
    expected = Reference(body).decode()
    assert decode(cut_up([body], cut)) == expected


@fuzz(200)
@given(st.text('01aF;=\r\n \t"\\:x', max_size=30).map(str.encode), cuts())
def test_decoder_agrees_on_noise(body: bytes, cut: Cut) -> None:
    assert decode(cut_up([body], cut)) == Reference(body).decode()


def test_reference_knows_a_right_body() -> None:
    data = b'4;a="\\"";b\r\nWiki\r\n5\r\npedia\r\n0\r\nX-Sum: 1\r\n\r\nGET'
    assert Reference(data).decode() == Decoded(b"Wikipedia", end=len(data) - 3)
