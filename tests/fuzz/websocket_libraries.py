"""What the libraries wsproto and websockets make of a stream of frames, and why they may differ from addax."""

from __future__ import annotations

import logging
import re
import zlib
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import PayloadTooBig
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from addax.core.errors import RemoteProtocolError
from addax.core.settings import WebSocketSettings
from addax.websocket.deflate import DeflateParameters
from addax.websocket.wsproto import WsprotoCodec
from tests.frames import Recorder

#: What a library gets after a stream that it waits for more of, while addax has refused it: the frame ends, if there is
#: one, and then it has to be refused.
FILLER = bytes(200_000)

_QUIET = logging.getLogger("tests.fuzz.websockets")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False
_QUIET.setLevel(logging.CRITICAL + 1)

#: Endings of all beginnings of a character.
_ENDINGS = [b"\x80" * count for count in range(4)] + [b"\xa0\x80", b"\xbf\xbf", b"\x90\x80\x80", b"\xbf\xbf\xbf"]


@dataclass
class Outcome:
    """What came of a stream."""

    #: Complete messages and control frames, in order.
    events: list[tuple[Any, ...]]
    #: The close code of a refusal; None: there was none.
    error: int | None = None
    #: What is said about it.
    detail: str = ""
    #: Frames before that; only websockets tells.
    frame_count: int = 0


def by_wsproto(pieces: list[bytes], settings: WebSocketSettings, deflate: DeflateParameters | None) -> Outcome:
    """By the library behind our interface."""
    recorder = Recorder()
    codec = WsprotoCodec(recorder, settings, deflate)
    try:
        for piece in pieces:
            codec.feed(piece)
    except RemoteProtocolError as error:
        return Outcome(recorder.events, error.status, str(error.__context__))
    return Outcome(recorder.events)


def by_websockets(pieces: list[bytes], settings: WebSocketSettings, deflate: DeflateParameters | None) -> Outcome:
    """By the sans-I/O part of websockets. It leaves text as bytes, so UTF-8 is looked at here."""
    protocol = Protocol(
        SERVER,
        state=OPEN,
        max_size=(settings.message_max_bytes, settings.frame_max_bytes),
        logger=_QUIET,
    )
    if deflate is not None:
        protocol.extensions = [
            PerMessageDeflate(
                remote_no_context_takeover=not deflate.client_takeover,
                local_no_context_takeover=not deflate.server_takeover,
                remote_max_window_bits=max(deflate.client_window_bits, 9),
                local_max_window_bits=deflate.server_window_bits,
            )
        ]
    reader = _Reader()
    for piece in pieces:
        protocol.receive_data(piece)
        for event in protocol.events_received():
            assert isinstance(event, Frame)
            reader.outcome.frame_count += 1
            reader.take(event)
            if reader.outcome.error is not None:
                return reader.outcome
        if protocol.parser_exc is not None:
            error = protocol.parser_exc
            assert protocol.close_sent is not None
            reader.outcome.error = protocol.close_sent.code
            reader.outcome.detail = str(error)
            if isinstance(error.__cause__, zlib.error):
                reader.outcome.detail = "zlib"
            elif isinstance(error, PayloadTooBig):
                reader.outcome.detail = "too big"
            return reader.outcome
    return reader.outcome


class _Reader:
    """Puts fragments together."""

    def __init__(self) -> None:
        self.outcome = Outcome([])
        self._kind = ""
        self._data = b""

    def take(self, frame: Frame) -> None:
        data = bytes(frame.data)
        events = self.outcome.events
        if frame.opcode is Opcode.PING:
            events.append(("ping", data))
        elif frame.opcode is Opcode.PONG:
            events.append(("pong", data))
        elif frame.opcode is Opcode.CLOSE:
            close = Close.parse(data)
            events.append(("close", int(close.code), close.reason))
        else:
            if frame.opcode is not Opcode.CONT:
                self._kind = "text" if frame.opcode is Opcode.TEXT else "binary"
                self._data = b""
            self._data += data
            if self._kind == "text" and not is_begun_right(self._data):
                self.outcome.error = 1007
            elif frame.fin and self._kind == "text":
                try:
                    events.append(("text", self._data.decode()))
                except UnicodeDecodeError:
                    self.outcome.error = 1007
            elif frame.fin:
                events.append(("binary", self._data))


