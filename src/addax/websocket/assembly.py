"""A message that comes in several pieces, while it comes."""

from __future__ import annotations

from codecs import utf_8_decode

from addax.core.errors import RemoteProtocolError
from addax.websocket.codes import INVALID_DATA

#: Shorter pieces are gathered in one buffer, so that a message that comes byte by byte costs one byte a byte; longer
#: ones are kept as they are, so that a large message is copied once.
GATHERED_BYTES = 4096

# Of this module, so that they are numbers of C where it is compiled.
_GATHERED_BYTES = GATHERED_BYTES

#: The two bytes that begin a surrogate. Python waits for the third before it refuses them.
_SURROGATE_FIRST = 0xED
_SURROGATE_SECOND = 0xA0


class Assembly:
    """The pieces of one message, after unmasking and inflating.

    Args:
        is_text: its bytes have to be UTF-8.
        is_deflated: the peer has compressed it.

    Attributes:
        size_bytes: of all pieces so far; the caller keeps the bound.
    """

    __slots__ = ("_begun", "_gathered", "_pieces", "is_deflated", "is_text", "size_bytes")

    def __init__(self, is_text: bool, is_deflated: bool) -> None:
        self.is_text = is_text
        self.is_deflated = is_deflated
        self.size_bytes = 0
        self._pieces: list[bytes] | None = None
        self._gathered: bytearray | None = None
        #: A character that has begun and not ended: up to three bytes.
        self._begun = b""

    def add(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            RemoteProtocolError: 1007, the text has a byte that cannot be right, whatever follows (RFC 6455 §8.1).
        """
        if self.is_text:
            self._check(piece)
        size = len(piece)
        self.size_bytes += size
        if size < _GATHERED_BYTES:
            if self._gathered is None:
                self._gathered = bytearray(piece)
            else:
                self._gathered += piece
            return
        if self._pieces is None:
            self._pieces = []
        if self._gathered is not None:
            self._pieces.append(bytes(self._gathered))
            self._gathered = None
        self._pieces.append(piece)

    def _check(self, piece: bytes) -> None:
        if self._begun:
            piece = self._begun + piece
        try:
            consumed = utf_8_decode(piece, "strict", False)[1]
        except UnicodeDecodeError:
            raise RemoteProtocolError("text is not UTF-8", INVALID_DATA) from None
        begun = piece[consumed:]
        if len(begun) == 2 and begun[0] == _SURROGATE_FIRST and begun[1] >= _SURROGATE_SECOND:
            raise RemoteProtocolError("text is not UTF-8", INVALID_DATA)
        self._begun = begun

    def data(self) -> bytes:
        """All of it, when it is complete."""
        gathered = b"" if self._gathered is None else bytes(self._gathered)
        if self._pieces is None:
            return gathered
        return b"".join((*self._pieces, gathered))

    def text(self) -> str:
        """All of it, when it is complete.

        Raises:
            RemoteProtocolError: 1007, it ends inside a character.
        """
        if self._begun:
            raise RemoteProtocolError("text is not UTF-8", INVALID_DATA)
        if self._pieces is None:
            return "" if self._gathered is None else self._gathered.decode()
        return self.data().decode()
