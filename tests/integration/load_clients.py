"""Clients that send numbered requests, one after the other, and judge each answer; ``load_generator`` runs many.

What counts as a failure stands in ``load_tally``.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import contextvars
import http.client
import random
import re
import socket
import time
import weakref
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
from load_tally import EXCERPT_BYTES, Attempt, Connection, Request, Tally, WrongAnswer, make_request

from addax import testing

#: The answer to a request is whole when these have come.
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_PID = re.compile(rb"\r\nx-pid: *(\d+)\r\n", re.IGNORECASE)
#: Between two parts of a request, in seconds.
_PART_PAUSE_S = 0.005


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


class Client(abc.ABC):
    """One client with one connection, or a share in a pool of them.

    Args:
        address: host and port of the server.
        tally: of all clients.
        dice: what is asked, and how soon after the last answer.
        pause_max_s: between an answer and the next request, in seconds.
        timeout_s: for a request.
    """

    kind = ""

    def __init__(
        self, address: tuple[str, int], tally: Tally, dice: random.Random, pause_max_s: float, timeout_s: float
    ) -> None:
        self.address = address
        self.dice = dice
        self.timeout_s = timeout_s
        self._tally = tally
        self._pause_max_s = pause_max_s

    async def run(self) -> None:
        """Send requests until it is enough."""
        try:
            while not self._tally.is_over:
                self._tally.begun_count += 1
                attempt = Attempt(self.kind, make_request(self.dice, self._tally.begun_count), time.monotonic())
                if await self._try(attempt) == "unaccepted":
                    break
                await asyncio.sleep(self.dice.random() * self._pause_max_s)
        finally:
            await self.close()

    async def _try(self, attempt: Attempt) -> str:
        try:
            answer = await asyncio.wait_for(self.exchange(attempt), self.timeout_s)
            if answer.status != 200:
                raise WrongAnswer("status", f"status {answer.status}: {answer.body[:EXCERPT_BYTES]!r}")
            if answer.body != attempt.request.answer:
                got, due = answer.body[:EXCERPT_BYTES], attempt.request.answer[:EXCERPT_BYTES]
                raise WrongAnswer("crossed", f"{len(answer.body)} bytes {got!r} instead of {due!r}")
        except Exception as error:
            outcome = self._tally.failed(attempt, error)
            await self.drop()
            return outcome
        assert attempt.connection is not None
        self._tally.answered(attempt)
        attempt.connection.used_at = time.monotonic()
        return "answered"

    @abc.abstractmethod
    async def exchange(self, attempt: Attempt) -> Answer:
        """Send it and return its answer; note in ``attempt`` how far it has come."""

    async def drop(self) -> None:
        """Begin anew after a failure."""

    async def close(self) -> None:
        """Close what is open."""
        await self.drop()


class RawClient(Client):
    """Bytes on a socket, on one connection as long as the server keeps it."""

    kind = "raw keep-alive"
    _persistence = b"keep-alive"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._sock: socket.socket | None = None
        self._connection: Connection | None = None

    async def exchange(self, attempt: Attempt) -> Answer:
        """See ``Client``."""
        loop = asyncio.get_running_loop()
        sock, connection = await self._connect()
        attempt.use(connection)
        await self._send(sock, attempt.request)
        data = b""
        while not _is_whole(data):
            received = await loop.sock_recv(sock, 65536)
            if not received:
                raise ConnectionResetError(f"the server has closed after {data[-EXCERPT_BYTES:]!r}")
            data += received
            attempt.received_bytes = len(data)
            pid = _PID.search(data)
            attempt.take_pid(pid and pid[1])
        responses = testing.parse_responses(data)
        if len(responses) > 1:
            raise WrongAnswer("crossed", f"{len(responses)} answers: {data[:EXCERPT_BYTES]!r}")
        if responses[0].is_last or self._persistence == b"close":
            await self.drop()
        return Answer(responses[0].status, responses[0].body)

    async def _connect(self) -> tuple[socket.socket, Connection]:
        if self._sock is None or self._connection is None:
            connection = Connection(time.monotonic())
            sock = socket.socket()
            sock.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(sock, self.address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.local_port = sock.getsockname()[1]
            except BaseException:
                sock.close()
                raise
            self._sock, self._connection = sock, connection
        return self._sock, self._connection

    async def _send(self, sock: socket.socket, request: Request) -> None:
        loop = asyncio.get_running_loop()
        head = f"{request.method} {request.target} HTTP/1.1\r\nHost: test\r\n".encode()
        if request.body:
            head += b"Content-Length: %d\r\n" % len(request.body)
        whole = head + b"Connection: %b\r\n\r\n" % self._persistence + request.body
        if request.body and self.dice.randrange(2):
            # In two parts: a server that ends in between has to wait for the other one.
            place = self.dice.randrange(1, len(whole))
            await loop.sock_sendall(sock, whole[:place])
            await asyncio.sleep(_PART_PAUSE_S)
            whole = whole[place:]
        await loop.sock_sendall(sock, whole)

    async def drop(self) -> None:
        """See ``Client``."""
        if self._sock is not None:
            self._sock.close()
        self._sock = self._connection = None


class RawSingleClient(RawClient):
    """Bytes on a socket, with a new connection for each request."""

    kind = "raw single"
    _persistence = b"close"


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    length = _LENGTH.search(head)
    return len(body) >= int(length[1]) if length else _LAST_CHUNK in b"\r\n" + body


#: The request that an aiohttp connector is asked for a connection by.
_attempt: contextvars.ContextVar[Attempt] = contextvars.ContextVar("attempt")


class _Connector(aiohttp.TCPConnector):
    """Notes which connection carries which request."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._known: weakref.WeakKeyDictionary[asyncio.BaseTransport, Connection] = weakref.WeakKeyDictionary()

    async def connect(self, *args: Any, **options: Any) -> Any:
        began_at = time.monotonic()
        attempt = _attempt.get()
        if attempt.connection is not None:
            raise RuntimeError("aiohttp sends a request again, which was switched off")
        connection = await super().connect(*args, **options)
        transport = connection.transport
        assert transport is not None
        if transport not in self._known:
            self._known[transport] = Connection(began_at, transport.get_extra_info("sockname")[1])
        attempt.use(self._known[transport])
        return connection


