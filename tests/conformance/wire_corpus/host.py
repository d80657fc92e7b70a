"""The Host field: RFC 9112 §3.2, RFC 9110 §7.2, RFC 3986 §3.2.2."""

from __future__ import annotations

from .case import CLOSED, Case, Seen, bad, get, good, request

HOST = "RFC 9112 §3.2"
URI_HOST = "RFC 3986 §3.2.2"
PORT = "RFC 3986 §3.2.3"


def _good(id: str, section: str, value: bytes) -> Case:
    return good(id, section, request(b"GET / HTTP/1.1", b"Host: " + value), Seen(fields={b"host": (value,)}))


def _bad(id: str, section: str, value: bytes) -> Case:
    return bad(id, section, request(b"GET / HTTP/1.1", b"Host: " + value), 400)


CASES = [
    _good("host-name", URI_HOST, b"example.org"),
    _good("host-upper-case", URI_HOST, b"Example.ORG"),
    _good("host-final-dot", URI_HOST, b"example.org."),
    _good("host-underscore", URI_HOST, b"my_service"),
    _good("host-punycode", URI_HOST, b"xn--bcher-kva.example"),
    _good("host-escape", URI_HOST, b"a%20b"),
    _good("host-sub-delims", URI_HOST, b"a!$&'()*+;=b~"),
    _good("host-ipv4", URI_HOST, b"127.0.0.1"),
    _good("host-ipv4-port", URI_HOST, b"127.0.0.1:8000"),
    _good("host-ipv6", URI_HOST, b"[::1]"),
    _good("host-ipv6-port", URI_HOST, b"[2001:db8::1]:8000"),
    _good("host-ipv6-full", URI_HOST, b"[2001:db8:0:0:0:0:0:1]"),
    _good("host-ipv6-with-ipv4", URI_HOST, b"[::ffff:192.0.2.1]"),
    _good("host-ipvfuture", URI_HOST, b"[v1.a:b]"),
    _good("host-port", PORT, b"example.org:80"),
    _good("host-port-0", PORT, b"example.org:0"),
    _good("host-port-65535", PORT, b"example.org:65535"),
    _good("host-port-empty", PORT, b"example.org:"),
    good(
        "host-after-others",
        HOST,
        request(b"GET / HTTP/1.1", b"A: b", b"HOST:h", b"C: d"),
        Seen(fields={b"host": (b"h",)}),
    ),
    good(
        "host-missing-on-1.0", HOST, request(b"GET / HTTP/1.0"), Seen(version="1.0", fields={b"host": ()}), then=CLOSED
    ),
    good(
        "host-on-1.0",
        HOST,
        request(b"GET / HTTP/1.0", b"Host: h"),
        Seen(version="1.0", fields={b"host": (b"h",)}),
        then=CLOSED,
    ),
    bad("host-missing", HOST, request(b"GET / HTTP/1.1"), 400),
    bad("host-missing-with-other-fields", HOST, request(b"GET / HTTP/1.1", b"X-Host: h", b"Accept: */*"), 400),
    bad("host-missing-on-options", HOST, request(b"OPTIONS * HTTP/1.1"), 400),
    bad("host-twice-same", HOST, get(b"Host: h"), 400),
    bad("host-twice-different", HOST, get(b"Host: other"), 400),
    bad("host-twice-apart", HOST, get(b"A: b", b"C: d", b"host: h"), 400),
    bad("host-twice-second-empty", HOST, get(b"Host:"), 400),
    bad("host-twice-on-1.0", HOST, request(b"GET / HTTP/1.0", b"Host: h", b"Host: h"), 400),
    bad("host-malformed-on-1.0", HOST, request(b"GET / HTTP/1.0", b"Host: a b"), 400),
    _bad("host-empty", "RFC 9110 §4.2.1", b""),
    _bad("host-only-white-space", "RFC 9110 §4.2.1", b" \t "),
    _bad("host-only-port", "RFC 9110 §4.2.1", b":80"),
    _bad("host-only-colon", "RFC 9110 §4.2.1", b":"),
    _bad("host-space", URI_HOST, b"a b"),
    _bad("host-tab", URI_HOST, b"a\tb"),
    _bad("host-list", URI_HOST, b"a, b"),
    _bad("host-comma", URI_HOST, b"a,b"),
    _bad("host-user", "RFC 9110 §7.2", b"u@a"),
    _bad("host-user-and-password", "RFC 9110 §7.2", b"u:p@a"),
    _bad("host-path", "RFC 9110 §7.2", b"a/b"),
    _bad("host-final-slash", "RFC 9110 §7.2", b"a/"),
    _bad("host-url", "RFC 9110 §7.2", b"http://a"),
    _bad("host-query", "RFC 9110 §7.2", b"a?b"),
    _bad("host-fragment", "RFC 9110 §7.2", b"a#b"),
    _bad("host-backslash", URI_HOST, b"a\\b"),
    _bad("host-quoted", URI_HOST, b'"a"'),
    _bad("host-markup", URI_HOST, b"<a>"),
    _bad("host-obs-text", URI_HOST, b"b\xc3\xbccher.example"),
    _bad("host-malformed-escape", URI_HOST, b"a%zz"),
    _bad("host-truncated-escape", URI_HOST, b"a%4"),
    _bad("host-port-65536", PORT, b"a:65536"),
    _bad("host-port-99999", PORT, b"a:99999"),
    _bad("host-port-letters", PORT, b"a:b"),
    _bad("host-port-sign", PORT, b"a:+80"),
    _bad("host-port-negative", PORT, b"a:-1"),
    _bad("host-port-underscore", PORT, b"a:8_0"),
    _bad("host-port-twice", PORT, b"a:80:80"),
    _bad("host-port-space", PORT, b"a: 80"),
    _bad("host-port-300-digits", PORT, b"a:" + b"0" * 300),
    _bad("host-ipv6-without-brackets", URI_HOST, b"::1"),
    _bad("host-ipv6-not-closed", URI_HOST, b"[::1"),
    _bad("host-ipv6-not-opened", URI_HOST, b"::1]"),
    _bad("host-ipv6-empty", URI_HOST, b"[]"),
    _bad("host-ipv6-letters", URI_HOST, b"[g::1]"),
    _bad("host-ipv6-text-after", URI_HOST, b"[::1]a"),
    _bad("host-ipv6-text-before", URI_HOST, b"a[::1]"),
    _bad("host-ipv6-zone", URI_HOST, b"[fe80::1%25eth0]"),
    _bad("host-ipv6-too-short", URI_HOST, b"[1:2:3]"),
    _bad("host-ipv6-too-long", URI_HOST, b"[1:2:3:4:5:6:7:8:9]"),
    _bad("host-ipv6-two-gaps", URI_HOST, b"[1::2::3]"),
    _bad("host-ipv6-three-colons", URI_HOST, b"[:::1]"),
    _bad("host-ipv6-ipv4-only", URI_HOST, b"[127.0.0.1]"),
    _bad("host-ipv6-nested", URI_HOST, b"[[::1]]"),
]
