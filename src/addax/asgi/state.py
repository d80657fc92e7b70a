"""What the connections of one worker share: counters that the server reads, and the notice that it is stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from addax.core.board import Board


class ShutdownNotice:
    """Tells an application that the server is stopping: ``scope["extensions"]["addax.shutdown"]``.

    A long stream can end by itself, before the server ends it. All streams of a worker share one notice.
    """

    def __init__(self) -> None:
        self._event: asyncio.Event = asyncio.Event()

    def set(self) -> None:
        """Called by the server, once, in the event loop's thread."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether the server is stopping."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Return as soon as the server is stopping."""
        await self._event.wait()


class WebSocketCounters:
    """What the WebSockets of one worker have done, since its start."""

    __slots__ = ("bytes_received", "bytes_sent", "closes", "messages_received", "messages_sent", "open", "total")

    def __init__(self) -> None:
        #: WebSockets that were accepted and are not gone.
        self.open: int = 0
        #: WebSockets that were accepted.
        self.total: int = 0
        #: Whole messages, not control frames.
        self.messages_received: int = 0
        self.messages_sent: int = 0
        #: As they were on the wire, frame heads and compression included.
        self.bytes_received: int = 0
        self.bytes_sent: int = 0
        #: How many ended with which close code: the peer's where it began, else ours; 1006 where nobody sent one.
        self.closes: dict[int, int] = {}


class ServerState:
    """Counters and sets of one worker. Embedders and ``--limit-*`` read them."""

    def __init__(self) -> None:
        #: Requests whose answer has ended, since the start; a WebSocket's handshake is one, and its messages are where
        #: ``--limit-max-requests-ws`` asks for it.
        self.total_requests: int = 0
        #: Requests in progress: the application was called and has not returned.
        self.active_requests: int = 0
        #: Live connections (``net.stream.Stream``).
        self.connections: set[Any] = set()
        #: Application tasks that did not end at once.
        self.tasks: set[asyncio.Task[Any]] = set()
        #: Field lines of every response, besides Date.
        self.default_headers: list[tuple[bytes, bytes]] = []
        self.shutdown: ShutdownNotice = ShutdownNotice()
        #: The server is about to stop and still accepts: no answer promises to keep its connection.
        self.is_leaving: bool = False
        self.websockets: WebSocketCounters = WebSocketCounters()
        #: Where the requests in progress are written down for a supervisor; None: nobody asks.
        self.board: Board | None = None
        #: Called when the last connection or the last request in progress has gone; set by a server that stops.
        self.on_quiet: Callable[[], None] | None = None
        #: When ``total_requests`` reaches this, ``on_limit`` is called, once (``--limit-max-requests``).
        self.requests_limit: int | None = None
        self.on_limit: Callable[[], None] | None = None

    def count_request(self) -> None:
        """One more request is over, or what counts as one."""
        self.total_requests += 1
        if self.requests_limit is not None and self.total_requests == self.requests_limit:
            self.limit_reached()

    def limit_reached(self) -> None:
        """As many responses as ``requests_limit`` have been written, or broken off."""
        if self.on_limit is not None:
            self.on_limit()

    def connection_lost(self, connection: Any) -> None:
        """A connection's transport has gone."""
        self.connections.discard(connection)
        if self.on_quiet is not None and not self.connections:
            self.on_quiet()