class AiohttpClient(Client):
    """aiohttp; all of these of one loop have one session with one pool of connections."""

    kind = "aiohttp"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        #: Shared by ``make_clients``; whoever ends last closes it.
        self.sessions: list[aiohttp.ClientSession] = []
        self.users: set[AiohttpClient] = {self}

    async def exchange(self, attempt: Attempt) -> Answer:
        """See ``Client``."""
        _attempt.set(attempt)
        request = attempt.request
        url = f"http://{self.address[0]}:{self.address[1]}{request.target}"
        async with self._session().request(request.method, url, data=request.body or None) as response:
            attempt.received_bytes = 1
            attempt.take_pid(response.headers.get("x-pid"))
            body = b""
            async for piece in response.content.iter_any():
                body += piece
                attempt.received_bytes += len(piece)
            return Answer(response.status, body)

    def _session(self) -> aiohttp.ClientSession:
        if not self.sessions:
            # A connection that is idle for longer than this is not used again: the server may be about to close it.
            connector = _Connector(limit=0, keepalive_timeout=0.5)
            session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
            # By default a GET on a kept connection that ends is sent a second time, and nobody would hear of it.
            session._retry_connection = False
            self.sessions.append(session)
        return self.sessions[0]

    async def close(self) -> None:
        """See ``Client``."""
        self.users.discard(self)
        if not self.users:
            for session in self.sessions:
                await session.close()


class HttpxClient(Client):
    """httpx, which never sends a request again."""

    kind = "httpx"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        limits = httpx.Limits(max_connections=1, keepalive_expiry=0.5)
        self._client = httpx.AsyncClient(limits=limits, timeout=None, trust_env=False, verify=False)
        self._connection: Connection | None = None

    async def exchange(self, attempt: Attempt) -> Answer:
        """See ``Client``."""
        request = attempt.request

        async def trace(event: str, info: dict[str, Any]) -> None:
            if event == "connection.connect_tcp.complete":
                port = info["return_value"].get_extra_info("client_addr")[1]
                self._connection = Connection(attempt.began_at, port)
            elif event.endswith("send_request_headers.started") and self._connection is not None:
                attempt.use(self._connection)

        url = f"http://{self.address[0]}:{self.address[1]}{request.target}"
        extensions = {"trace": trace}
        content = request.body or None
        async with self._client.stream(request.method, url, content=content, extensions=extensions) as response:
            attempt.received_bytes = 1
            attempt.take_pid(response.headers.get("x-pid"))
            body = b""
            async for piece in response.aiter_raw():
                body += piece
                attempt.received_bytes += len(piece)
            return Answer(response.status_code, body)

    async def close(self) -> None:
        """See ``Client``."""
        await self._client.aclose()


class ThreadClient(Client):
    """The standard library's blocking client, in a thread."""

    kind = "http.client"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._client = http.client.HTTPConnection(*self.address, timeout=self.timeout_s)
        self._connection: Connection | None = None

    async def exchange(self, attempt: Attempt) -> Answer:
        """See ``Client``."""
        return await asyncio.to_thread(self._exchange, attempt)

    def _exchange(self, attempt: Attempt) -> Answer:
        if self._client.sock is None:
            connection = Connection(time.monotonic())
            self._client.connect()
            connection.local_port = _local_port(self._client.sock)
            self._connection = connection
        assert self._connection is not None
        attempt.use(self._connection)
        self._client.request(attempt.request.method, attempt.request.target, body=attempt.request.body or None)
        response = self._client.getresponse()
        attempt.received_bytes = 1
        attempt.take_pid(response.headers.get("x-pid"))
        try:
            body = response.read()
        except http.client.IncompleteRead as error:
            attempt.received_bytes += len(error.partial)
            raise
        attempt.received_bytes += len(body)
        return Answer(response.status, body)

    async def drop(self) -> None:
        """See ``Client``."""
        # Closing does not wait.
        self._client.close()


def _local_port(sock: socket.socket | None) -> int:
    return 0 if sock is None else int(sock.getsockname()[1])


KINDS: dict[str, type[Client]] = {
    client.kind: client for client in (RawClient, RawSingleClient, AiohttpClient, HttpxClient, ThreadClient)
}


def make_clients(counts: dict[str, int], *args: Any) -> list[Client]:
    """So many clients of each kind.

    Args:
        counts: by kind.
        args: for each ``Client``.
    """
    clients = [KINDS[kind](*args) for kind, count in counts.items() for _ in range(count)]
    pooled = [client for client in clients if isinstance(client, AiohttpClient)]
    for client in pooled:
        client.sessions, client.users = pooled[0].sessions, pooled[0].users
        client.users.add(client)
    return clients


async def run_all(clients: list[Client]) -> None:
    """Run them until the last one has enough."""
    tasks = [asyncio.ensure_future(client.run()) for client in clients]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