def is_begun_right(data: bytes) -> bool:
    """Whether some text begins like this; not as addax finds it out."""
    for ending in _ENDINGS:
        try:
            (data + ending).decode()
        except UnicodeDecodeError:
            continue
        return True
    return False


# ---- why they differ

#: What addax refuses and websockets does not look at, or not before it looks at something else.
STRICTER = {
    "a length is not written in the shortest way": "takes a length that is not the shortest: RFC 6455 §5.2",
    "a control frame is too long": "takes a control frame with a length of two or eight bytes: RFC 6455 §5.5",
    "a length has more than 63 bits": "finds a length of 64 bits too big, or right: RFC 6455 §5.2",
}


@dataclass
class Disagreement:
    """All that the rules below look at."""

    library: str
    data: bytes
    deflate: DeflateParameters | None
    ours: Outcome
    theirs: Outcome
    #: The outcomes of addax when the same stream is cut elsewhere, or nothing is over a bound.
    others: list[Outcome]


def explain(found: Disagreement) -> str | None:
    """Why they differ; None: there is no reason."""
    ours, theirs = found.ours, found.theirs
    if found.deflate is not None:
        oddity = first_oddity(found.data, found.deflate)
        if oddity is not None and len(oddity[0]) <= min(len(ours.events), len(theirs.events)):
            return oddity[1]
        if any((other.events, other.error) == (theirs.events, theirs.error) for other in found.others):
            return "finds the other one of two mistakes first, as addax does if cut elsewhere: RFC 6455 §7.1.7"
    if _starts_with(theirs.events, ours.events) and found.library == "websockets":
        if found.deflate is not None and ours.detail == "a message is too big" and theirs.error is not None:
            # zlib keeps back what is over the number of bytes that it was asked for.
            return "finds what was inflated over the bound when more bytes come: RFC 6455 §10.4"
        if ours.detail in STRICTER:
            return STRICTER[ours.detail]
        if theirs.error == 1002 and theirs.detail == "zlib" and ours.error == 1007:
            return "says 1002 of what cannot be inflated: RFC 6455 §7.4.1"
    if (
        found.library == "wsproto"
        and _starts_with(theirs.events, ours.events)
        and ours.detail == "text is not UTF-8"
        and _has_surrogate(found.data, found.deflate)
    ):
        return "finds a surrogate by its third byte, after what comes before that: RFC 6455 §8.1"
    if _starts_with(ours.events, theirs.events):
        return _why_library_refuses(found)
    return None


def _why_library_refuses(found: Disagreement) -> str | None:
    """The library refuses, and addax has another code, refuses later, or takes it."""
    ours, theirs = found.ours, found.theirs
    following = ours.events[len(theirs.events)] if len(ours.events) > len(theirs.events) else ("nothing",)
    if found.library == "wsproto":
        if theirs.detail == "CLOSE with unknown reserved code" and _has_close(found.data, b"\x03\xf6"):
            return "does not know close code 1014: RFC 6455 §7.4, IANA's registry"
        if theirs.error == 1009 and ours.detail == "a frame is not masked":
            return "looks at the length before the mask bit: RFC 6455 §7.1.7"
        return None
    if theirs.detail == "incomplete fragmented message" and following[0] == "close":
        return "refuses a close inside a message: RFC 6455 §5.4"
    if theirs.error == 1007 and ours.detail == "a close frame has a code that may not be sent":
        return "looks at the reason of a close frame before the code: RFC 6455 §7.1.7"
    if theirs.detail != "too big":
        return None
    culprits = frames_of(found.data)
    if theirs.frame_count >= len(culprits):
        return None
    first, _, is_deflated = culprits[theirs.frame_count]
    if first & 0x08:
        return "holds control frames to the bound of messages: RFC 6455 §5.5"
    if is_deflated:
        return "holds compressed frames to other bounds, before and after inflating: RFC 6455 §10.4"
    if ours.error == 1002 and len(ours.events) == len(theirs.events):
        return "looks at the length before the rest of the header: RFC 6455 §7.1.7"
    return None


