"""Compressed messages among frames: RFC 7692 §6, with streams that zlib makes here."""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest

from addax.core.errors import RemoteProtocolError
from addax.core.settings import WebSocketSettings
from addax.websocket.codec import Codec
from addax.websocket.deflate import DeflateParameters
from addax.websocket.frames import DEFLATED_BYTES, FrameCodec
from addax.websocket.wsproto import WsprotoCodec
from tests.frames import Recorder, feed, frame

CODECS: dict[str, Any] = {"native": FrameCodec, "wsproto": WsprotoCodec}
TAIL = b"\x00\x00\xff\xff"


class Client:
    """The compressing end of a client."""

    def __init__(self, takeover: bool = True) -> None:
        self._takeover = takeover
        self._compressor = zlib.compressobj(wbits=-12)

    def compress(self, data: bytes) -> bytes:
        if not self._takeover:
            self._compressor = zlib.compressobj(wbits=-12)
        compressed = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        assert compressed.endswith(TAIL)
        return compressed[:-4]


@pytest.fixture(params=list(CODECS))
def codec_class(request: pytest.FixtureRequest) -> Any:
    return CODECS[request.param]


def make(codec_class: Any, takeover: bool = True, client_bits: int = 12, **bounds: int) -> tuple[Codec, Recorder]:
    recorder = Recorder()
    parameters = DeflateParameters(12, client_bits, takeover, takeover)
    return codec_class(recorder, WebSocketSettings(**bounds), parameters), recorder


def test_the_message_of_the_rfc(codec_class: Any) -> None:
    # RFC 7692 §7.2.3.1 and, for the second time it is said, §7.2.3.2.
    codec, recorder = make(codec_class)
    hello = bytes.fromhex("f248cdc9c90700")
    again = bytes.fromhex("f200110000")
    assert feed(codec, recorder, [frame(0xC1, hello), frame(0xC1, again)]) == [("text", "Hello")] * 2


def test_the_message_of_the_rfc_in_two_frames(codec_class: Any) -> None:
    # RFC 7692 §7.2.3.1.
    codec, recorder = make(codec_class)
    pieces = [frame(0x41, bytes.fromhex("f248cd")), frame(0x89, b"p"), frame(0x80, bytes.fromhex("c9c90700"))]
    assert feed(codec, recorder, pieces) == [("ping", b"p"), ("text", "Hello")]


def test_a_stored_block_and_a_final_block(codec_class: Any) -> None:
    # RFC 7692 §7.2.3.3.
    codec, recorder = make(codec_class)
    stored = bytes.fromhex("000500faff48656c6c6f00")
    assert feed(codec, recorder, [frame(0xC1, stored)]) == [("text", "Hello")]


def test_a_final_block_does_not_end_the_message() -> None:
    # RFC 7692 §7.2.3.4, §7.2.3.5.
    codec, recorder = make(FrameCodec)
    final, two = bytes.fromhex("f348cdc9c9070000"), bytes.fromhex("f248050000 00ffffcac9c90700")
    assert feed(codec, recorder, [frame(0xC1, final), frame(0xC1, two)]) == [("text", "Hello")] * 2


@pytest.mark.parametrize("takeover", [False, True])
def test_messages_cut_anywhere(codec_class: Any, takeover: bool) -> None:
    rng = random.Random(4)
    codec, recorder = make(codec_class, takeover)
    client = Client(takeover)
    for number in range(60):
        data = b"".join(rng.choice((b"abc", b"de", "ü".encode(), b"0123456789")) for _ in range(rng.randrange(200)))
        is_text = rng.random() < 0.5
        first = 0x01 if is_text else 0x02
        if rng.random() < 0.2:
            stream = frame(0x80 | first, data)
        else:
            compressed = client.compress(data)
            cut = rng.randrange(len(compressed) + 1)
            stream = frame(0x40 | first, compressed[:cut]) + frame(0x89) + frame(0x80, compressed[cut:])
        cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randrange(4)))
        pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        recorder.events.clear()
        feed(codec, recorder, pieces)
        expected = ("text", data.decode()) if is_text else ("binary", data)
        assert [event for event in recorder.events if event[0] != "ping"] == [expected], number
        if number % 5 == 0:
            codec.rest()


