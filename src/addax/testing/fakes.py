"""The two ends of a connection without a socket: ``FakeHost`` is the transport, ``FakeClient`` the peer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from addax.asgi.exchange import ExchangeLog
from addax.asgi.service import Service
from addax.asgi.state import ServerState
from addax.core.clock import NEVER
from addax.core.registry import PARSERS, WEBSOCKETS, resolve
from addax.core.settings import Http1Settings, WebSocketSettings
from addax.core.types import ASGIApp
from addax.core.wire import Connection, Host, Peer
from addax.http1.connection import Http1Connection
from addax.http1.encode import DefaultFields
from addax.testing.responses import Response, parse_responses
from addax.testing.settling import settle

if TYPE_CHECKING:
    from addax.asgi.proxy_headers import ProxyRules

#: The two ends of a ``FakeClient``'s connection, unless another is given.
PEER = Peer(client=("127.0.0.1", 50000), server=("127.0.0.1", 8000), scheme="http")


class FakeHost(Host):
    """Takes down what a connection does with its transport.

    Args:
        sends_files: whether ``send_file`` works. The file's bytes are then part of ``written``; the call returns a turn
            of the loop later, or when the client takes bytes again.
        write_buffer_bytes: what may wait for a client that takes nothing (``is_client_taking`` False) before
            ``write_paused`` is called.

    Attributes:
        written: every byte that was sent, or waits to be.
        ending: how the connection ended it: ``"close"``, ``"linger"``, ``"abort"``; None while it is open.
        is_reading: False between ``pause_reading`` and ``resume_reading``.
        deadline: as last set, seconds on ``core.clock.now``; None if there is none.
        sent_files: offset and count of each ``send_file``.
        discarded_count: pieces of data that came after the end and were thrown away.
        faults: breaches of the contract, as text; ``FakeClient.responses`` raises if there are any.
    """

    def __init__(self, *, sends_files: bool = False, write_buffer_bytes: int = 65536) -> None:
        super().__init__()
        self.write = self._take_down
        self.sends_files = sends_files
        self.write_buffer_bytes = write_buffer_bytes
        self.connection: Connection | None = None
        self.peer = PEER
        self.written = bytearray()
        self.write_count = 0
        self.discarded_count = 0
        self.sent_files: list[tuple[int, int]] = []
        self.ending: str | None = None
        self.is_lost = False
        self.is_reading = True
        self.is_client_taking = True
        self.unsent_bytes = 0
        self.deadline: float | None = None
        self.faults: list[str] = []
        self.on_event: Callable[[], None] = lambda: None
        self.on_resume: Callable[[], None] = lambda: None
        self._is_sending_file = False
        self._file_waiter: asyncio.Future[None] | None = None
        self._is_write_paused = False

    def attach(self, connection: Connection, peer: Peer = PEER) -> None:
        """Make the connection live on this host."""
        self.connection = connection
        self.peer = peer
        connection.connected(self, peer)

    # -- what a connection calls

    def _take_down(self, data: bytes) -> None:
        if self._is_sending_file:
            self.faults.append(f"write({data[:40]!r}) while a file is being sent")
        if self.ending is not None:
            return
        self._take(bytes(data))

    async def send_file(self, file: BinaryIO, offset: int, count: int) -> bool:
        """Take a file's bytes down, if this host sends files."""
        if not self.sends_files:
            return False
        self.sent_files.append((offset, count))
        self._is_sending_file = True
        try:
            await asyncio.sleep(0)
            if not self.is_client_taking:
                self._file_waiter = asyncio.get_running_loop().create_future()
                await self._file_waiter
            if self.is_lost or self.ending is not None:
                raise ConnectionResetError("the connection was lost")
            file.seek(offset)
            self._take(file.read(count))
        finally:
            self._is_sending_file = False
        return True

    def write_buffer_size(self) -> int:
        """What the client has not taken yet."""
        return self.unsent_bytes

    def close(self) -> None:
        """Note it; ``lost`` follows when the client has taken everything."""
        self._end("close")
        if self.unsent_bytes == 0:
            self._lose_soon()

    def linger(self) -> None:
        """Note it; ``lost`` follows when the client closes its side."""
        self._end("linger")

    def abort(self) -> None:
        """Note it; ``lost`` follows."""
        self.ending = "abort"
        self.deadline = None
        self._lose_soon()
        self.on_event()

    def discarded(self) -> None:
        """Bytes came after the end: counted."""
        self.discarded_count += 1

    def pause_reading(self) -> None:
        """Note it."""
        self.is_reading = False

    def resume_reading(self) -> None:
        """Note it; what came meanwhile is delivered in the next turn of the loop."""
        if not self.is_reading:
            self.is_reading = True
            asyncio.get_running_loop().call_soon(self.on_resume)

    def set_deadline(self, when: float) -> None:
        """Note it. Nothing happens by itself: see ``FakeClient.reach_deadline``."""
        if self.ending is None:
            self.deadline = None if when == NEVER else when

    def replace(self, connection: Connection, leftover: bytes, peer: Peer | None = None) -> None:
        """Hand over to another connection."""
        self.attach(connection, self.peer if peer is None else peer)
        if leftover:
            connection.receive_data(leftover)

    # -- what a test calls

    def take(self) -> None:
        """The client takes all that waited, and goes on taking."""
        self.is_client_taking = True
        self.unsent_bytes = 0
        self._wake_file()
        if self.ending == "close":
            self._lose_soon()
        elif self._is_write_paused and self.connection is not None:
            self._is_write_paused = False
            self.connection.write_resumed()

    def lose(self, error: Exception | None = None) -> None:
        """The transport is gone: by ``close`` or ``abort``, or because the peer cut it."""
        if not self.is_lost and self.connection is not None:
            self.is_lost = True
            self._wake_file()
            self.connection.lost(error)
            self.on_event()

    # -- inside

    def _take(self, data: bytes) -> None:
        self.written += data
        self.write_count += 1
        if not self.is_client_taking:
            self.unsent_bytes += len(data)
            if self.unsent_bytes > self.write_buffer_bytes and not self._is_write_paused:
                self._is_write_paused = True
                assert self.connection is not None
                self.connection.write_paused()
        self.on_event()

    def _end(self, how: str) -> None:
        if self.ending is None:
            self.ending = how
            self.deadline = None
            self.on_event()

    def _wake_file(self) -> None:
        if self._file_waiter is not None and not self._file_waiter.done():
            self._file_waiter.set_result(None)

    def _lose_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self.lose)


