"""Inputs: requests that are right, requests that are nearly right, and ways of cutting them into pieces."""

from __future__ import annotations

import itertools
from typing import TypeAlias

from hypothesis import strategies as st

#: The messages of one connection, in their order.
Messages: TypeAlias = list[bytes]
#: How a stream is cut: where, whether also between the messages, and whether into single bytes.
Cut: TypeAlias = tuple[list[int], bool, bool]

METHODS = [b"GET", b"GET", b"GET", b"HEAD", b"POST", b"POST", b"PUT", b"OPTIONS", b"DELETE", b"M-SEARCH", b"QUERY"]
ODD_METHODS = [b"get", b"CONNECT", b"PRI", b"BREW", b"G(T", b"", b"\r\nGET", b"GET\x00", b"POST\t"]

TARGETS = [
    b"/",
    b"/",
    b"/a",
    b"/a/b?c=d&e",
    b"/%41%2f%zz%",
    b"/%c3%a9?%c3",
    b'/"<>\\^`{|}',
    b"//a/../b",
    b"/?",
    b"/?a?b",
    b"*",
    b"http://h",
    b"http://h:80/a?b",
    b"HTTPS://[::1]:8/x",
]
ODD_TARGETS = [
    b"",
    b"a",
    b"/a#b",
    b"/a b",
    b"/\x7f",
    b"/\xc3\xa9",
    b"/\t",
    b"h:80",
    b"http://",
    b"http://u@h/",
    b"http://h:99999/",
    b"ftp://h/",
    b"/a\r",
    b"/" + b"x" * 70,
]

