"""Bounds of a WebSocket, and what becomes of many when the server stops. Clients are raw, the server is a process."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import select
import signal
import socket
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import GET, PATIENCE_S, Process, drain_socket, request
from memory import peak_bytes, reset_peak, resident_bytes
from raw_websocket import (
    BINARY,
    CLOSE,
    COMPRESSED,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    TEXT,
    RawWebSocket,
    decode,
    encode,
    encode_close,
    handshake,
)

pytestmark = pytest.mark.network

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

#: Open WebSockets when the server stops.
OPEN_COUNT = 2000
#: Handshakes that are on the way at once while they are opened.
OPENING_COUNT = 100
#: How long the server may take to close all of them, and to end.
STOP_S = 15.0
#: A peer that could send nothing for so long is held back; the test does not depend on how long it is.
HELD_BACK_S = 0.5
#: What a process may take more than before, beyond the bounds of its options: buffers, and what Python keeps.
SLACK_BYTES = 8_000_000
#: What the kernel may keep on the way of one connection; its own buffers grow to 4 and 6 MB.
ON_THE_WAY_BYTES = 16_000_000
#: So much is sent to a peer that does not take it, unless the sender is held back before.
FLOOD_BYTES = 150_000_000

APP = """
import asyncio, sys
from collections import Counter

codes = Counter()
release = asyncio.Event()

def say(text):
    print("app:", text, file=sys.stderr, flush=True)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        say(f"left: {dict(codes)}")
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await globals()[scope["path"][1:]](scope, receive, send)

async def answer(scope, send, text):
    body = f"{scope['type']} {text}".encode()
    fields = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})

async def free(scope, receive, send):
    release.set()
    await answer(scope, send, "free")

async def accept(receive, send):
    await receive()
    await send({"type": "websocket.accept"})

async def echo(scope, receive, send):
    if scope["type"] == "http":
        await answer(scope, send, dict(scope["headers"]).get(b"upgrade", b"").decode())
        return
    await accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "text": f"{len(message['bytes'])} bytes"})
    codes[message["code"]] += 1
    say(f"left with {message['code']}")

async def pending(scope, receive, send):
    say("pending")
    await release.wait()
    await echo(scope, receive, send)

async def goodbye(scope, receive, send):
    await accept(receive, send)
    await send({"type": "websocket.close", "code": 4000, "reason": "enough"})
    say(f"goodbye {(await receive())['type']}")

async def never(scope, receive, send):
    await receive()
    say(f"never {(await receive())['type']}")

async def flood(scope, receive, send):
    # Sends until a message is not taken for a while; tells how much there was of it, and goes on when that was taken.
    await accept(receive, send)
    size = 0
    while size < FLOOD_BYTES:
        sending = asyncio.ensure_future(send({"type": "websocket.send", "bytes": bytes(65536)}))
        done, _ = await asyncio.wait({sending}, timeout=HELD_BACK_S)
        if not done:
            say(f"held back after {size} bytes")
        await sending
        size += 65536
    say(f"sent {size} bytes")
    await send({"type": "websocket.close"})

async def held(scope, receive, send):
    # Takes nothing before it is let, then everything.
    await accept(receive, send)
    say("holding")
    await release.wait()
    count = size = 0
    while (message := await receive()).get("text") != "end":
        count += 1
        size += len(message.get("bytes") or "")
    await send({"type": "websocket.send", "text": f"{count} messages, {size} bytes"})
    await receive()
""".replace("FLOOD_BYTES", str(FLOOD_BYTES)).replace("HELD_BACK_S", str(HELD_BACK_S))

Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start ``python -m addax`` with the application above; ended with the test."""
    (tmp_path / "app.py").write_text(APP)
    with contextlib.ExitStack() as stack:

        def start(*args: str) -> Process:
            process = Process(tmp_path, "--port", "0", *args)
            stack.callback(process.close)
            return process

        yield start


def ask(process: Process, path: str) -> bytes:
    """The answer to an ordinary request on a connection of its own."""
    with request(process.address, path) as client:
        client.shutdown(1)
        return drain_socket(client)


def stop(process: Process) -> list[str]:
    """End the server, which must end well; return its log."""
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM, process.lines
    messages = process.messages()
    assert messages[-1].startswith("Finished server process [")
    assert not any("Traceback" in line or "Error" in line or "Cancel" in line for line in messages), messages
    return messages


# ---- a stop with many clients


class Clients:
    """WebSockets in this process, as light as they can be, and how they ended.

    Attributes:
        codes: how many were closed with which code; None for those that ended without a close frame.
        close_times: when each close frame came, in seconds of the loop's clock.
    """

    def __init__(self) -> None:
        self.codes: Counter[int | None] = Counter()
        self.close_times: list[float] = []
        self.open_count = 0
        self.all_gone = asyncio.Event()


