"""What touches every byte of a frame, in plain Python here and compiled in ``masking.pyx``.

That is taking the mask off what a client sends (RFC 6455 §5.3), where the first byte of the key belongs to the first
one of the payload, and so on over and over; and putting together the header and the payload of what a server sends.
"""

from __future__ import annotations

import sys

_BYTE_ORDER = sys.byteorder


def _unmask(data: bytes, start: int, end: int, key: bytes, offset: int) -> bytes:
    """Take the mask off a piece of a frame's payload.

    Args:
        data: the piece is somewhere in it.
        start: where it begins.
        end: where it ends.
        key: the four bytes of the frame's masking key.
        offset: how many bytes of the frame's payload came before the piece.

    Raises:
        ValueError: the key does not have four bytes, or the piece does not lie in the data.
    """
    if len(key) != 4:
        raise ValueError("a masking key has four bytes")
    size = end - start
    if start < 0 or size < 0 or end > len(data) or offset < 0:
        raise ValueError("no such piece")
    turned = offset & 3
    # Numbers of any length have one XOR in C; nothing else that Python has comes near.
    pattern = ((key[turned:] + key[:turned]) * ((size + 3) >> 2))[:size]
    masked = int.from_bytes(data[start:end], _BYTE_ORDER)
    return (masked ^ int.from_bytes(pattern, _BYTE_ORDER)).to_bytes(size, _BYTE_ORDER)


def _unmask_whole(data: bytes, start: int, end: int) -> bytes:
    """Take the mask off the whole payload of a frame.

    Args:
        data: the payload is somewhere in it.
        start: where it begins; the key stands before it.
        end: where it ends.

    Raises:
        ValueError: key and payload do not lie in the data.
    """
    if start < 4:
        raise ValueError("no such piece")
    return _unmask(data, start, end, data[start - 4 : start], 0)


def _decode_whole(data: bytes, start: int, end: int) -> str:
    """The same for text.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
        ValueError: as ``unmask_whole``.
    """
    return _unmask_whole(data, start, end).decode()


def _make_frame(first: int, payload: bytes) -> bytes:
    """Put a frame for a client together (RFC 6455 §5.2).

    Args:
        first: the first byte of its header.
        payload: 65535 bytes at the most.

    Raises:
        ValueError: there are more.
    """
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size > 0xFFFF:
        raise ValueError("too long for one piece")
    return bytes((first, 126, size >> 8, size & 0xFF)) + payload


def _make_text_frame(first: int, text: str) -> bytes:
    """The same with text, which has 65535 bytes at the most.

    Raises:
        UnicodeEncodeError: it has surrogates.
        ValueError: as ``make_frame``.
    """
    return _make_frame(first, text.encode())


unmask = _unmask
unmask_whole = _unmask_whole
decode_whole = _decode_whole
make_frame = _make_frame
make_text_frame = _make_text_frame

try:
    from addax.websocket import masking
except ImportError:
    # Plain Python.
    pass
else:
    unmask = masking.unmask
    unmask_whole = masking.unmask_whole
    decode_whole = masking.decode_whole
    make_frame = masking.make_frame
    make_text_frame = masking.make_text_frame
