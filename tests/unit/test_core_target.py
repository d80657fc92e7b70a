from __future__ import annotations

import pytest

from addax.core.errors import RemoteProtocolError
from addax.core.target import is_authority, parse_target


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        (b"/", "/", b"/", b""),
        (b"/a/b?c=d", "/a/b", b"/a/b", b"c=d"),
        (b"/a?b?c", "/a", b"/a", b"b?c"),
        (b"/a%20b", "/a b", b"/a%20b", b""),
        (b"/%E4%B8%AD", "/中", b"/%E4%B8%AD", b""),
        (b"/%ff", "/\ufffd", b"/%ff", b""),
        (b"/%zz%4", "/%zz%4", b"/%zz%4", b""),
        (b"//x", "//x", b"//x", b""),
        (b"/a%2Fb", "/a/b", b"/a%2Fb", b""),
        (b"/..", "/..", b"/..", b""),
        (b"/?", "/", b"/", b""),
        (b"/{}|^`", "/{}|^`", b"/{}|^`", b""),
    ],
)
def test_origin_form(target: bytes, path: str, raw_path: bytes, query: bytes):
    assert parse_target("GET", target) == (path, raw_path, query, None)


@pytest.mark.parametrize(
    ("target", "authority", "path", "query"),
    [
        (b"http://a/b?c", b"a", "/b", b"c"),
        (b"HTTP://a:80/b", b"a:80", "/b", b""),
        (b"https://a", b"a", "/", b""),
        (b"http://a?x=1", b"a", "/", b"x=1"),
        (b"http://[::1]:8/", b"[::1]:8", "/", b""),
    ],
)
def test_absolute_form(target: bytes, authority: bytes, path: str, query: bytes):
    assert parse_target("GET", target) == (path, path.encode(), query, authority)


def test_asterisk_form_is_for_options_only():
    assert parse_target("OPTIONS", b"*") == ("*", b"*", b"", None)
    with pytest.raises(RemoteProtocolError):
        parse_target("GET", b"*")


@pytest.mark.parametrize(
    "target",
    [
        b"a",
        b"a:80",
        b"?x",
        b"/a#b",
        b"http:///x",
        b"http://u@h/",
        b"http://u:p@h/",
        b"ftp://a/",
        b"http:/a",
        b"http://a:x/",
    ],
)
def test_other_forms_are_refused(target: bytes):
    with pytest.raises(RemoteProtocolError) as caught:
        parse_target("GET", target)
    assert caught.value.status == 400


def test_ports_have_a_range():
    assert is_authority(b"a:65535")
    assert not is_authority(b"a:65536")
    assert not is_authority(b"a:123456")


@pytest.mark.parametrize("host", [b"[1:2:3]", b"[1::2::3]", b"[:::1]", b"[127.0.0.1]", b"[1:2:3:4:5:6:7:8:9]", b"[]"])
def test_addresses_in_brackets_are_ipv6(host: bytes):
    assert not is_authority(host)
