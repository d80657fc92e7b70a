"""``--ws wsproto``: the codec of the wsproto library (the extra "wsproto") behind the interface of ours.

Two things differ from ``FrameCodec``, because the library decides them:

- Close code 1014, which IANA has registered, is refused with 1002.
- What is wrong about a frame is found a little later, for example a missing mask behind the length that stands before
  it, or a surrogate at its third byte and not at its second. The close code is the same.

Beneath ``wsproto.connection.Connection`` lies ``FrameProtocol``, and that is what is used: a Connection reports a
mistake of the peer as if the peer had sent a close frame, and refuses to send what the connection's own machine allows.

Implements: the same as ``frames.py``.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import CloseReason, Frame, FrameDecoder, FrameProtocol, Opcode, ParseFailed, RsvBits

from addax.core.errors import LocalProtocolError, RemoteProtocolError
from addax.core.settings import WebSocketSettings
from addax.websocket.codec import Codec, CodecHandler
from addax.websocket.codes import CONTROL_MAX_BYTES, NO_STATUS
from addax.websocket.frames import DEFLATED_BYTES, deflated_frame_max_bytes

if TYPE_CHECKING:
    from addax.websocket.deflate import DeflateParameters

#: The library inflates all that it gets at once; of this much comes a mebibyte at the most, and then the bound is
#: looked at.
_INFLATED_BYTES = 1024
#: Smaller windows are said by clients, but zlib has none; for inflating, a larger one is as good.
_ZLIB_BITS_MIN = 9
_NO_BITS = RsvBits(False, False, False)


class _Guard(Extension):
    """Keeps the bounds, where the library asks its extensions about a frame, and hands on to compression."""

    name = "guard"

    def __init__(self, settings: WebSocketSettings, deflate: PerMessageDeflate | None) -> None:
        self._deflate = deflate
        self._message_max_bytes = settings.message_max_bytes
        self._frame_max_bytes = settings.frame_max_bytes
        #: Of the message, so far, after inflating.
        self._size_bytes = 0
        self._is_deflated = False
        self._is_control = False
        self.is_inside_message = False

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        # Called again for the same header as long as that has not come whole: nothing may change by that.
        self._is_control = opcode.iscontrol()
        if self._is_control:
            # Compression must not see it: it would take the message around it for finished.
            return _NO_BITS
        if self.is_inside_message is not (opcode is Opcode.CONTINUATION):
            # The library looks at this later, when it has inflated what comes with it.
            return CloseReason.PROTOCOL_ERROR
        if not self.is_inside_message:
            self._size_bytes = 0
            self._is_deflated = rsv.rsv1 and self._deflate is not None
        frame_max_bytes = self._frame_max_bytes
        if frame_max_bytes is None:
            frame_max_bytes = self._message_max_bytes
            if self._is_deflated:
                frame_max_bytes = deflated_frame_max_bytes(frame_max_bytes)
        allowed = _NO_BITS if self._deflate is None else self._deflate.frame_inbound_header(proto, opcode, rsv, 0)
        if isinstance(allowed, CloseReason):
            return allowed
        if any(is_set and not may_be for is_set, may_be in zip(rsv, allowed, strict=True)):
            return CloseReason.PROTOCOL_ERROR
        if payload_length > frame_max_bytes:
            return CloseReason.MESSAGE_TOO_BIG
        if not self._is_deflated and payload_length > self._message_max_bytes - self._size_bytes:
            return CloseReason.MESSAGE_TOO_BIG
        return allowed

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        if self._is_control:
            return data
        self.is_inside_message = True
        if not self._is_deflated:
            self._size_bytes += len(data)
            return data
        assert self._deflate is not None
        pieces = []
        for start in range(0, len(data), _INFLATED_BYTES):
            piece = self._deflate.frame_inbound_payload_data(proto, data[start : start + _INFLATED_BYTES])
            if isinstance(piece, CloseReason):
                return piece
            self._size_bytes += len(piece)
            if self._size_bytes > self._message_max_bytes:
                return CloseReason.MESSAGE_TOO_BIG
            pieces.append(piece)
        return b"".join(pieces)

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        if self._is_control:
            return None
        rest = None
        if self._deflate is not None:
            rest = self._deflate.frame_inbound_complete(proto, fin)
            if isinstance(rest, CloseReason):
                return rest
            if rest is not None:
                self._size_bytes += len(rest)
                if self._size_bytes > self._message_max_bytes:
                    return CloseReason.MESSAGE_TOO_BIG
        if fin:
            self.is_inside_message = False
        return rest

    def frame_outbound(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        if self._deflate is None or len(data) < DEFLATED_BYTES:
            return rsv, data
        return self._deflate.frame_outbound(proto, opcode, rsv, data, fin)


class WsprotoCodec(Codec):
    """See ``Codec``."""

    __slots__ = ("_binary", "_guard", "_handler", "_is_closed", "_protocol", "_text")

    def __init__(self, handler: CodecHandler, settings: WebSocketSettings, deflate: DeflateParameters | None) -> None:
        super().__init__(handler, settings, deflate)
        self._handler = handler
        self._guard = _Guard(settings, None if deflate is None else _compression(deflate))
        self._protocol = FrameProtocol(False, [self._guard])
        #: The message that has begun.
        self._text: io.StringIO | None = None
        self._binary: bytearray | None = None
        self._is_closed = False

    # ---- receiving

    def feed(self, data: bytes) -> None:
        """Take bytes and call the handler for all that is complete in them. While paused, keep them."""
        if self._is_closed:
            return
        self._protocol.receive_bytes(data)
        if not self.is_paused:
            self._read()

    def go_on(self) -> None:
        """The pause is over: go on with what was kept."""
        self.is_paused = False
        if not self._is_closed:
            self._read()

    def _read(self) -> None:
        try:
            for frame in self._protocol.received_frames():
                self.is_inside_message = self._guard.is_inside_message
                self._take(frame)
                if self.is_paused or self._is_closed:
                    return
        except ParseFailed as error:
            # What it says holds bytes that the peer sent.
            raise RemoteProtocolError("wsproto refuses a frame", int(error.code)) from None
        self.is_inside_message = self._guard.is_inside_message

    def _take(self, frame: Frame) -> None:
        payload = frame.payload
        if frame.opcode is Opcode.TEXT:
            assert isinstance(payload, str)
            if self._text is None:
                if frame.message_finished:
                    self._handler.on_text(payload)
                    return
                # As it is: no line end is another one.
                self._text = io.StringIO(newline="")
            self._text.write(payload)
            if frame.message_finished:
                text = self._text.getvalue()
                self._text = None
                self._handler.on_text(text)
        elif frame.opcode is Opcode.BINARY:
            assert isinstance(payload, bytes)
            if self._binary is None:
                if frame.message_finished:
                    self._handler.on_binary(payload)
                    return
                self._binary = bytearray()
            self._binary += payload
            if frame.message_finished:
                data = bytes(self._binary)
                self._binary = None
                self._handler.on_binary(data)
        elif frame.opcode is Opcode.CLOSE:
            assert isinstance(payload, tuple)
            self._is_closed = True
            self._handler.on_close(int(payload[0]), payload[1])
        else:
            assert isinstance(payload, bytes)
            if frame.opcode is Opcode.PING:
                self._handler.on_ping(payload)
            else:
                self._handler.on_pong(payload)

    # ---- sending

    def send_text(self, text: str) -> None:
        """Write a text message."""
        try:
            data = self._protocol.send_data(text)
        except UnicodeEncodeError:
            raise LocalProtocolError("a text message has surrogates, which UTF-8 cannot express") from None
        self._handler.write(bytes(data))

    def send_binary(self, data: bytes) -> None:
        """Write a binary message."""
        self._handler.write(bytes(self._protocol.send_data(data)))

    def send_ping(self, payload: bytes) -> None:
        """Write a ping."""
        _check_control(payload)
        self._handler.write(bytes(self._protocol.ping(payload)))

    def send_pong(self, payload: bytes) -> None:
        """Write a pong."""
        _check_control(payload)
        self._handler.write(bytes(self._protocol.pong(payload)))

    def send_close(self, code: int, reason: str) -> None:
        """Write a close frame."""
        if code == NO_STATUS:
            data = self._protocol.close()
        else:
            data = self._protocol.close(code, reason.encode("utf-8", "replace").decode())
        self._handler.write(bytes(data))

    # ---- idling

    def rest(self) -> None:
        """Nothing: the library does not let go of anything."""


def _compression(parameters: DeflateParameters) -> PerMessageDeflate:
    extension = PerMessageDeflate(
        client_no_context_takeover=not parameters.client_takeover,
        client_max_window_bits=max(parameters.client_window_bits, _ZLIB_BITS_MIN),
        server_no_context_takeover=not parameters.server_takeover,
        server_max_window_bits=parameters.server_window_bits,
    )
    # Nothing more to be agreed: this only makes it take effect.
    extension.finalize(extension.name)
    return extension


def _check_control(payload: bytes) -> None:
    if len(payload) > CONTROL_MAX_BYTES:
        raise LocalProtocolError("the payload of a control frame has 125 bytes at the most")