VERSIONS = [b"HTTP/1.1"] * 6 + [b"HTTP/1.0"]
ODD_VERSIONS = [b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1.10", b"", b"HTTP/1.1 ", b"HTTP/1,1"]

FIELDS = [
    b"Accept: */*",
    b"accept:text/html",
    b"User-Agent: a b\tc",
    b"X-Empty:",
    b"X-Space:  \t ",
    b"X-Around: \t v \t",
    b"X-Obs: \x80\x85\xff",
    b"X-Colons: a:b: c",
    b"Cookie: a=b",
    b"Cookie: c=d",
    b"Content-Type: text/plain",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: Keep-Alive, x",
    b"Expect: 100-continue",
    b"X-Forwarded-For: 1.2.3.4",
    b"X-Forwarded-Proto: https",
    b"!#$%&'*+-.^_`|~09: token",
    b"X-Long: " + b"y" * 90,
]
ODD_FIELDS = [
    b"Host: again",
    b"Host : h",
    b"Host:",
    b"Host: a, b",
    b"Host: u@h",
    b"Host: [::1]:8",
    b"Host: [:::1]",
    b"Host: h:70000",
    b": empty",
    b"no colon",
    b" folded: 1",
    b"\tfolded: 1",
    b"X-Fold: a\r\n b",
    b"X-Bare: a\nX-B: c",
    b"X-Bare: a\rX-B: c",
    b"X-Nul: a\x00b",
    b"X-Del: \x7f",
    b"X-Esc: \x1b",
    b"X-Vt: a\x0bb",
    b"X Y: z",
    b"X\x80Y: z",
    b"(X): z",
    b"Content-Length: 0",
    b"Content-Length: 00",
    b"Content-Length: 3",
    b"Content-Length: +3",
    b"Content-Length: 3, 3",
    b"Content-Length: 0x3",
    b"Content-Length: 1_0",
    b"Content-Length: \xb2",
    b"Content-Length:",
    b"Content-Length: 9999999999999999999",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: Chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding:",
    b"Transfer-Encoding: \x0bchunked",
    b"Connection: upgrade",
    b"Connection: close, keep-alive",
    b"Upgrade: websocket",
    b"Upgrade: h2c",
    b"Expect: 200-ok",
    b"Content-Type: text/html",
]

SIZE_LINES = [b"%b", b"0%b", b"%b;a", b"%b;a=b", b'%b;a="b;\\"c"', b"%b ; a = b"]
ODD_CHUNKS = [
    b"0x1\r\na\r\n",
    b"+1\r\na\r\n",
    b"1_0\r\na\r\n",
    b" 1\r\na\r\n",
    b"1 \r\na\r\n",
    b"1;\r\na\r\n",
    b"1;a=\r\na\r\n",
    b'1;a="\r\na\r\n',
    b"1\na\r\n",
    b"1\r\na\n",
    b"1\r\nab\r\n",
    b"1\r\na",
    b"g\r\na\r\n",
    b"\r\na\r\n",
    b"00000000000000001\r\na\r\n",
    b"FFFFFFFFFFFFFFFF\r\na\r\n",
    b"1;a\rb\r\na\r\n",
    b"0\r\n",
]
TRAILERS = [b"X-T: 1\r\n", b"x-sum:a b\r\n", b"X-Obs: \xff\r\n"]
ODD_TRAILERS = [b"Host: h\r\n", b"Content-Length: 1\r\n", b"no colon\r\n", b" fold: 1\r\n", b"X: \x00\r\n", b"X: 1\n"]

#: What is put in the place of other bytes: everything that means something to some parser.
TROUBLE = [
    *[b"%c" % byte for byte in b'\r\n\x00 \t:,;="\\05a%/?#\x0b\x0c\x1c\x7f\x80\x85\xa0\xff'],
    *[b"\r\n", b"\r\n\r\n", b"\n\n", b"HTTP/1.1"],
]


def rarely(usual: list[bytes], odd: list[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly one of the usual, so that a whole request has a chance to be right."""
    return st.sampled_from(usual * max(1, 40 * len(odd) // len(usual)) + odd)


# Made once: to make a strategy costs more than to draw from it.
_METHOD = rarely(METHODS, ODD_METHODS)
_TARGET = rarely(TARGETS, ODD_TARGETS)
_VERSION = rarely(VERSIONS, ODD_VERSIONS)
_FIELDS = st.lists(rarely(FIELDS, ODD_FIELDS), max_size=4)
_HOST = rarely([b"Host: h", b"host: h.example:80", b"HOST:[::1]"], [b""])
_BODY = st.sampled_from([b"b", b"GET / HTTP/1.1\r\n\r\n", b"z" * 40])
_CHUNK = rarely(
    [
        line % (b"%x" % len(data)) + b"\r\n" + data + b"\r\n"
        for line in SIZE_LINES
        for data in (b"a", b"bc", b"\r\n", b"0\r\n\r\n", b"x" * 20)
    ],
    ODD_CHUNKS,
)
_CHUNKS = st.lists(_CHUNK, max_size=4)
_LAST_CHUNK = rarely([b"0\r\n", b"000;x\r\n"], [b"0\n", b""])
_TRAILERS = st.lists(rarely(TRAILERS, ODD_TRAILERS), max_size=2)
# RFC 9112 §2.2: an empty line before a request; one is ignored.
_BETWEEN = rarely([b"", b"", b"", b"", b"\r\n"], [b"\r\n\r\n", b"\n", b" "])
_TROUBLE = st.sampled_from(TROUBLE)
_NUMBER = st.integers(0, 3)
_PLACE = st.integers(0, 1000)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> bytes:
    """A body in chunked coding, mostly right."""
    return b"".join([*draw(_CHUNKS), draw(_LAST_CHUNK), *draw(_TRAILERS), b"\r\n"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One request, mostly right."""
    fields = list(draw(_FIELDS))
    host = draw(_HOST)
    if host:
        fields.insert(draw(_NUMBER) % (len(fields) + 1), host)
    body = b""
    framing = draw(_NUMBER)
    if framing == 1:
        body = draw(_CHUNKED_BODY)
        fields.append(b"Transfer-Encoding: chunked")
    elif framing == 2:
        body = draw(_BODY)
        fields.append(b"Content-Length: %d" % len(body))
    line = draw(_METHOD) + b" " + draw(_TARGET) + b" " + draw(_VERSION)
    return b"".join([line, b"\r\n", *[field + b"\r\n" for field in fields], b"\r\n", body])


_CHUNKED_BODY = chunked_bodies()
_KINDS = st.lists(requests(), min_size=1, max_size=3)
_ORDER = st.lists(st.tuples(_NUMBER, _BETWEEN), min_size=1, max_size=5)


@st.composite
def streams(draw: st.DrawFn) -> Messages:
    """What one client sends: a few requests, some of them again and again, some of them damaged."""
    kinds = draw(_KINDS)
    messages = [between + kinds[number % len(kinds)] for number, between in draw(_ORDER)]
    if draw(_NUMBER) == 1:
        number = draw(_NUMBER) % len(messages)
        messages[number] = damage(draw, messages[number])
    return messages


def damage(draw: st.DrawFn, message: bytes) -> bytes:
    """The message with a few bytes changed, doubled, or taken away."""
    for place, length, kind, trouble in draw(_DAMAGES):
        place %= len(message) + 1
        old = message[place : place + length]
        new = (trouble, old * 2, b"", trouble)[kind]
        message = message[:place] + new + message[place + length :]
    return message


_DAMAGES = st.lists(st.tuples(_PLACE, _NUMBER, _NUMBER, _TROUBLE), min_size=1, max_size=3)
_CUTS = st.one_of(
    # As most clients do it: one piece for each request.
    st.just(([], True, False)),
    st.tuples(st.lists(st.integers(0, 700), max_size=5), st.booleans(), st.sampled_from([False] * 4 + [True])),
)


def cuts() -> st.SearchStrategy[Cut]:
    """Ways of cutting a stream."""
    return _CUTS


def cut_up(messages: Messages, cut: Cut) -> list[bytes]:
    """The pieces of a stream; none is empty."""
    data = b"".join(messages)
    places, between, single = cut
    if single:
        return [data[place : place + 1] for place in range(len(data))]
    at = {place % (len(data) + 1) for place in places} | {0, len(data)}
    if between:
        position = 0
        for message in messages:
            position += len(message)
            at.add(position)
    marks = sorted(at)
    return [data[start:end] for start, end in itertools.pairwise(marks)]
