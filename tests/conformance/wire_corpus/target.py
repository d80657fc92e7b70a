"""Forms of the request-target, and what the application sees of them: RFC 9112 §3.2, RFC 3986 §2.1, §3.2."""

from __future__ import annotations

from .case import CLOSED, Case, Seen, bad, good, request

ORIGIN = "RFC 9112 §3.2.1"
ABSOLUTE = "RFC 9112 §3.2.2"
AUTHORITY = "RFC 9112 §3.2.3"
ASTERISK = "RFC 9112 §3.2.4"
ESCAPES = "RFC 3986 §2.1"


def _line(target: bytes, method: bytes = b"GET", host: bytes = b"h") -> bytes:
    return request(method + b" " + target + b" HTTP/1.1", b"Host: " + host)


def _path(id: str, section: str, target: bytes, path: str, raw_path: bytes | None = None, query: bytes = b"") -> Case:
    return good(id, section, _line(target), Seen("GET", path, raw_path, query))


def _absolute(id: str, target: bytes, host: bytes, path: str = "/", query: bytes = b"") -> Case:
    return good(id, ABSOLUTE, _line(target), Seen("GET", path, None, query, fields={b"host": (host,)}))


CASES = [
    _path("origin-root", ORIGIN, b"/", "/"),
    _path("origin-path", ORIGIN, b"/a/b.c", "/a/b.c"),
    _path("origin-query", ORIGIN, b"/a?b=c&d", "/a", query=b"b=c&d"),
    _path("origin-empty-query", ORIGIN, b"/a?", "/a"),
    _path("origin-two-question-marks", ORIGIN, b"/a?b?c", "/a", query=b"b?c"),
    _path("origin-query-with-escapes", ORIGIN, b"/a?b=%C3%A9%zz", "/a", query=b"b=%C3%A9%zz"),
    _path("origin-query-with-url", ORIGIN, b"/a?u=http://b/c", "/a", query=b"u=http://b/c"),
    _path("origin-two-slashes", ORIGIN, b"//b/c", "//b/c"),
    _path("origin-only-slashes", ORIGIN, b"///", "///"),
    _path("origin-dot-segments", ORIGIN, b"/a/../b/./c", "/a/../b/./c"),
    _path("origin-parameters", ORIGIN, b"/a;b=c", "/a;b=c"),
    _path("origin-colon", ORIGIN, b"/a:b@c", "/a:b@c"),
    _path("origin-plus", ORIGIN, b"/a+b", "/a+b"),
    _path("origin-asterisk-in-path", ORIGIN, b"/*", "/*"),
    # Visible ASCII that RFC 3986 does not have in a path, and that browsers and tools send all the same.
    _path("origin-visible-ascii", ORIGIN, b'/"<>\\^`{|}[]', '/"<>\\^`{|}[]'),
    _path("escape-letter", ESCAPES, b"/%41", "/A", b"/%41"),
    _path("escape-lower-case-hex", ESCAPES, b"/%c3%a9", "/\u00e9", b"/%c3%a9"),
    _path("escape-utf8", ESCAPES, b"/%E2%82%AC", "/\u20ac", b"/%E2%82%AC"),
    _path("escape-four-bytes", ESCAPES, b"/%F0%9F%90%91", "/\U0001f411", b"/%F0%9F%90%91"),
    _path("escape-not-utf8", ESCAPES, b"/%ff", "/\ufffd", b"/%ff"),
    _path("escape-truncated-utf8", ESCAPES, b"/%E2%82x", "/\ufffdx", b"/%E2%82x"),
    _path("escape-surrogate", ESCAPES, b"/%ED%A0%80", "/\ufffd\ufffd\ufffd", b"/%ED%A0%80"),
    _path("escape-slash", ESCAPES, b"/a%2Fb", "/a/b", b"/a%2Fb"),
    _path("escape-question-mark", ESCAPES, b"/a%3Fb?c", "/a?b", b"/a%3Fb", b"c"),
    _path("escape-hash", ESCAPES, b"/a%23b", "/a#b", b"/a%23b"),
    _path("escape-percent-once-only", ESCAPES, b"/%2541", "/%41", b"/%2541"),
    _path("escape-space", ESCAPES, b"/a%20b", "/a b", b"/a%20b"),
    _path("escape-nul", ESCAPES, b"/%00", "/\x00", b"/%00"),
    _path("escape-cr-lf", ESCAPES, b"/%0d%0ax", "/\r\nx", b"/%0d%0ax"),
    _path("escape-malformed-digits", ESCAPES, b"/%zz", "/%zz"),
    _path("escape-malformed-one-digit", ESCAPES, b"/%4", "/%4"),
    _path("escape-malformed-alone", ESCAPES, b"/%", "/%"),
    _path("escape-malformed-beside-good", ESCAPES, b"/%%41%4g", "/%A%4g", b"/%%41%4g"),
    _path("escape-malformed-unicode-form", ESCAPES, b"/%u0041", "/%u0041"),
    # asterisk-form
    good("asterisk-options", ASTERISK, _line(b"*", b"OPTIONS"), Seen("OPTIONS", "*")),
    bad("asterisk-get", ASTERISK, _line(b"*"), 400),
    bad("asterisk-post", ASTERISK, _line(b"*", b"POST"), 400),
    bad("asterisk-m-search", ASTERISK, _line(b"*", b"M-SEARCH"), 400),
    bad("asterisk-twice", ASTERISK, _line(b"**", b"OPTIONS"), 400),
    bad("asterisk-with-query", ASTERISK, _line(b"*?a", b"OPTIONS"), 400),
    # absolute-form: the target's authority is the host, whatever Host says
    _absolute("absolute-http", b"http://a.example/b?c", b"a.example", "/b", b"c"),
    _absolute("absolute-https", b"https://a.example/b", b"a.example", "/b"),
    _absolute("absolute-upper-case-scheme", b"HTTP://a.example/b", b"a.example", "/b"),
    _absolute("absolute-no-path", b"http://a.example", b"a.example"),
    _absolute("absolute-no-path-query", b"http://a.example?b", b"a.example", "/", b"b"),
    _absolute("absolute-port", b"http://a.example:8080/", b"a.example:8080"),
    _absolute("absolute-ipv4", b"http://192.0.2.1/", b"192.0.2.1"),
    _absolute("absolute-ipv6", b"http://[2001:db8::1]:80/", b"[2001:db8::1]:80"),
    _absolute("absolute-url-in-path", b"http://a.example/http://b/", b"a.example", "/http://b/"),
    _absolute("absolute-at-in-path", b"http://a.example/u@b", b"a.example", "/u@b"),
    good("absolute-options", ABSOLUTE, _line(b"http://a/b", b"OPTIONS"), Seen("OPTIONS", "/b")),
    good(
        "absolute-on-1.0-without-host",
        ABSOLUTE,
        request(b"GET http://a.example/b HTTP/1.0"),
        Seen("GET", "/b", version="1.0", fields={b"host": (b"a.example",)}),
        then=CLOSED,
    ),
    bad("absolute-without-host-on-1.1", "RFC 9112 §3.2", request(b"GET http://a/ HTTP/1.1"), 400),
    bad("absolute-with-malformed-host", "RFC 9112 §3.2", _line(b"http://a/", host=b"a b"), 400),
    bad("absolute-with-two-hosts", "RFC 9112 §3.2", request(b"GET http://a/ HTTP/1.1", b"Host: a", b"Host: a"), 400),
    bad("absolute-user", "RFC 9110 §4.2.4", _line(b"http://u@a/"), 400),
    bad("absolute-user-and-password", "RFC 9110 §4.2.4", _line(b"http://u:p@a/"), 400),
    bad("absolute-empty-user", "RFC 9110 §4.2.4", _line(b"http://@a/"), 400),
    bad("absolute-empty-authority", "RFC 9110 §4.2.1", _line(b"http:///b"), 400),
    bad("absolute-nothing-after-scheme", "RFC 9110 §4.2.1", _line(b"http://"), 400),
    bad("absolute-empty-host-with-port", "RFC 9110 §4.2.1", _line(b"http://:80/"), 400),
    bad("absolute-port-too-large", ABSOLUTE, _line(b"http://a:65536/"), 400),
    bad("absolute-port-letters", ABSOLUTE, _line(b"http://a:b/"), 400),
    bad("absolute-two-ports", ABSOLUTE, _line(b"http://a:80:80/"), 400),
    bad("absolute-comma", ABSOLUTE, _line(b"http://a,b/"), 400),
    bad("absolute-backslash", ABSOLUTE, _line(b"http://a\\b/"), 400),
    bad("absolute-malformed-escape", ABSOLUTE, _line(b"http://a%zz/"), 400),
    bad("absolute-open-bracket", ABSOLUTE, _line(b"http://[::1/"), 400),
    bad("absolute-fragment", ABSOLUTE, _line(b"http://a/#b"), 400),
    bad("absolute-other-scheme", ABSOLUTE, _line(b"ftp://a/"), 400),
    bad("absolute-websocket-scheme", ABSOLUTE, _line(b"ws://a/"), 400),
    bad("absolute-one-slash", ABSOLUTE, _line(b"http:/a"), 400),
    bad("absolute-no-slash", ABSOLUTE, _line(b"http:a"), 400),
    # neither of them
    bad("authority-form-get", AUTHORITY, _line(b"a.example:443"), 400),
    bad("form-relative", "RFC 9112 §3.2", _line(b"a/b"), 400),
    bad("form-query-only", "RFC 9112 §3.2", _line(b"?a"), 400),
    bad("form-mailto", "RFC 9112 §3.2", _line(b"mailto:a@b"), 400),
    bad("form-backslash", "RFC 9112 §3.2", _line(b"\\a"), 400),
    bad("form-dot-segments", "RFC 9112 §3.2", _line(b"../a"), 400),
    bad("fragment", "RFC 9112 §3.2", _line(b"/a#b"), 400),
    bad("fragment-empty", "RFC 9112 §3.2", _line(b"/#"), 400),
    bad("fragment-in-query", "RFC 9112 §3.2", _line(b"/a?b#c"), 400),
    # bytes that no target has
    bad("target-nul", "RFC 9112 §3.2", _line(b"/\x00"), 400),
    bad("target-control", "RFC 9112 §3.2", _line(b"/\x01"), 400),
    bad("target-escape", "RFC 9112 §3.2", _line(b"/\x1b[31m"), 400),
    bad("target-del", "RFC 9112 §3.2", _line(b"/\x7f"), 400),
    bad("target-tab", "RFC 9112 §3.2", _line(b"/a\tb"), 400),
    bad("target-raw-utf8", "RFC 9112 §3.2", _line(b"/\xc3\xa9"), 400),
    bad("target-raw-latin1", "RFC 9112 §3.2", _line(b"/\xe9"), 400),
    bad("target-raw-ff", "RFC 9112 §3.2", _line(b"/?\xff"), 400),
]
