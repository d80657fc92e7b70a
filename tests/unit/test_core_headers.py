from __future__ import annotations

from typing import Any

import pytest

from addax.core import caches
from addax.core.errors import LocalProtocolError, RemoteProtocolError
from addax.core.fields import (
    CHUNKED_LENGTH,
    CLOSES,
    CONNECTION,
    DATE,
    EXPECTS_CONTINUE,
    FORWARDED,
    KEEP_ALIVE,
    SERVER,
    TRANSFER_ENCODING,
    WEBSOCKET,
)
from addax.core.headers import check_value, encode_fields, read_request_head
from addax.http1.parser import CHUNKED

HOST = (b"host", b"example.org")


def test_chunked_length_is_the_parsers_constant():
    assert CHUNKED_LENGTH == CHUNKED


def test_plain_request_keeps_the_connection_and_has_no_body():
    assert read_request_head(1, [HOST, (b"accept", b"*/*")]) == (0, KEEP_ALIVE)


@pytest.mark.parametrize(
    ("minor", "value", "keeps"),
    [
        (1, b"close", False),
        (1, b"Close", False),
        (1, b"TE, CLOSE", False),
        (1, b"keep-alive", True),
        (1, b"keep-alive, close", False),
        (1, b"", True),
        (0, b"keep-alive", True),
        (0, b"Keep-Alive", True),
        (0, b"close", False),
        (0, b"te", False),
    ],
)
def test_connection_field_decides_persistence(minor: int, value: bytes, keeps: bool):
    _, flags = read_request_head(minor, [HOST, (b"connection", value)])
    assert bool(flags & KEEP_ALIVE) is keeps


def test_connection_options_of_several_fields_are_one_list():
    assert read_request_head(1, [HOST, (b"connection", b"te"), (b"connection", b"close")]) == (0, 0)


