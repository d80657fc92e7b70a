"""A WebSocket client on a ``FakeClient``: frames are written by hand, so that wrong ones can be written too."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any, NamedTuple

from addax import testing

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
#: RFC 6455 §1.3.
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
MASK = b"\x37\xfa\x21\x3d"
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def handshake(path: bytes = b"/ws", *fields: bytes, key: bytes = KEY, version: bytes = b"13") -> bytes:
    """The request for a WebSocket (RFC 6455 §4.1)."""
    lines = [
        b"GET " + path + b" HTTP/1.1",
        b"Host: h",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Key: " + key,
        b"Sec-WebSocket-Version: " + version,
        *fields,
    ]
    return b"\r\n".join([*lines, b"", b""])


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes = MASK) -> bytes:
    """A frame as a client sends it (RFC 6455 §5.2)."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += b"\xfe" + struct.pack("!H", len(payload))
    else:
        head += b"\xff" + struct.pack("!Q", len(payload))
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def text(content: str) -> bytes:
    return frame(TEXT, content.encode())


def close(code: int | None = 1000, reason: str = "") -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode())


class Frame(NamedTuple):
    """A frame that the server has sent."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0

    @property
    def code(self) -> int | None:
        """Of a close frame."""
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None

    @property
    def reason(self) -> str:
        """Of a close frame."""
        return self.payload[2:].decode()


def parse_frames(data: bytes) -> list[Frame]:
    """Frames of a server.

    Raises:
        AssertionError: a frame is masked, or the last one is not complete.
    """
    frames = []
    while data:
        size, start = data[1], 2
        assert not size & 0x80, "a server does not mask (RFC 6455 §5.1)"
        if size == 126:
            size, start = struct.unpack("!H", data[2:4])[0], 4
        elif size == 127:
            size, start = struct.unpack("!Q", data[2:10])[0], 10
        assert len(data) >= start + size, "half a frame"
        frames.append(Frame(data[0] & 0x0F, data[start : start + size], bool(data[0] & 0x80), data[0] >> 4 & 7))
        data = data[start + size :]
    return frames


class Socket:
    """What a test does with a WebSocket.

    Args:
        client: on which nothing was sent yet.
    """

    def __init__(self, client: testing.FakeClient) -> None:
        self.client = client
        self._read = 0

    @property
    def host(self) -> testing.FakeHost:
        return self.client.host

    async def open(self, path: bytes = b"/ws", *fields: bytes, extra: bytes = b"") -> dict[bytes, bytes]:
        """Shake hands; ``extra`` follows in the same piece.

        Returns:
            The fields of the answer.

        Raises:
            AssertionError: the server did not accept.
        """
        await self.client.send(handshake(path, *fields) + extra)
        status, answer = self.answer()
        assert status == b"HTTP/1.1 101 Switching Protocols", bytes(self.host.written)
        assert answer[b"sec-websocket-accept"] == ACCEPT
        assert (answer[b"upgrade"], answer[b"connection"].lower()) == (b"websocket", b"upgrade")
        return answer

    def answer(self) -> tuple[bytes, dict[bytes, bytes]]:
        """Status line and fields of what the server has sent first."""
        head, found, _ = bytes(self.host.written).partition(b"\r\n\r\n")
        assert found, "no answer"
        self._read = len(head) + 4
        status, *lines = head.split(b"\r\n")
        pairs = [line.split(b": ", 1) for line in lines]
        assert len({name for name, _ in pairs}) == len(pairs), lines
        return status, dict(pairs)

    async def send(self, *frames: bytes, step: int | None = None) -> None:
        await self.client.send(b"".join(frames), step)

    def frames(self) -> list[Frame]:
        """What the server has sent since the last call."""
        assert not self.host.faults, self.host.faults
        data = bytes(self.host.written[self._read :])
        self._read += len(data)
        return parse_frames(data)

    def texts(self) -> list[str]:
        """The same where it has to be text messages."""
        found = self.frames()
        assert all(one.opcode == TEXT and one.fin and not one.rsv for one in found), found
        return [one.payload.decode() for one in found]


class App:
    """An application that does what it is told in its steps, and takes down what it receives.

    Args:
        steps: messages to send; ``"receive"`` for a receive; ``"echo"`` to answer everything until the end.
    """

    def __init__(self, *steps: Any) -> None:
        self.steps = steps
        self.received: list[dict[str, Any]] = []
        self.scopes: list[dict[str, Any]] = []
        self.errors: list[BaseException] = []
        self.is_done = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        try:
            for step in self.steps:
                if step == "receive":
                    self.received.append(await receive())
                elif step == "echo":
                    await self._echo(receive, send)
                elif callable(step):
                    await step(receive, send)
                else:
                    await send(step)
        except BaseException as error:
            self.errors.append(error)
            raise
        finally:
            self.is_done = True

    async def _echo(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            self.received.append(message)
            if message["type"] == "websocket.disconnect":
                return
            await send({**message, "type": "websocket.send"})


ACCEPT_MESSAGE: dict[str, Any] = {"type": "websocket.accept"}


def echo() -> App:
    """An application that accepts and echoes."""
    return App("receive", ACCEPT_MESSAGE, "echo")


def disconnect(code: int, reason: str = "") -> dict[str, Any]:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}
