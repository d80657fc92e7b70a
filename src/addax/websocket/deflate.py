"""Compression of messages: what is agreed about it, and the two ends of it.

Both windows are 4 KiB unless the client asks for less: enough for what messages repeat, and a quarter of a compressor's
memory of 32 KiB windows. Compressor and decompressor are there while they work. Between two messages the receiving side
is only the last bytes that it inflated, from which a decompressor starts as if it had never stopped; the sending side
keeps its compressor, because making one is dear, until ``rest`` says that nothing goes on.

Not compiled: next to all of its time is zlib's.

Implements: RFC 7692 (permessage-deflate), RFC 6455 §9.1 (the grammar of Sec-WebSocket-Extensions).
"""

from __future__ import annotations

import re
import zlib

from addax.core.errors import RemoteProtocolError
from addax.websocket.codes import INVALID_DATA, TOO_BIG

#: The windows that we ask for, both ways, as powers of 2 of bytes.
WINDOW_BITS = 12
#: What RFC 7692 §7.1.2 allows. A raw deflate stream of zlib cannot have 8 (its own window would be 9), so an offer that
#: insists on that from us is declined; see ``_read_offer``.
WINDOW_BITS_MIN = 8
WINDOW_BITS_MAX = 15
_ZLIB_BITS_MIN = 9

# Measured with JSON of 200 and of 1000 bytes and windows of 12 bits, CPU time and size in percent of those of zlib's
# default, level 6: level 3 takes 94 and 62, and makes 106 and 108; level 1 takes 94 and 53, and makes 113 and 117.
# Memory level 8, zlib's default, takes up to 20 % longer than 5, and 4 as long; all compress the same to a thousandth.
_LEVEL = 3
_MEMORY_LEVEL = 5

#: Ends a message's last block at a byte, and is not sent (RFC 7692 §7.2.1).
_TAIL = b"\x00\x00\xff\xff"
#: The tail, and an empty block that says it is the last: so zlib tells whether the message was whole.
_END = _TAIL + b"\x03\x00"
#: A message without bytes (RFC 7692 §7.2.3.6); zlib makes none when it has nothing to flush.
_EMPTY = b"\x00"
#: Streams in one message, see ``Inflater``. Each costs a decompressor, and nobody needs more than one for a fragment.
_STREAMS_MAX = 1024
_PIECE_BYTES = 4096

# ---- the offer -------------------------------------------------------------------------------------------------------

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_NAME = re.compile(rb"[ \t]*(%b)[ \t]*" % _TOKEN)
_PARAMETER = re.compile(rb";[ \t]*(%b)(?:[ \t]*=[ \t]*(?:(%b)|(%b)))?[ \t]*" % (_TOKEN, _TOKEN, _QUOTED))
_BLANK = re.compile(rb"[ \t]*")
_WHOLE_TOKEN = re.compile(_TOKEN)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
#: "a decimal integer value without leading zeroes between 8 to 15" (RFC 7692 §7.1.2).
_BITS = {b"%d" % bits: bits for bits in range(WINDOW_BITS_MIN, WINDOW_BITS_MAX + 1)}

#: Name of an extension, and its parameters; None as a value: it has none.
_Extension = tuple[bytes, list[tuple[bytes, bytes | None]]]


class DeflateParameters:
    """What was agreed about compression.

    Attributes:
        server_window_bits: of what we send, as a power of 2 of bytes, 9-12.
        client_window_bits: of what the client sends, 8-15.
        server_takeover: our messages may refer to earlier ones.
        client_takeover: the client's messages may.
        response: value of Sec-WebSocket-Extensions that tells the client.
    """

    __slots__ = ("client_takeover", "client_window_bits", "response", "server_takeover", "server_window_bits")

    def __init__(
        self, server_window_bits: int, client_window_bits: int, server_takeover: bool, client_takeover: bool
    ) -> None:
        self.server_window_bits = server_window_bits
        self.client_window_bits = client_window_bits
        self.server_takeover = server_takeover
        self.client_takeover = client_takeover
        response = b"permessage-deflate"
        if not server_takeover:
            response += b"; server_no_context_takeover"
        if not client_takeover:
            response += b"; client_no_context_takeover"
        if server_window_bits < WINDOW_BITS_MAX:
            response += b"; server_max_window_bits=%d" % server_window_bits
        # Not to be said to a client that did not offer it: that one has 15, always (RFC 7692 §7.1.2.2).
        if client_window_bits < WINDOW_BITS_MAX:
            response += b"; client_max_window_bits=%d" % client_window_bits
        self.response = response


