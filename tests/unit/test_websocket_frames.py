"""Frames, by hand-written bytes: what RFC 6455 §5 lets a client send, what it does not, and what a server sends."""

from __future__ import annotations

from typing import Any

import pytest

from addax.core.errors import LocalProtocolError, RemoteProtocolError
from addax.core.settings import WebSocketSettings
from addax.websocket.codec import Codec
from addax.websocket.frames import FrameCodec, may_be_sent
from addax.websocket.wsproto import WsprotoCodec
from tests.frames import KEY, PausingRecorder, Recorder, feed, frame

CODECS: dict[str, Any] = {"native": FrameCodec, "wsproto": WsprotoCodec}

Events = list[tuple[Any, ...]]

#: id → bytes, events.
GOOD: dict[str, tuple[bytes, Events]] = {
    "5.7 the masked text of the RFC": (bytes.fromhex("818537fa213d7f9f4d5158"), [("text", "Hello")]),
    "5.6 text": (frame(0x81, "Grüße".encode()), [("text", "Grüße")]),
    "5.6 text without bytes": (frame(0x81), [("text", "")]),
    "5.6 binary": (frame(0x82, b"\x00\xff"), [("binary", b"\x00\xff")]),
    "5.6 binary without bytes": (frame(0x82), [("binary", b"")]),
    "5.3 a key of zeros": (frame(0x82, b"ab", bytes(4)), [("binary", b"ab")]),
    "5.2 length 125": (frame(0x82, b"x" * 125), [("binary", b"x" * 125)]),
    "5.2 length 126": (frame(0x82, b"x" * 126), [("binary", b"x" * 126)]),
    "5.2 length 127": (frame(0x81, b"x" * 127), [("text", "x" * 127)]),
    "5.2 length 65535": (frame(0x82, b"x" * 65535), [("binary", b"x" * 65535)]),
    "5.2 length 65536": (frame(0x81, b"x" * 65536), [("text", "x" * 65536)]),
    "5.4 fragments": (frame(0x01, b"a") + frame(0x00, b"b") + frame(0x80, b"c"), [("text", "abc")]),
    "5.4 fragments without bytes": (frame(0x02) + frame(0x00) + frame(0x80), [("binary", b"")]),
    "5.4 text fragments without bytes": (frame(0x01) + frame(0x80), [("text", "")]),
    "5.4 a character in three fragments": (
        frame(0x01, b"\xe2") + frame(0x00, b"\x82") + frame(0x80, b"\xac"),
        [("text", "€")],
    ),
    "5.4 control frames between fragments": (
        frame(0x02, b"a") + frame(0x89, b"p") + frame(0x8A, b"q") + frame(0x80, b"c"),
        [("ping", b"p"), ("pong", b"q"), ("binary", b"ac")],
    ),
    "5.4 a close between fragments": (frame(0x02, b"a") + frame(0x88), [("close", 1005, "")]),
    "5.5.2 ping": (frame(0x89), [("ping", b"")]),
    "5.5.2 ping with 125 bytes": (frame(0x89, b"p" * 125), [("ping", b"p" * 125)]),
    "5.5.3 pong that nobody asked for": (frame(0x8A, b"\xff"), [("pong", b"\xff")]),
    "5.5.1 close": (frame(0x88), [("close", 1005, "")]),
    "5.5.1 close with a code": (frame(0x88, b"\x03\xe8"), [("close", 1000, "")]),
    "5.5.1 close with a reason": (frame(0x88, b"\x03\xe9" + "tschüß".encode()), [("close", 1001, "tschüß")]),
    "5.5.1 close with the longest reason": (frame(0x88, b"\x0b\xb8" + b"r" * 123), [("close", 3000, "r" * 123)]),
    "5.5.1 nothing counts after a close": (
        frame(0x88, b"\x03\xe8") + frame(0x81, b"late") + b"\xff\xff\xff",
        [("close", 1000, "")],
    ),
    "several messages": (
        frame(0x81, b"a") + frame(0x82, b"b" * 300) + frame(0x89) + frame(0x81, b"c"),
        [("text", "a"), ("binary", b"b" * 300), ("ping", b""), ("text", "c")],
    ),
}
for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):
    GOOD[f"7.4 close code {code}"] = (frame(0x88, code.to_bytes(2, "big")), [("close", code, "")])

