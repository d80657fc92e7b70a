"""Field lines: RFC 9112 §5, RFC 9110 §5.1 (names), §5.5 (values)."""

from __future__ import annotations

from .case import Case, Seen, bad, get, good, request, waiting

NAME = "RFC 9110 §5.1"
VALUE = "RFC 9110 §5.5"
LINE = "RFC 9112 §5"
FOLD = "RFC 9112 §5.2"
LINE_END = "RFC 9112 §2.2"

# Delimiters of RFC 9110 §5.6.2 except the colon, which ends a name.
DELIMITERS = {
    "parenthesis-open": b"(",
    "parenthesis-close": b")",
    "less": b"<",
    "greater": b">",
    "at": b"@",
    "comma": b",",
    "semicolon": b";",
    "backslash": b"\\",
    "quote": b'"',
    "slash": b"/",
    "bracket-open": b"[",
    "bracket-close": b"]",
    "question-mark": b"?",
    "equals": b"=",
    "brace-open": b"{",
    "brace-close": b"}",
}
CONTROLS = {
    "nul": 0,
    "soh": 1,
    "backspace": 8,
    "vertical-tab": 11,
    "form-feed": 12,
    "shift-out": 14,
    "escape": 27,
    "file-separator": 28,
    "unit-separator": 31,
    "del": 127,
}


def _value(id: str, line: bytes, value: bytes) -> Case:
    return good(id, VALUE, get(line), Seen(fields={b"x": (value,)}))