def test_empty_messages(codec_class: Any) -> None:
    codec, recorder = make(codec_class)
    # RFC 7692 §7.2.3.6.
    pieces = [frame(0xC1, b"\x00"), frame(0x42, b""), frame(0x80, b"\x00"), frame(0x81), frame(0xC2, b"\x00")]
    assert feed(codec, recorder, pieces) == [("text", ""), ("binary", b""), ("text", ""), ("binary", b"")]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(frame(0x41, b"\x00") + frame(0xC0, b"\x00"), 1002, id="7692 6.1 RSV1 of a continuation"),
        pytest.param(frame(0x01, b"a") + frame(0xC0, b"\x00"), 1002, id="7692 6.1 RSV1 in an uncompressed message"),
        pytest.param(frame(0xC9, b""), 1002, id="7692 6.1 RSV1 of a ping"),
        pytest.param(frame(0xE1, b"\x00"), 1002, id="5.2 RSV2"),
        pytest.param(frame(0xC1, b"\xff\xff\xff"), 1007, id="7.4.1 no deflate"),
        pytest.param(frame(0xC1, Client().compress(b"\xff")), 1007, id="8.1 not UTF-8 after inflating"),
        pytest.param(frame(0xC1, Client().compress(b"\xe2\x82")), 1007, id="8.1 ends inside a character"),
        pytest.param(frame(0xC2, Client().compress(bytes(1001))), 1009, id="10.4 more than the bound"),
        pytest.param(frame(0x42, Client().compress(bytes(10**7))[:2000]), 1009, id="10.4 bomb in a fragment"),
    ],
)
def test_what_is_wrong_is_refused(codec_class: Any, data: bytes, status: int) -> None:
    for pieces in ([data], [data[:3], data[3:]], [data[place : place + 1] for place in range(len(data))]):
        codec, recorder = make(codec_class, message_max_bytes=1000)
        assert feed(codec, recorder, pieces) == [("error", status)]


def test_a_message_at_the_bound(codec_class: Any) -> None:
    rng = random.Random(5)
    codec, recorder = make(codec_class, message_max_bytes=70000)
    client = Client()
    # What cannot be compressed is longer than the bound on the wire.
    for data in (bytes(70000), rng.randbytes(70000)):
        compressed = client.compress(data)
        assert feed(codec, recorder, [frame(0xC2, compressed)])[-1] == ("binary", data)
        compressed = client.compress(data)
        assert feed(codec, recorder, [frame(0x42, compressed[:20]), frame(0x80, compressed[20:])])[-1][1] == data


def test_compressed_text_is_refused_at_the_first_byte_that_cannot_be_right() -> None:
    codec, recorder = make(FrameCodec)
    compressor = zlib.compressobj(wbits=-12)
    begin = compressor.compress(b"good\xff") + compressor.flush(zlib.Z_SYNC_FLUSH)
    end = compressor.compress(b"more") + compressor.flush(zlib.Z_SYNC_FLUSH)
    data = frame(0xC1, begin + end[:-4])
    with pytest.raises(RemoteProtocolError) as caught:
        codec.feed(data[: 6 + len(begin)])
    assert caught.value.status == 1007
    assert recorder.events == []


@pytest.mark.parametrize("takeover", [False, True])
def test_sent_messages_can_be_inflated(codec_class: Any, takeover: bool) -> None:
    codec, recorder = make(codec_class, takeover)
    inflater = zlib.decompressobj(wbits=-12)
    for text in ("x" * 1000, "ü" * 500 + "y" * 700, "z" * (DEFLATED_BYTES - 1), "x" * 1000):
        recorder.written.clear()
        codec.send_text(text)
        sent = b"".join(recorder.written)
        if len(text) < DEFLATED_BYTES:
            assert sent == frame(0x81, text.encode(), None)
            continue
        assert sent[0] == 0xC1
        assert sent[1] == len(sent) - 2
        assert len(sent) < 100
        if not takeover:
            inflater = zlib.decompressobj(wbits=-12)
        assert inflater.decompress(sent[2:] + TAIL).decode() == text
        codec.rest()
    codec.send_ping(b"p" * 100)
    assert recorder.written[-1] == frame(0x89, b"p" * 100, None)


def test_window_of_eight_bits(codec_class: Any) -> None:
    codec, recorder = make(codec_class, client_bits=8)
    assert feed(codec, recorder, [frame(0xC1, bytes.fromhex("f248cdc9c90700"))]) == [("text", "Hello")]
