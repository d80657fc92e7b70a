"""Whatever pieces they come in, the first bytes are one header or one refusal, and a plainer decoder says the same.

The plainer decoder is written from the specification, sees everything at once, and takes its addresses from the system.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addax import testing
from addax.asgi.proxy_headers import ProxyRules
from addax.core.errors import RemoteProtocolError
from addax.core.settings import Http1Settings, ProxySettings
from addax.core.wire import Peer
from addax.http1.connection import Http1Connection
from addax.http1.encode import DefaultFields
from addax.net.proxy_connection import ProxyProtocolConnection
from addax.net.proxy_protocol import decode
from tests.proxy_headers import SIGNATURE, extra, naive_crc32c, v2, with_checksum

from .profile import fuzz

# ---- streams

_WORDS = (
    "PROXY|UNKNOWN|TCP4|TCP6|UDP4|192.0.2.1|255.255.255.255|0.0.0.0|01.2.3.4|1.2.3|256.1.1.1|::|::1|2001:db8::1"
    "|1:2:3:4:5:6:7:8|::ffff:1.2.3.4|1::2::3|1:2:3:4:5:6:7::|::2:3:4:5:6:7:8|fe80::1%1|FFFF::|0|1|80|65535|65536|00"
    "|080|-1|+1||x|\t|\r|\n|\0|\xff"
)
WORDS = st.sampled_from([word.encode("latin-1") for word in _WORDS.split("|")])
ADDRESSES4 = st.ip_addresses(v=4).map(str)
ADDRESSES6 = st.ip_addresses(v=6).map(str)
PORTS = st.integers(0, 65535)


def _line(name: str, source: str, destination: str, ports: tuple[int, int]) -> bytes:
    return f"PROXY {name} {source} {destination} {ports[0]} {ports[1]}\r\n".encode()


LINES = st.one_of(
    st.builds(_line, st.just("TCP4"), ADDRESSES4, ADDRESSES4, st.tuples(PORTS, PORTS)),
    st.builds(_line, st.just("TCP6"), ADDRESSES6, ADDRESSES6, st.tuples(PORTS, PORTS)),
    st.lists(WORDS, max_size=7).map(lambda words: b" ".join([b"PROXY", *words]) + b"\r\n"),
    st.lists(WORDS, max_size=7).map(b" ".join),
    st.binary(max_size=110).map(lambda data: b"PROXY UNKNOWN " + data + b"\r\n"),
)
FAMILIES = st.one_of(st.sampled_from([0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32]), st.integers(0, 255))
SIZES = {0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}
EXTRAS = st.lists(
    st.builds(extra, st.sampled_from([1, 2, 3, 4, 5, 0x20, 0xE0, 0xFF]), st.binary(max_size=8)), max_size=3
).map(b"".join)


@st.composite
def binary_headers(draw: st.DrawFn) -> bytes:
    family = draw(FAMILIES)
    size = SIZES.get(family, 0)
    block = draw(st.binary(min_size=size, max_size=size))
    more = draw(EXTRAS)
    if draw(st.booleans()):
        return with_checksum(block, family, more)
    command = draw(st.one_of(st.sampled_from([0x20, 0x21]), st.integers(0, 255)))
    length = draw(st.one_of(st.none(), st.none(), st.integers(0, 300), st.sampled_from([4096, 4097, 65535])))
    return v2(block + more + draw(st.binary(max_size=4)), family, command, length)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A header, perhaps with some of its bytes changed or lost, and what follows it."""
    data = bytearray(draw(st.one_of(LINES, binary_headers(), st.binary(max_size=20))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        if data:
            position = draw(st.integers(0, len(data) - 1))
            data[position : position + draw(st.integers(0, 1))] = draw(st.binary(max_size=1))
    cut = draw(st.sampled_from([None, None, None, -1, -3]))
    behind = draw(st.sampled_from([b"", b"\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\0" * 40, SIGNATURE]))
    return bytes(data[:cut]) + behind


def in_pieces(data: bytes, sizes: list[int]) -> Iterable[bytes]:
    position = 0
    while position < len(data):
        size = sizes[position % len(sizes)]
        yield data[position : position + size]
        position += size


# ---- two decoders

Outcome = Any


def outcome(pieces: Iterable[bytes]) -> Outcome:
    """Of ``decode``, asked again with each piece: a reason, a header with its size, or None."""
    data = b""
    for piece in pieces:
        data += piece
        try:
            decoded = decode(data)
        except RemoteProtocolError as error:
            return error.reason
        if decoded is not None:
            return tuple(decoded[0]), decoded[1]
    return None


_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [\x00-\xff]*?)?|(?P<name>TCP[46]) ([^ ]*) ([^ ]*) (0|[1-9][0-9]*) (0|[1-9][0-9]*))\r\n"
)
_IPV4 = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})(?:\.(?!\Z)|\Z)){4}")


