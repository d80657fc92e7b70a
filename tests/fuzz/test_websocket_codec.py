"""Our WebSocket codec says of every stream what plain Python, wsproto and websockets say, or there is a reason why not.

A short run of ``run_websocket.py``, which also runs for itself and for much longer; and memory and time of streams that
are meant to cost much of either.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
import zlib
from typing import Any

import pytest

from addax.core.settings import WebSocketSettings
from addax.websocket.codec import CodecHandler
from addax.websocket.deflate import DeflateParameters
from addax.websocket.frames import FrameCodec
from tests.frames import Recorder, frame, mask

from .run_websocket import Finding, Maker, run
from .websocket_plain import PlainCodec

#: A few seconds of them.
CASES_COUNT = 6000


def test_codec_agrees_with_plain_python_and_the_libraries() -> None:
    tally = run(FrameCodec, seed=20, cases=CASES_COUNT, seconds=60, libraries_every=2)
    assert tally.messages > CASES_COUNT / 2
    assert all(tally.refused[status] > CASES_COUNT / 200 for status in (1002, 1007, 1009))
    assert tally.compared == tally.cases // 2
    assert sum(tally.disagreements.values()) < tally.compared / 3


@pytest.mark.parametrize(
    ("old", "new"), [(b"\xf0\x9f", b"\xf0\x90"), (b"\x00" * 3, b""), (b"9", b"8")], ids=["a byte", "less", "a digit"]
)
def test_a_difference_is_found(old: bytes, new: bytes) -> None:
    class Deaf(PlainCodec):
        """Takes a few bytes for others."""

        def feed(self, data: bytes) -> None:
            super().feed(data.replace(old, new))

    with pytest.raises(Finding, match=r"case [0-9]+ of seed 3"):
        run(Deaf, seed=3, cases=3000, seconds=60, libraries_every=10_000)


def test_a_difference_of_a_library_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from . import websocket_libraries

    monkeypatch.setattr(websocket_libraries, "STRICTER", {})
    with pytest.raises(Finding, match="websockets says"):
        run(FrameCodec, seed=3, cases=3000, seconds=60, libraries_every=1)


def test_one_seed_makes_the_same_cases_again() -> None:
    one, again, other = Maker(5), Maker(5), Maker(6)
    first = [one.make() for _ in range(50)]
    assert [again.make() for _ in range(50)] == first
    assert [other.make() for _ in range(50)] != first


# ---- what a stream may cost


class Forgetful(CodecHandler):
    """Keeps nothing."""

    def on_text(self, text: str) -> None:
        pass

    def on_binary(self, data: bytes) -> None:
        pass

    def on_ping(self, payload: bytes) -> None:
        pass

    def write(self, data: bytes) -> None:
        pass


def held_bytes(pieces: Any, deflate: DeflateParameters | None = None) -> int:
    """How much memory a codec holds after these pieces."""
    codec = FrameCodec(Forgetful(), WebSocketSettings(), deflate)
    gc.collect()
    tracemalloc.start()
    try:
        for piece in pieces:
            codec.feed(piece)
        del piece
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


SIZE = 100_000
HEADER = b"\xff" + SIZE.to_bytes(8, "big") + bytes(4)


@pytest.mark.parametrize("first", [b"\x81", b"\x82"], ids=["text", "binary"])
def test_a_message_byte_by_byte_costs_a_byte_a_byte(first: bytes) -> None:
    pieces = [first + HEADER, *[b"x"] * (SIZE - 1)]
    assert held_bytes(iter(pieces)) < SIZE * 1.5


def test_fragments_of_a_byte_cost_a_byte_a_byte() -> None:
    pieces = [frame(0x02, b"x"), *[frame(0x00, b"x")] * (SIZE - 1)]
    assert held_bytes(iter(pieces)) < SIZE * 1.5


def test_large_and_small_pieces_by_turns_cost_their_bytes() -> None:
    pieces = [b"\x82" + HEADER, *[b"x", b"y" * 4096] * (SIZE // 4097)]
    assert held_bytes(iter(pieces)) < SIZE * 1.5


def test_what_was_declared_costs_nothing_before_it_comes() -> None:
    assert held_bytes(iter([b"\x82\xff" + (16_000_000).to_bytes(8, "big") + bytes(4) + b"x"])) < 2000


def test_a_bomb_costs_no_more_than_the_bound() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -9)
    data = bomb.compress(bytes(10**7)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    settings = WebSocketSettings(message_max_bytes=100_000)
    recorder = Recorder()
    codec = FrameCodec(recorder, settings, DeflateParameters(12, 12, True, True))
    tracemalloc.start()
    try:
        with pytest.raises(Exception, match="too"):
            codec.feed(frame(0xC2, data[:9_000], bytes(4)))
        assert tracemalloc.get_traced_memory()[1] < 600_000
    finally:
        tracemalloc.stop()
    assert recorder.events == []


def test_an_idle_codec_is_small() -> None:
    def make(count: int) -> list[Any]:
        handler = Forgetful()
        settings = WebSocketSettings()
        return [FrameCodec(handler, settings, None) for _ in range(count)]

    tracemalloc.start()
    try:
        codecs = make(1000)
        for codec in codecs:
            codec.feed(frame(0x81, b"hello"))
            codec.feed(frame(0x01, b"hello")[:7])
            codec.feed(frame(0x01, b"hello")[7:])
            codec.feed(frame(0x80, b"hello"))
            codec.send_text("hello")
            codec.rest()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 1000 * 500
    finally:
        tracemalloc.stop()


def test_references_are_counted_right() -> None:
    """What is made for a frame goes with it."""
    codec = FrameCodec(Forgetful(), WebSocketSettings(), None)
    streams = [frame(0x81, b"t" * 20), frame(0x82, b"t" * 300), frame(0x01, b"t") + frame(0x89, b"p") + frame(0x80)]
    streams += [frame(0x81, "é".encode() * 700)]

    def feed(count: int) -> int:
        for number in range(count):
            data = streams[number % len(streams)]
            cut = number % len(data)
            codec.feed(data[:cut])
            codec.feed(data[cut:])
            codec.send_text("ü" * (number % 200))
            codec.send_binary(data)
        gc.collect()
        return sys.getallocatedblocks()

    feed(1000)
    before = feed(1000)
    assert abs(feed(20000) - before) < 200


def test_what_is_no_bytes_is_a_type_error() -> None:
    for wrong in (None, "text", 5):
        with pytest.raises((TypeError, AttributeError)):
            FrameCodec(Recorder(), WebSocketSettings(), None).feed(wrong)  # type: ignore[arg-type]


def test_masks_of_pieces_go_on_where_they_were() -> None:
    recorder = Recorder()
    codec = FrameCodec(recorder, WebSocketSettings(), None)
    payload = bytes(range(256)) * 40
    data = frame(0x82, payload, b"\x01\x02\x03\x04")
    assert data.endswith(mask(payload, b"\x01\x02\x03\x04"))
    at = 0
    for size in range(1, 200):
        codec.feed(data[at : at + size])
        at += size
    assert at >= len(data)
    assert recorder.events == [("binary", payload)]