#: id → bytes, close code; what is refused is refused by the last byte at the latest.
BAD: dict[str, tuple[bytes, int]] = {
    "5.1 a frame without a mask": (frame(0x81, b"Hello", None), 1002),
    "5.1 a ping without a mask": (frame(0x89, b"", None), 1002),
    "5.2 RSV1 without an extension": (frame(0xC1, b"a"), 1002),
    "5.2 RSV2": (frame(0xA1, b"a"), 1002),
    "5.2 RSV3": (frame(0x91, b"a"), 1002),
    "5.2 RSV1 of a ping": (frame(0xC9), 1002),
    "5.2 RSV3 of a close": (frame(0x98), 1002),
    "5.2 length 125 in two bytes": (frame(0x82, b"x" * 125, length=b"\x7e\x00\x7d"), 1002),
    "5.2 length 0 in two bytes": (frame(0x82, b"", length=b"\x7e\x00\x00"), 1002),
    "5.2 length 65535 in eight bytes": (frame(0x82, b"", length=b"\x7f" + (65535).to_bytes(8, "big")), 1002),
    "5.2 length 1 in eight bytes": (frame(0x82, b"x", length=b"\x7f" + (1).to_bytes(8, "big")), 1002),
    "5.2 a length of 64 bits": (frame(0x82, b"", length=b"\x7f\x80" + bytes(7)), 1002),
    "5.2 the largest length": (frame(0x82, b"", length=b"\x7f" + b"\xff" * 8), 1002),
    "5.4 a continuation of nothing": (frame(0x80, b"a"), 1002),
    "5.4 text inside of text": (frame(0x01, b"a") + frame(0x81, b"b"), 1002),
    "5.4 binary inside of text": (frame(0x01, b"a") + frame(0x02, b"b"), 1002),
    "5.5 a ping in fragments": (frame(0x09, b"a"), 1002),
    "5.5 a pong in fragments": (frame(0x0A), 1002),
    "5.5 a close in fragments": (frame(0x08), 1002),
    "5.5 a ping of 126 bytes": (frame(0x89, b"x" * 126), 1002),
    "5.5 a close of 126 bytes": (frame(0x88, b"\x03\xe8" + b"x" * 124), 1002),
    "5.5.1 half a code": (frame(0x88, b"\x03"), 1002),
    "5.5.1 a reason that is not UTF-8": (frame(0x88, b"\x03\xe8\xff"), 1007),
    "5.5.1 a reason that ends inside a character": (frame(0x88, b"\x03\xe8\xe2\x82"), 1007),
    "8.1 not UTF-8": (frame(0x81, b"a\xff"), 1007),
    "8.1 a surrogate": (frame(0x81, b"\xed\xa0\x80"), 1007),
    "8.1 beyond Unicode": (frame(0x81, b"\xf4\x90\x80\x80"), 1007),
    "8.1 longer than needed": (frame(0x81, b"\xc0\x80"), 1007),
    "8.1 ends inside a character": (frame(0x81, b"\xe2\x82"), 1007),
    "8.1 a long one ends inside a character": (frame(0x81, b"x" * 70000 + b"\xe2\x82"), 1007),
    "8.1 fragments end inside a character": (frame(0x01, b"\xe2") + frame(0x80, b"\x82"), 1007),
    "8.1 an empty last fragment after half a character": (frame(0x01, b"\xe2") + frame(0x80), 1007),
    "9.1 over the bound by what the header says": (frame(0x82, b"", length=b"\x7f" + (2**62).to_bytes(8, "big")), 1009),
}
for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    BAD[f"5.2 opcode {opcode}"] = (frame(0x80 | opcode), 1002)
for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
    BAD[f"7.4 close code {code}"] = (frame(0x88, code.to_bytes(2, "big")), 1002)


def ways(data: bytes) -> list[list[bytes]]:
    """A stream whole, cut in two everywhere, and byte by byte."""
    if len(data) > 1000:
        return [
            [data],
            [data[:9], data[9:]],
            [data[:-1], data[-1:]],
            [data[i : i + 999] for i in range(0, len(data), 999)],
        ]
    cuts = [[data[:place], data[place:]] for place in range(1, len(data))]
    return [[data], *cuts, [data[place : place + 1] for place in range(len(data))]]


@pytest.fixture(params=list(CODECS))
def codec_class(request: pytest.FixtureRequest) -> Any:
    return CODECS[request.param]


