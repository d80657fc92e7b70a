"""The WebSocket messages that the benchmarks send, the frames that carry them, and what has to come back.

A case is a handful of messages that are sent in turn. Nothing is random: the same messages every time. Frames follow
RFC 6455 section 5.2, compression RFC 7692 section 7; this is the client's side, made before the clock starts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

from cases import HOST

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
#: Of a frame whose payload is compressed, see RFC 7692 section 6.
COMPRESSED = 0x40
FINAL = 0x80
#: The end of a compressed message, which is not sent, see RFC 7692 section 7.2.1.
DEFLATE_TAIL = b"\x00\x00\xff\xff"
MASK = b"\x37\xfa\x21\x3d"
_KEY = base64.b64encode(b"benchmarks/addax")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: What has to come back for the key, see RFC 6455 section 4.2.2.
ACCEPT = base64.b64encode(hashlib.sha1(_KEY + _GUID).digest())
#: What Chrome, Firefox and Safari offer.
OFFER = b"permessage-deflate; client_max_window_bits"
#: Paths of the application.
ECHO_PATH, BROADCAST_PATH = b"/socket/echo", b"/socket/broadcast"


@dataclass(frozen=True)
class Exchange:
    """One kind of conversation over WebSocket.

    Attributes:
        name: as the command line and the tables call it.
        title: what it is, for the tables.
        make_payloads: makes the messages that are sent in turn, all of one length. A compressor that keeps its window
            would find a message again that it has just had, so together they are longer than that: 32 KiB.
        is_text: sent as text, which a server has to check, or as binary.
        connections_count: how many at the same time.
        batch_count: messages that are sent in one go, before the first of them is answered.
        deflate: compression is offered, and a server that declines it takes no part.
        is_broadcast: one connection sends, all receive.
    """

    name: str
    title: str
    make_payloads: Callable[[], tuple[bytes, ...]]
    is_text: bool = True
    connections_count: int = 64
    batch_count: int = 1
    deflate: bool = False
    is_broadcast: bool = False

    @property
    def path(self) -> bytes:
        """Which application answers it; behind it the name, by which the floors know what to answer."""
        return b"%b/%b" % (BROADCAST_PATH if self.is_broadcast else ECHO_PATH, self.name.encode())

    @property
    def opcode(self) -> int:
        """Of its messages."""
        return TEXT if self.is_text else BINARY

    @cached_property
    def payloads(self) -> tuple[bytes, ...]:
        """The messages; made when they are first asked for, because who counts instructions waits for each of them."""
        return self.make_payloads()

    @cached_property
    def answers(self) -> tuple[bytes, ...]:
        """The frames of the server, when it neither compresses nor cuts them."""
        return tuple(frame(self.opcode, payload) for payload in self.payloads)

    def requests(self, window_bits: int | None) -> tuple[bytes, ...]:
        """The frames of the client.

        Args:
            window_bits: compress each message by itself, with a window of this size; None: not at all.
        """
        if window_bits is None:
            return tuple(frame(self.opcode, payload, MASK) for payload in self.payloads)
        compressed = (compress(payload, window_bits) for payload in self.payloads)
        return tuple(frame(self.opcode, payload, MASK, COMPRESSED) for payload in compressed)


def frame(opcode: int, payload: bytes, mask: bytes = b"", flags: int = 0) -> bytes:
    """A whole message in one frame, or a control frame.

    Args:
        opcode: what it is.
        payload: not masked yet.
        mask: four bytes for a client's frame; none for a server's.
        flags: ``COMPRESSED`` or 0.
    """
    first, size, bit = FINAL | flags | opcode, len(payload), 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    return head + mask + (apply_mask(payload, mask) if mask else payload)


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask, see RFC 6455 section 5.3."""
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")


def read_frame(data: bytes | bytearray) -> tuple[int, bytes, int] | None:
    """The first frame of a server.

    Returns:
        Its first byte, its payload and its size with all that belongs to it; None: it is not there as a whole.

    Raises:
        ValueError: it is masked, which a server's must not be.
    """
    if len(data) < 2:
        return None
    first, size, start = data[0], data[1], 2
    if size & 0x80:
        raise ValueError("a server's frame is masked")
    if size >= 126:
        start = 4 if size == 126 else 10
        if len(data) < start:
            return None
        size = int.from_bytes(data[2:start], "big")
    end = start + size
    if len(data) < end:
        return None
    with memoryview(data) as view:
        return first, bytes(view[start:end]), end


def compress(payload: bytes, window_bits: int) -> bytes:
    """A message that needs nothing of those before it to be understood."""
    deflater = zlib.compressobj(wbits=-window_bits)
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(DEFLATE_TAIL)


def handshake(path: bytes, deflate: bool) -> bytes:
    """The request that opens a WebSocket."""
    offer = b"Sec-WebSocket-Extensions: %b\r\n" % OFFER if deflate else b""
    return (
        b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n%b\r\n" % (path, HOST, _KEY, offer)
    )


@cache
def _records(size: int, count: int, seed: int) -> tuple[bytes, ...]:
    """JSON as an interface sends it: the same names again and again, and values that differ. Cut to the size."""
    chance = random.Random(seed)
    words = ("addax", "oryx", "kudu", "eland", "gazelle", "gemsbok", "nyala", "impala", "sable", "roan")

    def record(number: int) -> dict[str, object]:
        return {
            "id": f"{chance.getrandbits(64):016x}",
            "number": number,
            "name": f"{chance.choice(words)} {chance.choice(words)}",
            "price": round(chance.uniform(1, 999), 2),
            "tags": chance.sample(words, 3),
            "in_stock": chance.random() < 0.5,
        }

    def message() -> bytes:
        written: list[str] = []
        length = 0
        while length < size:
            written.append(json.dumps(record(len(written)), separators=(",", ":")))
            length += len(written[-1]) + 1
        return ",".join([*written, ""])[:size].encode()

    return tuple(message() for _ in range(count))


def _short() -> tuple[bytes, ...]:
    return tuple(b"message number %05d" % number for number in range(2048))


def _lines() -> tuple[bytes, ...]:
    return _records(128, 512, seed=1)


def _pages() -> tuple[bytes, ...]:
    return _records(4096, 32, seed=2)


def _blocks() -> tuple[bytes, ...]:
    return _records(2**20, 2, seed=3)


EXCHANGES: dict[str, Exchange] = {
    one.name: one
    for one in (
        Exchange("echo-20", "20 bytes of text, echoed", _short),
        Exchange("echo-20-batch", "the same, 16 sent at once", _short, batch_count=16),
        Exchange("echo-20-deflate", "20 bytes of text, compressed", _short, deflate=True),
        Exchange("echo-4k", "4 KiB of JSON, echoed", _pages),
        Exchange("echo-4k-deflate", "4 KiB of JSON, compressed", _pages, deflate=True),
        Exchange("echo-1m", "1 MiB, echoed", _blocks, is_text=False, connections_count=8),
        Exchange("echo-1m-deflate", "1 MiB, compressed", _blocks, is_text=False, connections_count=8, deflate=True),
        Exchange(
            "broadcast",
            "128 bytes of JSON to 200 clients, each delivered",
            _lines,
            connections_count=200,
            is_broadcast=True,
        ),
        Exchange(
            "broadcast-deflate",
            "the same, compressed",
            _lines,
            connections_count=200,
            deflate=True,
            is_broadcast=True,
        ),
    )
}
QUICK = ("echo-20", "echo-4k-deflate", "broadcast")
BY_PATH = {one.path: one for one in EXCHANGES.values()}
