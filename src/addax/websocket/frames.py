"""``--ws native``: addax's own codec.

Bytes are read where they lie: a frame that has come whole is unmasked and handed over in one step, and many small
frames in one buffer cost no more than their bytes. Of a frame that has not come whole, the header (with a control frame
its payload, too) is kept until it has, while the payload of a message is unmasked, inflated and checked as it comes.

Implements: RFC 6455 §5 (framing), §7.4 (close codes), §8.1 (UTF-8); RFC 7692 §6 (compressed messages).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from addax.core.errors import LocalProtocolError, RemoteProtocolError
from addax.core.settings import WebSocketSettings
from addax.websocket.assembly import Assembly
from addax.websocket.codec import Codec, CodecHandler
from addax.websocket.codes import (
    BINARY,
    CLOSE,
    CONTINUATION,
    CONTROL_MAX_BYTES,
    INVALID_DATA,
    NO_STATUS,
    PING,
    PONG,
    PROTOCOL_ERROR,
    REASON_MAX_BYTES,
    TEXT,
    TOO_BIG,
)
from addax.websocket.mask import decode_whole, make_frame, make_text_frame, unmask, unmask_whole

if TYPE_CHECKING:
    from addax.websocket.deflate import DeflateParameters, Deflater, Inflater

#: A payload up to this size is written together with its header: copying it costs less than a second write.
JOINED_BYTES = 16384
#: A shorter message is sent as it is: compressing it takes longer than sending the few bytes that it would save.
DEFLATED_BYTES = 64

# Of this module, so that they are numbers of C where it is compiled.
_CONTINUATION = CONTINUATION
_TEXT = TEXT
_BINARY = BINARY
_CLOSE = CLOSE
_PING = PING
_PONG = PONG
_CONTROL_MAX_BYTES = CONTROL_MAX_BYTES
_JOINED_BYTES = JOINED_BYTES
_DEFLATED_BYTES = DEFLATED_BYTES

# The first byte of a header (RFC 6455 §5.2).
_FIN = 0x80
_RSV1 = 0x40
_RSV2_AND_RSV3 = 0x30
_OPCODE = 0x0F
#: The first byte of a message in one frame, not compressed.
_WHOLE_TEXT = _FIN | TEXT
_WHOLE_BINARY = _FIN | BINARY

# The second byte.
_MASK = 0x80
_LENGTH = 0x7F
#: Lengths from here on stand in two bytes of their own, or in eight.
_LENGTH_16 = 126
_LENGTH_64 = 127
#: A header with the masking key and without a length of its own.
_QUICK_HEADER_BYTES = 6

#: Where a frame ends of which more bytes are needed.
_NOT_WHOLE = -1


def may_be_sent(code: int) -> bool:
    """Whether a close code may stand in a close frame: those that IANA has registered for it, and those for everybody.

    Implements: RFC 6455 §7.4; 1012, 1013 and 1014 came later into the registry. 1004, 1005, 1006 and 1015 are reserved.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def deflated_frame_max_bytes(message_max_bytes: int) -> int:
    """How long a compressed frame may be where frames have no bound of their own.

    What cannot be compressed gets longer by some bytes for each block; zlib's smallest blocks have some hundred bytes.
    """
    return message_max_bytes + (message_max_bytes >> 5) + 64