def negotiate(offers: bytes) -> DeflateParameters | None:
    """Choose the first offer of permessage-deflate that can be met.

    Args:
        offers: value of Sec-WebSocket-Extensions; several field lines are joined by ``b", "``.

    Returns:
        None if there is no such offer. Offers with parameters that are unknown, said twice or malformed are passed
        over (RFC 7692 §7.1), and so are other extensions.

    Raises:
        RemoteProtocolError: 400, this is no list of extensions (RFC 6455 §9.1).
    """
    chosen = None
    for name, parameters in _read_extensions(offers):
        if chosen is None and name == b"permessage-deflate":
            chosen = _read_offer(parameters)
    return chosen


def _read_extensions(value: bytes) -> list[_Extension]:
    # Empty members are ignored, as in all lists (RFC 9110 §5.6.1.2), also if there is nothing else.
    extensions: list[_Extension] = []
    position = 0
    while True:
        parameters: list[tuple[bytes, bytes | None]] = []
        name = _NAME.match(value, position)
        if name is not None:
            position = name.end()
            while (parameter := _PARAMETER.match(value, position)) is not None:
                parameters.append((parameter[1], _unquoted(parameter[2], parameter[3])))
                position = parameter.end()
            extensions.append((name[1], parameters))
        else:
            blank = _BLANK.match(value, position)
            assert blank is not None
            position = blank.end()
        if position == len(value):
            return extensions
        if value[position] != 0x2C:
            raise RemoteProtocolError("Sec-WebSocket-Extensions is malformed")
        position += 1


def _unquoted(token: bytes | None, quoted: bytes | None) -> bytes | None:
    if quoted is None:
        return token
    value = _ESCAPED.sub(rb"\1", quoted[1:-1])
    # "the value after quoted-string unescaping MUST conform to the 'token' ABNF" (RFC 6455 §9.1).
    if _WHOLE_TOKEN.fullmatch(value) is None:
        raise RemoteProtocolError("Sec-WebSocket-Extensions is malformed")
    return value


def _read_offer(parameters: list[tuple[bytes, bytes | None]]) -> DeflateParameters | None:
    """What we make of an offer; None if it cannot be met."""
    values = dict(parameters)
    if len(values) < len(parameters):
        return None
    server_bits = WINDOW_BITS
    client_bits = WINDOW_BITS_MAX
    for name, value in parameters:
        if name in (b"server_no_context_takeover", b"client_no_context_takeover"):
            if value is not None:
                return None
        elif name == b"client_max_window_bits" and value is None:
            client_bits = WINDOW_BITS
        elif name in (b"server_max_window_bits", b"client_max_window_bits"):
            bits = 0 if value is None else _BITS.get(value, 0)
            if bits == 0:
                return None
            if name == b"client_max_window_bits":
                client_bits = min(WINDOW_BITS, bits)
            elif bits < _ZLIB_BITS_MIN:
                return None
            else:
                server_bits = min(WINDOW_BITS, bits)
        else:
            return None
    # A client whose window cannot be made smaller would cost 32 KiB for as long as it is there: it is told to begin
    # each message afresh (RFC 7692 §7.1.1.2 allows that unasked), and costs them only inside of one.
    takeover = b"client_no_context_takeover" not in values and client_bits < WINDOW_BITS_MAX
    return DeflateParameters(server_bits, client_bits, b"server_no_context_takeover" not in values, takeover)


# ---- the two ends ----------------------------------------------------------------------------------------------------


class Deflater:
    """Compresses the messages of one WebSocket."""

    __slots__ = ("_compressor", "_takeover", "_zlib_bits")

    def __init__(self, parameters: DeflateParameters) -> None:
        self._takeover = parameters.server_takeover
        # Negative: raw, without zlib's header and check sum.
        self._zlib_bits = -parameters.server_window_bits
        self._compressor: zlib._Compress | None = None

    def compress(self, data: bytes) -> bytes:
        """The payload for one whole message."""
        if not data:
            return _EMPTY
        compressor = self._compressor
        if compressor is None:
            compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, self._zlib_bits, _MEMORY_LEVEL)
            if self._takeover:
                self._compressor = compressor
        begin = compressor.compress(data)
        end = compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]
        return begin + end if begin else end

    def rest(self) -> None:
        """Free the compressor. The next message will not refer to earlier ones, which is always allowed."""
        self._compressor = None


