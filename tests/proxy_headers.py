"""Headers of the PROXY protocol, as proxies write them."""

from __future__ import annotations

import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
TCP4, UDP4, TCP6, UDP6, UNIX = 0x11, 0x12, 0x21, 0x22, 0x31


def v1(client: tuple[str, int], server: tuple[str, int]) -> bytes:
    """A line of version 1."""
    name = "TCP6" if ":" in client[0] else "TCP4"
    return f"PROXY {name} {client[0]} {server[0]} {client[1]} {server[1]}\r\n".encode()


def v2_block(client: tuple[str, int], server: tuple[str, int]) -> bytes:
    """Addresses of version 2, IPv4 or IPv6."""
    addresses = ipaddress.ip_address(client[0]).packed + ipaddress.ip_address(server[0]).packed
    return addresses + struct.pack("!HH", client[1], server[1])


def v2(block: bytes, family: int = TCP4, command: int = PROXY, length: int | None = None) -> bytes:
    """A header of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(block) if length is None else length) + block


def extra(kind: int, value: bytes) -> bytes:
    """A TLV."""
    return struct.pack("!BH", kind, len(value)) + value


def naive_crc32c(data: bytes) -> int:
    """CRC-32C, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            lowest = crc & 1
            crc >>= 1
            if lowest:
                crc ^= 0x82F63B78
    return crc ^ 0xFFFFFFFF


def with_checksum(block: bytes, family: int = TCP4, after: bytes = b"") -> bytes:
    """A header of version 2 with a right CRC32C behind the block, and more behind that."""
    checksum = naive_crc32c(v2(block + extra(3, bytes(4)) + after, family))
    return v2(block + extra(3, struct.pack("!I", checksum)) + after, family)