def make(codec_class: Any, **bounds: int) -> tuple[Codec, Recorder]:
    recorder = Recorder()
    return codec_class(recorder, WebSocketSettings(**bounds), None), recorder


@pytest.mark.parametrize("case", GOOD)
def test_what_is_right_is_taken(codec_class: Any, case: str) -> None:
    data, events = GOOD[case]
    if codec_class is WsprotoCodec and case == "7.4 close code 1014":
        # It came into the registry after the library had taken its list from there.
        events = [("error", 1002)]
    for pieces in ways(data):
        codec, recorder = make(codec_class)
        assert feed(codec, recorder, pieces) == events
        assert not codec.is_inside_message or events[-1][0] == "close"


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_refused(codec_class: Any, case: str) -> None:
    data, status = BAD[case]
    for pieces in ways(data):
        codec, recorder = make(codec_class)
        assert feed(codec, recorder, pieces)[-1] == ("error", status)
        assert [event for event in recorder.events if event[0] != "error"] == []


def test_codes_that_may_be_sent() -> None:
    allowed = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
    assert {code for code in range(65536) if may_be_sent(code)} == allowed


def test_continuation_after_the_end_is_refused(codec_class: Any) -> None:
    # RFC 6455 §5.4.
    codec, recorder = make(codec_class)
    data = frame(0x01, b"a") + frame(0x80, b"b") + frame(0x80, b"c")
    assert feed(codec, recorder, [data]) == [("text", "ab"), ("error", 1002)]


def test_messages_before_a_mistake_are_handed_over(codec_class: Any) -> None:
    codec, recorder = make(codec_class)
    assert feed(codec, recorder, [frame(0x81, b"a") + frame(0x89, b"b") + frame(0x83)]) == [
        ("text", "a"),
        ("ping", b"b"),
        ("error", 1002),
    ]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"", b"\xff"),
        (b"abc", b"\x80"),
        (b"\xc2", b"\x20"),
        (b"", b"\xc1"),
        (b"\xe0", b"\x9f"),
        (b"\xed", b"\xa0"),
        (b"\xed", b"\xbf"),
        (b"\xe2\x82", b"\x20"),
        (b"\xf0", b"\x8f"),
        (b"\xf4", b"\x90"),
        (b"", b"\xf5"),
        (b"\xf0\x9f", b"\xc0"),
        (b"\xf0\x9f\x98", b"\x00"),
        (b"x" * 5000 + b"\xf0", b"\x8f"),
    ],
)
@pytest.mark.parametrize("fragmented", [False, True])
def test_text_is_refused_at_the_first_byte_that_cannot_be_right(good: bytes, bad: bytes, fragmented: bool) -> None:
    """RFC 6455 §8.1; the rest of the frame has not come."""
    codec, recorder = make(FrameCodec)
    data = frame(0x81, good + bad + b"the rest of it")
    if fragmented:
        codec.feed(frame(0x01, good))
        data = frame(0x80, bad + b"the rest of it")
        good = b""
    stop = len(data) - len(b"the rest of it")
    codec.feed(data[: stop - 1])
    with pytest.raises(RemoteProtocolError) as caught:
        codec.feed(data[stop - 1 : stop])
    assert caught.value.status == 1007
    assert recorder.events == []


# ---- bounds


@pytest.mark.parametrize("first", [0x81, 0x82])
def test_message_at_and_over_the_bound(codec_class: Any, first: int) -> None:
    for bound in (1, 50, 125, 126, 1000, 65536):
        for pieces in ways(frame(first, b"x" * bound)):
            codec, recorder = make(codec_class, message_max_bytes=bound)
            assert len(feed(codec, recorder, pieces)[0][1]) == bound
        codec, recorder = make(codec_class, message_max_bytes=bound)
        assert feed(codec, recorder, [frame(first, b"x" * (bound + 1))]) == [("error", 1009)]


def test_message_of_fragments_over_the_bound(codec_class: Any) -> None:
    codec, recorder = make(codec_class, message_max_bytes=10)
    whole = [frame(0x02, b"12345"), frame(0x00), frame(0x80, b"67890")]
    assert feed(codec, recorder, whole) == [("binary", b"1234567890")]
    assert feed(codec, recorder, [frame(0x02, b"12345"), frame(0x80, b"678901")])[1:] == [("error", 1009)]


