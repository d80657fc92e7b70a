"""``--http httptools``: field lines cut by llhttp."""

from __future__ import annotations

import httptools

from addax.core.settings import Http1Settings
from addax.core.types import Headers
from addax.http1.grammar import cut_fields
from addax.http1.parser import ParserHandler
from addax.http1.reader import StrictParser


class _FieldCollector:
    """What llhttp calls back. Apart from the parser, so that the two do not keep each other alive."""

    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: Headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))


class HttptoolsParser(StrictParser):
    """``http1.parser.Parser`` with httptools."""

    __slots__ = (
        "_collector",
        "_llhttp",
    )

    def __init__(self, handler: ParserHandler, settings: Http1Settings) -> None:
        super().__init__(handler, settings)
        self._collector = _FieldCollector()
        self._llhttp = httptools.HttpRequestParser(self._collector)

    def cut(self, head: bytes) -> Headers:
        """Cut the field lines of a head."""
        collector = self._collector
        headers: Headers = []
        collector.headers = headers
        try:
            self._llhttp.feed_data(head)
        except httptools.HttpParserUpgrade:
            self.head_with_body()
        except httptools.HttpParserError:
            # What may stand in a head is not llhttp's to say, or the answer would depend on the parser.
            self.head_with_body()
            return cut_fields(head)
        if head.find(b" \r\n") >= 0 or head.find(b"\t\r\n") >= 0:
            # llhttp leaves white space at the end of a value, which is no part of it (RFC 9112 §5.1).
            return [(name, value.rstrip(b" \t")) for name, value in headers]
        return headers

    def head_with_body(self) -> None:
        """Start afresh: llhttp waits for a body, or is past an upgrade."""
        self._llhttp = httptools.HttpRequestParser(self._collector)
