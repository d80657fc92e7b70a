"""Our WebSocket codec says of every stream what wsproto and websockets say of it, or there is a reason why not.

    python -m tests.fuzz.run_websocket --cases 200000
    python -m tests.fuzz.run_websocket --seed 7 --seconds 60

A case is a stream in pieces: frames that are right or nearly right, whole and in fragments, compressed or not, with
bytes changed. Compiled and plain Python have to agree in every call, status, reason and state, also when the handler
pauses; without compression, the result must not depend on where a stream is cut. Then the libraries get the stream.
Each disagreement with them is counted under its reason with the section of the RFC, and one without a reason is a
finding. What the codec sends is read by websockets.

Ends with exit code 1 at the first finding, and prints what plays it again.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from addax.core.errors import RemoteProtocolError
from addax.core.settings import WebSocketSettings
from addax.websocket.deflate import DeflateParameters
from addax.websocket.frames import FrameCodec
from tests.frames import Recorder, frame

from .websocket_libraries import FILLER, Disagreement, Outcome, by_websockets, by_wsproto, explain
from .websocket_plain import PlainCodec

BOUNDS = (
    WebSocketSettings(message_max_bytes=150_000),
    WebSocketSettings(message_max_bytes=150_000),
    WebSocketSettings(message_max_bytes=150_000),
    WebSocketSettings(message_max_bytes=1000),
    WebSocketSettings(message_max_bytes=130),
    WebSocketSettings(message_max_bytes=20),
    WebSocketSettings(message_max_bytes=150_000, frame_max_bytes=30),
    WebSocketSettings(message_max_bytes=100, frame_max_bytes=200),
)
#: A stream up to this size may come in single bytes.
SINGLE_BYTES_MAX = 600
SIZES = (*range(6), 7, 8, 9, 15, 16, 17, 20, 21, 30, 31, 50, 64, 100, 124, 125, 126, 127, 128, 130, 131)
LARGE_SIZES = (200, 999, 1000, 1001, 4095, 4096, 5000, 65535, 65536, 70000)
CHARACTERS = ("a", "b", " ", "\x00", "\x7f", "é", "߿", "ࠀ", "€", "\ud7ff", "\ue000", "\uffff", "𐀀", "😀", "\U0010ffff")
WRONG_TEXT = (
    *(b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc2", b"\xe0\x9f\x80", b"\xe2\x82", b"\xed\xa0\x80", b"\xed\xbf"),
    *(
        b"\xf0\x8f\x80\x80",
        b"\xf0\x9f\x98",
        b"\xf4\x90\x80\x80",
        b"\xf5",
        b"\xff",
        b"\xed\xa0",
        b"\xf4\x90",
        b"\xe0\x80",
    ),
)
CODES = (
    *(1000, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 1016),
    *(0, 1, 999, 1100, 2999, 3000, 3999, 4000, 4999, 5000, 65535),
)

# ---- cases


@dataclass(frozen=True)
class FuzzCase:
    """A stream, its pieces, and how it is played."""

    data: bytes
    pieces: list[bytes]
    settings: WebSocketSettings
    #: What was agreed: window bits of server and client, and takeover of server and client.
    deflate: tuple[int, int, bool, bool] | None
    #: The handler pauses at every message for which this has a True, over and over.
    pauses: tuple[bool, ...]
    #: ``rest`` is called after every piece.
    rests: bool
    #: What is sent: text or binary messages.
    sent: tuple[str | bytes, ...]

    def parameters(self) -> DeflateParameters | None:
        """As the codec wants it."""
        return None if self.deflate is None else DeflateParameters(*self.deflate)


class Maker:
    """Makes cases, always the same ones for one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._compressor: Any = None
        self._deflate: tuple[int, int, bool, bool] | None = None

    def make(self) -> FuzzCase:
        """The next one."""
        rng = self._random
        self._deflate = None
        if rng.random() < 0.4:
            self._deflate = (rng.randrange(9, 16), rng.randrange(8, 16), rng.random() < 0.6, rng.random() < 0.6)
        self._compressor = None
        frames: list[bytes] = []
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
            frames += self._message() if rng.random() < 0.8 else [self._control()]
        if rng.random() < 0.15:
            frames.append(self._close())
            frames += self._message() if rng.random() < 0.2 else []
        if rng.random() < 0.05:
            frames.append(rng.randbytes(rng.randrange(1, 40)))
        if rng.random() < 0.3:
            place = rng.randrange(len(frames))
            frames[place] = self._damage(frames[place])
        if rng.random() < 0.03:
            rng.shuffle(frames)
        if rng.random() < 0.03:
            frames.pop(rng.randrange(len(frames)))
        if rng.random() < 0.1 and frames:
            frames[-1] = frames[-1][: rng.randrange(len(frames[-1]) + 1)]
        settings = rng.choice(BOUNDS)
        pauses = tuple(rng.random() < 0.5 for _ in range(3)) if rng.random() < 0.3 else (False,)
        sent: tuple[str | bytes, ...] = ()
        if rng.random() < 0.1:
            sent = tuple(self._text().decode() if rng.random() < 0.5 else rng.randbytes(self._size()) for _ in range(3))
        return FuzzCase(b"".join(frames), self._cut(frames), settings, self._deflate, pauses, rng.random() < 0.1, sent)

    def _size(self) -> int:
        rng = self._random
        return rng.choice(SIZES) if rng.random() < 0.97 else rng.choice(LARGE_SIZES)

    def _text(self) -> bytes:
        rng = self._random
        size = self._size()
        if rng.random() < 0.3 or size > 200:
            return (b"0123456789" * (size // 10 + 1))[:size]
        return "".join(rng.choices(CHARACTERS, k=size)).encode()

    def _message(self) -> list[bytes]:
        """A data message in frames, with control frames in between."""
        rng = self._random
        is_text = rng.random() < 0.6
        payload = self._text() if is_text else rng.randbytes(self._size())
        if is_text and rng.random() < 0.06:
            place = rng.randrange(len(payload) + 1)
            payload = payload[:place] + rng.choice(WRONG_TEXT) + payload[place:]
        first = 0x01 if is_text else 0x02
        if self._deflate is not None and rng.random() < 0.7:
            first |= 0x40
            payload = self._compressed(payload)
        count = rng.choice((1, 1, 1, 2, 3, 6))
        cuts = sorted(rng.randrange(len(payload) + 1) for _ in range(count - 1))
        frames = []
        for number, (start, end) in enumerate(itertools.pairwise([0, *cuts, len(payload)]), 1):
            frames.append(self._frame(first | 0x80 if number == count else first, payload[start:end]))
            first = 0x00
            if rng.random() < 0.1:
                frames.append(self._control())
        return frames

    def _compressed(self, payload: bytes) -> bytes:
        rng = self._random
        assert self._deflate is not None
        if self._compressor is None or not self._deflate[3] or rng.random() < 0.1:
            level, memory = rng.choice((0, 1, 6, 9)), rng.choice((1, 5, 8))
            self._compressor = zlib.compressobj(level, zlib.DEFLATED, -max(9, self._deflate[1]), memory)
        place = rng.randrange(len(payload) + 1)
        compressed = self._compressor.compress(payload[:place])
        if rng.random() < 0.2:
            compressed += self._compressor.flush(rng.choice((zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH)))
        compressed += self._compressor.compress(payload[place:]) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        # zlib has nothing to flush if it has just flushed.
        compressed = compressed.removesuffix(b"\x00\x00\xff\xff") or rng.choice((b"", *[b"\x00"] * 19))
        odd = rng.random()
        if odd < 0.02:
            compressed = compressed[: rng.randrange(len(compressed) + 1)]
        elif odd < 0.04:
            place = rng.randrange(len(compressed) + 1)
            compressed = compressed[:place] + rng.randbytes(1) + compressed[place + 1 :]
        elif odd < 0.05:
            final = zlib.compressobj(wbits=-9)
            compressed = final.compress(payload) + final.flush() + rng.choice((b"", b"\x00", compressed))
        elif odd < 0.055:
            compressed = rng.randbytes(rng.randrange(20))
        elif odd < 0.07:
            bomb = zlib.compressobj(9, zlib.DEFLATED, -9)
            compressed = bomb.compress(b"x" * rng.choice((1001, 20_000, 160_000))) + bomb.flush(zlib.Z_SYNC_FLUSH)[:-4]
        return compressed

    def _control(self) -> bytes:
        rng = self._random
        if rng.random() < 0.05:
            return self._close()
        return self._frame(rng.choice((0x89, 0x8A)), rng.randbytes(rng.choice((0, 0, 1, 4, 20, 124, 125))))

    def _close(self) -> bytes:
        rng = self._random
        how = rng.random()
        if how < 0.2:
            return self._frame(0x88, b"")
        if how < 0.25:
            return self._frame(0x88, rng.randbytes(1))
        reason = "".join(rng.choices(CHARACTERS, k=rng.choice((0, 0, 5, 40, 130)))).encode()[:123]
        if how > 0.5:
            reason = reason.decode("utf-8", "ignore").encode()
        if how > 0.95:
            reason = rng.choice(WRONG_TEXT)
        return self._frame(0x88, rng.choice(CODES).to_bytes(2, "big") + reason)

    def _frame(self, first: int, payload: bytes) -> bytes:
        rng = self._random
        key: bytes | None = rng.randbytes(4) if rng.random() < 0.9 else bytes(4)
        length = None
        odd = rng.random()
        if odd < 0.005:
            key = None
        elif odd < 0.01:
            length = b"\x7e" + min(len(payload), 65535).to_bytes(2, "big")
        elif odd < 0.015:
            length = b"\x7f" + len(payload).to_bytes(8, "big")
        elif odd < 0.02:
            length = b"\x7f" + rng.choice((2**63, 2**63 - 1, 2**64 - 1, 2**32, 70_000)).to_bytes(8, "big")
        elif odd < 0.03:
            first ^= 1 << rng.randrange(8)
        return frame(first, payload, key, length)

    def _damage(self, one: bytes) -> bytes:
        rng = self._random
        for _ in range(rng.choice((1, 1, 1, 2))):
            # The header is where it matters.
            place = rng.randrange(min(len(one), 16) + 1) if rng.random() < 0.7 else rng.randrange(len(one) + 1)
            how = rng.randrange(4)
            if how == 0 and place < len(one):
                one = one[:place] + bytes((one[place] ^ 1 << rng.randrange(8),)) + one[place + 1 :]
            elif how == 1:
                one = one[:place] + one[place + 1 :]
            elif how == 2:
                one = one[:place] + rng.randbytes(1) + one[place:]
            else:
                one = one[:place] + rng.randbytes(1) + one[place + 1 :]
        return one

    def _cut(self, frames: list[bytes]) -> list[bytes]:
        rng = self._random
        data = b"".join(frames)
        how = rng.random()
        if not data:
            return []
        if how < 0.35:
            return [data]
        if how < 0.6:
            return [one for one in frames if one]
        if how < 0.7 and len(data) <= SINGLE_BYTES_MAX:
            return [data[place : place + 1] for place in range(len(data))]
        marks = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(rng.choice((1, 2, 5))))})
        return [data[start:end] for start, end in itertools.pairwise(marks)]


