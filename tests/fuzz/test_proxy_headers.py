"""Forwarded fields never raise, whatever is in them, and a scope that they have changed is a right one.

The peer is trusted here: what it passes on may still be any client's invention.
"""

from __future__ import annotations

import copy
import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from addax.asgi.forwarded import parse_forwarded, parse_host, parse_ip, parse_port, parse_prefix, split_host_port
from addax.asgi.proxy_headers import make_rules
from addax.asgi.trusted_peers import TrustedPeers, parse_item
from addax.core.settings import ProxySettings
from addax.core.target import is_authority

from .profile import fuzz

NAMES = [
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"forwarded",
    b"host",
    b"x-other",
]
#: Between bars, because most of these have other marks in them.
_PARTS = (
    "1.2.3.4|127.0.0.1|10.0.0.9|::1|[::1]|fe80::1%eth0|::ffff:1.2.3.4|01.2.3.4|1.2.3|unknown|_hidden|edge|unix:"
    '|,|, |;|=|:|"|\\|[|]|/|//|..|%2f|*|:80|:0|:99999|:_p|0|65536|-|a_b|h:8|h.example|| |\t|\x85|\xff|\xb2'
    "|http|https|wss|ftp|HTTPS|for=|proto=|host=|by=|FOR=|/app|/\xe9"
)
PARTS = _PARTS.split("|")
VALUES = st.one_of(
    st.lists(st.sampled_from(PARTS), max_size=8).map("".join),
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=20),
)
TRUSTED = st.sampled_from([("127.0.0.1", "10.0.0.0/8", "edge", "fd00::/8"), ("*",), ("unix:",)])
ALL = frozenset({"host", "port", "prefix", "forwarded"})


def scope_of(kind: str, fields: list[tuple[bytes, str]]) -> dict[str, Any]:
    return {
        "type": kind,
        "scheme": "http" if kind == "http" else "ws",
        "client": ("127.0.0.1", 40000),
        "server": ("10.0.0.9", 8000),
        "root_path": "/root",
        "path": "/root/a",
        "raw_path": b"/root/a",
        "headers": [(b"host", b"inner:8000"), *[(name, value.encode("latin-1")) for name, value in fields]],
    }


@fuzz(400)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=5),
    st.sampled_from(["http", "websocket"]),
    TRUSTED,
    st.sampled_from([ALL, frozenset()]),
    st.sampled_from([None, None, 1, 2, 3]),
)
def test_forwarded_fields_leave_a_right_scope(
    fields: list[tuple[bytes, str]],
    kind: str,
    trusted: tuple[str, ...],
    wanted: frozenset[str],
    hops_count: int | None,
) -> None:
    scope = scope_of(kind, fields)
    before = copy.deepcopy(scope)
    list_before = scope["headers"]
    make_rules(ProxySettings(trusted=trusted, fields=wanted, hops_count=hops_count)).apply(scope)

    assert list_before == before["headers"], "the parser's list must not be changed"
    assert scope.keys() == before.keys()
    assert scope["type"] == kind
    assert scope["scheme"] in (("http", "https") if kind == "http" else ("ws", "wss"))
    host, port = scope["client"]
    # A name is taken only where it is trusted by that name.
    assert host in trusted or str(ipaddress.ip_address(host)) == host
    assert 0 <= port <= 65535
    server_host, server_port = scope["server"]
    assert isinstance(server_host, str)
    assert isinstance(server_port, int)
    assert 0 < server_port <= 65535
    assert all(type(name) is bytes and type(value) is bytes for name, value in scope["headers"])
    if scope["headers"] is not list_before:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        assert len(hosts) == 1
        assert is_authority(hosts[0])
    for key in ("root_path", "path"):
        assert scope[key].startswith("/")
        assert ".." not in scope[key].split("/")
    assert scope["path"].startswith(scope["root_path"].rstrip("/"))
    if not wanted:
        changed = {key for key, value in scope.items() if value != before[key]}
        assert changed <= {"client", "scheme"}


@fuzz(300)
@given(VALUES)
def test_parsers_of_forwarded_text_never_raise(text: str) -> None:
    address = parse_ip(text)
    assert address is None or parse_ip(str(address)) == address
    port = parse_port(text)
    assert port is None or 1 <= port <= 65535
    parts = split_host_port(text)
    assert parts is None or 0 <= parts[1] <= 65535
    host = parse_host(text)
    assert host is None or is_authority(text.encode("ascii"))
    prefix = parse_prefix(text)
    assert prefix is None or prefix == "" or prefix.startswith("/")
    for element in parse_forwarded([text]):
        assert all(isinstance(part, str) for part in element)


@fuzz(400)
@given(
    st.one_of(
        VALUES,
        st.tuples(st.ip_addresses(), st.one_of(st.integers(0, 140), VALUES)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
        st.ip_addresses(network="::ffff:0:0/96").map(lambda address: f"{address}/{96 + int(address) % 33}"),
    )
)
def test_item_of_the_trusted_is_read_or_refused_and_trusts_itself(text: str) -> None:
    try:
        parsed = parse_item(text)
    except ValueError:
        return
    assert parse_item(str(parsed)) == parsed
    peers = TrustedPeers([text])
    assert peers.everybody == (text == "*")
    if isinstance(parsed, ipaddress.IPv4Network | ipaddress.IPv6Network):
        first, last = parsed[0], parsed[-1]
        assert all(peers.host(str(address)) == (str(parse_ip(str(address))), True) for address in (first, last))
    elif text != "*":
        assert peers.node(text) == (str(parsed), 0, True)