def make_service(
    app: ASGIApp,
    *,
    parser: str = "auto",
    settings: Http1Settings | None = None,
    state: ServerState | None = None,
    lifespan_state: dict[str, Any] | None = None,
    access: ExchangeLog | None = None,
    proxy: ProxyRules | None = None,
    ws: str = "auto",
    websocket: WebSocketSettings | None = None,
) -> Service:
    """What serving an application needs, on the running loop.

    Args:
        app: ASGI 3 application.
        parser: as ``--http``: ``auto``, a name, or ``module:Class``.
        settings: bounds; the server's defaults if None.
        state: counters; new ones if None.
        lifespan_state: ``scope["state"]`` of every request.
        access: where requests are recorded.
        proxy: whose forwarded fields are believed; None: nobody's.
        ws: as ``--ws``: ``auto``, ``none``, a name, or ``module:Class``.
        websocket: bounds of WebSockets; the server's defaults if None.
    """
    _, parser_class = resolve("--http", parser, PARSERS)
    return Service(
        app,
        settings if settings is not None else Http1Settings(),
        asyncio.get_running_loop(),
        parser_class,
        state if state is not None else ServerState(),
        lifespan_state,
        access,
        proxy,
        None if ws == "none" else resolve("--ws", ws, WEBSOCKETS)[1],
        websocket,
    )


