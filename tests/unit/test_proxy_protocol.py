from __future__ import annotations

import struct

import pytest

from addax.core.errors import RemoteProtocolError
from addax.net.proxy_protocol import BLOCK_MAX_BYTES, ProxyHeader, crc32c, decode
from tests.proxy_headers import (
    LOCAL,
    PROXY,
    SIGNATURE,
    TCP4,
    TCP6,
    UDP4,
    UDP6,
    UNIX,
    extra,
    v1,
    v2,
    v2_block,
    with_checksum,
)

CLIENT, SERVER = ("192.0.2.1", 56324), ("198.51.100.2", 443)
CLIENT6, SERVER6 = ("2001:db8::1", 56324), ("2001:db8::2", 443)
FOUND = ProxyHeader(True, CLIENT, SERVER)
FOUND6 = ProxyHeader(True, CLIENT6, SERVER6)
NOTHING = ProxyHeader(False, None, None)
NOT_RELAYED = ProxyHeader(False, None, None, False)
BLOCK, BLOCK6 = v2_block(CLIENT, SERVER), v2_block(CLIENT6, SERVER6)
PATHS = b"/run/client".ljust(108, b"\0") + b"/run/app\xff".ljust(108, b"\0")
LONG = ":".join(["ffff"] * 8)

ACCEPTED = [
    (v1(CLIENT, SERVER), FOUND),
    (v1(CLIENT6, SERVER6), FOUND6),
    (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", ProxyHeader(True, ("0.0.0.0", 0), ("255.255.255.255", 65535))),
    (b"PROXY TCP6 2001:DB8:0:0:0:0:0:1 2001:0db8::2 56324 443\r\n", FOUND6),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6402 56324 443\r\n", FOUND),
    # The longest line that has addresses.
    (f"PROXY TCP6 {LONG} {LONG} 65535 65535\r\n".encode(), ProxyHeader(True, (LONG, 65535), (LONG, 65535))),
    (b"PROXY UNKNOWN\r\n", NOTHING),
    (b"PROXY UNKNOWN \r\n", NOTHING),
    (b"PROXY UNKNOWN anything \0\r\n", NOTHING),
    (b"PROXY UNKNOWN ".ljust(105, b"x") + b"\r\n", NOTHING),
    (v2(BLOCK), FOUND),
    (v2(BLOCK, UDP4), FOUND),
    (v2(BLOCK6, TCP6), FOUND6),
    (v2(BLOCK6, UDP6), FOUND6),
    (v2(bytes(10) + b"\xff\xff\xc0\0\2\1" + bytes(10) + b"\xff\xff\xc6\x33\x64\2" + BLOCK[8:], TCP6), FOUND),
    (v2(PATHS, UNIX), ProxyHeader(True, None, ("/run/app\udcff", None))),
    (v2(PATHS, 0x32), ProxyHeader(True, None, ("/run/app\udcff", None))),
    (v2(bytes(216), UNIX), ProxyHeader(True, None, None)),
    (v2(b"x" * 216, UNIX), ProxyHeader(True, None, ("x" * 108, None))),
    (v2(b"", 0, LOCAL), NOT_RELAYED),
    (v2(BLOCK, TCP4, LOCAL), NOT_RELAYED),
    (v2(b"what it says", 0xFF, LOCAL), NOT_RELAYED),
    (v2(b"", 0), NOTHING),
    (v2(b"what it says", 0), NOTHING),
    (v2(b"", 0x10), NOTHING),
    (v2(b"", 0x02), NOTHING),
    (v2(BLOCK + extra(4, b"")), FOUND),
    (v2(BLOCK + extra(2, b"example.com") + extra(0xE0, b"x" * 300)), FOUND),
    (v2(BLOCK + extra(4, bytes(BLOCK_MAX_BYTES - 15))), FOUND),
    (with_checksum(BLOCK), FOUND),
    (with_checksum(BLOCK6, TCP6, extra(5, b"an id")), FOUND6),
]


@pytest.mark.parametrize(("header", "found"), ACCEPTED)
def test_headers_are_read(header: bytes, found: ProxyHeader) -> None:
    for rest in (b"", b"GET / HTTP/1.1\r\n\r\n", header, b"\0"):
        assert decode(header + rest) == (found, len(header))
    for size in range(len(header)):
        assert decode(header[:size]) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "does not begin with"),
        (b"\x16\x03\x01", "does not begin with"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "does not begin with"),
        (b"proxy TCP4", "does not begin with"),
        (b"PROXY\tTCP4", "does not begin with"),
        (b"\r\n\r\n\0\r\nQUIT\r", "does not begin with"),
        (b"\r\nGET / HTTP/1.1", "does not begin with"),
        (b"PROXY ".ljust(107, b"x"), "too long"),
        (b"PROXY UNKNOWN ".ljust(106, b"x") + b"\r\n", "too long"),
        (b"PROXY UNKNOWN\n".ljust(107), "too long"),
        (b"PROXY \r\n", "line is malformed"),
        (b"PROXY UNKNOWNS\r\n", "line is malformed"),
        (b"PROXY TCP 192.0.2.1 192.0.2.2 1 2\r\n", "line is malformed"),
        (b"PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", "line is malformed"),
        (b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", "line is malformed"),
        (b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "line is malformed"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", "line is malformed"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", "line is malformed"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", "line is malformed"),
        (b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", "malformed address"),
        (b"PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n", "malformed address"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.256 1 2\r\n", "malformed address"),
        (b"PROXY TCP4 192.0.2.1\t 192.0.2.2 1 2\r\n", "malformed address"),
        (b"PROXY TCP4 ::1 ::2 1 2\r\n", "malformed address"),
        (b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", "malformed address"),
        (b"PROXY TCP6 ::1 fe80::1%eth0 1 2\r\n", "malformed address"),
        (b"PROXY TCP6 [::1] ::2 1 2\r\n", "malformed address"),
        (b"PROXY TCP6 ::1 1::2::3 1 2\r\n", "malformed address"),
        (b"PROXY TCP6 ::1 12345::1 1 2\r\n", "malformed address"),
        (b"PROXY TCP6 ::1 1:2:3:4:5:6:7 1 2\r\n", "malformed address"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", "malformed port"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", "malformed port"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n", "malformed port"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", "malformed port"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1_0 2\r\n", "malformed port"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 \xb2 2\r\n", "malformed port"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n\r\n", "malformed port"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n", "malformed port"),
        (SIGNATURE + b"\x11", "another version"),
        (SIGNATURE + b"\x31", "another version"),
        (SIGNATURE + b"\x22", "another version"),
        (SIGNATURE + b"\x21\x41", "unknown address family"),
        (SIGNATURE + b"\x21\x13", "unknown address family"),
        (v2(b"", length=BLOCK_MAX_BYTES + 1), "header is too long"),
        (v2(b"", command=LOCAL, length=65535), "header is too long"),
        (v2(BLOCK, length=11), "too short"),
        (v2(BLOCK, TCP6), "too short"),
        (v2(bytes(215), UNIX), "too short"),
        (v2(BLOCK + b"\4"), "inside of an extra"),
        (v2(BLOCK + b"\4\0"), "inside of an extra"),
        (v2(BLOCK + b"\4\0\1"), "inside of an extra"),
        (v2(BLOCK + extra(4, b"x") + b"\4\xff\xff"), "inside of an extra"),
        (v2(BLOCK + extra(3, b"")), "malformed checksum"),
        (v2(BLOCK + extra(3, bytes(5))), "malformed checksum"),
        (v2(BLOCK + extra(3, bytes(4)) + extra(3, bytes(4))), "malformed checksum"),
        (v2(BLOCK + extra(3, bytes(4))), "checksum of the PROXY header is wrong"),
    ],
)
def test_anything_else_is_refused(data: bytes, reason: str) -> None:
    for rest in (b"", b"more", b"\r\n"):
        with pytest.raises(RemoteProtocolError, match=reason):
            decode(data + rest)


def test_line_may_wait_for_its_end_up_to_the_bound() -> None:
    assert decode(b"PROXY UNKNOWN ".ljust(106, b"x")) is None
    assert decode(b"PROXY UNKNOWN ".ljust(105, b"x") + b"\r") is None
    with pytest.raises(RemoteProtocolError, match="too long"):
        decode(b"PROXY UNKNOWN ".ljust(106, b"x") + b"\r")


def test_each_bit_of_a_header_with_checksum_counts() -> None:
    header = with_checksum(BLOCK, after=extra(2, b"example.com"))
    for position in range(16, len(header)):
        for bit in range(8):
            changed = header[:position] + bytes([header[position] ^ 1 << bit]) + header[position + 1 :]
            kind_at = 16 + len(BLOCK)
            if position == kind_at:
                # Then it is no checksum any more, and was of another type.
                continue
            with pytest.raises(RemoteProtocolError):
                decode(changed)


def test_crc32c() -> None:
    # RFC 3720 §B.4.
    assert crc32c(b"") == 0
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == struct.unpack("<I", b"\xaa\x36\x91\x8a")[0]
    assert crc32c(b"\xff" * 32) == struct.unpack("<I", b"\x43\xab\xa8\x62")[0]
    assert crc32c(bytes(range(32))) == struct.unpack("<I", b"\x4e\x79\xdd\x46")[0]


def test_commands_are_what_the_helpers_think() -> None:
    assert (PROXY, LOCAL) == (0x21, 0x20)
    assert v2(BLOCK)[:16].hex() == "0d0a0d0a000d0a515549540a2111000c"
