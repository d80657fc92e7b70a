"""What addax accepts, h11 accepts too and understands the same; so does llhttp, wherever it accepts it.

Two programs that disagree about where a request ends, or what it says, are how requests are smuggled (RFC 9112 §11.2).
The libraries get the bytes that addax got, not what addax made of them. Where h11 refuses what addax takes, that is an
explained exception below, or a finding.
"""

from __future__ import annotations

import re

import h11
import httptools
from hypothesis import example, given

from addax.core.settings import Http1Settings
from addax.core.types import Headers
from tests.parsers import USABLE_PARSERS

from .driving import Drive, Message
from .profile import fuzz
from .wire import Messages, streams

#: What a library made of one message: method, target, version, field lines, body, and its length in bytes.
Understood = tuple[bytes, bytes, str, Headers, bytes, int]

#: Bytes of a message that h11 refuses, and why addax does not.
H11_REFUSES = {
    "RFC 9112 §7.1.1 has white space around the semicolon of a chunk extension": re.compile(rb"[0-9A-Fa-f][ \t]+;"),
}


def accepted(data: bytes) -> list[Message]:
    """The complete messages that addax takes, with the bytes at which they end."""
    drive = Drive(USABLE_PARSERS[0], Http1Settings())
    drive.run([data[place : place + 1] for place in range(len(data))])
    return [message for message in drive.messages if message.is_complete]


def as_understood(message: Message, start: int) -> Understood:
    method, target, minor, headers = message.head
    return method.encode(), target, f"1.{minor}", list(headers), message.body, message.end - start


def by_h11(data: bytes) -> Understood | None:
    """The first message of these bytes; None if h11 does not take it, or waits for more."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    head: h11.Request | None = None
    body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return None
    except h11.RemoteProtocolError:
        return None
    assert head is not None
    headers = [(bytes(name), bytes(value)) for name, value in head.headers]
    length = len(data) - len(connection.trailing_data[0])
    return head.method, head.target, head.http_version.decode(), headers, body, length


class LlhttpCollector:
    def __init__(self) -> None:
        self.target = b""
        self.headers: Headers = []
        self.body = b""
        self.is_complete = False
        self.is_head_complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp tells trailer fields like those of the head, and keeps white space at the end of a value.
        if not self.is_head_complete:
            self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.is_head_complete = True

    def on_body(self, chunk: bytes) -> None:
        self.body += chunk

    def on_message_complete(self) -> None:
        self.is_complete = True


def by_llhttp(data: bytes) -> Understood | None:
    """The first message of these bytes; None if llhttp does not take it, or waits for more."""
    collector = LlhttpCollector()
    parser = httptools.HttpRequestParser(collector)
    length = 0
    try:
        # In single bytes, because it does not say how many it has taken.
        while not collector.is_complete:
            if length == len(data):
                raise AssertionError("llhttp waits for more")
            length += 1
            parser.feed_data(data[length - 1 : length])
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return None
    method = parser.get_method()
    return method, collector.target, parser.get_http_version(), collector.headers, collector.body, length


def plain(understood: Understood) -> Understood:
    """Without what h11 changes on purpose: the value of Transfer-Encoding is lower-cased."""
    method, target, version, headers, body, length = understood
    lowered = [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in headers]
    return method, target, version, lowered, body, length


@fuzz(500)
@example([b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1 ; a\r\na\r\n0\r\n\r\n"])
@example([b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"])
@given(streams())
def test_libraries_understand_the_same(messages: Messages) -> None:
    data = b"".join(messages)
    start = 0
    for message in accepted(data):
        if data.startswith(b"\r\n", start):
            # RFC 9112 §2.2: one empty line before a request is ignored. h11 takes none.
            start += 2
        rest = data[start:]
        ours = as_understood(message, start)
        theirs = by_h11(rest)
        if theirs is None:
            sent = data[start : message.end]
            assert any(pattern.search(sent) for pattern in H11_REFUSES.values()), f"h11 refuses {sent!r}"
        else:
            assert theirs == plain(ours)
        theirs = by_llhttp(rest)
        assert theirs in (None, ours)
        start = message.end