CASES = [
    _value("value-plain", b"X: y", b"y"),
    _value("value-no-white-space", b"X:y", b"y"),
    _value("value-white-space-around", b"X: \t y\t ", b"y"),
    _value("value-white-space-inside", b"X: a  b\tc", b"a  b\tc"),
    _value("value-empty", b"X:", b""),
    _value("value-only-white-space", b"X: \t ", b""),
    _value("value-colons", b"X: a:b::c", b"a:b::c"),
    _value("value-quotes-and-commas", b'X: "a, b" ,c', b'"a, b" ,c'),
    _value("value-visible-ascii", b"X: !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    _value("value-utf8", b"X: \xc3\xa9", b"\xc3\xa9"),
    _value("value-all-obs-text", b"X: " + bytes(range(0x80, 0x100)), bytes(range(0x80, 0x100))),
    # Bytes that some software takes for white space or line ends.
    _value("value-no-break-space-is-kept", b"X: \xa0a\xa0", b"\xa0a\xa0"),
    _value("value-next-line-is-kept", b"X: a\x85Y: b", b"a\x85Y: b"),
    _value("value-8000-bytes", b"X: " + b"y" * 8000, b"y" * 8000),
    good("name-lower-cased", NAME, get(b"X-AbC: y"), Seen(fields={b"x-abc": (b"y",), b"X-AbC": ()})),
    good("name-digits", NAME, get(b"123: y"), Seen(fields={b"123": (b"y",)})),
    good(
        "name-all-token-characters",
        NAME,
        get(b"!#$%&'*+-.^_`|~09AZaz: y"),
        Seen(fields={b"!#$%&'*+-.^_`|~09azaz": (b"y",)}),
    ),
    good(
        "name-underscore-is-not-dash", NAME, get(b"X_Y: 1", b"X-Y: 2"), Seen(fields={b"x_y": (b"1",), b"x-y": (b"2",)})
    ),
    good("name-1000-bytes", NAME, get(b"x" * 1000 + b": y"), Seen(fields={b"x" * 1000: (b"y",)})),
    good("repeated-field-in-order", LINE, get(b"X: 2", b"Y: 0", b"x: 1"), Seen(fields={b"x": (b"2", b"1")})),
    good("repeated-cookie", LINE, get(b"Cookie: a=1", b"Cookie: b=2"), Seen(fields={b"cookie": (b"a=1", b"b=2")})),
    good(
        "fields-of-a-browser",
        LINE,
        get(
            b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            b"Accept-Language: en-US,en;q=0.5",
            b"Accept-Encoding: gzip, deflate, br, zstd",
            b"Sec-Fetch-Dest: document",
            b"Upgrade-Insecure-Requests: 1",
            b"Connection: keep-alive",
        ),
        Seen(fields={b"accept-encoding": (b"gzip, deflate, br, zstd",), b"upgrade-insecure-requests": (b"1",)}),
    ),
    # Names
    *(bad(f"name-with-{what}", NAME, get(b"X" + char + b"Y: z"), 400) for what, char in DELIMITERS.items()),
    *(bad(f"name-with-{what}", NAME, get(b"X%cY: z" % char), 400) for what, char in CONTROLS.items()),
    bad("name-with-space", NAME, get(b"X Y: z"), 400),
    bad("name-with-obs-text", NAME, get(b"X\xe9: z"), 400),
    bad("name-empty", NAME, get(b": z"), 400),
    bad("name-only", LINE, get(b"X"), 400),
    bad("name-only-last", LINE, request(b"GET / HTTP/1.1", b"Host: h", b"X-Y"), 400),
    bad("name-quoted", NAME, get(b'"X": z'), 400),
    bad("colon-only", NAME, get(b":"), 400),
    bad("space-before-colon", "RFC 9112 §5.1", get(b"X : y"), 400),
    bad("spaces-before-colon", "RFC 9112 §5.1", get(b"X  : y"), 400),
    bad("tab-before-colon", "RFC 9112 §5.1", get(b"X\t: y"), 400),
    bad("space-before-colon-of-host", "RFC 9112 §5.1", request(b"GET / HTTP/1.1", b"Host : h"), 400),
    bad("space-before-colon-of-content-length", "RFC 9112 §5.1", get(b"Content-Length : 3") + b"abc", 400),
    bad("space-before-first-field", LINE_END, request(b"GET / HTTP/1.1", b" Host: h"), 400),
    bad("tab-before-first-field", LINE_END, request(b"GET / HTTP/1.1", b"\tHost: h"), 400),
    bad("space-line-before-first-field", LINE_END, request(b"GET / HTTP/1.1", b" ", b"Host: h"), 400),
    bad("space-line-last", LINE_END, get(b" "), 400),
    bad("fold-space", FOLD, get(b"X: a", b" b"), 400),
    bad("fold-tab", FOLD, get(b"X: a", b"\tb"), 400),
    bad("fold-of-host", FOLD, request(b"GET / HTTP/1.1", b"Host:", b" h"), 400),
    bad("fold-that-looks-like-a-field", FOLD, get(b"X: a", b" Content-Length: 5"), 400),
    bad("fold-of-transfer-encoding", FOLD, get(b"Transfer-Encoding:", b" chunked"), 400),
    # Values
    *(bad(f"value-with-{what}", VALUE, get(b"X: a%cb" % char), 400) for what, char in CONTROLS.items()),
    bad("value-begins-with-nul", VALUE, get(b"X: \x00"), 400),
    bad("value-ends-with-vertical-tab", VALUE, get(b"X: a\x0b"), 400),
    bad("value-with-bare-cr", LINE_END, get(b"X: a\rb"), 400),
    bad("value-with-bare-lf", LINE_END, get(b"X: a\nY: b"), 400),
    bad("value-with-cr-before-line-end", LINE_END, get(b"X: a\r"), 400),
    bad("value-with-cr-that-looks-like-a-line", LINE_END, get(b"X: a\rContent-Length: 5"), 400),
    bad("name-with-bare-cr", LINE_END, get(b"X\rY: a"), 400),
    bad("name-with-bare-lf", LINE_END, get(b"X\nY: a"), 400),
    # The end of the head
    bad("head-ended-by-lf", LINE_END, b"GET / HTTP/1.1\r\nHost: h\r\n\n", 400),
    bad("head-ended-by-lf-lf", LINE_END, b"GET / HTTP/1.1\r\nHost: h\n\n", 400),
    bad("head-ended-by-lf-cr-lf", LINE_END, b"GET / HTTP/1.1\r\nHost: h\n\r\n", 400),
    bad("head-ended-by-cr-cr-lf", LINE_END, b"GET / HTTP/1.1\r\nHost: h\r\n\r\r\n", 400),
    bad("head-ended-by-cr-x", LINE_END, b"GET / HTTP/1.1\r\nHost: h\r\n\rX", 400),
    waiting("head-without-its-last-lf", LINE_END, b"GET / HTTP/1.1\r\nHost: h\r\n\r"),
    waiting("head-without-its-empty-line", LINE_END, b"GET / HTTP/1.1\r\nHost: h\r\n"),
    waiting("head-inside-a-name", LINE, b"GET / HTTP/1.1\r\nHos"),
    waiting("head-inside-a-value", LINE, b"GET / HTTP/1.1\r\nHost: h\r\nX: abc"),
]