def _system_text(family: int, text: str) -> str | None:
    """An address as the system reads it, written as addax does; None: it is none."""
    if family == socket.AF_INET and _IPV4.fullmatch(text) is None:
        return None
    # In its last 32 bits too.
    if family == socket.AF_INET6 and "." in text and _IPV4.fullmatch(text.rpartition(":")[2]) is None:
        return None
    try:
        return _from_packed(socket.inet_pton(family, text))
    except OSError:
        return None


def _from_packed(packed: bytes) -> str:
    if len(packed) == 16 and packed.startswith(bytes(10) + b"\xff\xff"):
        packed = packed[12:]
    if len(packed) == 4:
        return ".".join(map(str, packed))
    return _shortened([int.from_bytes(packed[index : index + 2], "big") for index in range(0, 16, 2)])


def _shortened(groups: list[int]) -> str:
    """RFC 5952 §4.2: the longest run of zeros, the first of equals, two at least, is "::"."""
    best, length = -1, 1
    for start in range(8):
        end = start
        while end < 8 and not groups[end]:
            end += 1
        if end - start > length:
            best, length = start, end - start
    if best < 0:
        return ":".join(f"{group:x}" for group in groups)
    left, right = groups[:best], groups[best + length :]
    return ":".join(f"{group:x}" for group in left) + "::" + ":".join(f"{group:x}" for group in right)


PEER_ADDRESSES = (("127.0.0.1", 50000), ("127.0.0.1", 8000))
NOTHING = (False, None, None, True)
NOT_RELAYED = (False, None, None, False)


def naive(data: bytes) -> Outcome:
    """As ``outcome``, with "refused" for all reasons."""
    if data.startswith(SIGNATURE):
        return naive_binary(data)
    if SIGNATURE.startswith(data) or b"PROXY ".startswith(data):
        return None
    if not data.startswith(b"PROXY "):
        return "refused"
    if b"\r\n" not in data[:107]:
        return None if len(data) < 107 else "refused"
    line = data[: data.index(b"\r\n") + 2]
    match = _LINE.fullmatch(line)
    if match is None:
        return "refused"
    name, *rest = match.groups()
    if name is None:
        return NOTHING, len(line)
    family = socket.AF_INET if name == b"TCP4" else socket.AF_INET6
    addresses = [_system_text(family, word.decode("latin-1").replace("\0", "x")) for word in rest[:2]]
    ports = [int(word) for word in rest[2:]]
    if None in addresses or max(ports) > 65535:
        return "refused"
    return (True, (addresses[0], ports[0]), (addresses[1], ports[1]), True), len(line)


