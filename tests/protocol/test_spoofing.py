"""What a stranger sends to appear as somebody else, and what the application sees of it: bytes in, scope out.

Each row is an attack, or what it must not be confused with: how the server was started, who connects, what is sent, and
what the application must see. What a row does not name has to be as it would be without any of it. The way is the whole
one: options are read as from the command line, and the bytes go through a transport, over every parser.

203.0.113.7 is the client, 6.6.6.6 and evil are what it invented; 10.0.0.1 is the proxy that connects, other addresses
in 10.0.0.0/8 are proxies too.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, NamedTuple

import pytest

from addax import testing
from addax.asgi.state import ServerState
from addax.config.config import Config
from addax.server.build import Assembly
from tests.parsers import USABLE_PARSERS
from tests.proxy_headers import LOCAL, TCP6, UNIX, v1, v2, v2_block

#: Who connects, as sockets have it.
PROXY: Any = ("10.0.0.1", 40000)
STRANGER: Any = ("203.0.113.66", 40001)
OURS: Any = ("10.0.0.9", 8000)
ON_UNIX: Any = ""
CLIENT = ("203.0.113.7", 0)

#: How the server was started.
PLAIN: dict[str, Any] = {"forwarded_allow_ips": "10.0.0.0/8,fd00::/8"}
ALL = {**PLAIN, "forwarded_fields": ["host", "port", "prefix", "forwarded"]}
X_ALL = {**PLAIN, "forwarded_fields": ["host", "port", "prefix"]}
ANYBODY = {**X_ALL, "forwarded_allow_ips": "*"}
UNIX_PEERS = {"forwarded_allow_ips": "unix:"}
ONE_HOP, TWO_HOPS = {**X_ALL, "forwarded_hops": 1}, {**X_ALL, "forwarded_hops": 2}
ANY_HOP = {**ONE_HOP, "forwarded_allow_ips": "*"}
HOPS_RFC = {**ALL, "forwarded_hops": 2}
IN_FRONT = {**X_ALL, "proxy_protocol": True}
IN_FRONT_ANY = {**ANYBODY, "proxy_protocol": True}

HANDSHAKE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
BAD_REQUEST = 400
#: Closed without an answer.
CLOSED = 0


class Attack(NamedTuple):
    """One row.

    Attributes:
        what: it tries.
        options: for ``Config``.
        lines: field lines behind ``Host: app.example``; bytes: all that is sent.
        sees: what the application must see of client, scheme, host, server, root_path and path; or the status of the
            answer without which it was not called.
        peer: who connects.
        front: what comes before the request.
    """

    what: str
    options: dict[str, Any]
    lines: tuple[str, ...] | bytes
    sees: dict[str, Any] | int
    peer: Any = PROXY
    front: bytes = b""


def xff(*values: str) -> tuple[str, ...]:
    return tuple(f"X-Forwarded-For: {value}" for value in values)


EVERYTHING = (
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Port: 666",
    "X-Forwarded-Prefix: /evil",
)
FORWARDED = ("Forwarded: for=6.6.6.6;proto=https;host=evil.example",)
EVIL = {
    "client": ("6.6.6.6", 0),
    "scheme": "https",
    "host": "evil.example:666",
    "server": ("10.0.0.9", 666),
    "root_path": "/evil",
    "path": "/evil/p",
}
NOTHING: dict[str, Any] = {}
IS_CLIENT = {"client": CLIENT}


# ---- who connects

PEERS = [
    Attack("a trusted peer is believed", X_ALL, EVERYTHING, EVIL),
    Attack("a stranger is not", ALL, EVERYTHING, NOTHING, STRANGER),
    Attack("nor with Forwarded", ALL, FORWARDED, NOTHING, STRANGER),
    Attack("nor by naming a proxy", ALL, xff("10.0.0.1, 10.0.0.1"), NOTHING, STRANGER),
    Attack("nor with a count of hops", TWO_HOPS, xff("6.6.6.6, 10.0.0.1"), NOTHING, STRANGER),
    Attack("by default the network is strange", {}, EVERYTHING, NOTHING),
    Attack("by default this host is not", {}, xff("203.0.113.7"), IS_CLIENT, ("127.0.0.1", 1)),
    Attack("nor by its IPv6 address", {}, xff("203.0.113.7"), IS_CLIENT, ("::1", 1, 0, 0)),
    Attack("nobody is trusted", {"forwarded_allow_ips": ""}, EVERYTHING, NOTHING, ("127.0.0.1", 1)),
    Attack("switched off", {"proxy_headers": False, "forwarded_allow_ips": "*"}, EVERYTHING, NOTHING),
    Attack("a proxy on a socket for both families", PLAIN, xff("203.0.113.7"), IS_CLIENT, ("::ffff:10.0.0.1", 1, 0, 0)),
    Attack("a stranger on one", PLAIN, EVERYTHING, {"client": ("11.0.0.1", 1)}, ("::ffff:11.0.0.1", 1, 0, 0)),
    Attack("IPv4 behind zeros is not mapped", PLAIN, EVERYTHING, NOTHING, ("::10.0.0.1", 1, 0, 0)),
    Attack("nor behind NAT64", PLAIN, EVERYTHING, NOTHING, ("64:ff9b::a00:1", 1, 0, 0)),
    Attack(
        *("a link-local proxy", {"forwarded_allow_ips": "fe80::1"}, xff("203.0.113.7")),
        *(IS_CLIENT, ("fe80::1%eth0", 1, 0, 2)),
    ),
    Attack(
        *("a link-local stranger", {"forwarded_allow_ips": "fe80::1"}, EVERYTHING),
        *(NOTHING, ("fe80::2%eth0", 1, 0, 2)),
    ),
    Attack("a Unix socket is not trusted by default", {}, EVERYTHING, NOTHING, ON_UNIX),
    Attack("nor where addresses are", {"forwarded_allow_ips": "0.0.0.0/0,::/0"}, EVERYTHING, NOTHING, ON_UNIX),
    Attack("it is by its name", UNIX_PEERS, xff("203.0.113.7"), IS_CLIENT, ON_UNIX),
    Attack("which is for no address", UNIX_PEERS, EVERYTHING, NOTHING),
    Attack("everybody: a stranger is believed", ANYBODY, EVERYTHING, EVIL, STRANGER),
    Attack("everybody: on a Unix socket too", {"forwarded_allow_ips": "*"}, xff("203.0.113.7"), IS_CLIENT, ON_UNIX),
]

# ---- X-Forwarded-For

FOR = [
    Attack("invented before the client", PLAIN, xff("6.6.6.6, 203.0.113.7"), IS_CLIENT),
    Attack("in a line before", PLAIN, xff("6.6.6.6", "203.0.113.7"), IS_CLIENT),
    Attack("an invented proxy before the client", PLAIN, xff("10.6.6.6, 203.0.113.7"), IS_CLIENT),
    Attack("this host before the client", PLAIN, xff("127.0.0.1, 203.0.113.7, 10.0.0.2"), IS_CLIENT),
    Attack("trusted hops are walked over", PLAIN, xff("6.6.6.6, 203.0.113.7, fd00::1, 10.0.0.2:80"), IS_CLIENT),
    Attack("over lines", PLAIN, xff("203.0.113.7", "10.0.0.3", "10.0.0.2"), IS_CLIENT),
    Attack("lines in other spellings", PLAIN, ("x-FORWARDED-for: 6.6.6.6", *xff("203.0.113.7")), IS_CLIENT),
    Attack("an address with a port", PLAIN, xff("203.0.113.7:4711"), {"client": ("203.0.113.7", 4711)}),
    Attack("IPv6", PLAIN, xff("2001:DB8:0::7"), {"client": ("2001:db8::7", 0)}),
    Attack("IPv6 in brackets", PLAIN, xff("[2001:db8::7]:4711"), {"client": ("2001:db8::7", 4711)}),
    Attack("IPv4 mapped into IPv6", PLAIN, xff("::ffff:203.0.113.7"), IS_CLIENT),
    Attack("a proxy that is mapped", PLAIN, xff("203.0.113.7, [::ffff:10.0.0.2]:80"), IS_CLIENT),
    Attack("junk before the client", PLAIN, xff("'; drop table --, <b>, 203.0.113.7"), IS_CLIENT),
    Attack("junk that hides the client", PLAIN, xff("6.6.6.6, junk, 10.0.0.2"), {"client": ("10.0.0.2", 0)}),
    Attack("unknown hides the client", PLAIN, xff("6.6.6.6, unknown, 10.0.0.2"), {"client": ("10.0.0.2", 0)}),
    Attack("nothing hides the client", PLAIN, xff("6.6.6.6, , 10.0.0.2"), {"client": ("10.0.0.2", 0)}),
    Attack("unknown", PLAIN, xff("unknown"), NOTHING),
    Attack("obfuscated", PLAIN, xff("_hidden"), NOTHING),
    Attack("obfuscated port", PLAIN, xff("203.0.113.7:_x"), NOTHING),
    Attack("nothing at all", PLAIN, xff(""), NOTHING),
    Attack("commas", PLAIN, xff(",,,"), NOTHING),
    Attack("zone", PLAIN, xff("fe80::1%eth0"), NOTHING),
    Attack("zone of a trusted address", PLAIN, xff("6.6.6.6, fd00::1%eth0"), NOTHING),
    Attack("other ways to write 10.0.0.2", PLAIN, xff("6.6.6.6, 012.0.0.2"), NOTHING),
    Attack("as a number", PLAIN, xff("6.6.6.6, 167772162"), NOTHING),
    Attack("as hexadecimal", PLAIN, xff("6.6.6.6, 0x0a.0.0.2"), NOTHING),
    Attack("with parts left out", PLAIN, xff("6.6.6.6, 10.2"), NOTHING),
    Attack("a network", PLAIN, xff("6.6.6.6, 10.0.0.0/8"), NOTHING),
    Attack("everybody as an entry", PLAIN, xff("6.6.6.6, *"), NOTHING),
    Attack("unix: as an entry", PLAIN, xff("6.6.6.6, unix:"), NOTHING),
    Attack("quotes", PLAIN, xff('"203.0.113.7"'), NOTHING),
    Attack("IPv4 in brackets", PLAIN, xff("[203.0.113.7]"), NOTHING),
    Attack("a bracket left open", PLAIN, xff("[2001:db8::7"), NOTHING),
    Attack("port 0", PLAIN, xff("203.0.113.7:0"), NOTHING),
    Attack("port above all", PLAIN, xff("203.0.113.7:65536"), NOTHING),
    Attack("spaces that are none", PLAIN, xff("\xa0203.0.113.7"), NOTHING),
    Attack("digits that are none", PLAIN, xff("203.0.113.\xb2"), NOTHING),
    Attack("very long", PLAIN, xff("1" * 9000), NOTHING),
    Attack(
        "everybody: the entry at the left is taken", ANYBODY, xff("6.6.6.6, 203.0.113.7"), {"client": ("6.6.6.6", 0)}
    ),
    Attack("everybody: or none", ANYBODY, xff("unknown, 203.0.113.7"), NOTHING),
]

# ---- the names of fields, and how they are framed

NAMES = [
    Attack("underscores", PLAIN, ("X_Forwarded_For: 6.6.6.6", "X_Forwarded_Proto: https"), NOTHING),
    Attack("one underscore", PLAIN, ("X-Forwarded_For: 6.6.6.6",), NOTHING),
    Attack("underscores after the proxy's", PLAIN, (*xff("203.0.113.7"), "X_Forwarded_For: 6.6.6.6"), IS_CLIENT),
    Attack("a longer name", PLAIN, ("X-Forwarded-For-: 6.6.6.6", "XX-Forwarded-For: 6.6.6.6"), NOTHING),
    Attack("names that others have", ALL, ("X-Real-IP: 6.6.6.6", "True-Client-IP: 6.6.6.6", "Via: 1.1 evil"), NOTHING),
    Attack("other schemes", ALL, ("X-Forwarded-Ssl: on", "X-Url-Scheme: https", "Front-End-Https: on"), NOTHING),
    Attack("a root path", ALL, ("X-Script-Name: /evil", "Daphne-Root-Path: /evil"), NOTHING),
    Attack("a space before the colon", PLAIN, ("X-Forwarded-For : 6.6.6.6",), BAD_REQUEST),
    Attack("a tab before the colon", PLAIN, ("X-Forwarded-For\t: 6.6.6.6",), BAD_REQUEST),
    Attack("a space before the name", PLAIN, (" X-Forwarded-For: 6.6.6.6",), BAD_REQUEST),
    Attack("a folded line", PLAIN, ("X-Forwarded-For: 6.6.6.6,", " 203.0.113.7"), BAD_REQUEST),
    Attack("a line break alone", PLAIN, ("X-A: b\nX-Forwarded-For: 6.6.6.6",), BAD_REQUEST),
    Attack("a return alone", PLAIN, ("X-A: b\rX-Forwarded-For: 6.6.6.6",), BAD_REQUEST),
    Attack("NUL in the value", PLAIN, xff("203.0.113.7\0"), BAD_REQUEST),
    Attack(
        "the proxy's field is called its own", PLAIN, ("Connection: x-forwarded-for", *xff("203.0.113.7")), IS_CLIENT
    ),
    Attack("with others", PLAIN, ("Connection: close, X-Forwarded-For", *xff("203.0.113.7")), IS_CLIENT),
    Attack("the scheme too", PLAIN, ("Connection: X-Forwarded-Proto", "X-Forwarded-Proto: https"), {"scheme": "https"}),
    Attack(
        "in a trailer",
        PLAIN,
        b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
        BAD_REQUEST,
    ),
    Attack("two Host fields", X_ALL, ("Host: evil.example", "X-Forwarded-Host: app.example"), BAD_REQUEST),
    Attack(
        "a target with a host, which goes before Host",
        X_ALL,
        b"GET http://evil.example/p HTTP/1.1\r\nHost: app.example\r\n\r\n",
        {"host": "evil.example"},
    ),
    Attack(
        "but not before the proxy's",
        X_ALL,
        b"GET http://evil.example/p HTTP/1.1\r\nHost: b.example\r\nX-Forwarded-Host: app.example\r\n\r\n",
        NOTHING,
    ),
]

# ---- X-Forwarded-Proto


def proto(*values: str) -> tuple[str, ...]:
    return tuple(f"X-Forwarded-Proto: {value}" for value in values)


PROTO = [
    Attack("https", PLAIN, proto("https"), {"scheme": "https"}),
    Attack("in a line before the proxy's", PLAIN, proto("https", "http"), NOTHING),
    Attack("a list", PLAIN, proto("https, http"), NOTHING),
    Attack("a list whose entries agree", PLAIN, proto("https, https"), NOTHING),
    Attack("nonsense after it", PLAIN, proto("https", "nonsense"), NOTHING),
    Attack("in capitals", PLAIN, proto("HTTPS"), NOTHING),
    Attack("another scheme", PLAIN, proto("file"), NOTHING),
    Attack("a scheme with more", PLAIN, proto("https://evil.example/?"), NOTHING),
    Attack("nothing", PLAIN, proto(""), NOTHING),
    Attack("a WebSocket's", PLAIN, proto("wss"), {"scheme": "https"}),
    Attack("for a WebSocket", PLAIN, (*HANDSHAKE, *proto("https")), {"scheme": "wss"}),
    Attack("for a WebSocket, WebSocket's", PLAIN, (*HANDSHAKE, *proto("wss")), {"scheme": "wss"}),
    Attack("for a WebSocket, from a stranger", PLAIN, (*HANDSHAKE, *proto("wss")), {"scheme": "ws"}, STRANGER),
    Attack("a WebSocket's client", PLAIN, (*HANDSHAKE, *xff("6.6.6.6, 203.0.113.7")), {"scheme": "ws", **IS_CLIENT}),
]

# ---- X-Forwarded-Host, -Port, -Prefix


def host(*values: str) -> tuple[str, ...]:
    return tuple(f"X-Forwarded-Host: {value}" for value in values)


def port(*values: str) -> tuple[str, ...]:
    return tuple(f"X-Forwarded-Port: {value}" for value in values)


def prefix(*values: str) -> tuple[str, ...]:
    return tuple(f"X-Forwarded-Prefix: {value}" for value in values)


OPT_IN = [
    Attack("none was asked for", PLAIN, (*host("evil.example"), *port("666"), *prefix("/evil")), NOTHING),
    Attack("Forwarded was not asked for", X_ALL, (*FORWARDED, *xff("203.0.113.7")), IS_CLIENT),
    Attack("a host", X_ALL, host("shop.example:444"), {"host": "shop.example:444"}),
    Attack("two hosts", X_ALL, host("evil.example", "shop.example"), NOTHING),
    Attack("a list of hosts", X_ALL, host("evil.example, shop.example"), NOTHING),
    Attack("a host with a user", X_ALL, host("shop.example@evil.example"), NOTHING),
    Attack("a host with a path", X_ALL, host("evil.example/shop.example"), NOTHING),
    Attack("a host with markup", X_ALL, host("<script>"), NOTHING),
    Attack("a host that is half an address", X_ALL, host("[2001:db8::7"), NOTHING),
    Attack("a host with a zone", X_ALL, host("[fe80::1%25eth0]"), NOTHING),
    Attack("a host in other letters", X_ALL, host("\xe4pp.example"), NOTHING),
    Attack("an empty host", X_ALL, host(""), NOTHING),
    Attack("an IPv6 host", X_ALL, host("[2001:db8::7]:8443"), {"host": "[2001:db8::7]:8443"}),
    Attack("a port", X_ALL, port("444"), {"server": ("10.0.0.9", 444), "host": "app.example:444"}),
    Attack("two ports", X_ALL, port("666", "444"), NOTHING),
    Attack("a list of ports", X_ALL, port("666, 444"), NOTHING),
    Attack("a port that is none", X_ALL, port("443@evil"), NOTHING),
    Attack("port 0", X_ALL, port("0"), NOTHING),
    Attack("port above all", X_ALL, port("65536"), NOTHING),
    Attack("a prefix", X_ALL, prefix("/shop/"), {"root_path": "/shop", "path": "/shop/p"}),
    Attack("before a root path", {**X_ALL, "root_path": "/r"}, prefix("/a"), {"root_path": "/a/r", "path": "/a/r/p"}),
    Attack("two prefixes", X_ALL, prefix("/evil", "/shop"), NOTHING),
    Attack("a list of prefixes", X_ALL, prefix("/evil, /shop"), NOTHING),
    Attack("a prefix that is a host", X_ALL, prefix("//evil.example"), NOTHING),
    Attack("a prefix that is a URL", X_ALL, prefix("https://evil.example"), NOTHING),
    Attack("a prefix that climbs", X_ALL, prefix("/shop/../admin"), NOTHING),
    Attack("a prefix that climbs in disguise", X_ALL, prefix("/shop/%2e%2e"), NOTHING),
    Attack("a prefix with a query", X_ALL, prefix("/shop?evil=1"), NOTHING),
    Attack("a prefix with a backslash", X_ALL, prefix("/\\evil.example"), NOTHING),
]

# ---- Forwarded


def rfc(*values: str) -> tuple[str, ...]:
    return tuple(f"Forwarded: {value}" for value in values)


RFC_7239 = [
    Attack("a client", ALL, rfc("for=203.0.113.7"), IS_CLIENT),
    Attack("invented before it", ALL, rfc("for=6.6.6.6;proto=https, for=203.0.113.7"), IS_CLIENT),
    Attack("in a line before", ALL, rfc("for=6.6.6.6;host=evil.example", "for=203.0.113.7"), IS_CLIENT),
    Attack("an invented proxy before it", ALL, rfc("for=10.6.6.6;proto=https, for=203.0.113.7"), IS_CLIENT),
    Attack("a quote left open before it", ALL, rfc('for="6.6.6.6, for=203.0.113.7'), IS_CLIENT),
    Attack("a quote left open in a line before", ALL, rfc('for="', "for=203.0.113.7"), IS_CLIENT),
    Attack("an escape left open before it", ALL, rfc('for="\\, for=203.0.113.7'), IS_CLIENT),
    Attack("a list inside quotes", ALL, rfc('for=203.0.113.7;by="x, for=6.6.6.6"'), IS_CLIENT),
    Attack("two in one element", ALL, rfc("for=203.0.113.7;for=6.6.6.6"), NOTHING),
    Attack("with a port", ALL, rfc('for="203.0.113.7:4711"'), {"client": ("203.0.113.7", 4711)}),
    Attack("IPv6", ALL, rfc('for="[2001:db8::7]:4711"'), {"client": ("2001:db8::7", 4711)}),
    Attack("IPv6 without brackets", ALL, rfc('for="2001:db8::7"'), NOTHING),
    Attack("IPv4 mapped into IPv6", ALL, rfc('for="[::ffff:203.0.113.7]"'), IS_CLIENT),
    Attack("zone", ALL, rfc('for="[fe80::1%eth0]"'), NOTHING),
    Attack("unknown", ALL, rfc("for=unknown;proto=https"), {"scheme": "https"}),
    Attack("obfuscated", ALL, rfc("for=_hidden"), NOTHING),
    Attack(
        "obfuscated behind a proxy", ALL, rfc("for=6.6.6.6, for=_hidden, for=10.0.0.2"), {"client": ("10.0.0.2", 0)}
    ),
    Attack("obfuscated port", ALL, rfc('for="203.0.113.7:_p"'), IS_CLIENT),
    Attack("junk before it", ALL, rfc("%%%, for=203.0.113.7"), IS_CLIENT),
    Attack("junk behind it", ALL, rfc("for=203.0.113.7, %%%"), NOTHING),
    Attack("an inner proxy's scheme", ALL, rfc("for=203.0.113.7, for=10.0.0.2;proto=https"), IS_CLIENT),
    Attack("a bad host", ALL, rfc('for=203.0.113.7;host="evil.example/"'), IS_CLIENT),
    Attack("it goes before X-Forwarded-For and its like", ALL, (*rfc("for=203.0.113.7"), *EVERYTHING[:4]), IS_CLIENT),
    Attack("also where it is malformed", ALL, (*rfc("%%%"), *EVERYTHING[:4]), NOTHING),
    Attack("for a WebSocket", ALL, (*HANDSHAKE, *rfc("for=203.0.113.7;proto=https")), {"scheme": "wss", **IS_CLIENT}),
    Attack("on a Unix socket", {**ALL, **UNIX_PEERS}, rfc("for=6.6.6.6, for=203.0.113.7"), IS_CLIENT, ON_UNIX),
]

# ---- counts of hops

HOPS = [
    Attack("invented before the client", ONE_HOP, xff("6.6.6.6, 203.0.113.7"), IS_CLIENT),
    Attack("the client looks like a proxy", ONE_HOP, xff("6.6.6.6, 10.0.0.7"), {"client": ("10.0.0.7", 0)}),
    Attack("the last one is nobody", ONE_HOP, xff("6.6.6.6,"), NOTHING),
    Attack("a proxy whose address is strange", TWO_HOPS, xff("6.6.6.6, 203.0.113.7, 198.51.100.9"), IS_CLIENT),
    Attack("in several lines", TWO_HOPS, xff("6.6.6.6, 203.0.113.7", "10.0.0.2"), IS_CLIENT),
    Attack("the first proxy was gone round", TWO_HOPS, EVERYTHING, NOTHING),
    Attack("all proxies were gone round", ONE_HOP, EVERYTHING[1:], NOTHING),
    Attack("a Forwarded that was not asked for", ONE_HOP, (*FORWARDED, *EVERYTHING[1:]), NOTHING),
    Attack("everybody, but the client's own address", ANY_HOP, xff("6.6.6.6, 203.0.113.7"), IS_CLIENT, STRANGER),
    Attack("everybody, on a Unix socket", ANY_HOP, xff("6.6.6.6, 203.0.113.7"), IS_CLIENT, ON_UNIX),
    Attack("a scheme before the proxy's", ONE_HOP, (*xff("203.0.113.7"), *proto("https", "http")), IS_CLIENT),
    Attack("a host before the proxy's", ONE_HOP, (*xff("203.0.113.7"), *host("evil", "b")), {**IS_CLIENT, "host": "b"}),
    Attack("a prefix before the proxy's", ONE_HOP, (*xff("203.0.113.7"), *prefix("/evil, /")), IS_CLIENT),
    Attack(
        "fewer hosts than proxies", {**X_ALL, "forwarded_hops": 3}, (*xff("203.0.113.7,a,b"), *host("c,d")), IS_CLIENT
    ),
    Attack("Forwarded", HOPS_RFC, rfc("for=6.6.6.6;proto=https, for=203.0.113.7, for=_x"), IS_CLIENT),
    Attack("Forwarded, gone round", HOPS_RFC, (*FORWARDED, *xff("6.6.6.6, 10.0.0.2"), *prefix("/evil")), NOTHING),
]

# ---- the PROXY protocol

TO = ("198.51.100.2", 443)
V1, V2 = v1(("203.0.113.7", 4711), TO), v2(v2_block(("203.0.113.7", 4711), TO))
BY_PROXY, BY_PROXY_V2 = v1(("10.0.0.3", 4711), TO), v2(v2_block(("10.0.0.3", 4711), TO))
NAMED = {"client": ("203.0.113.7", 4711), "server": TO}
BEHIND = {"client": CLIENT, "server": TO}
V2_UNKNOWN = v2(b"", 0)
V2_LOCAL = v2(v2_block(("6.6.6.6", 1), TO), command=LOCAL)
V1_MAPPED = b"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:c633:6402 4711 443\r\n"
V2_MAPPED = v2(bytes(10) + b"\xff\xff\xcb\0\x71\x07" + bytes(10) + b"\xff\xff\xc6\x33\x64\2" + b"\x12\x67\1\xbb", TCP6)

PROXY_PROTOCOL = [
    *(
        row
        for front in (V1, V2)
        for row in (
            Attack("a client", IN_FRONT, (), NAMED, front=front),
            Attack("a stranger names one", IN_FRONT, (), CLOSED, STRANGER, front),
            Attack("a Unix socket names one", IN_FRONT, (), CLOSED, ON_UNIX, front),
            Attack("it was not asked for", X_ALL, (), BAD_REQUEST, front=front),
            Attack("a second one", IN_FRONT, (), BAD_REQUEST, front=front + V1),
            Attack("a second one, of the other version", IN_FRONT, (), BAD_REQUEST, front=front + V2),
            Attack("its fields are the client's", IN_FRONT, EVERYTHING, NAMED, front=front),
            Attack("also where everybody may connect", IN_FRONT_ANY, EVERYTHING, NAMED, front=front),
            Attack("with a count", {**IN_FRONT_ANY, "forwarded_hops": 1}, EVERYTHING, NAMED, front=front),
            Attack("with Forwarded", {**ALL, "proxy_protocol": True}, FORWARDED, NAMED, front=front),
        )
    ),
    *(
        row
        for front in (BY_PROXY, BY_PROXY_V2)
        for row in (
            Attack("a proxy's fields behind it", IN_FRONT, xff("6.6.6.6, 203.0.113.7"), BEHIND, front=front),
            Attack("a count", {**IN_FRONT, "forwarded_hops": 1}, xff("6.6.6.6, 203.0.113.7"), BEHIND, front=front),
        )
    ),
    Attack("there is none", IN_FRONT, (), CLOSED),
    Attack("a stranger without one", IN_FRONT, (), CLOSED, STRANGER),
    Attack("a request before it", IN_FRONT, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + V1, CLOSED),
    Attack("unknown, with an address", IN_FRONT, (), NOTHING, front=b"PROXY UNKNOWN 6.6.6.6 10.0.0.9 1 2\r\n"),
    Attack("unknown, with fields", IN_FRONT, EVERYTHING, NOTHING, front=b"PROXY UNKNOWN\r\n"),
    Attack("unknown, with fields, version 2", IN_FRONT, EVERYTHING, NOTHING, front=V2_UNKNOWN),
    Attack("unknown, with fields, to everybody", IN_FRONT_ANY, EVERYTHING, NOTHING, front=V2_UNKNOWN),
    Attack("local, with an address", IN_FRONT, (), NOTHING, front=V2_LOCAL),
    Attack("local, and fields of the proxy itself", IN_FRONT, xff("203.0.113.7"), IS_CLIENT, front=V2_LOCAL),
    Attack("mapped, version 1", IN_FRONT, (), NAMED, front=V1_MAPPED),
    Attack("mapped, version 2", IN_FRONT, (), NAMED, front=V2_MAPPED),
    Attack(
        *("from a Unix socket", IN_FRONT, EVERYTHING, {"client": None, "server": ("/app", None)}),
        front=v2(bytes(108) + b"/app".ljust(108, b"\0"), UNIX),
    ),
    *(
        Attack(f"malformed: {line!r}", IN_FRONT, (), CLOSED, front=line)
        for line in (
            b"proxy TCP4 203.0.113.7 198.51.100.2 1 2\r\n",
            b"PROXY TCP4 203.0.113.7 198.51.100.2 1 2\n",
            b"PROXY TCP4 203.0.113.7 198.51.100.2 1\r\n",
            b"PROXY TCP4 203.0.113.7 198.51.100.2 1 2 3\r\n",
            b"PROXY  TCP4 203.0.113.7 198.51.100.2 1 2\r\n",
            b"PROXY TCP4 203.0.113.007 198.51.100.2 1 2\r\n",
            b"PROXY TCP4 2001:db8::7 198.51.100.2 1 2\r\n",
            b"PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n",
            b"PROXY TCP4 203.0.113.7 198.51.100.2 1 65536\r\n",
            b"PROXY TCP4 203.0.113.7, 198.51.100.2 1 2\r\n",
            v2(v2_block(("203.0.113.7", 1), TO), TCP6),
            v2(v2_block(("203.0.113.7", 1), TO), command=0x31),
            v2(v2_block(("203.0.113.7", 1), TO), 0x41),
        )
    ),
]

TABLES = {
    "peer": PEERS,
    "X-Forwarded-For": FOR,
    "names": NAMES,
    "X-Forwarded-Proto": PROTO,
    "others": OPT_IN,
    "Forwarded": RFC_7239,
    "hops": HOPS,
    "PROXY": PROXY_PROTOCOL,
}
CASES = [
    pytest.param(attack, id=f"{table}: {attack.what}"[:90]) for table, attacks in TABLES.items() for attack in attacks
]


# ---- how it is done


class Wire(asyncio.Transport):
    """A transport whose other end the test holds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, peer: Any) -> None:
        is_unix = peer == ON_UNIX
        sock = FakeSocket(socket.AF_UNIX if is_unix else socket.AF_INET)
        super().__init__({"peername": peer, "sockname": "/run/app.sock" if is_unix else OURS, "socket": sock})
        self._loop = loop
        self._protocol: Any = None
        self._is_closed = False
        self.written = bytearray()

    def connect(self, protocol: Any) -> None:
        self._protocol = protocol
        protocol.connection_made(self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def send(self, data: bytes, step: int) -> None:
        for start in range(0, len(data), step):
            if not self._is_closed:
                self._protocol.data_received(data[start : start + step])

    def write(self, data: Any) -> None:
        if not self._is_closed:
            self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close


class FakeSocket(NamedTuple):
    """What is asked of a socket."""

    family: int


class Server:
    """One worker without sockets."""

    def __init__(self, parser: str) -> None:
        self.parser = parser
        self.scopes: list[Any] = []

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
            return
        while scope["method"] == "POST" and (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def get(self, options: dict[str, Any], peer: Any, data: bytes, step: int) -> bytes:
        """Send bytes on a connection of its own; what is answered."""
        loop = asyncio.get_running_loop()
        config = Config(self.app, http=self.parser, log_config=None, access_log=False, **options)
        assembly = Assembly(config.settings(), self.app, ServerState(), {}, loop)
        wire = Wire(loop, peer)
        try:
            wire.connect(assembly.make_protocol())
            wire.send(data, step)
            await testing.settle()
            return bytes(wire.written)
        finally:
            wire.close()
            await testing.settle()
            assembly.close()


@pytest.fixture(params=USABLE_PARSERS)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    return Server(request.param)


def request_of(lines: tuple[str, ...] | bytes) -> bytes:
    if isinstance(lines, bytes):
        return lines
    return "\r\n".join(["GET /p HTTP/1.1", "Host: app.example", *lines, "\r\n"]).encode("latin-1")


def view_of(scope: Any) -> dict[str, Any]:
    (host,) = [value.decode() for name, value in scope["headers"] if name == b"host"]
    return {"host": host, **{key: scope[key] for key in ("client", "scheme", "server", "root_path", "path")}}


def untouched(peer: Any) -> dict[str, Any]:
    return {
        "host": "app.example",
        "client": peer[:2] or None,
        "scheme": "http",
        "server": OURS if peer else ("/run/app.sock", None),
        "root_path": "",
        "path": "/p",
    }


def test_each_request_of_a_connection_is_read_for_itself(server: Server) -> None:
    believed, other, none = (request_of(xff(*values)) for values in (["203.0.113.7"], ["203.0.113.8"], []))
    order = [believed, believed, none, other, none, believed]
    answer = testing.run(server.get(PLAIN, PROXY, b"".join(order), 4096))
    assert answer.count(b"HTTP/1.1 204 ") == len(order)
    hosts = {believed: "203.0.113.7", other: "203.0.113.8", none: "10.0.0.1"}
    assert [scope["client"][0] for scope in server.scopes] == [hosts[data] for data in order]


def test_every_way_in_has_an_attack_and_a_use() -> None:
    for table, attacks in TABLES.items():
        assert any(not isinstance(attack.sees, int) and attack.sees for attack in attacks), table
        assert any(not attack.sees for attack in attacks), table


@pytest.mark.parametrize("attack", CASES)
def test_application_sees_what_it_must(server: Server, attack: Attack) -> None:
    data = attack.front + request_of(attack.lines)
    answers = {step: testing.run(server.get(attack.options, attack.peer, data, step)) for step in (len(data), 7)}
    for answer in answers.values():
        status = int(answer.split(b" ", 2)[1]) if answer else CLOSED
        if isinstance(attack.sees, int):
            assert status == attack.sees
        else:
            assert status in (204, 403)
    views = [view_of(scope) for scope in server.scopes]
    if attack.sees == CLOSED or (attack.sees == BAD_REQUEST and not data.startswith(b"POST")):
        assert views == []
    elif not isinstance(attack.sees, int):
        assert views == [{**untouched(attack.peer), **attack.sees}] * len(answers)