class LightClient(asyncio.Protocol):
    """One of them. It answers a close frame, as it should."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._data = b""
        self._code: int | None = None
        self._loop = asyncio.get_running_loop()
        self.opened = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(handshake("/echo"))

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self.opened.done():
            head, end, rest = self._data.partition(b"\r\n\r\n")
            if end:
                assert head.startswith(b"HTTP/1.1 101 "), head
                self._clients.open_count += 1
                self._data = rest
                self.opened.set_result(None)
        elif (found := decode(self._data)) is not None:
            self._code = found[0].code
            self._clients.close_times.append(self._loop.time())
            self._transport.write(encode(CLOSE, found[0].payload))

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("the server has closed before it answered the handshake"))
            return
        self._clients.codes[self._code] += 1
        self._clients.open_count -= 1
        if not self._clients.open_count:
            self._clients.all_gone.set()


@pytest.fixture
def many() -> Iterator[int]:
    """As many sockets as this process may have open, OPEN_COUNT at the most; the server gets the same limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_COUNT + 200
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    yield min(OPEN_COUNT, allowed - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_stop_closes_every_websocket(many: int, start: Start, loop: str) -> None:
    process = start("--loop", loop)
    address = process.address

    async def main() -> Clients:
        clients = Clients()
        opening = asyncio.Semaphore(OPENING_COUNT)

        async def connect() -> None:
            async with opening:
                _, client = await asyncio.get_running_loop().create_connection(lambda: LightClient(clients), *address)
                await client.opened

        await asyncio.gather(*[connect() for _ in range(many)])
        assert clients.open_count == many
        process.send_signal(signal.SIGTERM)
        await clients.all_gone.wait()
        return clients

    clients = asyncio.run(asyncio.wait_for(main(), PATIENCE_S + STOP_S))
    assert clients.codes == {1012: many}
    stop(process)


# ---- slow peers


@needs_proc
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_client_that_does_not_read_holds_the_application_back(start: Start, loop: str) -> None:
    process = start("--loop", loop)
    address = process.address
    before = resident_bytes(process.process.pid)
    with RawWebSocket(address, "/flood", receive_buffer_bytes=65536) as client:
        line = process.wait_for("held back after")
        sent = int(line.split()[-2])
        assert sent < ON_THE_WAY_BYTES
        assert resident_bytes(process.process.pid) - before < SLACK_BYTES
        reset_peak(process.process.pid)
        received = 0
        while (frame := client.read()).opcode == BINARY:
            received += len(frame.payload)
        assert frame.code == 1000
        assert received >= FLOOD_BYTES
        assert peak_bytes(process.process.pid) - before < SLACK_BYTES
        client.socket.sendall(encode_close(1000))
        assert client.is_closed()
    stop(process)


@needs_proc
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("size", [60_000, 1])
def test_application_that_does_not_receive_holds_the_client_back(start: Start, loop: str, size: int) -> None:
    process = start("--loop", loop, "--ws-max-queue", "16", "--ws-max-size", "65536")
    address = process.address
    before = resident_bytes(process.process.pid)
    batch_count = max(1, 60_000 // (size + 6))
    batch = encode(BINARY, bytes(size)) * batch_count
    count = 0
    with RawWebSocket(address, "/held") as client:
        process.wait_for("holding")
        reset_peak(process.process.pid)
        client.socket.setblocking(False)
        rest = b""
        while select.select([], [client.socket], [], HELD_BACK_S)[1]:
            if not rest:
                assert count * size < FLOOD_BYTES, "the client was never held back"
                rest = batch
                count += batch_count
            rest = rest[client.socket.send(rest) :]
        assert count * len(batch) // batch_count < ON_THE_WAY_BYTES
        assert peak_bytes(process.process.pid) - before < SLACK_BYTES
        # Some hundred thousand messages wait in the kernel, for plain Python perhaps.
        client.socket.settimeout(6 * PATIENCE_S)
        assert b"http free" in ask(process, "/free")
        client.socket.sendall(rest + encode(TEXT, b"end"))
        assert client.read().payload.decode() == f"{count} messages, {count * size} bytes"
        assert client.close().code == 1000
    stop(process)


# ---- sizes


def test_message_over_the_bound_is_1009(start: Start) -> None:
    process = start("--ws-max-size", "100000")
    with RawWebSocket(process.address) as client:
        client.send(BINARY, bytes(100_000))
        assert client.read().payload == b"100000 bytes"
        client.send(BINARY, bytes(100_001))
        assert client.read().code == 1009
    stop(process)


def test_fragments_over_the_bound_are_1009(start: Start) -> None:
    process = start("--ws-max-size", "100000")
    with RawWebSocket(process.address) as client:
        client.send(BINARY, bytes(50_000), bits=0)
        client.send(CONTINUATION, bytes(50_000))
        assert client.read().payload == b"100000 bytes"
        client.send(BINARY, bytes(50_000), bits=0)
        client.send(CONTINUATION, bytes(50_000), bits=0)
        client.send(CONTINUATION, bytes(1), bits=0)
        assert client.read().code == 1009
        process.wait_for("left with 1009")
    stop(process)


def test_announced_size_over_the_bound_is_1009_at_once(start: Start) -> None:
    process = start("--ws-max-size", "100000")
    with RawWebSocket(process.address) as client:
        client.socket.sendall(encode(BINARY, bytes(200_000))[:14])
        assert client.read().code == 1009
    stop(process)


@pytest.mark.parametrize("is_final", [False, True])
def test_empty_fragments_are_bounded_by_nothing_but_the_message(start: Start, is_final: bool) -> None:
    """A message of very many fragments is one message, and costs no more than it."""
    process = start("--ws-max-size", "100000")
    with RawWebSocket(process.address) as client:
        before = resident_bytes(process.process.pid) if sys.platform == "linux" else 0
        client.send(TEXT, b"", bits=0)
        client.socket.sendall(encode(CONTINUATION, b"x" if is_final else b"", bits=0) * 50_000)
        client.send(CONTINUATION, b"end")
        assert client.read().payload == (b"x" * 50_000 if is_final else b"") + b"end"
        if before:
            assert resident_bytes(process.process.pid) - before < SLACK_BYTES
        assert client.close().code == 1000
    stop(process)


@needs_proc
def test_decompression_bomb_is_1009(start: Start) -> None:
    process = start("--ws-max-size", "1000000")
    compressor = zlib.compressobj(9, wbits=-15)
    bomb = compressor.compress(bytes(200_000_000)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 1_000_000
    with RawWebSocket(process.address, fields=[b"Sec-WebSocket-Extensions: permessage-deflate"]) as client:
        assert b"permessage-deflate" in client.head.lower()
        before = resident_bytes(process.process.pid)
        reset_peak(process.process.pid)
        client.send(BINARY, bomb[:-4], bits=FIN | COMPRESSED)
        assert client.read().code == 1009
        assert peak_bytes(process.process.pid) - before < SLACK_BYTES
    stop(process)


def test_frame_over_the_bound_is_1009(start: Start) -> None:
    process = start("--ws-max-frame-size", "1000")
    with RawWebSocket(process.address) as client:
        client.send(BINARY, bytes(1000), bits=0)
        client.send(CONTINUATION, bytes(1000))
        assert client.read().payload == b"2000 bytes"
        client.send(BINARY, bytes(1001), bits=0)
        assert client.read().code == 1009
    stop(process)


# ---- times


def test_client_that_does_not_answer_pings_is_1011(start: Start) -> None:
    process = start("--ws-ping-interval", "0.2", "--ws-ping-timeout", "0.2")
    with RawWebSocket(process.address) as client:
        assert client.read().opcode == PING
        assert client.read().code == 1011
        process.wait_for("left with 1011")
    stop(process)


def test_client_that_answers_pings_stays(start: Start) -> None:
    process = start("--ws-ping-interval", "0.2", "--ws-ping-timeout", "5")
    with RawWebSocket(process.address) as client:
        for _ in range(3):
            ping = client.read()
            assert ping.opcode == PING
            client.send(PONG, ping.payload)
        assert client.say("still here") == "still here"
        assert client.close().code == 1000
    stop(process)


def test_client_that_does_not_answer_a_close_is_left(start: Start) -> None:
    process = start("--ws-close-timeout", "0.2")
    with RawWebSocket(process.address, "/goodbye") as client:
        began_at = time.monotonic()
        frame = client.read()
        assert (frame.code, frame.reason) == (4000, "enough")
        assert client.is_closed()
        assert time.monotonic() - began_at < PATIENCE_S / 2
        process.wait_for("goodbye websocket.disconnect")
    stop(process)


def test_websocket_that_is_too_old_is_closed(start: Start) -> None:
    process = start("--ws-max-lifetime", "0.3")
    with RawWebSocket(process.address) as client:
        assert client.say("young") == "young"
        assert client.read().code == 1001
        client.socket.sendall(encode_close(1001))
        assert client.is_closed()
        process.wait_for("left with 1001")
    stop(process)


# ---- the handshake


def test_handshakes_count_for_the_limit_of_concurrency(start: Start) -> None:
    process = start("--limit-concurrency", "3")
    address = process.address
    with (
        socket.create_connection(address, PATIENCE_S) as first,
        socket.create_connection(address, PATIENCE_S) as second,
    ):
        for client in (first, second):
            client.sendall(handshake("/pending"))
        process.wait_for("app: pending", 2)
        with RawWebSocket(address) as third:
            assert third.status == 101
            with RawWebSocket(address) as fourth:
                assert fourth.status == 503
            assert third.close().code == 1000
        assert b"http free" in ask(process, "/free")
    stop(process)


def test_application_that_does_not_answer_a_handshake_is_503(start: Start) -> None:
    process = start("--ws-handshake-timeout", "0.2")
    with RawWebSocket(process.address, "/never") as client:
        assert client.status == 503
        process.wait_for("never websocket.disconnect")
    stop(process)


def test_without_websockets_the_upgrade_is_ignored(start: Start) -> None:
    process = start("--ws", "none")
    with RawWebSocket(process.address) as client:
        assert client.status == 200
        assert client.read_body() == b"http websocket"
        # It was an ordinary request, and the connection is an ordinary one.
        client.socket.sendall(GET % b"/echo")
        client.read_answer()
        assert client.read_body() == b"http "
    stop(process)