def test_bound_is_held_before_the_payload_comes() -> None:
    # RFC 6455 §10.4.
    header = frame(0x82, b"x" * 1001)[:4]
    codec, recorder = make(FrameCodec, message_max_bytes=1000)
    assert feed(codec, recorder, [header]) == [("error", 1009)]
    codec, recorder = make(FrameCodec, frame_max_bytes=1000)
    assert feed(codec, recorder, [header]) == [("error", 1009)]
    codec, recorder = make(FrameCodec, message_max_bytes=1500)
    assert feed(codec, recorder, [frame(0x02, b"x" * 500), b"\x80" + header[1:]]) == [("error", 1009)]
    codec, recorder = make(FrameCodec, message_max_bytes=1501)
    assert feed(codec, recorder, [frame(0x02, b"x" * 500), b"\x80" + header[1:]]) == []


def test_frame_bound_is_not_that_of_a_message(codec_class: Any) -> None:
    codec, recorder = make(codec_class, frame_max_bytes=4)
    feed(codec, recorder, [frame(0x02, b"1234"), frame(0x80, b"5678"), frame(0x89, b"12345")])
    assert recorder.events == [("binary", b"12345678"), ("ping", b"12345")]
    assert feed(codec, recorder, [frame(0x82, b"12345")])[2:] == [("error", 1009)]


# ---- state


def test_is_inside_message(codec_class: Any) -> None:
    codec, _ = make(codec_class)
    assert not codec.is_inside_message
    codec.feed(frame(0x81, b"whole"))
    assert not codec.is_inside_message
    codec.feed(frame(0x01, b"a"))
    assert codec.is_inside_message
    codec.feed(frame(0x89, b"p"))
    assert codec.is_inside_message
    codec.feed(frame(0x80, b"a"))
    assert not codec.is_inside_message
    data = frame(0x82, b"abcdef")
    codec.feed(data[:8])
    assert codec.is_inside_message
    codec.feed(data[8:])
    assert not codec.is_inside_message


def test_pause_stops_at_once_and_keeps_the_rest(codec_class: Any) -> None:
    recorder = PausingRecorder()
    codec = recorder.codec = codec_class(recorder, WebSocketSettings(), None)
    text, binary, ping = frame(0x81, b"a"), frame(0x82, b"b" * 200), frame(0x89, b"p")
    codec.feed(text + ping + binary + text[:3])
    assert recorder.events == [("text", "a")]
    assert codec.is_paused
    codec.feed(text[3:])
    codec.feed(binary)
    assert len(recorder.events) == 1
    codec.go_on()
    assert recorder.events[1:] == [("ping", b"p"), ("binary", b"b" * 200)]
    codec.feed(ping)
    codec.go_on()
    assert recorder.events[3:] == [("text", "a")]
    codec.go_on()
    assert recorder.events[4:] == [("binary", b"b" * 200)]
    assert codec.is_paused
    codec.go_on()
    assert recorder.events[5:] == [("ping", b"p")]
    assert not codec.is_paused
    codec.go_on()
    codec.feed(text)
    assert recorder.events[6:] == [("text", "a")]
    codec.feed(text)
    codec.go_on()
    assert recorder.events[7:] == [("text", "a")]


def test_pause_after_a_message_in_pieces(codec_class: Any) -> None:
    recorder = PausingRecorder()
    codec = recorder.codec = codec_class(recorder, WebSocketSettings(), None)
    data = frame(0x01, b"a") + frame(0x80, b"b")
    codec.feed(data[:-1])
    codec.feed(data[-1:] + data)
    assert recorder.events == [("text", "ab")]
    codec.go_on()
    assert recorder.events == [("text", "ab")] * 2


def test_mistake_behind_a_pause_is_found_when_it_is_over(codec_class: Any) -> None:
    recorder = PausingRecorder()
    codec = recorder.codec = codec_class(recorder, WebSocketSettings(), None)
    codec.feed(frame(0x81, b"a") + frame(0x83))
    with pytest.raises(RemoteProtocolError):
        codec.go_on()


def test_bytes_after_a_close_are_ignored(codec_class: Any) -> None:
    codec, recorder = make(codec_class)
    codec.feed(frame(0x88, b"\x03\xe8"))
    for data in (frame(0x81, b"late"), frame(0x88), b"\xff" * 100, frame(0x81, b"late")[:5]):
        codec.feed(data)
    codec.go_on()
    assert recorder.events == [("close", 1000, "")]


