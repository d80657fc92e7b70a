"""Taking the mask off, by the definition of RFC 6455 §5.3 and in both variants."""

from __future__ import annotations

import random
from typing import Any

import pytest

from addax.websocket import mask

PLAIN = (mask._unmask, mask._unmask_whole, mask._decode_whole)
CHOSEN = (mask.unmask, mask.unmask_whole, mask.decode_whole)
VARIANTS = [pytest.param(PLAIN, id="plain")]
if CHOSEN != PLAIN:
    VARIANTS.append(pytest.param(CHOSEN, id="compiled"))

Functions = tuple[Any, ...]


def by_definition(payload: bytes, key: bytes, offset: int) -> bytes:
    return bytes(byte ^ key[(offset + index) % 4] for index, byte in enumerate(payload))


@pytest.mark.parametrize("functions", VARIANTS)
def test_every_place_size_and_offset(functions: Functions) -> None:
    unmask, unmask_whole, _ = functions
    rng = random.Random(1)
    for size in (*range(40), 63, 64, 65, 1023, 1024, 1025, 70001):
        for start in range(4, 13):
            data = rng.randbytes(start + size + 3)
            key = rng.randbytes(4)
            for offset in (0, 1, 2, 3, 4, 7, 70001):
                masked = data[start : start + size]
                assert unmask(data, start, start + size, key, offset) == by_definition(masked, key, offset)
            assert unmask_whole(data, start, start + size) == by_definition(masked, data[start - 4 : start], 0)


@pytest.mark.parametrize("functions", VARIANTS)
def test_pieces_make_the_whole(functions: Functions) -> None:
    unmask = functions[0]
    rng = random.Random(2)
    payload, key = rng.randbytes(500), rng.randbytes(4)
    for _ in range(50):
        at, pieces = 0, []
        while at < len(payload):
            after = min(len(payload), at + rng.randrange(1, 40))
            pieces.append(unmask(payload, at, after, key, at))
            at = after
        assert b"".join(pieces) == by_definition(payload, key, 0)


@pytest.mark.parametrize("functions", VARIANTS)
@pytest.mark.parametrize("text", ["", "a", "Grüße", "日本語" * 5, "x" * 1023, "x" * 1024, "é" * 513, "😀" * 5000])
def test_text_is_decoded(functions: Functions, text: str) -> None:
    key = b"\x01\x82\xff\x40"
    data = b"ab" + key + by_definition(text.encode(), key, 0)
    assert functions[2](data, 6, len(data)) == text


@pytest.mark.parametrize("functions", VARIANTS)
@pytest.mark.parametrize("size", [0, 2000])
def test_what_is_not_utf8_is_refused(functions: Functions, size: int) -> None:
    for wrong in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"):
        data = bytes(4) + b"x" * size + wrong
        with pytest.raises(UnicodeDecodeError):
            functions[2](data, 4, len(data))


@pytest.mark.parametrize("functions", VARIANTS)
def test_a_piece_outside_of_the_data_is_refused(functions: Functions) -> None:
    unmask, unmask_whole, decode_whole = functions
    data = b"0123456789"
    for start, end in ((-1, 3), (5, 4), (4, 11), (11, 12), (3, -1)):
        with pytest.raises(ValueError, match="no such piece"):
            unmask(data, start, end, b"abcd", 0)
    for start, end in ((3, 5), (5, 4), (4, 11), (-1, 3), (0, 0)):
        with pytest.raises(ValueError, match="no such piece"):
            unmask_whole(data, start, end)
        with pytest.raises(ValueError, match="no such piece"):
            decode_whole(data, start, end)
    with pytest.raises(ValueError, match="no such piece"):
        unmask(data, 0, 3, b"abcd", -1)
    for key in (b"", b"abc", b"abcde"):
        with pytest.raises(ValueError, match="four bytes"):
            unmask(data, 0, 3, key, 0)


@pytest.mark.parametrize("functions", VARIANTS)
def test_what_is_no_bytes_is_a_type_error(functions: Functions) -> None:
    unmask, unmask_whole, decode_whole = functions
    for wrong in (None, "0123456789", 5):
        with pytest.raises(TypeError):
            unmask(wrong, 4, 8, b"abcd", 0)
        with pytest.raises(TypeError):
            unmask(b"0123456789", 4, 8, wrong and "abcd", 0)
        with pytest.raises(TypeError):
            unmask_whole(wrong, 4, 8)
        with pytest.raises(TypeError):
            decode_whole(wrong, 4, 8)


MAKERS = [pytest.param((mask._make_frame, mask._make_text_frame), id="plain")]
if mask.make_frame is not mask._make_frame:
    MAKERS.append(pytest.param((mask.make_frame, mask.make_text_frame), id="compiled"))


@pytest.mark.parametrize("makers", MAKERS)
@pytest.mark.parametrize("size", [0, 1, 125, 126, 255, 256, 16384, 65535])
def test_frames_are_put_together(makers: Functions, size: int) -> None:
    header = bytes((0x81, size)) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")
    assert makers[0](0x81, b"x" * size) == header + b"x" * size
    assert makers[1](0x81, "x" * size) == header + b"x" * size
    if size % 2 == 0:
        assert makers[1](0x81, "é" * (size // 2)) == header + "é".encode() * (size // 2)


@pytest.mark.parametrize("makers", MAKERS)
def test_what_is_no_frame_is_refused(makers: Functions) -> None:
    with pytest.raises(ValueError, match="too long"):
        makers[0](0x82, bytes(65536))
    with pytest.raises(ValueError, match="too long"):
        makers[1](0x81, "é" * 32768)
    with pytest.raises(UnicodeEncodeError):
        makers[1](0x81, "a\ud800")
    for wrong in (None, 5):
        with pytest.raises((TypeError, AttributeError)):
            makers[0](0x82, wrong)
        with pytest.raises((TypeError, AttributeError)):
            makers[1](0x81, wrong)
