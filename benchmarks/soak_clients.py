"""What the clients of ``soak.py`` do: each scenario is a coroutine that opens connections, behaves well or badly, and
checks every answer that it has a right to. A wrong answer is an ``AssertionError``."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from soak_app import PIECE, piece_count

#: The server's timeouts in a soak, in seconds; short, so that each is reached often.
KEEP_ALIVE_S, HEAD_S, BODY_S, WRITE_S = 2, 3, 3, 4
#: Longest wait for anything that the server owes.
PATIENCE_S = 30.0
#: How much later than its timeout a server may notice it, with both sides on a busy machine.
LATE_S = 10.0

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
RECEIVE_BUFFER_BYTES = 8192


class Answer:
    """A parsed answer."""

    def __init__(self, status: int, head: bytes, body: bytes) -> None:
        self.status = status
        self.head = head
        self.body = body


async def read_answer(reader: Reader, method: str = "GET") -> Answer:
    """Read one answer, skipping interim ones."""
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert re.match(rb"http/1\.1 \d{3} ", head), head
        status = int(head[9:12])
        if status >= 200:
            break
    if method == "HEAD" or status in (204, 304):
        return Answer(status, head, b"")
    if b"transfer-encoding: chunked" in head:
        return Answer(status, head, await _read_chunks(reader))
    length = re.search(rb"\r\ncontent-length: (\d+)\r\n", head)
    return Answer(status, head, await (reader.readexactly(int(length[1])) if length else reader.read()))


async def _read_chunks(reader: Reader) -> bytes:
    content = b""
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        content += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
        if size == 0:
            return content


class Clients:
    """All scenarios, against one server.

    Args:
        port: where it listens on loopback.
        rng: decides everything that is left open.
    """

    def __init__(self, port: int, rng: random.Random) -> None:
        self._port = port
        self._rng = rng
        self.scenarios: dict[str, Callable[[], Awaitable[None]]] = {
            "keep-alive": self.keep_alive,
            "pipelining": self.pipelining,
            "close and HTTP/1.0": self.last_requests,
            "stream": self.stream,
            "upload": self.upload,
            "expect": self.expect,
            "slow reader": self.slow_reader,
            "slow writer": self.slow_writer,
            "abrupt disconnect": self.abrupt_disconnect,
            "garbage": self.garbage,
            "half-closed": self.half_closed,
            "idle": self.idle,
            "half a head": self.half_a_head,
            "half a body": self.half_a_body,
            "stalled reader": self.stalled_reader,
        }

    @asynccontextmanager
    async def _connect(self, receive_buffer: int = 0) -> AsyncIterator[tuple[Reader, Writer]]:
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        except BaseException:
            sock.close()
            raise
        reader, writer = await asyncio.open_connection(sock=sock, limit=receive_buffer or 65536)
        try:
            yield reader, writer
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass

    # ---- good clients

    async def keep_alive(self) -> None:
        """Some requests after one another on one connection."""
        async with self._connect() as (reader, writer):
            for number in range(self._rng.randint(1, 20)):
                await self._ask_something(reader, writer, number)

    async def _ask_something(self, reader: Reader, writer: Writer, number: int) -> None:
        kind = self._rng.choice(("get", "get", "head", "missing", "post", "wait", "stream"))
        if kind == "post":
            body = self._rng.randbytes(self._rng.randint(0, 3000))
            writer.write(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            answer = await read_answer(reader)
            assert answer.body == _receipt(body), answer.body
        elif kind == "wait":
            writer.write(b"GET /wait?ms=%d HTTP/1.1\r\nHost: a\r\n\r\n" % self._rng.randint(0, 20))
            assert (await read_answer(reader)).body == b"waited"
        elif kind == "stream":
            writer.write(b"GET /stream?n=%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            assert (await read_answer(reader)).body == _lines(number)
        elif kind == "missing":
            writer.write(b"GET /missing HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = await read_answer(reader)
            assert (answer.status, answer.body) == (404, b"missing")
        else:
            writer.write(b"%b /hello?n=%d HTTP/1.1\r\nHost: a\r\n\r\n" % (kind.upper().encode(), number))
            answer = await read_answer(reader, kind.upper())
            assert answer.status == 200
            assert answer.body == (b"hello %d" % number if kind == "get" else b"")

    async def pipelining(self) -> None:
        """Many requests at once; the answers come in order."""
        count = self._rng.randint(2, 60)
        async with self._connect() as (reader, writer):
            for number in range(count):
                if number % 5 == 4:
                    writer.write(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n%05d" % number)
                else:
                    writer.write(b"GET /hello?n=%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            for number in range(count):
                expected = _receipt(b"%05d" % number) if number % 5 == 4 else b"hello %d" % number
                assert (await read_answer(reader)).body == expected

    async def last_requests(self) -> None:
        """The server closes after the answer."""
        version, field = self._rng.choice(((b"1.1", b"Connection: close\r\n"), (b"1.0", b"")))
        async with self._connect() as (reader, writer):
            writer.write(b"GET /stream?n=50 HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, field))
            answer = await read_answer(reader)
            assert answer.body == _lines(50)
            assert await reader.read() == b""

    async def stream(self) -> None:
        """A body of many small pieces."""
        async with self._connect() as (reader, writer):
            writer.write(b"GET /stream?n=500 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await read_answer(reader)).body == _lines(500)

    async def upload(self) -> None:
        """A large body, with a length or chunked."""
        body = self._rng.randbytes(65536) * self._rng.randint(1, 48)
        async with self._connect() as (reader, writer):
            if self._rng.random() < 0.5:
                writer.write(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
                for piece in self._pieces(body):
                    writer.write(piece)
                    await writer.drain()
            else:
                writer.write(b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                for piece in self._pieces(body):
                    writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
            assert (await read_answer(reader)).body == _receipt(body)
            await self._ask_something(reader, writer, 1)

    def _pieces(self, body: bytes) -> list[bytes]:
        size = self._rng.randint(1000, 200_000)
        return [body[start : start + size] for start in range(0, len(body), size)]

    async def expect(self) -> None:
        """The body is sent after 100 (Continue)."""
        async with self._connect() as (reader, writer):
            writer.write(b"POST /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"body")
            assert (await read_answer(reader)).body == _receipt(b"body")

    # ---- slow clients, which get what they asked for

    async def slow_reader(self) -> None:
        """A large answer, read a little at a time."""
        size = self._rng.randint(100_000, 1_000_000)
        async with self._connect(RECEIVE_BUFFER_BYTES) as (reader, writer):
            writer.write(b"GET /large?n=%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % size)
            await reader.readuntil(b"\r\n\r\n")
            received = checksum = 0
            while piece := await reader.read(65536):
                received += len(piece)
                checksum = zlib.crc32(piece, checksum)
                await asyncio.sleep(self._rng.choice((0, 0.001, 0.01)))
            expected = PIECE * piece_count(size)
            assert (received, checksum) == (len(expected), zlib.crc32(expected))

    async def slow_writer(self) -> None:
        """A head and a body that trickle in."""
        body = self._rng.randbytes(30)
        message = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        async with self._connect() as (reader, writer):
            for position in range(0, len(message), 3):
                writer.write(message[position : position + 3])
                await asyncio.sleep(0.005)
            assert (await read_answer(reader)).body == _receipt(body)

    # ---- bad clients, which must do no harm

    async def abrupt_disconnect(self) -> None:
        """Leave in the middle of anything, often with a reset."""
        message = self._rng.choice(
            (
                b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n",
                b"GET /large?n=5000000 HTTP/1.1\r\nHost: a\r\n\r\n",
                b"GET /wait?ms=50 HTTP/1.1\r\nHost: a\r\n\r\n",
                b"GET /stream?n=1000 HTTP/1.1\r\nHost: a\r\n\r\n",
                b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + bytes(50_000),
                b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
                b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n" * 10,
            )
        )
        if self._rng.random() < 0.2:
            message = message[: self._rng.randint(1, len(message))]
        async with self._connect() as (reader, writer):
            writer.write(message)
            if self._rng.random() < 0.7:
                await asyncio.sleep(self._rng.random() * 0.05)
            if self._rng.random() < 0.5:
                await _read_a_little(reader)
            if self._rng.random() < 0.6:
                # SO_LINGER with no time: the close is a reset.
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()

    async def garbage(self) -> None:
        """Noise, or a request with noise in it: an answer that is HTTP, or none, and then the end."""
        if self._rng.random() < 0.5:
            message = self._rng.randbytes(self._rng.randint(1, 5000))
        else:
            message = bytearray(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: y\r\n\r\nabcde")
            for _ in range(self._rng.randint(1, 4)):
                message[self._rng.randrange(len(message))] = self._rng.randrange(256)
            message = bytes(message)
        async with self._connect() as (reader, writer):
            writer.write(message)
            await _half_close(writer)
            answer = await _read_to_the_end(reader, PATIENCE_S)
            assert not answer or answer.startswith(b"HTTP/1.1 "), answer

    async def half_closed(self) -> None:
        """Nothing more will come, but the answer is wanted."""
        async with self._connect() as (reader, writer):
            writer.write(b"GET /stream?n=20 HTTP/1.1\r\nHost: a\r\n\r\n")
            writer.write_eof()
            assert (await read_answer(reader)).body == _lines(20)
            assert await reader.read() == b""

    async def idle(self) -> None:
        """A connection that is not used again: the server closes it."""
        async with self._connect() as (reader, writer):
            if self._rng.random() < 0.7:
                await self._ask_something(reader, writer, 1)
                bound_s = KEEP_ALIVE_S + LATE_S
            else:
                bound_s = HEAD_S + LATE_S
            assert await _read_to_the_end(reader, bound_s) in (b"",)

    async def half_a_head(self) -> None:
        """408, and the end."""
        async with self._connect() as (reader, writer):
            writer.write(b"GET /hello HTTP/1.1\r\nHost: a\r\nX-Y: ")
            answer = await _read_to_the_end(reader, HEAD_S + LATE_S)
            assert answer.startswith(b"HTTP/1.1 408 "), answer

    async def half_a_body(self) -> None:
        """408, and the end."""
        async with self._connect() as (reader, writer):
            writer.write(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            answer = await _read_to_the_end(reader, BODY_S + LATE_S)
            assert answer.startswith(b"HTTP/1.1 408 "), answer

    async def stalled_reader(self) -> None:
        """Take nothing of a large answer: the server gives up."""
        async with self._connect(RECEIVE_BUFFER_BYTES) as (reader, writer):
            writer.write(b"GET /large?n=20000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.sleep(WRITE_S + 2)
            # Now the rest of what the kernel holds, far less than everything, and then the end.
            assert len(await _read_to_the_end(reader, PATIENCE_S)) < 20_000_000


def _receipt(body: bytes) -> bytes:
    return b"%d %d" % (len(body), zlib.crc32(body))


def _lines(count: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(count))


async def _read_a_little(reader: Reader) -> None:
    try:
        await asyncio.wait_for(reader.read(100), 0.05)
    except (OSError, asyncio.TimeoutError):
        pass


async def _half_close(writer: Writer) -> None:
    try:
        writer.write_eof()
    except OSError:
        # The server was faster.
        pass


async def _read_to_the_end(reader: Reader, bound_s: float) -> bytes:
    """Everything until the server closes; a reset is an end too."""
    pieces: list[bytes] = []

    async def read() -> None:
        try:
            while piece := await reader.read(65536):
                pieces.append(piece)
        except ConnectionError:
            pass

    await asyncio.wait_for(read(), bound_s)
    return b"".join(pieces)