def test_empty_data_changes_nothing(codec_class: Any) -> None:
    codec, recorder = make(codec_class)
    data = frame(0x81, b"abc")
    for piece in (b"", data[:1], b"", data[1:8], b"", data[8:], b""):
        codec.feed(piece)
    assert recorder.events == [("text", "abc")]


def test_an_error_of_the_handler_comes_out_as_it_is(codec_class: Any) -> None:
    class Failing(Recorder):
        def on_text(self, text: str) -> None:
            raise ZeroDivisionError

    codec = codec_class(Failing(), WebSocketSettings(), None)
    for data in (frame(0x81, b"a"), frame(0x81, b"x" * 200), frame(0x01) + frame(0x80)):
        with pytest.raises(ZeroDivisionError):
            codec.feed(data)


# ---- sending


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 16384, 16385, 65535, 65536, 70000])
def test_sent_messages_are_one_frame_with_the_shortest_length(codec_class: Any, size: int) -> None:
    codec, recorder = make(codec_class)
    codec.send_binary(b"x" * size)
    assert b"".join(recorder.written) == frame(0x82, b"x" * size, None)
    recorder.written.clear()
    codec.send_text("x" * size)
    assert b"".join(recorder.written) == frame(0x81, b"x" * size, None)


def test_large_payloads_are_written_by_themselves() -> None:
    codec, recorder = make(FrameCodec)
    codec.send_binary(b"x" * 16384)
    assert len(recorder.written) == 1
    large = b"x" * 16385
    codec.send_binary(large)
    assert len(recorder.written) == 3
    assert recorder.written[2] is large


def test_sent_text_is_utf8(codec_class: Any) -> None:
    codec, recorder = make(codec_class)
    codec.send_text("Grüße 😀")
    assert recorder.written == [frame(0x81, "Grüße 😀".encode(), None)]
    with pytest.raises(LocalProtocolError):
        codec.send_text("a\ud800")
    assert len(recorder.written) == 1


def test_sent_control_frames(codec_class: Any) -> None:
    codec, recorder = make(codec_class)
    codec.send_ping(b"p")
    codec.send_pong(b"q" * 125)
    codec.send_ping(b"")
    assert recorder.written == [frame(0x89, b"p", None), frame(0x8A, b"q" * 125, None), frame(0x89, b"", None)]


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [
        (1000, "", b"\x03\xe8"),
        (1001, "bye", b"\x03\xe9bye"),
        (4999, "tschüß", b"\x13\x87" + "tschüß".encode()),
        (1005, "", b""),
        (1000, "r" * 123, b"\x03\xe8" + b"r" * 123),
        (1000, "r" * 124, b"\x03\xe8" + b"r" * 123),
        (1000, "r" + "ü" * 61, b"\x03\xe8r" + "ü".encode() * 61),
        (1000, "ü" * 62, b"\x03\xe8" + "ü".encode() * 61),
        (1000, "€" * 41 + "x", b"\x03\xe8" + "€".encode() * 41),
        (1000, "x" + "€" * 41, b"\x03\xe8x" + "€".encode() * 40),
        (1000, "x" + "😀" * 31, b"\x03\xe8x" + "😀".encode() * 30),
    ],
)
def test_sent_close_frames(codec_class: Any, code: int, reason: str, payload: bytes) -> None:
    codec, recorder = make(codec_class)
    codec.send_close(code, reason)
    assert recorder.written == [frame(0x88, payload, None)]


def test_frames_go_out_after_a_close_came_in(codec_class: Any) -> None:
    codec, recorder = make(codec_class)
    codec.feed(frame(0x88, b"\x03\xe8", KEY))
    codec.send_close(1000, "")
    assert recorder.written == [frame(0x88, b"\x03\xe8", None)]


def test_rest_changes_nothing_that_can_be_seen(codec_class: Any) -> None:
    codec, recorder = make(codec_class)
    codec.rest()
    codec.feed(frame(0x01, b"a"))
    codec.rest()
    codec.feed(frame(0x80, b"b"))
    codec.rest()
    codec.feed(frame(0x81, b"c")[:3])
    codec.rest()
    codec.feed(frame(0x81, b"c")[3:])
    assert recorder.events == [("text", "ab"), ("text", "c")]