def test_http_1_0_without_connection_closes():
    assert read_request_head(0, []) == (0, 0)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([], 400),
        ([HOST, HOST], 400),
        ([(b"host", b"")], 400),
        ([(b"host", b"a b")], 400),
        ([(b"host", b"user@host")], 400),
        ([(b"host", b"a/b")], 400),
        ([(b"host", b"a:65536")], 400),
        ([(b"host", b"a:b")], 400),
        ([(b"host", b"[::1")], 400),
        ([HOST, (b"content-length", b"5, 5")], 400),
        ([HOST, (b"content-length", b"5"), (b"content-length", b"5")], 400),
        ([HOST, (b"content-length", b"+5")], 400),
        ([HOST, (b"content-length", b"-5")], 400),
        ([HOST, (b"content-length", b"0x5")], 400),
        ([HOST, (b"content-length", b"5_0")], 400),
        ([HOST, (b"content-length", b"")], 400),
        ([HOST, (b"content-length", b"\xd9\xa5")], 400),
        ([HOST, (b"content-length", b"1" * 19)], 400),
        ([HOST, (b"content-length", b"5"), (b"transfer-encoding", b"chunked")], 400),
        ([HOST, (b"transfer-encoding", b"gzip")], 501),
        ([HOST, (b"transfer-encoding", b"gzip, chunked")], 501),
        ([HOST, (b"transfer-encoding", b"identity")], 501),
        ([HOST, (b"transfer-encoding", b"xchunked")], 501),
        ([HOST, (b"transfer-encoding", b"chunked, chunked")], 400),
        ([HOST, (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")], 400),
        ([HOST, (b"transfer-encoding", b"chunked, gzip")], 400),
        ([HOST, (b"transfer-encoding", b"chunked,")], 400),
        ([HOST, (b"transfer-encoding", b"")], 400),
        ([HOST, (b"expect", b"200-ok")], 417),
        ([HOST, (b"content-type", b"a/b"), (b"content-type", b"a/b")], 400),
    ],
)
def test_contradicting_or_ambiguous_fields_are_refused(fields: list[tuple[bytes, bytes]], status: int):
    with pytest.raises(RemoteProtocolError) as caught:
        read_request_head(1, fields)
    assert caught.value.status == status


def test_transfer_encoding_on_1_0_is_refused():
    with pytest.raises(RemoteProtocolError, match=r"HTTP/1\.0"):
        read_request_head(0, [(b"transfer-encoding", b"chunked")])


@pytest.mark.parametrize(
    "host", [b"a", b"a:80", b"a:", b"127.0.0.1:1", b"[::1]", b"[::1]:8000", b"a_b.c", b"%41", b"[v1.x:y]"]
)
def test_valid_hosts_are_taken(host: bytes):
    assert read_request_head(1, [(b"host", host)]) == (0, KEEP_ALIVE)


def test_framing_fields_are_read():
    assert read_request_head(1, [HOST, (b"content-length", b"17")]) == (17, KEEP_ALIVE)
    assert read_request_head(1, [HOST, (b"transfer-encoding", b"Chunked")]) == (CHUNKED_LENGTH, KEEP_ALIVE)


def test_expect_counts_only_with_a_body_and_on_1_1():
    fields = [HOST, (b"expect", b"100-Continue"), (b"content-length", b"3")]
    assert read_request_head(1, fields) == (3, KEEP_ALIVE | EXPECTS_CONTINUE)
    assert read_request_head(0, fields) == (3, 0)
    assert read_request_head(1, fields[:2]) == (0, KEEP_ALIVE)


def test_upgrade_counts_only_when_connection_names_it():
    upgrade = (b"upgrade", b"websocket")
    assert read_request_head(1, [HOST, upgrade]) == (0, KEEP_ALIVE)
    assert read_request_head(1, [HOST, upgrade, (b"connection", b"Upgrade")]) == (0, KEEP_ALIVE | WEBSOCKET)
    assert read_request_head(0, [HOST, upgrade, (b"connection", b"Upgrade")]) == (0, 0)


@pytest.mark.parametrize(
    ("upgrades", "is_websocket"),
    [
        ([b"websocket"], True),
        ([b"WebSocket"], True),
        ([b"h2c, websocket"], True),
        ([b"h2c", b"websocket"], True),
        ([b"websocket", b"h2c"], True),
        ([b"h2c"], False),
        ([b"websockets"], False),
        ([b"websocket/13"], False),
        ([b""], False),
    ],
)
def test_upgrade_is_looked_for_in_all_lines(upgrades, is_websocket):
    fields = [HOST, (b"connection", b"keep-alive, Upgrade"), *[(b"upgrade", value) for value in upgrades]]
    assert read_request_head(1, fields) == (0, KEEP_ALIVE | WEBSOCKET * is_websocket)


def test_forwarded_fields_are_noticed():
    assert read_request_head(1, [HOST, (b"x-forwarded-for", b"1.2.3.4")]) == (0, KEEP_ALIVE | FORWARDED)


def test_host_cache_is_bounded():
    for number in range(caches.VALID_HOSTS_MAX + 10):
        read_request_head(1, [(b"host", b"host%d" % number)])
    assert len(caches.valid_hosts) <= caches.VALID_HOSTS_MAX
    long = b"h" * 300
    read_request_head(1, [(b"host", long)])
    assert long not in caches.valid_hosts


def test_names_are_lowered_and_what_the_server_decides_is_taken_out():
    lines, content_length, special = encode_fields(
        [
            (b"Content-Length", b"3"),
            (b"X-Thing", b"1"),
            (b"Transfer-Encoding", b"gzip"),
            (b"Date", b"x"),
            (b"SERVER", b"y"),
            (b"connection", b"x-a, Close"),
        ]
    )
    assert lines == b"x-thing: 1\r\ndate: x\r\nserver: y\r\n"
    assert content_length == b"3"
    assert special == CLOSES | 1 << TRANSFER_ENCODING | 1 << DATE | 1 << SERVER | 1 << CONNECTION


def test_no_fields_are_no_lines():
    assert encode_fields([]) == (b"", None, 0)


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\nb", b"\xff", b"a\n"])
def test_names_that_are_no_token_are_the_applications_mistake(name: bytes):
    with pytest.raises(LocalProtocolError, match="not a token"):
        encode_fields([(name, b"x")])


@pytest.mark.parametrize(
    ("field", "error"),
    [
        (("name", b"x"), "str, not bytes"),
        ((b"name", "x"), "str, not bytes"),
        ((b"name", 1), "int, not bytes"),
        ((b"content-length", 1), "int, not bytes"),
        ((b"connection", "close"), "str, not bytes"),
    ],
)
def test_other_types_are_the_applications_mistake(field: Any, error: str):
    with pytest.raises(LocalProtocolError, match=error):
        encode_fields([field])


def test_name_cache_is_bounded():
    for number in range(caches.FIELD_NAMES_MAX + 10):
        encode_fields([(b"x-%d" % number, b"")])
    assert len(caches.field_names) <= caches.FIELD_NAMES_MAX


@pytest.mark.parametrize("name", [b"x", b"date", b"connection", b"transfer-encoding"])
@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\n", b"\r", b"\x00", b"\x0b", b"\x7f", b"\x1b[31m"])
def test_values_that_break_out_of_their_line_are_refused(name: bytes, value: bytes):
    with pytest.raises(LocalProtocolError, match="control character"):
        encode_fields([(name, value)])


def test_values_may_have_tabs_and_bytes_above_ascii():
    check_value(b"x", b"a\tb \xe4\xff")
    assert encode_fields([(b"x", b"a\tb \xa0\xad\xff")])[0] == b"x: a\tb \xa0\xad\xff\r\n"


def test_content_length_of_a_response_is_one_number():
    assert encode_fields([(b"content-length", b"3"), (b"Content-Length", b"03")])[1] == b"03"
    with pytest.raises(LocalProtocolError, match="two content-length fields: b'3' and b'4'"):
        encode_fields([(b"content-length", b"3"), (b"content-length", b"4")])
    with pytest.raises(LocalProtocolError, match="content-length"):
        encode_fields([(b"content-length", b"12, 12")])


@pytest.mark.parametrize("value", [b"", b"+1", b"-1", b"1_0", b" 1", b"0x1", b"1" * 19, b"\xd9\xa5"])
def test_content_length_of_a_response_is_ascii_digits_of_bounded_length(value: bytes):
    with pytest.raises(LocalProtocolError, match="not one decimal number"):
        encode_fields([(b"content-length", value)])
