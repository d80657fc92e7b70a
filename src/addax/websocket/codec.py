"""The interface between the connection and what turns bytes into WebSocket messages and messages into bytes.

A codec knows frames, fragments, masks, UTF-8 and compression, and keeps their bounds; it decides nothing. When to ping,
what to answer to a ping or a close, and when the connection ends is decided by ``connection.py``, so every codec gives
the same behaviour. ``frames.FrameCodec`` is ours; ``wsproto.WsprotoCodec`` adapts a library.

Both sides are base classes, so that a compiled one calls the other without a look-up.

Implements: the borders of RFC 6455 §5 (framing) and §6 (sending and receiving).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from addax.asgi.sinks import WebSocketSink
from addax.core.settings import WebSocketSettings

if TYPE_CHECKING:
    from addax.websocket.deflate import DeflateParameters


class CodecHandler(WebSocketSink):
    """What a codec calls; filled by ``connection.WebSocketConnection``.

    A connection is a ``WebSocketSink`` too, and a compiled class has one base: hence this one's.
    """

    __slots__ = ()

    def on_text(self, text: str) -> None:
        """A whole text message."""
        raise NotImplementedError

    def on_binary(self, data: bytes) -> None:
        """A whole binary message."""
        raise NotImplementedError

    def on_ping(self, payload: bytes) -> None:
        """A ping, 125 bytes at the most."""
        raise NotImplementedError

    def on_pong(self, payload: bytes) -> None:
        """A pong, asked for or not, 125 bytes at the most."""
        raise NotImplementedError

    def on_close(self, code: int, reason: str) -> None:
        """A close frame; the codec looks at nothing that comes after it.

        Args:
            code: as sent, and one that may be sent (RFC 6455 §7.4); ``codes.NO_STATUS`` if the frame had none.
            reason: empty if the frame had none.
        """
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Bytes of a frame for the peer, in order; a large payload comes in a call of its own."""
        raise NotImplementedError


class Codec:
    """What a value of ``--ws`` names: a class called as below.

    Args:
        handler: is told of what is found, and given what is to be written.
        settings: bounds.
        deflate: what was negotiated about compression (RFC 7692); None: there is none.

    Attributes:
        is_paused: set by the handler, inside one of its calls, to get no further message; control frames that stand
            behind it wait too. The rest of what was fed is kept.
        is_inside_message: the first frame of a message has begun and the last has not ended.
    """

    __slots__ = ("is_inside_message", "is_paused")

    def __init__(self, handler: CodecHandler, settings: WebSocketSettings, deflate: DeflateParameters | None) -> None:
        self.is_paused = False
        self.is_inside_message = False

    def feed(self, data: bytes) -> None:
        """Take bytes and call the handler for all that is complete in them. While paused, keep them.

        Raises:
            RemoteProtocolError: and nothing else, whatever the bytes are; its ``status`` is the close code that tells
                the peer: 1002 (framing), 1007 (not UTF-8, or not what deflate makes), 1009 (over a bound). What was
                complete before it has been handed over. The codec is not fed again.
        """
        raise NotImplementedError

    def go_on(self) -> None:
        """The pause is over: set ``is_paused`` to False and go on with what was kept.

        Raises:
            RemoteProtocolError: as ``feed``.
        """
        raise NotImplementedError

    def send_text(self, text: str) -> None:
        """Write a text message.

        Raises:
            LocalProtocolError: the text has surrogates, which UTF-8 cannot express.
        """
        raise NotImplementedError

    def send_binary(self, data: bytes) -> None:
        """Write a binary message."""
        raise NotImplementedError

    def send_ping(self, payload: bytes) -> None:
        """Write a ping.

        Args:
            payload: 125 bytes at the most, as for all control frames.
        """
        raise NotImplementedError

    def send_pong(self, payload: bytes) -> None:
        """Write a pong."""
        raise NotImplementedError

    def send_close(self, code: int, reason: str) -> None:
        """Write a close frame.

        Args:
            code: one that may be sent, or ``codes.NO_STATUS`` for a frame without code and reason.
            reason: cut at a character so that it has ``codes.REASON_MAX_BYTES`` as UTF-8.
        """
        raise NotImplementedError

    def rest(self) -> None:
        """Nothing has come or gone for a while: free what is only worth its memory while messages flow."""
        raise NotImplementedError
