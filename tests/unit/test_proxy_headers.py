"""asgi.proxy_headers and asgi.forwarded: who is believed, what a field may change, and what it must not."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from addax.asgi.forwarded import parse_forwarded, parse_host, parse_ip, parse_port, parse_prefix, split_host_port
from addax.asgi.proxy_headers import HopCountRules, ProxyHeadersMiddleware, ProxyRules, make_rules
from addax.asgi.trusted_peers import TrustedPeers, parse_item
from addax.core.errors import ConfigError
from addax.core.settings import ProxySettings
from addax.core.wire import Peer

PEER = ("10.0.0.1", 40000)
TRUSTED = ("10.0.0.0/8", "fd00::/8", "127.0.0.1", "::1", "edge.example", "unix:")
ALL = frozenset({"host", "port", "prefix", "forwarded"})


def rules(trusted: tuple[str, ...] = TRUSTED, *fields: str, enabled: bool = True) -> ProxyRules:
    return ProxyRules(ProxySettings(enabled=enabled, trusted=trusted, fields=frozenset(fields)))


def scope_of(*fields: tuple[str, str | bytes], **changes: Any) -> dict[str, Any]:
    encoded = [
        (name.encode(), value if isinstance(value, bytes) else value.encode("latin-1")) for name, value in fields
    ]
    return {
        "type": "http",
        "scheme": "http",
        "client": PEER,
        "server": ("10.0.0.9", 8000),
        "root_path": "",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "headers": [(b"host", b"inner:8000"), *encoded],
        **changes,
    }


def applied(rule: ProxyRules, *fields: tuple[str, str | bytes], **changes: Any) -> dict[str, Any]:
    """What `apply` changed: only the keys that are different afterwards."""
    scope = scope_of(*fields, **changes)
    before = dict(scope)
    headers = list(scope["headers"])
    rule.apply(scope)
    assert before["headers"] == headers, "the parser's list must not be changed"
    return {key: value for key, value in scope.items() if before[key] != value}


def hosts(scope: dict[str, Any]) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == b"host"]


# Whom to trust.


@pytest.mark.parametrize(
    ("trusted", "client", "expected"),
    [
        (("127.0.0.1",), "127.0.0.1", True),
        (("127.0.0.1",), "127.0.0.2", False),
        (("127.0.0.1",), "::ffff:127.0.0.1", True),
        (("::ffff:127.0.0.1",), "127.0.0.1", True),
        (("10.0.0.0/8",), "10.255.0.1", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.0/8",), "fd00::1", False),
        (("2001:db8::/32",), "2001:DB8:0:0::1", True),
        (("::1",), "0:0:0:0:0:0:0:1", True),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("fe80::1",), "fe80::1%eth0", True),
        (("::ffff:10.0.0.0/104",), "10.1.2.3", True),
        (("::ffff:10.0.0.0/104",), "::ffff:10.1.2.3", True),
        (("::ffff:10.0.0.0/104",), "11.1.2.3", False),
        (("testclient",), "testclient", True),
        (("testclient",), "testclient2", False),
        (("*",), "203.0.113.9", True),
        (("127.0.0.1", "*"), "anything", True),
        (("0.0.0.0/0",), "8.8.8.8", True),
        (("0.0.0.0/0",), "not-an-address", False),
        ((), "127.0.0.1", False),
        (("",), "127.0.0.1", False),
        ((" 127.0.0.1 ",), "127.0.0.1", True),
        (("unix:",), "127.0.0.1", False),
        (("127.0.0.1",), "1" * 5000, False),
    ],
)
def test_trusts_tcp_peers_by_address(trusted: tuple[str, ...], client: str, expected: bool) -> None:
    assert rules(trusted).trusts(Peer((client, 1), ("127.0.0.1", 80), "http")) is expected


@pytest.mark.parametrize(
    ("trusted", "server", "expected"),
    [
        (("unix:",), ("/run/x.sock", None), True),
        (("*",), ("/run/x.sock", None), True),
        (("127.0.0.1",), ("/run/x.sock", None), False),
        (("unix:",), None, True),
        # A TCP connection whose peer could not be told is not a Unix socket.
        (("unix:",), ("127.0.0.1", 80), False),
        (("*",), ("127.0.0.1", 80), True),
    ],
)
def test_trusts_unix_peers_by_unix_or_everybody(trusted: tuple[str, ...], server: Any, expected: bool) -> None:
    assert rules(trusted).trusts(Peer(None, server, "http")) is expected


def test_trusts_no_peer_that_cannot_forward() -> None:
    for trusted in (("*",), ("10.0.0.1",), ("unix:",)):
        assert not rules(trusted).trusts(Peer(PEER, None, "http", False))
        assert not rules(trusted).trusts(Peer(None, None, "http", False))


def test_everybody_is_not_named() -> None:
    assert not rules(("*",)).names(Peer(PEER, None, "http"))
    assert not rules(("*",)).names(Peer(None, None, "http"))
    assert rules(("*", "10.0.0.1", "unix:")).names(Peer(PEER, None, "http"))
    assert rules(("*", "10.0.0.1", "unix:")).names(Peer(None, None, "http"))


def test_trusts_nobody_when_disabled() -> None:
    assert not rules(("*",), enabled=False).trusts(Peer(PEER, None, "http"))


MALFORMED = [
    ("10.0.0.1/8", r"is an address inside of a network; did you mean 10\.0\.0\.0/8, or 10\.0\.0\.1 alone\?"),
    ("10.0.0.1/255.0.0.0", r"did you mean 10\.0\.0\.0/8, or 10\.0\.0\.1 alone\?"),
    ("2001:db8::1/32", r"did you mean 2001:db8::/32, or 2001:db8::1 alone\?"),
    ("::ffff:10.0.0.1/104", r"did you mean ::ffff:"),
    ("10.0.0.0/33", r"write a number from 0 to 32 behind the slash, as in 10\.0\.0\.0/32"),
    ("10.0.0.0/", "write a number from 0 to 32"),
    ("10.0.0.0/8/8", "write a number from 0 to 32"),
    ("10.0.0.0/-1", "write a number from 0 to 32"),
    ("2001:db8::/129", "write a number from 0 to 128 behind the slash, as in 2001:db8::/128"),
    ("10.0.0/8", "is not a network such as 10.0.0.0/8"),
    ("10/8", "is not a network such as"),
    ("example/8", "is not a network such as"),
    ("[2001:db8::]/32", r"is not a network such as .*; did you mean 2001:db8::, without"),
    ("fe80::1%eth0/64", r"is not a network such as .*; did you mean fe80::1, without"),
    ("/run/x.sock", "names a path, .*: write unix: for all"),
    ("unix:/run/x.sock", "names a path, .*: write unix: for all"),
    ("unix:///run/x.sock", "names a path, .*: write unix: for all"),
    ("http://10.0.0.1", "is a URL: write the address alone"),
    ("10.0.0.256", r"is not an IP address such as 10\.0\.0\.1"),
    ("10.0.1", "is not an IP address such as"),
    ("010.0.0.1", "is not an IP address such as"),
    ("167772161", "is not an IP address such as"),
    ("10.0.0.1-10.0.0.9", "is not an IP address such as"),
    ("10.0.0.1;10.0.0.2", "is not an IP address such as"),
    ("10.0.0.1:80", r"is not an IP address; did you mean 10\.0\.0\.1, without port"),
    ("[::1]:80", "is not an IP address; did you mean ::1, without port"),
    ("[::1]", "is not an IP address; did you mean ::1, without port, zone or brackets"),
    ("fe80::1%eth0", "is not an IP address; did you mean fe80::1, without port, zone"),
    ("2001:db8:::1", "is not an IP address$"),
    ("proxy.example:80", "is not an IP address$"),
    ("10.*", "is not a pattern: write a network"),
    ("*.example.com", "is not a pattern"),
    ("10.0.0.1 10.0.0.2", "holds white space .*: write a comma"),
    ("proxy\x00", "control characters"),
]


@pytest.mark.parametrize(("item", "reason"), MALFORMED)
def test_malformed_trusted_host_is_a_config_error(item: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"--forwarded-allow-ips: .*{reason}") as caught:
        rules(("127.0.0.1", item))
    assert repr(item) in caught.value.reason
    with pytest.raises(ValueError, match=reason):
        parse_item(item)


@pytest.mark.parametrize("item", ["proxy", "edge.example", "a_b", "localhost", "1a", "unix", "h\xe9", "*", "unix:"])
def test_names_are_taken_as_they_are(item: str) -> None:
    assert parse_item(item) == item


@pytest.mark.parametrize(
    ("item", "parsed"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::FFFF:10.0.0.1", "10.0.0.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.1/32", "10.0.0.1/32"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        # Addresses in it are looked up as IPv4: as IPv6, it would have trusted nobody.
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_addresses_and_networks_are_read(item: str, parsed: str) -> None:
    assert str(parse_item(item)) == parsed


def test_unknown_field_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="--forwarded-field: 'via' is not one of host, port, prefix, forwarded"):
        rules(TRUSTED, "host", "via")


# X-Forwarded-For: the spoofing table. The rightmost entry was written by the peer (trusted), each further one by
# whom the one to its right names; the first who is not trusted is the client, and may have invented all the rest.

XFF = [
    ("one client", ["203.0.113.7"], ("203.0.113.7", 0)),
    ("client and trusted proxy", ["203.0.113.7, 10.0.0.2"], ("203.0.113.7", 0)),
    ("several fields", ["203.0.113.7", "10.0.0.2"], ("203.0.113.7", 0)),
    ("no spaces", ["203.0.113.7,10.0.0.2"], ("203.0.113.7", 0)),
    ("tabs", ["\t203.0.113.7\t,\t10.0.0.2"], ("203.0.113.7", 0)),
    ("spoofed entry at the left", ["1.1.1.1, 203.0.113.7"], ("203.0.113.7", 0)),
    ("spoofed field before", ["1.1.1.1", "203.0.113.7"], ("203.0.113.7", 0)),
    ("spoofed trusted address at the left", ["10.0.0.66, 203.0.113.7"], ("203.0.113.7", 0)),
    ("spoofed loopback at the left", ["127.0.0.1, 203.0.113.7, 10.0.0.2"], ("203.0.113.7", 0)),
    ("all trusted", ["10.0.0.3, 10.0.0.2"], ("10.0.0.3", 0)),
    ("all trusted, a name", ["edge.example, 10.0.0.2"], ("edge.example", 0)),
    ("a trusted name is walked over", ["203.0.113.7, edge.example"], ("203.0.113.7", 0)),
    ("a unix hop is walked over", ["203.0.113.7, unix:"], ("203.0.113.7", 0)),
    ("port", ["203.0.113.7:4711"], ("203.0.113.7", 4711)),
    ("port of a trusted proxy", ["203.0.113.7, 10.0.0.2:80"], ("203.0.113.7", 0)),
    ("bare IPv6", ["2001:db8::7"], ("2001:db8::7", 0)),
    ("IPv6 is normalised", ["2001:DB8:0:0:0:0:0:7"], ("2001:db8::7", 0)),
    ("IPv6 in brackets", ["[2001:db8::7]"], ("2001:db8::7", 0)),
    ("IPv6 in brackets with port", ["[2001:db8::7]:4711"], ("2001:db8::7", 4711)),
    ("trusted IPv6 proxy", ["203.0.113.7, fd00::2"], ("203.0.113.7", 0)),
    ("mapped IPv4 becomes IPv4", ["::ffff:203.0.113.7"], ("203.0.113.7", 0)),
    ("mapped IPv4 of a trusted network", ["203.0.113.7, ::ffff:10.0.0.2"], ("203.0.113.7", 0)),
    ("garbage at the left of the client", ["<script>, 203.0.113.7"], ("203.0.113.7", 0)),
    ("garbage ends the walk at the last good hop", ["203.0.113.7, garbage, 10.0.0.2"], ("10.0.0.2", 0)),
    ("unknown ends the walk", ["203.0.113.7, unknown, 10.0.0.2"], ("10.0.0.2", 0)),
    ("empty entry ends the walk", ["203.0.113.7, , 10.0.0.2"], ("10.0.0.2", 0)),
    ("empty", [""], None),
    ("only commas", [",,,"], None),
    ("trailing comma", ["203.0.113.7,"], None),
    ("empty last field", ["203.0.113.7", ""], None),
    ("unknown", ["unknown"], None),
    ("a name", ["client.example"], None),
    ("a name that looks trusted", ["edge.example.evil.example"], None),
    ("trusted name in capitals", ["EDGE.EXAMPLE"], None),
    ("quoted", ['"203.0.113.7"'], None),
    ("leading zeros", ["203.0.113.007"], None),
    ("too few parts", ["203.0.113"], None),
    ("a plain number", ["3405803783"], None),
    ("hexadecimal", ["0xcb007107"], None),
    ("superscript digits", ["203.0.113.\xb2"], None),
    ("bytes above ASCII", [b"203.0.113.7\xff"], None),
    ("vertical tab is not white space", ["\x0b203.0.113.7"], None),
    ("no-break space is not white space", ["\xa0203.0.113.7"], None),
    ("NUL", ["203.0.113.7\x00"], None),
    ("line break", ["203.0.113.7\r\nx: y"], None),
    ("port 0", ["203.0.113.7:0"], None),
    ("port too great", ["203.0.113.7:65536"], None),
    ("port with six digits", ["203.0.113.7:000080"], None),
    ("port with sign", ["203.0.113.7:+80"], None),
    ("port with underscore", ["203.0.113.7:8_0"], None),
    ("port with a space", ["203.0.113.7: 80"], None),
    ("port empty", ["203.0.113.7:"], None),
    ("port in other digits", ["203.0.113.7:\xb9"], None),
    ("IPv4 in brackets", ["[203.0.113.7]:80"], None),
    ("bracket open", ["[2001:db8::7"], None),
    ("bracket closed only", ["2001:db8::7]"], None),
    ("text after the bracket", ["[2001:db8::7]80"], None),
    ("colon after the bracket without port", ["[2001:db8::7]:"], None),
    ("brackets empty", ["[]"], None),
    ("two brackets", ["[[2001:db8::7]]"], None),
    ("zone", ["fe80::1%eth0"], None),
    ("zone with a control character", ["fe80::1%\x1b[2J"], None),
    ("network", ["203.0.113.0/24"], None),
    ("everybody", ["*"], None),
    ("very long", ["1" * 60000], None),
]


@pytest.mark.parametrize(("values", "client"), [case[1:] for case in XFF], ids=[case[0] for case in XFF])
def test_x_forwarded_for_spoofing(values: list[Any], client: Any) -> None:
    changed = applied(rules(), *[("x-forwarded-for", value) for value in values])
    assert changed == ({} if client is None else {"client": client})


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["203.0.113.7, 10.0.0.2"], ("203.0.113.7", 0)),
        (["1.1.1.1, 203.0.113.7"], ("1.1.1.1", 0)),
        (["1.1.1.1", "203.0.113.7"], ("1.1.1.1", 0)),
        (["1.1.1.1:81, unknown"], ("1.1.1.1", 81)),
        (["unknown, 203.0.113.7"], None),
        ([" , 203.0.113.7"], None),
    ],
)
def test_x_forwarded_for_everybody_trusted_takes_the_leftmost(values: list[str], client: Any) -> None:
    changed = applied(rules(("*",)), *[("x-forwarded-for", value) for value in values])
    assert changed == ({} if client is None else {"client": client})


# X-Forwarded-Proto.


@pytest.mark.parametrize(
    ("values", "kind", "scheme"),
    [
        (["https"], "http", "https"),
        (["http"], "http", "http"),
        (["wss"], "http", "https"),
        (["ws"], "http", "http"),
        (["https"], "websocket", "wss"),
        (["http"], "websocket", "ws"),
        (["wss"], "websocket", "wss"),
        (["ws"], "websocket", "ws"),
        ([" https\t"], "http", "https"),
        (["http", "https"], "http", "https"),
        (["https", "http"], "http", "http"),
        (["https", "nonsense"], "http", None),
        (["HTTPS"], "http", None),
        (["https, http"], "http", None),
        (["javascript"], "http", None),
        (["https\x00"], "http", None),
        (["httpsx"], "http", None),
        (["wwss"], "websocket", None),
        ([""], "http", None),
    ],
)
def test_x_forwarded_proto(values: list[str], kind: str, scheme: str | None) -> None:
    before = "original"
    changed = applied(rules(), *[("x-forwarded-proto", value) for value in values], type=kind, scheme=before)
    assert changed == ({} if scheme is None else {"scheme": scheme})


def test_fields_that_were_not_asked_for_change_nothing() -> None:
    fields = [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-port", "444"),
        ("x-forwarded-prefix", "/evil"),
        ("forwarded", "for=1.1.1.1;proto=https;host=evil.example"),
        ("x-real-ip", "1.1.1.1"),
        ("x_forwarded_for", "1.1.1.1"),
    ]
    assert applied(rules(), *fields) == {}


def test_without_forwarded_fields_the_scope_is_not_touched() -> None:
    scope = scope_of(("accept", "*/*"))
    headers = scope["headers"]
    rules(TRUSTED, *ALL).apply(scope)
    assert scope == scope_of(("accept", "*/*"))
    assert scope["headers"] is headers


# X-Forwarded-Host and X-Forwarded-Port.


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "example.com:8443",
        "a_b.example",
        "EXAMPLE.com.",
        "203.0.113.7",
        "203.0.113.7:80",
        "[2001:db8::7]",
        "[::1]:65535",
        "localhost",
        "1a.2b",
        "x" * 63 + ".example",
    ],
)
def test_x_forwarded_host_replaces_the_host(host: str) -> None:
    changed = applied(rules(TRUSTED, "host"), ("x-forwarded-host", host), ("accept", "*/*"))
    assert list(changed) == ["headers"]
    assert changed["headers"] == [
        (b"host", host.encode()),
        (b"x-forwarded-host", host.encode()),
        (b"accept", b"*/*"),
    ]


BAD_HOSTS = [
    "",
    " ",
    "a b",
    "a,b",
    "a.example, b.example",
    "a/b",
    "a?b",
    "a#b",
    "user@a",
    "a\\b",
    "a\r\nx: y",
    "a\x00",
    "a\x1b",
    "\xe9.example",
    ".a",
    "a..b",
    "-a",
    "a:",
    "a:0",
    "a:65536",
    "a:80:80",
    "a:+80",
    "a:8a",
    ":80",
    "[::1",
    "::1",
    "[::1]x",
    "[1.2.3.4]",
    "[fe80::1%25eth0]",
    "[evil]",
    "203.0.113.256",
    "1.2.3",
    "1.2.3.4.",
    "x" * 64,
    "x." * 130,
    "a" * 70000,
    "%65xample",
    "<a>",
    "a;b",
    "'a'",
    '"a"',
]


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_x_forwarded_host_invalid_is_ignored(host: str) -> None:
    assert applied(rules(TRUSTED, "host"), ("x-forwarded-host", host)) == {}


def test_x_forwarded_host_twice_is_ignored() -> None:
    fields = [("x-forwarded-host", "evil.example"), ("x-forwarded-host", "example.com")]
    assert applied(rules(TRUSTED, "host"), *fields) == {}


def test_x_forwarded_host_without_a_host_field_adds_one_and_several_become_one() -> None:
    rule = rules(TRUSTED, "host")
    field = (b"x-forwarded-host", b"example.com")
    assert hosts(applied(rule, headers=[field])) == [b"example.com"]
    assert hosts(applied(rule, headers=[(b"host", b"a"), field, (b"host", b"b")])) == [b"example.com"]


@pytest.mark.parametrize(
    ("port", "scope", "server", "host"),
    [
        ("8443", {}, ("10.0.0.9", 8443), None),
        ("8443", {"headers": [(b"host", b"example.com")]}, ("10.0.0.9", 8443), b"example.com:8443"),
        ("8443", {"headers": [(b"host", b"[::1]")]}, ("10.0.0.9", 8443), b"[::1]:8443"),
        ("80", {"headers": [(b"host", b"example.com")]}, ("10.0.0.9", 80), None),
        ("443", {"headers": [(b"host", b"example.com")]}, ("10.0.0.9", 443), b"example.com:443"),
        ("443", {"headers": [(b"host", b"example.com")], "scheme": "https"}, ("10.0.0.9", 443), None),
        ("443", {"headers": [(b"host", b"a")], "scheme": "wss", "type": "websocket"}, ("10.0.0.9", 443), None),
        ("8443", {"headers": [(b"host", b"bad host")]}, ("10.0.0.9", 8443), None),
        ("8443", {"server": ("/run/x.sock", None), "headers": [(b"host", b"a.example:1")]}, ("a.example", 8443), None),
        ("8443", {"server": None, "headers": [(b"host", b"[::1]:1")]}, ("::1", 8443), None),
        ("8443", {"server": ("/run/x.sock", None), "headers": []}, None, None),
    ],
)
def test_x_forwarded_port(port: str, scope: dict[str, Any], server: Any, host: bytes | None) -> None:
    headers = [*scope.get("headers", [(b"host", b"inner:8000")]), (b"x-forwarded-port", port.encode())]
    changed = applied(rules(TRUSTED, "port"), **{**scope, "headers": headers})
    assert changed.get("server") == server
    assert (hosts(changed) if "headers" in changed else None) == (None if host is None else [host])


@pytest.mark.parametrize(
    "port", ["", "0", "65536", "99999", "+80", "-1", "8_0", "80, 81", "080", "\xb2", "1e3", "9" * 5000]
)
def test_x_forwarded_port_invalid_is_ignored(port: str) -> None:
    assert applied(rules(TRUSTED, "port"), ("x-forwarded-port", port)) == {}


def test_x_forwarded_port_twice_is_ignored() -> None:
    assert applied(rules(TRUSTED, "port"), ("x-forwarded-port", "1"), ("x-forwarded-port", "2")) == {}


def test_host_and_port_together_use_the_forwarded_scheme() -> None:
    fields = [("x-forwarded-port", "443"), ("x-forwarded-host", "example.com"), ("x-forwarded-proto", "https")]
    changed = applied(rules(TRUSTED, "host", "port"), *fields)
    assert (changed["scheme"], changed["server"], hosts(changed)) == ("https", ("10.0.0.9", 443), [b"example.com"])


# X-Forwarded-Prefix.


@pytest.mark.parametrize(
    ("prefix", "root", "expected"),
    [
        ("/api", "", "/api"),
        ("/api/", "", "/api"),
        ("/api/v1.0/~me", "", "/api/v1.0/~me"),
        ("/api", "/inner", "/api/inner"),
        ("/a:b@c=d;e+f", "", "/a:b@c=d;e+f"),
    ],
)
def test_x_forwarded_prefix_goes_before_root_path_and_paths(prefix: str, root: str, expected: str) -> None:
    scope = {"root_path": root, "path": f"{root}/a b", "raw_path": f"{root}/a%20b".encode()}
    changed = applied(rules(TRUSTED, "prefix"), ("x-forwarded-prefix", prefix), **scope)
    assert changed == {"root_path": expected, "path": f"{expected}/a b", "raw_path": f"{expected}/a%20b".encode()}


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "/",
        "api",
        "//",
        "//evil.example",
        "/a//b",
        "/a//",
        "/..",
        "/a/../b",
        "/a..b",
        "/.",
        "/./a",
        "/a/./b",
        "/a/.",
        "/a b",
        "/a,/b",
        "/a, /b",
        "/a?b",
        "/a#b",
        "/a\\b",
        "/a%2fb",
        "/%2e%2e",
        "/a\r\n",
        "/a\x00",
        "/a\x7f",
        "/\xe9",
        "http://evil.example/",
        "/" + "a" * 1024,
    ],
)
def test_x_forwarded_prefix_invalid_is_ignored(prefix: str) -> None:
    assert applied(rules(TRUSTED, "prefix"), ("x-forwarded-prefix", prefix)) == {}


def test_x_forwarded_prefix_twice_is_ignored() -> None:
    assert applied(rules(TRUSTED, "prefix"), ("x-forwarded-prefix", "/a"), ("x-forwarded-prefix", "/a")) == {}


@pytest.mark.parametrize("raw_path", [None, b"*"])
def test_x_forwarded_prefix_leaves_odd_paths_alone(raw_path: bytes | None) -> None:
    path = "*" if raw_path else "/x"
    changed = applied(rules(TRUSTED, "prefix"), ("x-forwarded-prefix", "/api"), path=path, raw_path=raw_path)
    assert changed == ({"root_path": "/api"} if raw_path else {"root_path": "/api", "path": "/api/x"})


# Forwarded (RFC 7239).

FORWARDED: list[tuple[str, list[str | bytes], dict[str, Any]]] = [
    ("for", ["for=203.0.113.7"], {"client": ("203.0.113.7", 0)}),
    ("names in any case", ["For=203.0.113.7;PROTO=https"], {"client": ("203.0.113.7", 0), "scheme": "https"}),
    ("quoted with port", ['for="203.0.113.7:4711"'], {"client": ("203.0.113.7", 4711)}),
    ("IPv6", ['for="[2001:DB8::7]"'], {"client": ("2001:db8::7", 0)}),
    ("IPv6 with port", ['for="[2001:db8::7]:4711"'], {"client": ("2001:db8::7", 4711)}),
    ("obfuscated port", ['for="203.0.113.7:_x.y-z"'], {"client": ("203.0.113.7", 0)}),
    ("IPv6 with obfuscated port", ['for="[2001:db8::7]:_p"'], {"client": ("2001:db8::7", 0)}),
    ("escaped characters", [r'for="203.0.113\.7"'], {"client": ("203.0.113.7", 0)}),
    ("quoted without need", ['for="203.0.113.7";proto="https"'], {"client": ("203.0.113.7", 0), "scheme": "https"}),
    ("by and extensions", ["by=_me;for=203.0.113.7;x-id=7"], {"client": ("203.0.113.7", 0)}),
    (
        "spaces round the semicolon",
        ["for=203.0.113.7 ; proto=https"],
        {"client": ("203.0.113.7", 0), "scheme": "https"},
    ),
    ("empty pairs", [";;for=203.0.113.7;"], {"client": ("203.0.113.7", 0)}),
    ("trusted hop", ["for=203.0.113.7, for=10.0.0.2"], {"client": ("203.0.113.7", 0)}),
    ("trusted obfuscated hop", ["for=203.0.113.7, for=edge.example"], {"client": ("203.0.113.7", 0)}),
    ("two fields", ["for=203.0.113.7", "for=10.0.0.2"], {"client": ("203.0.113.7", 0)}),
    ("spoofed element", ["for=1.1.1.1;proto=https, for=203.0.113.7"], {"client": ("203.0.113.7", 0)}),
    ("spoofed field", ["for=1.1.1.1;proto=https", "for=203.0.113.7"], {"client": ("203.0.113.7", 0)}),
    (
        "proto and host are those of the outermost trusted proxy",
        ["for=1.1.1.1;proto=ws, for=203.0.113.7;proto=https, for=10.0.0.2;proto=http"],
        {"client": ("203.0.113.7", 0), "scheme": "https"},
    ),
    (
        "inner proto says nothing of the outer hop",
        ["for=203.0.113.7, for=10.0.0.2;proto=https"],
        {"client": ("203.0.113.7", 0)},
    ),
    ("all trusted", ["for=10.0.0.3;proto=https, for=10.0.0.2"], {"client": ("10.0.0.3", 0), "scheme": "https"}),
    ("unknown", ["for=unknown;proto=https"], {"scheme": "https"}),
    ("obfuscated", ["for=_hidden;proto=https"], {"scheme": "https"}),
    ("obfuscated behind a proxy", ["for=1.1.1.1, for=_hidden, for=10.0.0.2"], {"client": ("10.0.0.2", 0)}),
    ("unknown with port", ['for="unknown:80"'], {}),
    ("no for", ["proto=https"], {"scheme": "https"}),
    ("nothing beyond an element without for", ["for=1.1.1.1, proto=https"], {"scheme": "https"}),
    ("empty", [""], {}),
    ("IPv6 without brackets", ['for="2001:db8::7"'], {}),
    ("IPv6 without quotes", ["for=[2001:db8::7]"], {}),
    ("port without quotes", ["for=203.0.113.7:80"], {}),
    ("port too great", ['for="203.0.113.7:65536"'], {}),
    ("space before =", ["for =203.0.113.7"], {}),
    ("space after =", ["for= 203.0.113.7"], {}),
    ("no value", ["for="], {}),
    ("no =", ["for"], {}),
    ("duplicate parameter", ["for=203.0.113.7;for=1.1.1.1"], {}),
    ("duplicate in other case", ["for=203.0.113.7;For=1.1.1.1"], {}),
    ("bad proto", ["for=203.0.113.7;proto=file"], {"client": ("203.0.113.7", 0)}),
    ("proto in capitals", ["for=203.0.113.7;proto=HTTPS"], {"client": ("203.0.113.7", 0)}),
    ("bad host", ['for=203.0.113.7;host="a b"'], {"client": ("203.0.113.7", 0)}),
    ("control character in quotes", ['for="203.0.113.7\x00"'], {}),
    ("text after the quotes", ['for="203.0.113.7"x'], {}),
    ("quote left open", ['for="203.0.113.7'], {}),
    ("client left a quote open", ['for=", for=203.0.113.7'], {"client": ("203.0.113.7", 0)}),
    ("client left a quote open in a field before", ['for="', "for=203.0.113.7"], {"client": ("203.0.113.7", 0)}),
    ("client left a quote open with a backslash", ['for="\\, for=203.0.113.7'], {"client": ("203.0.113.7", 0)}),
    (
        "client tries to begin inside our quotes",
        ['for=203.0.113.7;by="x, for=1.1.1.1"'],
        {"client": ("203.0.113.7", 0)},
    ),
    ("the same with escaped quotes", [r'for=203.0.113.7;by="x\", for=1.1.1.1;y=\""'], {"client": ("203.0.113.7", 0)}),
    ("the same with escaped backslash", [r'for=203.0.113.7;by="x\\"'], {"client": ("203.0.113.7", 0)}),
    ("comma and semicolon in quotes", ['for=203.0.113.7;by="a;for=1.1.1.1,b"'], {"client": ("203.0.113.7", 0)}),
    ("garbage at the left", ["%%%, for=203.0.113.7"], {"client": ("203.0.113.7", 0)}),
    ("garbage in the middle", ["for=1.1.1.1, %%%, for=10.0.0.2"], {"client": ("10.0.0.2", 0)}),
    ("bytes above ASCII", [b"for=203.0.113.7\xff"], {}),
]


@pytest.mark.parametrize(("lines", "changes"), [case[1:] for case in FORWARDED], ids=[case[0] for case in FORWARDED])
def test_forwarded(lines: list[Any], changes: dict[str, Any]) -> None:
    assert applied(rules(TRUSTED, "forwarded"), *[("forwarded", line) for line in lines]) == changes


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("for=203.0.113.7;host=example.com", b"example.com"),
        ('for=203.0.113.7;host="example.com:8443"', b"example.com:8443"),
        ('for=203.0.113.7;host="[2001:db8::7]:1"', b"[2001:db8::7]:1"),
        ("host=example.com", b"example.com"),
        ("for=203.0.113.7;host=evil.example, for=10.0.0.2;host=example.com, for=10.0.0.3;host=inner", b"evil.example"),
        ("for=1.1.1.1;host=evil.example, for=203.0.113.7;host=example.com, for=10.0.0.3;host=inner", b"example.com"),
    ],
)
def test_forwarded_host_replaces_the_host(value: str, host: bytes) -> None:
    assert hosts(applied(rules(TRUSTED, "forwarded"), ("forwarded", value))) == [host]


def test_forwarded_for_a_websocket_sets_its_scheme() -> None:
    changed = applied(rules(TRUSTED, "forwarded"), ("forwarded", "proto=https"), type="websocket", scheme="ws")
    assert changed == {"scheme": "wss"}


@pytest.mark.parametrize(
    ("lines", "changes"),
    [
        (["for=1.1.1.1;proto=https, for=203.0.113.7"], {"client": ("1.1.1.1", 0), "scheme": "https"}),
        (["for=_hidden;proto=https, for=203.0.113.7"], {"scheme": "https"}),
        (["%%%, for=203.0.113.7;proto=https"], {"client": ("203.0.113.7", 0), "scheme": "https"}),
        (["%%%"], {}),
    ],
)
def test_forwarded_everybody_trusted_takes_the_leftmost(lines: list[str], changes: dict[str, Any]) -> None:
    assert applied(rules(("*",), "forwarded"), *[("forwarded", line) for line in lines]) == changes


@pytest.mark.parametrize("forwarded", ["for=203.0.113.7", "%%%"])
def test_forwarded_wins_over_all_x_fields_but_the_prefix(forwarded: str) -> None:
    fields = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-prefix", "/api"),
        ("forwarded", forwarded),
    ]
    changed = applied(rules(TRUSTED, *ALL), *fields)
    assert set(changed) - {"client"} == {"root_path", "path", "raw_path"}
    assert changed.get("client") == (("203.0.113.7", 0) if forwarded.startswith("for") else None)


def test_forwarded_elements_are_read_from_the_right() -> None:
    elements = parse_forwarded(["for=a;host=h, for=b", 'for=c;proto="x"'])
    assert [tuple(element) for element in elements] == [("c", "x", ""), ("b", "", ""), ("a", "", "h")]


def test_forwarded_takes_64_elements_and_no_more() -> None:
    nodes = [element.node for element in parse_forwarded([",".join(f"for=n{number}" for number in range(100))])]
    assert nodes == [f"n{number}" for number in range(99, 35, -1)]


# Hop counts: what was there before the first proxy is never read, and a request that went round one is not believed.

HOPS: list[tuple[str, int, list[tuple[str, str]], dict[str, Any]]] = [
    ("one proxy", 1, [("for", "203.0.113.7")], {"client": ("203.0.113.7", 0)}),
    ("one proxy, and what the client invented", 1, [("for", "10.0.0.5, 203.0.113.7")], {"client": ("203.0.113.7", 0)}),
    ("the client looks like a proxy", 1, [("for", "1.1.1.1, 10.0.0.2")], {"client": ("10.0.0.2", 0)}),
    ("two, none of them known", 2, [("for", "203.0.113.7, 198.51.100.1")], {"client": ("203.0.113.7", 0)}),
    ("two, in two lines", 2, [("for", "1.1.1.1, 203.0.113.7"), ("for", "10.0.0.2")], {"client": ("203.0.113.7", 0)}),
    ("with a port", 2, [("for", "203.0.113.7:81, 10.0.0.2")], {"client": ("203.0.113.7", 81)}),
    ("an inner one does not say who it is", 2, [("for", "203.0.113.7, unknown")], {"client": ("203.0.113.7", 0)}),
    ("an inner one says nothing", 2, [("for", "203.0.113.7,")], {"client": ("203.0.113.7", 0)}),
    ("the client is unknown", 2, [("for", "unknown, 10.0.0.2"), ("proto", "https")], {"scheme": "https"}),
    ("the client is empty", 2, [("for", " , 10.0.0.2"), ("proto", "https")], {"scheme": "https"}),
    ("fewer than proxies", 2, [("for", "203.0.113.7"), ("proto", "https"), ("host", "h"), ("prefix", "/a")], {}),
    ("none at all", 1, [("proto", "https"), ("host", "h"), ("port", "444"), ("prefix", "/a")], {}),
    ("a proto each", 2, [("for", "a, b"), ("proto", "https, http")], {"scheme": "https"}),
    ("a proto before", 2, [("for", "a, b"), ("proto", "http, https"), ("proto", "http")], {"scheme": "https"}),
    ("one proto, handed on", 2, [("for", "a, b"), ("proto", "https")], {"scheme": "https"}),
    ("too few protos to tell whose", 3, [("for", "a, b, c"), ("proto", "https, https")], {}),
    ("the client's host before", 1, [("for", "a"), ("host", "evil, h.example")], {"host": b"h.example"}),
    ("a host each", 2, [("for", "a, b"), ("host", "h.example, inner")], {"host": b"h.example"}),
    ("the nearest host is not the right one", 2, [("for", "a, b"), ("host", "evil, bad host, inner")], {}),
    ("ports", 2, [("for", "a, b"), ("port", "1, 443, 8000")], {"server": ("10.0.0.9", 443)}),
    ("prefixes", 2, [("for", "a, b"), ("prefix", "/evil, /a"), ("prefix", "/b")], {"root_path": "/a"}),
    ("Forwarded", 1, [("", "for=1.1.1.1;proto=wss;host=evil, for=203.0.113.7")], {"client": ("203.0.113.7", 0)}),
    ("Forwarded, all of one hop", 2, [("", "for=_x;proto=https;host=h, for=_y")], {"scheme": "https", "host": b"h"}),
    ("Forwarded, past an obfuscated hop", 2, [("", "for=203.0.113.7, for=_x")], {"client": ("203.0.113.7", 0)}),
    ("Forwarded, too few", 3, [("", "for=a;proto=https, for=b"), ("for", "a, b, c"), ("prefix", "/a")], {}),
    ("Forwarded, malformed in between", 3, [("", "for=203.0.113.7, %%%, for=10.0.0.2")], {}),
    ("Forwarded, client not said", 1, [("", "for=1.1.1.1, proto=https")], {"scheme": "https"}),
    ("Forwarded and a prefix", 1, [("", "for=a"), ("prefix", "/evil, /a")], {"root_path": "/a"}),
]  # fmt: skip


@pytest.mark.parametrize("trusted", [TRUSTED, ("*",), ("10.0.0.1",)])
@pytest.mark.parametrize(("hops", "fields", "changes"), [case[1:] for case in HOPS], ids=[case[0] for case in HOPS])
def test_hop_count(hops: int, fields: list[tuple[str, str]], changes: dict[str, Any], trusted: tuple[str, ...]) -> None:
    rule = make_rules(ProxySettings(trusted=trusted, fields=ALL, hops_count=hops))
    assert rule.trusts(Peer(PEER, None, "http"))
    changed = applied(rule, *[(f"x-forwarded-{name}" if name else "forwarded", value) for name, value in fields])
    headers = changed.pop("headers", None)
    if headers is not None:
        changed["host"] = dict(headers)[b"host"]
    assert {key: value for key, value in changed.items() if key not in ("path", "raw_path")} == changes


def test_hop_count_believes_trusted_peers_only() -> None:
    rule = make_rules(ProxySettings(trusted=("10.0.0.1",), hops_count=1))
    assert not rule.trusts(Peer(("10.0.0.2", 1), None, "http"))


def test_rules_without_a_hop_count_do_not_look_for_one() -> None:
    assert type(make_rules(ProxySettings())) is ProxyRules
    assert type(make_rules(ProxySettings(hops_count=1))) is HopCountRules


def random_value(source: random.Random) -> str:
    return "".join(source.choice('ab.,;= "\\:[]_') for _ in range(source.randrange(8)))


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_forwarded_from_the_right_is_what_it_is_from_the_left_whatever_stands_before() -> None:
    source = random.Random(7239)
    for _ in range(3000):
        written = [(random_value(source), random_value(source)) for _ in range(source.randrange(1, 5))]
        line = ",".join(f"proto={quoted(proto)}; host={quoted(host)}" for proto, host in written)
        invented = random_value(source) + random_value(source)
        elements = parse_forwarded([f"{invented},{line}"])[: len(written)]
        assert [(element.proto, element.host) for element in reversed(elements)] == written, line


# Cost: nothing that a stranger sends may take more than time in proportion to its length.


@pytest.mark.parametrize(
    "value",
    [
        "," * 60000,
        '"' * 60000,
        '",' * 30000,
        "\\" * 60000,
        '\\"' * 30000,
        " " * 60000 + "x",
        ";" * 60000 + "x",
        "for=" + "a" * 60000,
        "a." * 30000,
        "[" * 60000,
        ":" * 60000,
        "/a" * 30000,
        "for=10.0.0.2," * 4600,
        "10.0.0.2," * 6600,
        ":_" * 30000,
    ],
)
@pytest.mark.parametrize("hops_count", [None, 2, 64])
def test_hostile_values_are_handled_quickly(value: str, hops_count: int | None) -> None:
    rule = make_rules(ProxySettings(trusted=TRUSTED, fields=ALL, hops_count=hops_count))
    names = ("x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-proto")
    begin = time.process_time()
    applied(rule, *[(name, value) for name in names])
    applied(rule, ("forwarded", value))
    applied(rule, ("forwarded", f'for="{value}"'))
    assert time.process_time() - begin < 1.0


def test_trust_lookups_are_remembered_within_a_bound() -> None:
    peers = TrustedPeers(TRUSTED)
    for number in range(5000):
        peers.host(f"203.0.{number // 250}.{number % 250}")
    peers.host("1" * 5000)
    assert peers._lookup.cache_info().currsize == 4096


# The pieces.


def test_text_functions_on_their_own() -> None:
    assert parse_ip("::ffff:1.2.3.4") == parse_ip("1.2.3.4")
    assert parse_ip("::1%lo") is None
    assert (parse_port("65535"), parse_port("65536"), parse_port("")) == (65535, None, None)
    assert split_host_port("whatever it is") == ("whatever it is", 0)
    assert parse_host("[::1]:80") == ("::1", 80)
    assert (parse_prefix("/"), parse_prefix("/a/"), parse_prefix("a")) == ("", "/a", None)


# The middleware.


def through(middleware_args: tuple[Any, ...], scope: dict[str, Any]) -> dict[str, Any]:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    async def nothing(*args: Any) -> Any:
        raise AssertionError("not called")

    asyncio.run(ProxyHeadersMiddleware(app, *middleware_args)(scope, nothing, nothing))
    (result,) = seen
    return result


@pytest.mark.parametrize(
    ("trusted", "client", "expected"),
    [
        ((), ("127.0.0.1", 1), "203.0.113.7"),
        ((), ("10.0.0.1", 1), "10.0.0.1"),
        (("10.0.0.1, 127.0.0.1",), ("10.0.0.1", 1), "203.0.113.7"),
        ((["10.0.0.0/8"],), ["10.0.0.1", 1], "203.0.113.7"),
        (("*",), ("8.8.8.8", 1), "203.0.113.7"),
        ((["*"],), None, "203.0.113.7"),
        (("testclient",), ("testclient", 1), "203.0.113.7"),
        (("",), ("127.0.0.1", 1), "127.0.0.1"),
    ],
)
def test_middleware_uses_the_same_rules(trusted: Any, client: Any, expected: str) -> None:
    scope = scope_of(("x-forwarded-for", "203.0.113.7"), client=client)
    assert through(trusted, scope)["client"][0] == expected


def test_middleware_leaves_a_missing_client_untrusted() -> None:
    assert through((), scope_of(("x-forwarded-for", "203.0.113.7"), client=None))["client"] is None


def test_middleware_rewrites_websocket_scopes() -> None:
    scope = scope_of(("x-forwarded-proto", "https"), type="websocket", scheme="ws", client=("127.0.0.1", 1))
    assert through((), scope)["scheme"] == "wss"


def test_middleware_passes_lifespan_through() -> None:
    scope = {"type": "lifespan"}
    assert through((), scope) is scope


def test_middleware_takes_its_arguments_by_name() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    assert ProxyHeadersMiddleware(app=app, trusted_hosts=["10.0.0.0/8"]).app is app


@pytest.mark.parametrize("item", ["unix:///foo/bar", "/foo/bar", "garba*gewith*", "10.0.0.1/8", "10.0.0.256"])
def test_middleware_takes_what_is_malformed_for_a_name_as_uvicorn_does(
    item: str, caplog: pytest.LogCaptureFixture
) -> None:
    scope = scope_of(("x-forwarded-for", f"203.0.113.7, {item}"), client=(item, 0))
    assert through((f" {item} , 10.0.0.9",), scope)["client"] == ("203.0.113.7", 0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"Trusted hosts: {item!r} " in caplog.text
    scope = scope_of(("x-forwarded-for", "203.0.113.7"), client=("10.0.0.1", 0))
    assert through(([item],), scope)["client"] == ("10.0.0.1", 0)


@pytest.mark.parametrize("trusted", [",10.0.0.1,", ["", "10.0.0.1"], "10.0.0.1,,"])
def test_middleware_leaves_out_what_is_empty(trusted: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert through((trusted,), scope_of(("x-forwarded-for", "203.0.113.7")))["client"] == ("203.0.113.7", 0)
    assert through((trusted,), scope_of(("x-forwarded-for", "1.1.1.1"), client=("", 0)))["client"] == ("", 0)
    assert not caplog.records
