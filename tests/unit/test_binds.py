"""``--bind``: what is a place to listen at, and when two of them are one."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addax.config.binds import SHORTHANDS, find_same, names_tcp, parse_bind
from addax.config.options import BY_NAME
from addax.core.settings import Bind

GOOD = [
    ("127.0.0.1:8000", Bind(host="127.0.0.1", port=8000)),
    ("localhost:0", Bind(host="localhost", port=0)),
    ("example.org:65535", Bind(host="example.org", port=65535)),
    (":80", Bind(host=None, port=80)),
    ("[::1]:80", Bind(host="::1", port=80)),
    ("[::]:80", Bind(host="::", port=80)),
    ("[fe80::1%eth0]:80", Bind(host="fe80::1%eth0", port=80)),
    ("unix:app.sock", Bind(uds="app.sock")),
    ("unix:/tmp/a b:c.sock", Bind(uds="/tmp/a b:c.sock")),
    ("h:80?tls=off", Bind(host="h", port=80, tls=False)),
    ("[::1]:80?tls=on", Bind(host="::1", port=80, tls=True)),
    ("fd://3?tls=off", Bind(fd=3, tls=False)),
    ("unix:s?mode=660&tls=on", Bind(uds="s", uds_mode=0o660, tls=True)),
    ("unix:s?mode=660", Bind(uds="s", uds_mode=0o660)),
    ("unix:s?user=www-data&mode=0o600&group=33", Bind(uds="s", uds_mode=0o600, uds_user="www-data", uds_group="33")),
    ("fd://3", Bind(fd=3)),
    ("fd://0", Bind(fd=0)),
    ("systemd", Bind(fd="systemd")),
    ("systemd:web", Bind(fd="systemd:web")),
    ("systemd:80", Bind(fd="systemd:80")),
    ("systemd-host:80", Bind(host="systemd-host", port=80)),
    ("*:80", Bind(host=None, port=80)),
    ("unix:./@name", Bind(uds="./@name")),
]

BAD = [
    ("", "'' is not known, or has no port: write host:port, [v6]:port, unix:path, fd://number, systemd or systemd:N"),
    ("systemd:", "'systemd:' has no name: write systemd, or systemd:NAME"),
    ("Systemd", "'Systemd' is not known, or has no port"),
    ("127.0.0.1", "is not known, or has no port"),
    ("[::1]", "is not known, or has no port"),
    ("8000", "is not known, or has no port"),
    ("h:", "'h:': '' is not a port"),
    ("h:http", "'h:http': 'http' is not a port"),
    ("h:-1", "'-1' is not a port"),
    ("h:+1", "'+1' is not a port"),
    ("h: 1", "' 1' is not a port"),
    ("h:\u0661", "is not a port"),
    ("h:65536", "65536 is not in the range 0 to 65535"),
    ("h:" + "9" * 5000, "is not a port"),
    ("h:80?mode=660", "'mode=660' is not one of tls=on and tls=off"),
    ("h:80?tls=perhaps", "'perhaps' is neither yes nor no"),
    ("fd://3?tls", "'tls' is not one of"),
    ("h:80?tls=on&tls=on", "tls is there twice"),
    ("::1:80", "write an IPv6 address in brackets"),
    ("::", "write an IPv6 address in brackets"),
    ("[127.0.0.1]:80", "'127.0.0.1' is not an IPv6 address"),
    ("[]:80", "'' is not an IPv6 address"),
    ("[::1:80", "in brackets"),
    ("a b:80", "white space"),
    ("a/b:80", "leave scheme and path out"),
    ("http://h:80", "'http://h:80' is not known"),
    ("tcp://h:80", "is not known"),
    ("unix:", "the path is empty"),
    ("unix:?mode=660", "the path is empty"),
    ("unix:/nowhere/at/all/s", "directory '/nowhere/at/all' does not exist"),
    (f"unix:{os.path.dirname(__file__)}", "is a directory"),
    ("unix:a\0b", "null character"),
    ("unix:@name", "'@name' is an abstract socket, which everybody may use: write ./@name for a file"),
    ("unix:s?", "'' is not one of mode=…, user=…, group=… and tls=…"),
    ("unix:s?mode", "'mode' is not one of"),
    ("unix:s?mode=", "'mode=' is not one of"),
    ("unix:s?mode=999", "'999' is not an octal mode"),
    ("unix:s?color=red", "'color=red' is not one of"),
    ("unix:s?mode=600&mode=660", "mode is there twice"),
    ("unix:s?user=a&user=a", "user is there twice"),
    ("fd://", "'' is not a descriptor number"),
    ("fd://x", "'x' is not a descriptor number"),
    ("fd://-1", "'-1' is not a descriptor number"),
]


@pytest.mark.parametrize(("text", "bind"), GOOD)
def test_good_place_is_read(text: str, bind: Bind) -> None:
    assert parse_bind(text) == bind
    option = BY_NAME["bind"]
    assert option.read([f" {text} "]) == [text]
    assert option.to_setting([text]) == (bind,)


@pytest.mark.parametrize(("text", "reason"), BAD)
def test_bad_place_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_bind(text)
    with pytest.raises(ValueError, match=re.escape(reason)):
        BY_NAME["bind"].read([text])


def test_a_place_is_text() -> None:
    with pytest.raises(ValueError, match="8000 is not text"):
        BY_NAME["bind"].read([8000])


PIECES = [
    *["unix:", "fd://", "[", "]", "::", "[::1]", ":", ":80", ":0", "?", "&", "=", "mode=660", "user=root", "group=0"],
    *["%", "%eth0", "/", ".", "..", "localhost", "127.0.0.1", "systemd", "web"],
    *["http://", "9" * 30, "\0", "\n", "\ud800", "\u0661", " ", "\x7f"],
]


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.one_of(st.text(), st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=7).map("".join)))
def test_any_text_is_a_place_or_a_value_error_and_a_place_says_what_it_is(text: str) -> None:
    try:
        bind = parse_bind(text)
    except ValueError:
        return
    # What messages show is a place of the same meaning, but for what concerns the file.
    same = parse_bind(bind.text)
    assert (same.host, same.port, same.uds, same.fd) == (bind.host, bind.port, bind.uds, bind.fd)
    assert names_tcp(text) == bind.is_tcp
    find_same([text, bind.text])


@pytest.mark.parametrize(
    "texts",
    [
        ["127.0.0.1:1", "127.0.0.1:1"],
        ["Host:1", "host:1"],
        ["[::1]:1", "[0:0::1]:1"],
        ["[::]:1", ":1"],
        ["*:1", ":1"],
        ["unix:././s", "unix:s?mode=600"],
        ["fd://3", "fd://03"],
        ["systemd:web", "systemd:web"],
        ["systemd", "systemd"],
        ["systemd", "systemd:web"],
    ],
)
def test_the_same_place_is_found(texts: list[str]) -> None:
    assert find_same(["fd://9", *texts]) == tuple(texts)


@pytest.mark.parametrize(
    "texts",
    [
        *(["h:0", "h:0"], ["h:1", "h:2"], ["h:1", "g:1"], ["0.0.0.0:1", "[::]:1"], ["unix:a", "unix:b"]),
        *(["fd://3", "h:3"], ["systemd:a", "systemd:b"]),
    ],
)
def test_different_places_are_different(texts: list[str]) -> None:
    assert find_same(texts) is None


def test_shorthands_are_options_and_fields_of_a_bind() -> None:
    assert all(BY_NAME[name].setting == "" and hasattr(Bind(), name) for name in SHORTHANDS)
    assert Bind(**{name: BY_NAME[name].default for name in SHORTHANDS}) == Bind()
