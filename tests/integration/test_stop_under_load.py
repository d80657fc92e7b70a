"""A server that is stopped while many clients use it answers every request that it has accepted.

What becomes of a request, as its client sees it:

========== ============================================================================================================
answered   the whole response came, and it is the answer to this request
broken     a part of a response came, or another's
lost       the connection ended without a byte of an answer
crossed    the same, after the client had not used the connection for ``REST_S``: the server may close an idle
           connection, and RFC 9112 §9.3.1 lets the client send the request again
unaccepted a new connection, made after the stop was asked for, was refused or reset: it was in the kernel's queue when
           the server stopped listening
========== ============================================================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import signal
import socket
from collections import Counter
from pathlib import Path

import pytest
from harness import PATIENCE_S, Process

from addax import testing

pytestmark = pytest.mark.network

#: Kept-alive connections, connections for one request each, and clients that rest between requests.
BUSY_COUNT, SINGLE_COUNT, RESTING_COUNT = 30, 12, 12
#: How many requests are answered before the stop is asked for.
BEFORE_STOP_COUNT = 600
#: A little less than the server keeps an idle connection when it stops.
REST_S = 0.8

APP = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    _, kind, number = scope["path"].split("/")
    if kind == "slow":
        await asyncio.sleep(int(number) % 7 * 0.05)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if kind == "stream":
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"part ", "more_body": True})
            await asyncio.sleep(0.02)
    await send({"type": "http.response.body", "body": number.encode() + body})
"""


class Refused(Exception):
    """No connection could be made, or it ended before it was of use."""


class Load:
    """All clients of one server, and what became of their requests."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.outcomes: Counter[str] = Counter()
        self.is_stopping = False
        self.has_warmed_up = asyncio.Event()
        self.dice = random.Random(20)
        self._number = 0

    def count(self, outcome: str) -> None:
        self.outcomes[outcome] += 1
        if self.outcomes["answered"] == BEFORE_STOP_COUNT:
            self.has_warmed_up.set()

    def next_request(self, persistence: bytes) -> tuple[list[bytes], bytes]:
        """The pieces of a request, between which its client waits a little, and the body of its answer."""
        self._number += 1
        number = b"%d" % self._number
        kind = self.dice.choice([b"fast", b"fast", b"slow", b"stream"])
        head = b"/%b/%b HTTP/1.1\r\nHost: test\r\nConnection: %b\r\n" % (kind, number, persistence)
        answer = b"part part part " + number if kind == b"stream" else number
        if self.dice.randrange(4) == 0:
            whole = b"POST " + head + b"Content-Length: 6\r\n\r\nupload"
            place = self.dice.randrange(1, len(whole))
            return [whole[:place], whole[place:]], answer + b"upload"
        return [b"GET " + head + b"\r\n"], answer

    async def use_connections(self, rest_s: float, is_single: bool) -> None:
        """Be a client until the server cannot be reached any more."""
        with contextlib.suppress(Refused):
            while True:
                await Client(self, rest_s, is_single).use()


class Client:
    """One connection.

    Args:
        load: counts.
        rest_s: longest pause between two requests, in seconds.
        is_single: whether it is for one request only.
    """

    def __init__(self, load: Load, rest_s: float, is_single: bool) -> None:
        self._load = load
        self._rest_s = rest_s
        self._is_single = is_single
        self._loop = asyncio.get_running_loop()
        #: When the last answer was complete.
        self._used_at: float | None = None

    async def use(self) -> None:
        """Send requests until the server or the client has enough.

        Raises:
            Refused: no connection can be made.
        """
        was_stopping = self._load.is_stopping
        with socket.socket() as sock:
            sock.setblocking(False)
            try:
                await self._loop.sock_connect(sock, self._load.address)
            except OSError:
                raise Refused from None
            while await self._exchange(sock, was_stopping):
                self._used_at = self._loop.time()
                await asyncio.sleep(self._load.dice.random() * self._rest_s)

    async def _exchange(self, sock: socket.socket, was_stopping: bool) -> bool:
        """One request; whether the connection may be used again."""
        pieces, expected = self._load.next_request(b"close" if self._is_single else b"keep-alive")
        data = b""
        sent_at = self._loop.time()
        try:
            for piece in pieces:
                if piece is not pieces[0]:
                    await asyncio.sleep(0.01)
                await self._loop.sock_sendall(sock, piece)
            while not is_whole(data):
                received = await self._loop.sock_recv(sock, 65536)
                if not received:
                    break
                data += received
        except ConnectionError:
            pass
        if not data:
            self._count_silence(sent_at, was_stopping)
            return False
        (response,) = testing.parse_responses(data) if is_whole(data) else (None,)
        is_right = response is not None and response.is_complete and response.body == expected
        self._load.count("answered" if is_right else "broken")
        return is_right and response is not None and not response.is_last

    def _count_silence(self, sent_at: float, was_stopping: bool) -> None:
        if self._used_at is None:
            self._load.count("unaccepted" if was_stopping else "lost")
        else:
            self._load.count("crossed" if sent_at - self._used_at > REST_S else "lost")


def is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    length = re.search(rb"content-length: (\d+)", head)
    return len(body) == int(length[1]) if length else body.endswith(b"0\r\n\r\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_stop_under_load_answers_what_was_accepted(folder: Path, loop: str) -> None:
    process = Process(folder, "--port", "0", "--loop", loop, "--no-access-log")
    try:
        outcomes = asyncio.run(asyncio.wait_for(stop_under_load(process), PATIENCE_S))
        # SIGTERM ends the process in the end, which a shell reports as 143.
        assert process.wait() == -signal.SIGTERM
        messages = process.messages()
    finally:
        process.close()
    print(dict(outcomes))
    assert outcomes["answered"] > BEFORE_STOP_COUNT
    assert (outcomes["broken"], outcomes["lost"]) == (0, 0)
    assert messages[-1].startswith("Finished server process [")
    assert not any("Cancel" in line or "Break off" in line or "Error" in line for line in messages)


async def stop_under_load(process: Process) -> Counter[str]:
    load = Load(process.address)
    clients = [
        *[load.use_connections(0.0, is_single=False) for _ in range(BUSY_COUNT)],
        *[load.use_connections(0.0, is_single=True) for _ in range(SINGLE_COUNT)],
        *[load.use_connections(0.3, is_single=False) for _ in range(RESTING_COUNT)],
    ]
    running = asyncio.gather(*clients)
    await load.has_warmed_up.wait()
    load.is_stopping = True
    process.send_signal(signal.SIGTERM)
    await running
    return load.outcomes