# ---- playing


class Pausing(Recorder):
    """Pauses as a case says."""

    def __init__(self, pauses: tuple[bool, ...]) -> None:
        super().__init__()
        self.codec: Any = None
        self._pauses = itertools.cycle(pauses)

    def on_text(self, text: str) -> None:
        super().on_text(text)
        self.codec.is_paused = next(self._pauses)

    def on_binary(self, data: bytes) -> None:
        super().on_binary(data)
        self.codec.is_paused = next(self._pauses)


def play(codec_class: Any, case: FuzzCase) -> tuple[list[Any], list[bytes]]:
    """Every call and, after each piece, the state; how it ended; and what was written."""
    recorder = Pausing(case.pauses)
    codec = recorder.codec = codec_class(recorder, case.settings, case.parameters())
    events: list[Any] = recorder.events
    for message in case.sent:
        if isinstance(message, str):
            codec.send_text(message)
        else:
            codec.send_binary(message)
    try:
        for number, piece in enumerate(case.pieces):
            codec.feed(piece)
            events.append((codec.is_inside_message, codec.is_paused))
            if codec.is_paused and number % 2:
                codec.go_on()
                events.append((codec.is_inside_message, codec.is_paused))
            if case.rests:
                codec.rest()
        while codec.is_paused:
            codec.go_on()
        events.append((codec.is_inside_message, codec.is_paused))
    except RemoteProtocolError as error:
        events.append((error.status, error.reason))
    return events, recorder.written


