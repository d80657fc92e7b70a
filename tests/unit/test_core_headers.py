from __future__ import annotations

import pytest

from addax.core import headers as module
from addax.core.errors import LocalProtocolError, RemoteProtocolError
from addax.core.headers import (
    CHUNKED_LENGTH,
    CONTENT_LENGTH,
    ORDINARY,
    check_value,
    field_name,
    parse_content_length,
    read_request_head,
)
from addax.http1.parser import CHUNKED

HOST = (b"host", b"example.org")


def test_chunked_length_is_the_parsers_constant():
    assert CHUNKED_LENGTH == CHUNKED


def test_plain_request_keeps_the_connection_and_has_no_body():
    head = read_request_head(1, [HOST, (b"accept", b"*/*")])
    assert (head.body_length, head.keep_alive, head.expects_continue, head.upgrade, head.is_forwarded) == (
        0,
        True,
        False,
        None,
        False,
    )


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
    assert read_request_head(minor, [HOST, (b"connection", value)]).keep_alive is keeps


def test_connection_options_of_several_fields_are_one_list():
    head = read_request_head(1, [HOST, (b"connection", b"te"), (b"connection", b"close")])
    assert head.keep_alive is False


def test_http_1_0_without_connection_closes():
    assert read_request_head(0, []).keep_alive is False


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
        ([HOST, (b"content-length", "٥".encode())], 400),
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
    assert read_request_head(1, [(b"host", host)]).keep_alive


def test_framing_fields_are_read():
    assert read_request_head(1, [HOST, (b"content-length", b"17")]).body_length == 17
    assert read_request_head(1, [HOST, (b"transfer-encoding", b"Chunked")]).body_length == CHUNKED_LENGTH


def test_expect_counts_only_with_a_body_and_on_1_1():
    fields = [HOST, (b"expect", b"100-Continue"), (b"content-length", b"3")]
    assert read_request_head(1, fields).expects_continue is True
    assert read_request_head(0, fields).expects_continue is False
    assert read_request_head(1, fields[:2]).expects_continue is False


def test_upgrade_counts_only_when_connection_names_it():
    upgrade = (b"upgrade", b"websocket")
    assert read_request_head(1, [HOST, upgrade]).upgrade is None
    assert read_request_head(1, [HOST, upgrade, (b"connection", b"Upgrade")]).upgrade == b"websocket"
    assert read_request_head(0, [HOST, upgrade, (b"connection", b"Upgrade")]).upgrade is None
    two = [HOST, upgrade, (b"upgrade", b"h2c"), (b"connection", b"upgrade")]
    assert read_request_head(1, two).upgrade == b"websocket,h2c"


def test_forwarded_fields_are_noticed():
    assert read_request_head(1, [HOST, (b"x-forwarded-for", b"1.2.3.4")]).is_forwarded is True


def test_host_cache_is_bounded():
    for number in range(module._KEEP_ALIVE_HOSTS_MAX + 10):
        read_request_head(1, [(b"host", b"host%d" % number)])
    assert len(module._valid_hosts) <= module._KEEP_ALIVE_HOSTS_MAX


def test_field_names_are_lowered_checked_and_classified():
    field = field_name(b"Content-Length")
    assert (field.lower, field.prefix, field.kind) == (b"content-length", b"content-length: ", CONTENT_LENGTH)
    assert field_name(b"X-Thing").kind == ORDINARY


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\nb", b"\xff", b"a\n"])
def test_field_names_that_are_no_token_are_the_applications_mistake(name: bytes):
    with pytest.raises(LocalProtocolError, match="not a token"):
        field_name(name)


def test_text_where_bytes_belong_is_the_applications_mistake():
    with pytest.raises(LocalProtocolError, match="str, not bytes"):
        field_name("name")  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="int, not bytes"):
        check_value(b"name", 1)  # type: ignore[arg-type]


def test_name_cache_is_bounded():
    for number in range(module._NAMES_MAX + 10):
        field_name(b"x-%d" % number)
    assert len(module._names) <= module._NAMES_MAX


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\n", b"\r", b"\x00", b"\x0b", b"\x7f", b"\x1b[31m"])
def test_values_that_break_out_of_their_line_are_refused(value: bytes):
    with pytest.raises(LocalProtocolError, match="control character"):
        check_value(b"x", value)


def test_values_may_have_tabs_and_bytes_above_ascii():
    check_value(b"x", b"a\tb \xe4\xff")


def test_content_length_of_a_response_is_one_number():
    assert parse_content_length(b"12") == 12
    with pytest.raises(LocalProtocolError, match="content-length"):
        parse_content_length(b"12, 12")
