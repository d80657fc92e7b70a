"""What h11 and llhttp make of a message, and why addax may differ.

They get the bytes that addax got, not what addax made of them.
"""

from __future__ import annotations

import re

import h11
import httptools

from addax.core.types import Headers

#: What a library made of one message: method, target, version, field lines, body, and its length in bytes.
Understood = tuple[bytes, bytes, str, Headers, bytes, int]
#: What a library says of a message that it does not take.
REFUSES = "refuses"
WAITS = "waits for more"

#: Bytes of a message that h11 refuses, and why addax does not.
H11_REFUSES = {
    "RFC 9112 §7.1.1 has white space around the semicolon of a chunk extension": re.compile(rb"[0-9A-Fa-f][ \t]+;"),
}

#: The same for llhttp.
LLHTTP_REFUSES = {
    "RFC 9112 §7.1.1 has white space around the semicolon of a chunk extension": re.compile(
        rb"[0-9A-Fa-f][ \t]+;|;[ \t]|[ \t]=|=[ \t]"
    ),
    "RFC 9110 §5.6.3 has HTAB in the white space around a value": re.compile(rb"(?i)transfer-encoding:[^\r]*\t"),
}

#: Why addax refuses what a library takes: what it says, and the section that says so.
STRICTER = {
    "Content-Length and Transfer-Encoding together": "RFC 9112 §6.1, §6.3",
    "Content-Length is not one decimal number": "RFC 9110 §8.6",
    "HTTP/1.1 without a Host field": "RFC 9112 §3.2",
    "Host is not a host name or address with an optional port": "RFC 9112 §3.2",
    "Transfer-Encoding in an HTTP/1.0 request": "RFC 9112 §6.1",
    "Transfer-Encoding is malformed": "RFC 9112 §6.1",
    "a chunk's size line is malformed": "RFC 9112 §7.1, §7.1.1",
    "a chunk's size line is too long": "RFC 9112 §7.1.1",
    "a control character or a bare CR in the head": "RFC 9110 §5.5, RFC 9112 §2.2, §3",
    "a field line is malformed": "RFC 9112 §5, §5.1, §5.2",
    "a field that may not be a trailer": "RFC 9110 §6.5.1",
    "a fragment is not part of a request-target": "RFC 9112 §3.2",
    "a line ends with a bare LF": "RFC 9112 §2.2",
    "a line of the chunked coding ends with a bare LF": "RFC 9112 §7.1",
    "chunk data is not followed by CRLF": "RFC 9112 §7.1",
    "more than one Content-Length field": "RFC 9110 §8.6, RFC 9112 §6.3",
    "more than one Content-Type field": "RFC 9110 §5.3",
    "more than one Host field": "RFC 9112 §3.2",
    "the HTTP version is neither 1.0 nor 1.1": "RFC 9110 §15.6.6",
    "the method is not implemented": "RFC 9110 §9.1, §15.6.2",
    "the only expectation that is understood is 100-continue": "RFC 9110 §15.5.18",
    "the only transfer coding that is understood is chunked": "RFC 9112 §6.1",
    "the request has too many fields": "RFC 6585 §5",
    "the request has too many trailer fields": "RFC 6585 §5",
    "the request head is too large": "RFC 6585 §5",
    "the request line is malformed": "RFC 9112 §3",
    "the request line is too long": "RFC 9110 §15.5.15",
    "the request-target has a byte that is not visible ASCII": "RFC 9112 §3.2",
    "the request-target has none of the forms of RFC 9112 §3.2": "RFC 9112 §3.2",
    "the request-target's authority is not a host with an optional port": "RFC 9110 §4.2.1, §4.2.4",
    "the trailer section is too large": "RFC 6585 §5",
    "too many bytes of chunk extensions": "RFC 9112 §7.1.1",
}


def by_h11(data: bytes) -> Understood | str:
    """The first message of these bytes, or REFUSES, or WAITS."""
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
                return WAITS
    except h11.RemoteProtocolError:
        return REFUSES
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


def by_llhttp(data: bytes) -> Understood | str:
    """The first message of these bytes, or REFUSES, or WAITS."""
    collector = LlhttpCollector()
    parser = httptools.HttpRequestParser(collector)
    length = 0
    try:
        # In single bytes, because it does not say how many it has taken.
        while not collector.is_complete:
            if length == len(data):
                return WAITS
            length += 1
            parser.feed_data(data[length - 1 : length])
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return REFUSES
    method = parser.get_method()
    return method, collector.target, parser.get_http_version(), collector.headers, collector.body, length


def as_h11_has_it(understood: Understood) -> Understood:
    """Without what h11 changes on purpose: the value of Transfer-Encoding is lower-cased."""
    method, target, version, headers, body, length = understood
    lowered = [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in headers]
    return method, target, version, lowered, body, length