def outcome(codec_class: Any, case: FuzzCase, pieces: list[bytes]) -> Outcome:
    """What is said of the stream if it comes in these pieces."""
    recorder = Recorder()
    codec = codec_class(recorder, case.settings, case.parameters())
    try:
        for piece in pieces:
            codec.feed(piece)
    except RemoteProtocolError as error:
        return Outcome(recorder.events, error.status, error.reason)
    return Outcome(recorder.events)


# ---- the libraries


@dataclass
class Tally:
    """What was done, and how addax and the libraries disagreed."""

    cases: int = 0
    messages: int = 0
    deflated: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    compared: int = 0
    disagreements: Counter[str] = field(default_factory=Counter)


class Finding(Exception):
    """What should not be."""


def compare_with_libraries(case: FuzzCase, tally: Tally) -> None:
    """Hold the plain codec against both."""
    tally.compared += 1
    ours = outcome(PlainCodec, case, case.pieces)
    for name, library in (("wsproto", by_wsproto), ("websockets", by_websockets)):
        theirs = library(case.pieces, case.settings, case.parameters())
        waits = ours.error is not None and theirs.error is None and theirs.events == ours.events
        if waits:
            # addax refuses at the first byte that is wrong; RFC 6455 §7.1.7 leaves the time to the endpoint.
            theirs = library([*case.pieces, FILLER], case.settings, case.parameters())
        if theirs.events == ours.events and theirs.error == ours.error:
            continue
        pieces = [case.data[place : place + 1] for place in range(len(case.data))]
        others = [
            outcome(PlainCodec, case, [case.data]),
            outcome(PlainCodec, case, pieces),
            outcome(PlainCodec, replace(case, settings=WebSocketSettings()), case.pieces),
        ]
        reason = explain(Disagreement(name, case.data, case.parameters(), ours, theirs, others))
        if reason is None:
            raise Finding(f"{name} says {theirs!r}, addax {ours!r}")
        tally.disagreements[f"{name} {reason}"] += 1


