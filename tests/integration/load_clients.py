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
import ssl
import time
import weakref
from collections.abc import Callable
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
        tls: how to speak TLS; None: not at all.
    """

    kind = ""

    def __init__(
        self,
        address: tuple[str, int],
        tally: Tally,
        dice: random.Random,
        pause_max_s: float,
        timeout_s: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        self.tls = tls
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

    def url(self, target: str) -> str:
        """Where a request goes."""
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://{self.address[0]}:{self.address[1]}{target}"

    @abc.abstractmethod
    async def exchange(self, attempt: Attempt) -> Answer:
        """Send it and return its answer; note in ``attempt`` how far it has come."""

    async def drop(self) -> None:
        """Begin anew after a failure."""

    async def close(self) -> None:
        """Close what is open."""
        await self.drop()


class _Wire:
    """A socket that connects, sends and receives.

    Args:
        address: host and port of the server.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._sock = socket.socket()
        self._sock.setblocking(False)

    async def connect(self) -> None:
        """The first call, once."""
        await self._loop.sock_connect(self._sock, self._address)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def local_port(self) -> int:
        """This end's."""
        return int(self._sock.getsockname()[1])

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self._loop.sock_sendall(self._sock, data)

    async def receive(self) -> bytes:
        """Some bytes; none at the end."""
        return await self._loop.sock_recv(self._sock, 65536)

    def close(self) -> None:
        """Close at once."""
        self._sock.close()


class _TlsWire(_Wire):
    """The same within TLS, without asyncio's own layer, which keeps quiet about an end without close_notify."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        super().__init__(address)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=address[0])

    async def connect(self) -> None:
        """See ``_Wire``."""
        await super().connect()
        await self._until(self._tls.do_handshake)
        await self._flush()

    async def send(self, data: bytes) -> None:
        """See ``_Wire``."""
        self._tls.write(data)
        await self._flush()

    async def receive(self) -> bytes:
        """See ``_Wire``."""
        data: bytes = await self._until(lambda: self._tls.read(65536))
        return data

    async def _until(self, call: Callable[[], Any]) -> Any:
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await super().receive()
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await super().send(self._outgoing.read())


class RawClient(Client):
    """Bytes on a socket, on one connection as long as the server keeps it."""

    kind = "raw keep-alive"
    _persistence = b"keep-alive"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._wire: _Wire | None = None
        self._connection: Connection | None = None

    async def exchange(self, attempt: Attempt) -> Answer:
        """See ``Client``."""
        wire, connection = await self._connect()
        attempt.use(connection)
        await self._send(wire, attempt.request)
        data = b""
        while not _is_whole(data):
            received = await wire.receive()
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

    async def _connect(self) -> tuple[_Wire, Connection]:
        if self._wire is None or self._connection is None:
            connection = Connection(time.monotonic())
            wire = _Wire(self.address) if self.tls is None else _TlsWire(self.address, self.tls)
            try:
                await wire.connect()
                connection.local_port = wire.local_port
            except BaseException:
                wire.close()
                raise
            self._wire, self._connection = wire, connection
        return self._wire, self._connection

    async def _send(self, wire: _Wire, request: Request) -> None:
        head = f"{request.method} {request.target} HTTP/1.1\r\nHost: test\r\n".encode()
        if request.body:
            head += b"Content-Length: %d\r\n" % len(request.body)
        whole = head + b"Connection: %b\r\n\r\n" % self._persistence + request.body
        if request.body and self.dice.randrange(2):
            # In two parts: a server that ends in between has to wait for the other one.
            place = self.dice.randrange(1, len(whole))
            await wire.send(whole[:place])
            await asyncio.sleep(_PART_PAUSE_S)
            whole = whole[place:]
        await wire.send(whole)

    async def drop(self) -> None:
        """See ``Client``."""
        if self._wire is not None:
            self._wire.close()
        self._wire = self._connection = None


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
        url = self.url(request.target)
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
            connector = _Connector(limit=0, keepalive_timeout=0.5, ssl=True if self.tls is None else self.tls)
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
        self._client = httpx.AsyncClient(limits=limits, timeout=None, trust_env=False, verify=self.tls or False)
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

        url = self.url(request.target)
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


def _make_blocking(
    address: tuple[str, int], timeout_s: float, tls: ssl.SSLContext | None
) -> http.client.HTTPConnection:
    if tls is None:
        return http.client.HTTPConnection(*address, timeout=timeout_s)
    return http.client.HTTPSConnection(*address, timeout=timeout_s, context=tls)


class ThreadClient(Client):
    """The standard library's blocking client, in a thread."""

    kind = "http.client"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._client = _make_blocking(self.address, self.timeout_s, self.tls)
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