class FakeClient:
    """A client on a connection of its own, without a socket.

    Several clients of one service share its counters and limits, as connections of one worker do.

    Args:
        service: of ``make_service``.
        peer: the two ends as the application shall see them.
        sends_files: see ``FakeHost``.

    Attributes:
        host: the ``FakeHost``.
        connection: an ``Http1Connection``, or what it has handed the host over to.
        service: as given.
    """

    def __init__(self, service: Service, *, peer: Peer = PEER, sends_files: bool = False) -> None:
        self.service = service
        self.host = FakeHost(sends_files=sends_files, write_buffer_bytes=service.settings.write_buffer_bytes)
        first = Http1Connection(service, DefaultFields(service.settings))
        #: What the client has sent and the server did not want to read yet; None is the end.
        self.waiting: deque[bytes | None] = deque()
        self._happened = asyncio.Event()
        self.host.on_event = self._happened.set
        self.host.on_resume = self._deliver
        self.host.attach(first, peer)

    @property
    def connection(self) -> Connection:
        """What the server talks to this client with now."""
        assert self.host.connection is not None
        return self.host.connection

    async def send(self, data: bytes, step: int | None = None) -> None:
        """Send bytes, and let the server and the application do what they can.

        Bytes that come while the server does not read wait in ``waiting``; after it has closed they are dropped.

        Args:
            data: request bytes, also malformed ones.
            step: send in pieces of so many bytes and settle after each; None: all at once.
        """
        step = step or max(len(data), 1)
        for start in range(0, len(data), step):
            self.waiting.append(data[start : start + step])
            self._deliver()
            await settle()

    async def send_eof(self) -> None:
        """The client will send no more, but still reads (half-close)."""
        self.waiting.append(None)
        self._deliver()
        await settle()

    async def lose(self, error: Exception | None = None) -> None:
        """Cut the connection: the client is gone."""
        self.host.lose(error)
        await settle()

    async def reach_deadline(self) -> None:
        """Let the time come that the server asked for with ``set_deadline``.

        Raises:
            AssertionError: there is no deadline.
        """
        assert self.host.deadline is not None, "the server has set no deadline"
        self.host.deadline = None
        self.connection.deadline_reached()
        await settle()

    async def wait_for_responses(self, count: int, *methods: str) -> list[Response]:
        """Wait for complete responses; for applications that use timers or threads, which ``settle`` does not wait for.

        Args:
            count: how many, since the connection began.
            methods: as for ``responses``.

        Raises:
            AssertionError: the server has ended the connection before.
        """
        while True:
            responses = self.responses(*methods)
            complete = [response for response in responses if response.is_complete]
            if len(complete) >= count:
                return complete
            assert self.is_open, f"ended by {self.host.ending} after {len(complete)} complete responses"
            await self.wait_for_event()

    async def wait_for_event(self) -> None:
        """Wait until the server writes, ends the connection, or the connection is lost."""
        self._happened.clear()
        await self._happened.wait()

    async def close(self) -> None:
        """End the connection if it still is there, and settle."""
        await self.lose()

    def responses(self, *methods: str) -> list[Response]:
        """All responses so far; see ``parse_responses``.

        Args:
            methods: of the requests, if not all are GET or the like: ``client.responses("GET", "HEAD")``.

        Raises:
            MalformedResponse: the server sent something that is not exact HTTP/1.1.
            AssertionError: the server used the host in a way that is not allowed.
        """
        assert not self.host.faults, self.host.faults
        return parse_responses(bytes(self.host.written), methods, closed=self.host.ending is not None)

    @property
    def is_open(self) -> bool:
        """Whether the server wants to go on with the connection."""
        return self.host.ending is None and not self.host.is_lost

    def _deliver(self) -> None:
        while self.waiting and self.host.is_reading and not self.host.is_lost:
            data = self.waiting.popleft()
            if data is None:
                self._deliver_eof()
            elif self.host.ending is None:
                self.connection.receive_data(data)

    def _deliver_eof(self) -> None:
        if self.host.ending is not None:
            self.host.lose()
        elif not self.connection.receive_eof():
            self.host.close()