def check_sent(case: FuzzCase, written: list[bytes]) -> None:
    """What was sent is what websockets reads, as a client."""
    protocol = Protocol(CLIENT, state=OPEN, max_size=None)
    if case.deflate is not None:
        server_bits, client_bits, server_takeover, client_takeover = case.deflate
        protocol.extensions = [
            PerMessageDeflate(not server_takeover, not client_takeover, server_bits, max(9, client_bits))
        ]
    for data in written:
        protocol.receive_data(data)
    if protocol.parser_exc is not None:
        raise Finding(f"websockets refuses what is sent: {protocol.parser_exc!r}")
    received: list[str | bytes] = []
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        data = bytes(event.data)
        received.append(data.decode() if event.opcode is Opcode.TEXT else data)
    if tuple(received) != case.sent:
        raise Finding(f"websockets reads {received!r} of what is sent")


# ---- the run


def run(codec_class: Any, seed: int, cases: int, seconds: float, libraries_every: int) -> Tally:
    """Play cases until there were enough of them or the time is up.

    Raises:
        Finding: there is a difference.
    """
    tally = Tally()
    maker = Maker(seed)
    end = time.monotonic() + seconds
    while tally.cases < cases and (tally.cases % 256 or time.monotonic() < end):
        case = maker.make()
        tally.cases += 1
        try:
            _check(codec_class, case, tally)
            if tally.cases % libraries_every == 0:
                compare_with_libraries(case, tally)
        except Finding as finding:
            raise Finding(f"case {tally.cases} of seed {seed}\n{case}\n{finding}") from None
    return tally


def _check(codec_class: Any, case: FuzzCase, tally: Tally) -> None:
    events, written = play(PlainCodec, case)
    try:
        again, written_again = play(codec_class, case)
    except Exception as error:
        raise Finding(f"expected {events}\n     got {error!r}") from None
    if again != events:
        raise Finding(f"expected {events}\n     got {again}")
    if written_again != written:
        raise Finding(f"{written_again} is sent, and not {written}")
    if case.sent:
        check_sent(case, written)
    if case.deflate is None:
        whole = outcome(PlainCodec, case, [case.data])
        if outcome(PlainCodec, case, case.pieces) != whole:
            raise Finding(f"in one piece it is {whole}")
    tally.messages += sum(1 for event in events if event[0] in ("text", "binary"))
    tally.deflated += case.deflate is not None
    last = events[-1]
    if isinstance(last[1], str):
        tally.refused[last[0]] += 1


def main() -> None:
    """Run, and print what was found."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--cases", type=int, default=200_000, help="how many; default: %(default)s")
    arguments.add_argument("--seconds", type=float, default=3600, help="stop after this time; default: %(default)s")
    arguments.add_argument("--seed", type=int, default=1, help="which cases; default: %(default)s")
    arguments.add_argument("--libraries-every", type=int, default=1, help="which cases the libraries get too")
    options = arguments.parse_args()
    start = time.monotonic()
    try:
        tally = run(FrameCodec, options.seed, options.cases, options.seconds, options.libraries_every)
    except Finding as finding:
        sys.exit(f"FOUND: {finding}")
    refused = ", ".join(f"{count:,} with {status}" for status, count in sorted(tally.refused.items()))
    print(
        f"{tally.cases:,} cases, {tally.deflated:,} of them with compression, {tally.messages:,} messages, "
        f"streams refused: {refused}; no difference between {FrameCodec.__module__} as it is installed and plain "
        f"Python; {time.monotonic() - start:.0f} s"
    )
    print(f"{tally.compared:,} of them compared with wsproto and websockets; disagreements:")
    for reason, count in tally.disagreements.most_common():
        print(f"{count:9,}  {reason}")


if __name__ == "__main__":
    main()
