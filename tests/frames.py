"""Frames as a client makes them, and what a codec says of them."""

from __future__ import annotations

from typing import Any

from addax.core.errors import RemoteProtocolError
from addax.websocket.codec import CodecHandler

KEY = b"\x37\xfa\x21\x3d"


def mask(payload: bytes, key: bytes = KEY) -> bytes:
    """RFC 6455 §5.3, by definition."""
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def frame(first: int, payload: bytes = b"", key: bytes | None = KEY, length: bytes | None = None) -> bytes:
    """A frame.

    Args:
        first: the first byte: FIN, reserved bits, opcode.
        payload: as it is meant.
        key: for the mask; None: without one.
        length: what stands for the length from the second byte on, without the mask bit; None: what is right.
    """
    if length is None:
        size = len(payload)
        if size < 126:
            length = bytes((size,))
        elif size < 65536:
            length = b"\x7e" + size.to_bytes(2, "big")
        else:
            length = b"\x7f" + size.to_bytes(8, "big")
    if key is None:
        return bytes((first,)) + length + payload
    return bytes((first, length[0] | 0x80)) + length[1:] + key + mask(payload, key)


class Recorder(CodecHandler):
    """Notes every call: ``(kind, what)``."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[Any, ...]] = []
        self.written: list[bytes] = []

    def on_text(self, text: str) -> None:
        assert type(text) is str
        self.events.append(("text", text))

    def on_binary(self, data: bytes) -> None:
        assert type(data) is bytes
        self.events.append(("binary", data))

    def on_ping(self, payload: bytes) -> None:
        self.events.append(("ping", payload))

    def on_pong(self, payload: bytes) -> None:
        self.events.append(("pong", payload))

    def on_close(self, code: int, reason: str) -> None:
        self.events.append(("close", code, reason))

    def write(self, data: bytes) -> None:
        assert type(data) is bytes
        self.written.append(data)


class PausingRecorder(Recorder):
    """Pauses after each message."""

    codec: Any = None

    def on_text(self, text: str) -> None:
        super().on_text(text)
        self.codec.is_paused = True

    def on_binary(self, data: bytes) -> None:
        super().on_binary(data)
        self.codec.is_paused = True


def feed(codec: Any, recorder: Recorder, pieces: list[bytes]) -> list[tuple[Any, ...]]:
    """Feed it; an error is the last event, with its close code."""
    try:
        for piece in pieces:
            codec.feed(piece)
    except RemoteProtocolError as error:
        assert not codec.is_paused
        recorder.events.append(("error", error.status))
    return recorder.events
