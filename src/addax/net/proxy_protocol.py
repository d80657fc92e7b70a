"""Reads the header of the PROXY protocol, versions 1 and 2, from the first bytes of a connection.

``proxy_connection`` asks ``decode`` with all bytes so far, until it has an answer: whatever pieces they came in, it is
the same one. Nothing is kept here, and what has to be waited for is bounded. Any byte that the protocol does not allow
is an error, and never guessed around.

Implements: "The PROXY protocol, versions 1 & 2" of HAProxy (doc/proxy-protocol.txt), as a receiver.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import NamedTuple, TypeAlias

from addax.core.errors import RemoteProtocolError

#: Longest line of version 1, with its line end (§2.1: "a 108-byte buffer is always enough").
LINE_MAX_BYTES = 107
#: Largest block behind the fixed part of version 2; 65535 can be written, and nobody needs that.
BLOCK_MAX_BYTES = 4096

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED_BYTES = 16

_LOCAL, _PROXY = 0, 1
_UNSPEC, _INET, _INET6, _UNIX = 0, 1, 2, 3
_DGRAM = 2
#: How source and destination are written: addresses, then ports.
_LAYOUTS = {_INET: struct.Struct("!4s4sHH"), _INET6: struct.Struct("!16s16sHH"), _UNIX: struct.Struct("!108s108s")}

_CRC32C = 3
_TLV_HEAD = struct.Struct("!BH")

# The standard library takes more than the specification has: zones, for example.
_FORMS: dict[bytes, tuple[re.Pattern[bytes], type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]]] = {
    b"TCP4": (re.compile(rb"[0-9.]{7,15}"), ipaddress.IPv4Address),
    b"TCP6": (re.compile(rb"[0-9A-Fa-f:.]{2,45}"), ipaddress.IPv6Address),
}
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")


class ProxyHeader(NamedTuple):
    """What a header says.

    Attributes:
        has_addresses: False where the connection's own are the right ones: the proxy speaks for itself, or does not
            know for whom.
        client: host and port; None if the client came over a Unix socket.
        server: where the client connected to, as in ``core.wire.Peer``.
        is_relayed: False: the proxy speaks for itself (LOCAL, a health check).
    """

    has_addresses: bool
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    is_relayed: bool = True


#: A header and its size in bytes.
Decoded: TypeAlias = tuple[ProxyHeader, int]

_NO_ADDRESSES = ProxyHeader(False, None, None)
_NOT_RELAYED = ProxyHeader(False, None, None, False)


def decode(data: bytes) -> Decoded | None:
    """Read the header at the beginning of what has come so far.

    Args:
        data: from the first byte of the connection on; what stands behind the header does not matter.

    Returns:
        None if the header is not complete.

    Raises:
        RemoteProtocolError: this is no header, and what may follow cannot make it one.
    """
    if data[: len(_V2)] == _V2[: len(data)]:
        return _decode_v2(data)
    if data[: len(_V1)] == _V1[: len(data)]:
        return _decode_v1(data)
    raise RemoteProtocolError("it does not begin with a PROXY protocol header")


# ---- version 1: a line of text


def _decode_v1(data: bytes) -> Decoded | None:
    end = data.find(b"\r\n", 0, LINE_MAX_BYTES)
    if end < 0:
        if len(data) >= LINE_MAX_BYTES:
            raise RemoteProtocolError("the PROXY line is too long")
        return None
    words = data[len(_V1) : end].split(b" ")
    if words[0] == b"UNKNOWN":
        # "the receiver must ignore anything presented before the CRLF".
        return _NO_ADDRESSES, end + 2
    if len(words) != 5 or words[0] not in _FORMS:
        raise RemoteProtocolError("the PROXY line is malformed")
    protocol, *addresses, source_port, destination_port = words
    source, destination = (_read_address(protocol, address) for address in addresses)
    client = source, _read_port(source_port)
    return ProxyHeader(True, client, (destination, _read_port(destination_port))), end + 2


def _read_address(protocol: bytes, word: bytes) -> str:
    form, address_class = _FORMS[protocol]
    if form.fullmatch(word) is None:
        raise RemoteProtocolError("the PROXY line has a malformed address")
    try:
        return _as_text(address_class(word.decode("ascii")))
    except ValueError:
        raise RemoteProtocolError("the PROXY line has a malformed address") from None


def _read_port(word: bytes) -> int:
    if _PORT.fullmatch(word) is None or int(word) > 65535:
        raise RemoteProtocolError("the PROXY line has a malformed port")
    return int(word)


def _as_text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """As in forwarded fields: IPv4 that was mapped into IPv6 (RFC 4291 §2.5.5.2) is written as IPv4."""
    return str(getattr(address, "ipv4_mapped", None) or address)


# ---- version 2: binary


def _decode_v2(data: bytes) -> Decoded | None:
    # Each byte is judged as soon as it is there: then it makes no difference in which pieces they come.
    if len(data) > 12 and data[12] not in (0x20 | _LOCAL, 0x20 | _PROXY):
        raise RemoteProtocolError("the PROXY header has another version than 2, or an unknown command")
    is_local = len(data) > 12 and data[12] & 15 == _LOCAL
    if len(data) > 13 and not is_local and (data[13] >> 4 > _UNIX or data[13] & 15 > _DGRAM):
        raise RemoteProtocolError("the PROXY header has an unknown address family or protocol")
    if len(data) < _V2_FIXED_BYTES:
        return None
    block_bytes = int.from_bytes(data[14:16], "big")
    if block_bytes > BLOCK_MAX_BYTES:
        raise RemoteProtocolError("the PROXY header is too long")
    # Of LOCAL even the family is to be ignored; and what is not specified has no addresses that anybody could use.
    family = _UNSPEC if is_local or not data[13] & 15 else data[13] >> 4
    layout = _LAYOUTS.get(family)
    if layout is not None and block_bytes < layout.size:
        raise RemoteProtocolError("the PROXY header is too short for its addresses")
    size = _V2_FIXED_BYTES + block_bytes
    if len(data) < size:
        return None
    if layout is None:
        return (_NOT_RELAYED if is_local else _NO_ADDRESSES), size
    _check_extras(data[:size], _V2_FIXED_BYTES + layout.size)
    return _read_addresses(family, layout.unpack_from(data, _V2_FIXED_BYTES)), size


def _read_addresses(family: int, values: tuple[bytes, ...]) -> ProxyHeader:
    if family == _UNIX:
        # A client without a name, which most are, is no different from one with: ASGI has no word for either.
        path = values[1].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        return ProxyHeader(True, None, (path, None) if path else None)
    source, destination, source_port, destination_port = values
    address_class = _FORMS[b"TCP4" if family == _INET else b"TCP6"][1]
    client = _as_text(address_class(source)), int(source_port)
    return ProxyHeader(True, client, (_as_text(address_class(destination)), int(destination_port)))


def _check_extras(header: bytes, start: int) -> None:
    """What follows the addresses: type, length and value, again and again. Only the checksum is looked at."""
    position = start
    checksum_at = 0
    while position < len(header):
        if len(header) - position < _TLV_HEAD.size:
            raise RemoteProtocolError("the PROXY header ends inside of an extra")
        kind, value_bytes = _TLV_HEAD.unpack_from(header, position)
        position += _TLV_HEAD.size
        if value_bytes > len(header) - position:
            raise RemoteProtocolError("the PROXY header ends inside of an extra")
        if kind == _CRC32C:
            if checksum_at or value_bytes != 4:
                raise RemoteProtocolError("the PROXY header has a malformed checksum")
            checksum_at = position
        position += value_bytes
    if checksum_at:
        # §2.2.3: computed with zeros in its own place.
        zeroed = header[:checksum_at] + bytes(4) + header[checksum_at + 4 :]
        if crc32c(zeroed) != int.from_bytes(header[checksum_at : checksum_at + 4], "big"):
            raise RemoteProtocolError("the checksum of the PROXY header is wrong")


def _make_crc_table() -> list[int]:
    """For each byte, what is left of it when the (reversed) polynomial of RFC 4960, Appendix B, has gone over it."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC_TABLE = _make_crc_table()


def crc32c(data: bytes) -> int:
    """The checksum CRC-32C (Castagnoli). The standard library has another one, CRC-32."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