class Inflater:
    """Decompresses the messages of one WebSocket.

    A block that says it is the last one (BFINAL) ends a stream of zlib and not the message: what comes behind it is
    another stream, with the same window (RFC 7692 §7.2.3.4, §7.2.3.5).
    """

    __slots__ = ("_is_packed", "_stream", "_stream_count", "_takeover", "_window", "_window_bytes", "_zlib_bits")

    def __init__(self, parameters: DeflateParameters) -> None:
        self._takeover = parameters.client_takeover
        # There are old versions of zlib that say 8 and use 9. For inflating, a window may be larger than need be.
        bits = max(parameters.client_window_bits, _ZLIB_BITS_MIN)
        self._zlib_bits = -bits
        self._window_bytes = 1 << bits
        #: What was inflated last, as far as the client may refer to it.
        self._window = b""
        #: The window is compressed itself, because nothing has come for a while.
        self._is_packed = False
        #: None between two messages.
        self._stream: zlib._Decompress | None = None
        self._stream_count = 0

    def inflate(self, data: bytes, limit_bytes: int, is_last: bool) -> bytes:
        """Take bytes of a message, cut anywhere.

        Args:
            data: payload of a compressed message, or a piece of it.
            limit_bytes: more must not come out of it.
            is_last: the message ends with them.

        Returns:
            What they are decompressed; all of it that can be told before the next bytes.

        Raises:
            RemoteProtocolError: 1009, more than ``limit_bytes`` would come out; 1007, this is not what deflate makes,
                or the message ends inside of a block. The inflater is of no use after that.
        """
        stream = self._stream
        if stream is None:
            if is_last and not data:
                # What zlib makes of an empty message if it is asked to flush what it has flushed already, and nothing
                # is done about it. There is nothing else that it could mean.
                return b""
            stream = self._begin_stream()
        if is_last:
            data += _END
        try:
            # One byte more than may come, so as to notice it. Whatever is less is all that zlib had.
            inflated = stream.decompress(data, limit_bytes + 1)
            if self._takeover and inflated:
                self._remember(inflated)
            if stream.eof and (stream.unused_data or not is_last):
                stream, inflated = self._inflate_streams(stream.unused_data, inflated, limit_bytes, is_last)
        except zlib.error:
            raise RemoteProtocolError("a message is not compressed as was agreed", INVALID_DATA) from None
        if len(inflated) > limit_bytes:
            raise RemoteProtocolError("a message is too big", TOO_BIG)
        if not is_last:
            self._stream = stream
        elif stream.eof:
            self._stream = None
            self._stream_count = 0
        else:
            raise RemoteProtocolError("a compressed message ends too early", INVALID_DATA)
        return inflated

    def rest(self) -> None:
        """Make small what has to be kept: between two messages that is only the window."""
        if self._window and not self._is_packed and self._stream is None:
            packed = zlib.compress(self._window, 1)
            if len(packed) < len(self._window):
                self._window = packed
                self._is_packed = True

    def _begin_stream(self) -> zlib._Decompress:
        self._stream_count += 1
        if self._stream_count > _STREAMS_MAX:
            raise RemoteProtocolError("a message has too many final blocks", INVALID_DATA)
        if self._is_packed:
            self._window = zlib.decompress(self._window)
            self._is_packed = False
        if self._window:
            return zlib.decompressobj(self._zlib_bits, self._window)
        return zlib.decompressobj(self._zlib_bits)

    def _inflate_streams(
        self, data: bytes, inflated: bytes, limit_bytes: int, is_last: bool
    ) -> tuple[zlib._Decompress, bytes]:
        """Go on behind a final block, with whatever was inflated before it."""
        stream = self._begin_stream()
        outputs = [inflated]
        room = limit_bytes + 1 - len(inflated)
        position = 0
        while position < len(data) and room > 0:
            # In small pieces: what a stream has not used is copied each time one ends.
            piece = data[position : position + _PIECE_BYTES]
            output = stream.decompress(piece, room)
            outputs.append(output)
            room -= len(output)
            position += len(piece) - len(stream.unused_data)
            if self._takeover and output:
                self._remember(output)
            if stream.eof and (position < len(data) or not is_last):
                stream = self._begin_stream()
        return stream, b"".join(outputs)

    def _remember(self, inflated: bytes) -> None:
        missing = self._window_bytes - len(inflated)
        self._window = self._window[-missing:] + inflated if missing > 0 else inflated[-self._window_bytes :]