class FrameCodec(Codec):
    """See ``Codec``."""

    __slots__ = (
        "_assembly",
        "_deflate",
        "_deflated_max_bytes",
        "_deflater",
        "_frame_max_bytes",
        "_handler",
        "_inflater",
        "_is_closed",
        "_is_last",
        "_key",
        "_message_max_bytes",
        "_offset",
        "_pending",
        "_quick_max_bytes",
        "_remaining",
        "_start",
    )

    def __init__(self, handler: CodecHandler, settings: WebSocketSettings, deflate: DeflateParameters | None) -> None:
        self.is_paused = False
        self.is_inside_message = False
        self._handler = handler
        self._deflate = deflate
        self._message_max_bytes = settings.message_max_bytes
        if settings.frame_max_bytes is None:
            self._frame_max_bytes = settings.message_max_bytes
            self._deflated_max_bytes = deflated_frame_max_bytes(settings.message_max_bytes)
        else:
            self._frame_max_bytes = self._deflated_max_bytes = settings.frame_max_bytes
        #: A message in one frame of up to this size has a header of six bytes and breaks no bound.
        self._quick_max_bytes = min(CONTROL_MAX_BYTES, self._message_max_bytes, self._frame_max_bytes)
        self._inflater: Inflater | None = None
        self._deflater: Deflater | None = None
        #: The message that has begun.
        self._assembly: Assembly | None = None
        #: Bytes that are not looked at yet: less than a frame, or all that came during a pause. A bytearray as soon as
        #: there is something to append.
        self._pending: bytes | bytearray | None = None
        #: Where in them they begin.
        self._start = 0
        #: Of a data frame whose header is read: payload bytes that have not come, those that have, the masking key, and
        #: whether it is the last of its message.
        self._remaining = 0
        self._offset = 0
        self._key: bytes | None = None
        self._is_last = False
        self._is_closed = False

    # ---- receiving

    def feed(self, data: bytes) -> None:
        """Take bytes and call the handler for all that is complete in them. While paused, keep them."""
        size = len(data)
        if (
            size > _QUICK_HEADER_BYTES
            and self._pending is None
            and self._assembly is None
            and not self._is_closed
            and not self.is_paused
            # The length of all that was fed, which is at the most that of small payloads: with it the mask bit.
            and data[1] == _MASK + size - _QUICK_HEADER_BYTES
            and size - _QUICK_HEADER_BYTES <= self._quick_max_bytes
        ):
            # One small message and nothing else: what is below, without a detour.
            if data[0] == _WHOLE_TEXT:
                try:
                    text = decode_whole(data, _QUICK_HEADER_BYTES, size)
                except UnicodeDecodeError:
                    raise RemoteProtocolError("text is not UTF-8", INVALID_DATA) from None
                self._handler.on_text(text)
                return
            if data[0] == _WHOLE_BINARY:
                self._handler.on_binary(unmask_whole(data, _QUICK_HEADER_BYTES, size))
                return
        if self._is_closed:
            return
        if self.is_paused:
            self._keep(data)
            return
        if self._pending is not None:
            data = bytes(self._pending) + data
            self._pending = None
        self._read(data, 0)

    def go_on(self) -> None:
        """The pause is over: go on with what was kept."""
        self.is_paused = False
        if self._pending is not None:
            data = bytes(self._pending)
            start = self._start
            self._pending = None
            self._start = 0
            self._read(data, start)

    def _keep(self, data: bytes) -> None:
        """Append to what is not looked at yet."""
        if self._pending is None:
            self._pending = data
        else:
            if not isinstance(self._pending, bytearray):
                self._pending = bytearray(self._pending[self._start :])
                self._start = 0
            self._pending += data

    def _read(self, data: bytes, at: int) -> None:
        """Read frames until there is less than one, or the handler wants no more."""
        end = len(data)
        while at < end:
            if self.is_paused:
                self._pending = data
                self._start = at
                return
            if self._remaining:
                at = self._go_on_with_payload(data, at, end)
            else:
                after = self._read_frame(data, at, end)
                if after < 0:
                    # At most a header, or a control frame: a few bytes.
                    self._pending = data[at:]
                    return
                at = after
            if self._is_closed:
                return

    def _read_frame(self, data: bytes, at: int, end: int) -> int:
        """Read a frame, or what there is of a data frame.

        Returns:
            Where what was read ends, or ``_NOT_WHOLE``.
        """
        first = data[at]
        opcode = first & _OPCODE
        self._check_first(first, opcode)
        if end - at < 2:
            return _NOT_WHOLE
        if data[at + 1] < _MASK:
            raise RemoteProtocolError("a frame is not masked", PROTOCOL_ERROR)
        length = data[at + 1] & _LENGTH
        if opcode >= _CLOSE:
            if length > _CONTROL_MAX_BYTES:
                raise RemoteProtocolError("a control frame is too long", PROTOCOL_ERROR)
            at += 6
            if end - at < length:
                return _NOT_WHOLE
            self._read_control(opcode, unmask_whole(data, at, at + length))
            return at + length
        if length < _LENGTH_16:
            at += 6
        elif length == _LENGTH_16:
            if end - at < 4:
                return _NOT_WHOLE
            length = data[at + 2] << 8 | data[at + 3]
            if length < 126:
                raise RemoteProtocolError("a length is not written in the shortest way", PROTOCOL_ERROR)
            at += 8
        else:
            if end - at < 10:
                return _NOT_WHOLE
            if data[at + 2] > 127:
                raise RemoteProtocolError("a length has more than 63 bits", PROTOCOL_ERROR)
            length = int.from_bytes(data[at + 2 : at + 10], "big")
            if length < 65536:
                raise RemoteProtocolError("a length is not written in the shortest way", PROTOCOL_ERROR)
            at += 14
        is_deflated = first & _RSV1 != 0 if self._assembly is None else self._assembly.is_deflated
        self._check_length(length, is_deflated)
        if at > end:
            return _NOT_WHOLE
        return self._read_payload(data, at, end, length, first, opcode, is_deflated)

    def _check_first(self, first: int, opcode: int) -> None:
        """Refuse a frame by the first byte of its header."""
        if first & _RSV2_AND_RSV3:
            raise RemoteProtocolError("a reserved bit is set", PROTOCOL_ERROR)
        if opcode > _PONG or _BINARY < opcode < _CLOSE:
            raise RemoteProtocolError("a frame has an opcode that is not defined", PROTOCOL_ERROR)
        # RFC 7692 §6.1: of a message only the first frame has it, and a control frame never.
        if first & _RSV1 and (self._deflate is None or opcode == _CONTINUATION or opcode >= _CLOSE):
            raise RemoteProtocolError("a reserved bit is set", PROTOCOL_ERROR)
        if opcode >= _CLOSE:
            if first < _FIN:
                raise RemoteProtocolError("a control frame is fragmented", PROTOCOL_ERROR)
        elif opcode == _CONTINUATION:
            if self._assembly is None:
                raise RemoteProtocolError("there is no message to continue", PROTOCOL_ERROR)
        elif self._assembly is not None:
            raise RemoteProtocolError("a message begins inside another", PROTOCOL_ERROR)

    def _check_length(self, length: int, is_deflated: bool) -> None:
        """Refuse a data frame by the length that it says, before anything of it has to be kept."""
        if length > (self._deflated_max_bytes if is_deflated else self._frame_max_bytes):
            raise RemoteProtocolError("a frame is too long", TOO_BIG)
        if not is_deflated:
            before = 0 if self._assembly is None else self._assembly.size_bytes
            if length > self._message_max_bytes - before:
                raise RemoteProtocolError("a message is too long", TOO_BIG)

    # ---- data frames

    def _read_payload(
        self, data: bytes, at: int, end: int, length: int, first: int, opcode: int, is_deflated: bool
    ) -> int:
        """The header of a data frame has been read; its payload begins at ``at``."""
        is_whole = length <= end - at
        is_last = first >= _FIN
        if is_whole and is_last and opcode != _CONTINUATION:
            end = at + length
            payload = unmask_whole(data, at, end)
            if is_deflated:
                payload = self._inflate(payload, 0, True)
            if opcode == _TEXT:
                try:
                    text = payload.decode()
                except UnicodeDecodeError:
                    raise RemoteProtocolError("text is not UTF-8", INVALID_DATA) from None
                self._handler.on_text(text)
            else:
                self._handler.on_binary(payload)
            return end
        if opcode != _CONTINUATION:
            self._assembly = Assembly(opcode == _TEXT, is_deflated)
            self.is_inside_message = True
        if is_whole:
            end = at + length
        else:
            self._remaining = length - (end - at)
            self._offset = end - at
            self._key = data[at - 4 : at]
            self._is_last = is_last
        self._take_piece(unmask_whole(data, at, end), is_whole and is_last)
        return end

    def _go_on_with_payload(self, data: bytes, at: int, end: int) -> int:
        """Take more of the payload of a frame that had not come whole."""
        assert self._key is not None
        if self._remaining < end - at:
            end = at + self._remaining
        piece = unmask(data, at, end, self._key, self._offset)
        self._remaining -= end - at
        self._offset += end - at
        if self._remaining == 0:
            self._key = None
        self._take_piece(piece, self._remaining == 0 and self._is_last)
        return end

    def _take_piece(self, piece: bytes, is_end: bool) -> None:
        """Put an unmasked piece to its message, and hand that over when it is complete."""
        assembly = self._assembly
        assert assembly is not None
        if assembly.is_deflated and (piece or is_end):
            piece = self._inflate(piece, assembly.size_bytes, is_end)
        if piece:
            assembly.add(piece)
        if is_end:
            self._assembly = None
            self.is_inside_message = False
            if assembly.is_text:
                self._handler.on_text(assembly.text())
            else:
                self._handler.on_binary(assembly.data())

    def _inflate(self, piece: bytes, before: int, is_end: bool) -> bytes:
        """Inflate a piece of a message, of which there is something before."""
        if self._inflater is None:
            from addax.websocket.deflate import Inflater

            assert self._deflate is not None
            self._inflater = Inflater(self._deflate)
        inflated: bytes = self._inflater.inflate(piece, self._message_max_bytes - before, is_end)
        return inflated

    # ---- control frames

    def _read_control(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self._handler.on_ping(payload)
        elif opcode == _PONG:
            self._handler.on_pong(payload)
        else:
            self._read_close(payload)

    def _read_close(self, payload: bytes) -> None:
        # RFC 6455 §5.5.1.
        if not payload:
            self._is_closed = True
            self._handler.on_close(NO_STATUS, "")
            return
        if len(payload) == 1:
            raise RemoteProtocolError("a close frame has half a code", PROTOCOL_ERROR)
        code = payload[0] << 8 | payload[1]
        if not may_be_sent(code):
            raise RemoteProtocolError("a close frame has a code that may not be sent", PROTOCOL_ERROR)
        try:
            reason = payload[2:].decode()
        except UnicodeDecodeError:
            raise RemoteProtocolError("the reason of a close frame is not UTF-8", INVALID_DATA) from None
        self._is_closed = True
        self._handler.on_close(code, reason)

    # ---- sending

    def send_text(self, text: str) -> None:
        """Write a text message."""
        try:
            # A character has four bytes at the most.
            if self._deflate is None and len(text) <= _JOINED_BYTES >> 2:
                self._handler.write(make_text_frame(_WHOLE_TEXT, text))
                return
            payload = text.encode()
        except UnicodeEncodeError:
            raise LocalProtocolError("a text message has surrogates, which UTF-8 cannot express") from None
        self._send_message(_WHOLE_TEXT, payload)

    def send_binary(self, data: bytes) -> None:
        """Write a binary message."""
        if self._deflate is None and len(data) <= _JOINED_BYTES:
            self._handler.write(make_frame(_WHOLE_BINARY, data))
        else:
            self._send_message(_WHOLE_BINARY, data)

    def _send_message(self, first: int, payload: bytes) -> None:
        if self._deflate is not None and len(payload) >= _DEFLATED_BYTES:
            if self._deflater is None:
                from addax.websocket.deflate import Deflater

                self._deflater = Deflater(self._deflate)
            payload = self._deflater.compress(payload)
            first |= _RSV1
        size = len(payload)
        if size <= _JOINED_BYTES:
            self._handler.write(make_frame(first, payload))
            return
        if size <= 0xFFFF:
            self._handler.write(bytes((first, _LENGTH_16, size >> 8, size & 0xFF)))
        else:
            self._handler.write(bytes((first, _LENGTH_64)) + size.to_bytes(8, "big"))
        self._handler.write(payload)

    def send_ping(self, payload: bytes) -> None:
        """Write a ping."""
        self._send_control(_FIN | _PING, payload)

    def send_pong(self, payload: bytes) -> None:
        """Write a pong."""
        self._send_control(_FIN | _PONG, payload)

    def send_close(self, code: int, reason: str) -> None:
        """Write a close frame."""
        payload = b""
        if code != NO_STATUS:
            payload = reason.encode("utf-8", "replace")
            if len(payload) > REASON_MAX_BYTES:
                # A character that was cut is left out.
                payload = payload[:REASON_MAX_BYTES].decode("utf-8", "ignore").encode()
            payload = code.to_bytes(2, "big") + payload
        self._send_control(_FIN | _CLOSE, payload)

    def _send_control(self, first: int, payload: bytes) -> None:
        if len(payload) > CONTROL_MAX_BYTES:
            raise LocalProtocolError("the payload of a control frame has 125 bytes at the most")
        self._handler.write(make_frame(first, payload))

    # ---- idling

    def rest(self) -> None:
        """Free what is only worth its memory while messages flow."""
        # A fresh compressor is always allowed: what it makes refers to nothing before it.
        if self._deflater is not None:
            self._deflater.rest()
            self._deflater = None
        if self._inflater is not None:
            self._inflater.rest()
            if self._assembly is None and self._deflate is not None and not self._deflate.client_takeover:
                self._inflater = None