def naive_binary(data: bytes) -> Outcome:
    if len(data) > 12 and data[12] not in (0x20, 0x21):
        return "refused"
    is_local = data[12:13] == b"\x20"
    known = {high << 4 | low for high in range(4) for low in range(3)}
    if len(data) > 13 and not is_local and data[13] not in known:
        return "refused"
    if len(data) < 16:
        return None
    length = data[14] * 256 + data[15]
    needed = 0 if is_local else SIZES.get(data[13], 0)
    if length > 4096 or length < needed:
        return "refused"
    header = data[: 16 + length]
    if len(header) < 16 + length:
        return None
    if not needed:
        return NOT_RELAYED if is_local else NOTHING, len(header)
    if not naive_extras(header, header[16 + needed :]):
        return "refused"
    block = header[16 : 16 + needed]
    if needed == 216:
        path = block[108:].split(b"\0")[0].decode("utf-8", "surrogateescape")
        return (True, None, (path, None) if path else None, True), len(header)
    half = (needed - 4) // 2
    ports = [int.from_bytes(block[-4:-2], "big"), int.from_bytes(block[-2:], "big")]
    addresses = [_from_packed(block[:half]), _from_packed(block[half : 2 * half])]
    return (True, (addresses[0], ports[0]), (addresses[1], ports[1]), True), len(header)


def naive_extras(header: bytes, rest: bytes) -> bool:
    checksums = []
    while rest:
        if len(rest) < 3 or len(rest) < 3 + rest[1] * 256 + rest[2]:
            return False
        value, behind = rest[3 : 3 + rest[1] * 256 + rest[2]], rest[3 + rest[1] * 256 + rest[2] :]
        if rest[0] == 3:
            checksums.append((len(header) - len(behind) - len(value), value))
        rest = behind
    if not checksums:
        return True
    (position, value), *others = checksums
    if others or len(value) != 4:
        return False
    return naive_crc32c(header[:position] + bytes(4) + header[position + 4 :]).to_bytes(4, "big") == value


# ---- what must hold


@fuzz(800)
@given(streams(), st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_pieces_make_no_difference_and_both_decoders_agree(data: bytes, sizes: list[int]) -> None:
    whole = outcome([data])
    assert outcome(data[index : index + 1] for index in range(len(data))) == whole
    assert outcome(in_pieces(data, sizes)) == whole
    assert naive(data) == ("refused" if isinstance(whole, str) else whole)
    for behind in (b"", b"\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        # Nothing that follows takes an answer back.
        assert whole is None or outcome([data + behind]) == whole


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


@fuzz(150)
@given(streams(), st.integers(1, 40))
def test_connection_is_handed_over_or_closed_once(data: bytes, step: int) -> None:
    expected = naive(data)
    lines: list[str] = []

    async def scenario() -> None:
        peer = Peer(*PEER_ADDRESSES)
        service = testing.make_service(app, settings=Http1Settings())
        host = testing.FakeHost()
        defaults = DefaultFields(service.settings)
        rules = ProxyRules(ProxySettings())
        host.attach(ProxyProtocolConnection(service, rules, lambda: Http1Connection(service, defaults)), peer)
        for start in range(0, len(data), step):
            if host.connection is not None and host.is_reading:
                host.connection.receive_data(data[start : start + step])
        if expected is None or expected == "refused":
            assert isinstance(host.connection, ProxyProtocolConnection)
            assert not host.written
            assert host.ending == (None if expected is None else "close")
            assert (host.deadline is None) == (host.ending is not None)
        else:
            assert isinstance(host.connection, Http1Connection)
            (has_addresses, client, server, is_relayed), _ = expected
            assert (host.peer.client, host.peer.server) == ((client, server) if has_addresses else PEER_ADDRESSES)
            # Of those that it is about, only this host's own are trusted here.
            is_trusted = not is_relayed or (client is not None and client[0] in ("127.0.0.1", "::1"))
            assert host.peer.can_forward == is_trusted
        assert not host.faults
        host.lose()
        await testing.settle()

    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("addax.error")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        testing.run(scenario())
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    said = [line for line in lines if "--proxy-protocol" in line]
    assert len(said) == (1 if expected == "refused" else 0), lines


@pytest.mark.parametrize("text", ["0:0:0:0:0:0:0:0", "1:0:0:2:0:0:0:3", "1:0:2:3:4:5:6:7", "1:0:0:2:3:0:0:4"])
def test_the_plainer_decoder_shortens_as_the_standard_library(text: str) -> None:
    assert _shortened([int(group, 16) for group in text.split(":")]) == ipaddress.IPv6Address(text).compressed