def _has_close(data: bytes, code: bytes) -> bool:
    return any(first & 0x0F == 8 and payload.startswith(code) for first, payload, _ in frames_of(data))


def _has_surrogate(data: bytes, deflate: DeflateParameters | None) -> bool:
    inflater = None
    message = b""
    for first, payload, is_deflated in frames_of(data):
        if first & 0x0F >= 8:
            continue
        if first & 0x0F:
            message = b""
        if is_deflated:
            assert deflate is not None
            if inflater is None or (first & 0x0F and not deflate.client_takeover):
                inflater = zlib.decompressobj(-max(9, deflate.client_window_bits))
            try:
                payload = inflater.decompress(payload + b"\x00\x00\xff\xff" if first & 0x80 else payload)
            except zlib.error:
                return False
        message += payload
        if re.search(rb"\xed[\xa0-\xbf]", message):
            return True
    return False


def _starts_with(events: list[tuple[Any, ...]], begin: list[tuple[Any, ...]]) -> bool:
    return events[: len(begin)] == begin


def frames_of(data: bytes) -> list[tuple[int, bytes, bool]]:
    """First byte and unmasked payload of frames, by nothing but their lengths; the last may not be whole.

    The third says whether the frame belongs to a compressed message.
    """
    frames = []
    is_deflated = False
    at = 0
    while at + 2 <= len(data):
        first, length = data[at], data[at + 1] & 0x7F
        is_masked = data[at + 1] >= 0x80
        at += 2
        if length > 125:
            count = 2 if length == 126 else 8
            length = int.from_bytes(data[at : at + count], "big")
            at += count
        key = bytes(4)
        if is_masked:
            key = data[at : at + 4].ljust(4, b"\x00")
            at += 4
        payload = data[at : at + length]
        if 0 < first & 0x0F < 8:
            is_deflated = first & 0x40 != 0
        frames.append((first, bytes(byte ^ key[index % 4] for index, byte in enumerate(payload)), is_deflated))
        at += length
    return frames


def first_oddity(data: bytes, deflate: DeflateParameters) -> tuple[list[bytes], str] | None:
    """The first compressed message that libraries inflate otherwise: messages and control frames before it, and why."""
    before: list[bytes] = []
    inflater = None
    message = b""
    for first, payload, is_deflated in frames_of(data):
        if first & 0x0F >= 8:
            before.append(payload)
            continue
        message = payload if first & 0x0F else message + payload
        if is_deflated and (inflater is None or (first & 0x0F and not deflate.client_takeover)):
            inflater = zlib.decompressobj(-max(9, deflate.client_window_bits))
        if is_deflated:
            assert inflater is not None
            is_empty = first & 0x80 and not message
            try:
                inflater.decompress(payload + b"\x00\x00\xff\xff" if first & 0x80 else payload)
            except zlib.error:
                # That is noticed by everybody.
                return None
            if is_empty:
                return before, "takes no bytes for the begin of a block: RFC 7692 §7.2.3.6"
            if inflater.eof:
                return before, "loses what comes behind a final block: RFC 7692 §7.2.3.4"
            if first & 0x80 and not _is_between_blocks(inflater):
                return before, "does not look whether a message ends with a block: RFC 7692 §7.2.2"
        if first & 0x80:
            before.append(message)
    return None


def _is_between_blocks(inflater: Any) -> bool:
    """Whether the next bits are the header of a block: then an empty last one can be put there."""
    copy = inflater.copy()
    try:
        copy.decompress(b"\x03\x00")
    except zlib.error:
        return False
    return bool(copy.eof) and not copy.unused_data
