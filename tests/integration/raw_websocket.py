"""A WebSocket client that does no more than it is told: no pong, no answer to a close frame, no reading."""

from __future__ import annotations

import base64
import os
import re
import socket
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from harness import PATIENCE_S

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, COMPRESSED = 0x80, 0x40


class Frame(NamedTuple):
    """A frame of the server."""

    opcode: int
    payload: bytes
    #: FIN and COMPRESSED, or'ed.
    bits: int

    @property
    def code(self) -> int:
        """Of a close frame; 1005 where it has none."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2], "big") or 1005

    @property
    def reason(self) -> str:
        """Of a close frame."""
        assert self.opcode == CLOSE, self
        return self.payload[2:].decode()


def handshake(path: str = "/", fields: Iterable[bytes] = ()) -> bytes:
    """A request for a WebSocket.

    Args:
        path: with query.
        fields: more field lines, without line ends.
    """
    lines = [
        b"GET %b HTTP/1.1" % path.encode(),
        b"Host: test",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)),
        *fields,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def encode(opcode: int, payload: bytes = b"", bits: int = FIN) -> bytes:
    """A masked frame. The mask is of zeros: allowed, and the payload need not be touched."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", bits | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", bits | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", bits | opcode, 0x80 | 127, size)
    return head + bytes(4) + payload


def encode_close(code: int, reason: str = "") -> bytes:
    """A close frame."""
    return encode(CLOSE, code.to_bytes(2, "big") + reason.encode())


def decode(data: bytes) -> tuple[Frame, int] | None:
    """The first frame of the data and its size, or None if it is not all there."""
    if len(data) < 2:
        return None
    size, start = data[1], 2
    assert size < 128, "the server has masked a frame"
    if size >= 126:
        start = 4 if size == 126 else 10
        if len(data) < start:
            return None
        size = int.from_bytes(data[2:start], "big")
    if len(data) < start + size:
        return None
    frame = Frame(data[0] & 0x0F, bytes(data[start : start + size]), data[0] & 0xF0)
    return frame, start + size


class RawWebSocket:
    """A connection on which a handshake is sent at once, and its answer read.

    Args:
        address: of the server.
        path: with query.
        fields: more field lines of the handshake.
        receive_buffer_bytes: of the kernel, for a client that does not read; else the kernel decides.
        source: address to connect from.

    Attributes:
        status: of the answer.
        head: of the answer.
    """

    def __init__(
        self,
        address: tuple[str, int],
        path: str = "/echo",
        fields: Iterable[bytes] = (),
        receive_buffer_bytes: int | None = None,
        source: str = "",
    ) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_S)
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.data = bytearray()
        try:
            if source:
                self.socket.bind((source, 0))
            self.socket.connect(address)
            self.socket.sendall(handshake(path, fields))
            self.read_answer()
        except BaseException:
            self.socket.close()
            raise

    def read_answer(self) -> None:
        """Read the head of an answer."""
        while b"\r\n\r\n" not in self.data:
            assert self._read(), bytes(self.data)
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        self.head = bytes(head)
        self.status = int(self.head.split(b" ", 2)[1])

    def read_body(self) -> bytes:
        """Read the body of an answer that has Content-Length."""
        found = re.search(rb"content-length: (\d+)", self.head)
        assert found is not None, self.head
        while len(self.data) < int(found[1]):
            assert self._read(), bytes(self.data)
        body = bytes(self.data[: int(found[1])])
        del self.data[: len(body)]
        return body

    def __enter__(self) -> RawWebSocket:
        return self

    def __exit__(self, *_error: Any) -> None:
        self.socket.close()

    def send(self, opcode: int, payload: bytes = b"", bits: int = FIN) -> None:
        """Send a frame."""
        self.socket.sendall(encode(opcode, payload, bits))

    def say(self, text: str) -> str:
        """Send a text message and return the answer, which comes in one frame."""
        self.send(TEXT, text.encode())
        frame = self.read()
        assert frame.opcode == TEXT, frame
        return frame.payload.decode()

    def read(self) -> Frame:
        """Read a frame."""
        while (found := decode(self.data)) is None:
            assert self._read(), "the server has closed the connection"
        frame, size = found
        del self.data[:size]
        return frame

    def close(self, code: int = 1000, reason: str = "") -> Frame:
        """Close, and return the server's close frame."""
        self.socket.sendall(encode_close(code, reason))
        return self.read()

    def is_closed(self) -> bool:
        """Wait for the end of the connection; whether nothing came before it."""
        return not self.data and not self._read()

    def _read(self) -> bool:
        try:
            data = self.socket.recv(262144)
        except ConnectionError:
            return False
        self.data += data
        return bool(data)
