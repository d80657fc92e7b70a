"""Spread connections over workers that accept from one socket.

The kernel wakes all of them for a new connection, and who is first takes it: on an idle machine that is mostly the same
few. For short connections that does not matter, for WebSockets and kept-alive ones it lasts. So each worker notes in a
table how many it has (``core.load_table``), and one that has clearly more than another looks away for a moment. If
nobody took what it left, because the others are busy, it does not look away again for a while: no connection waits
long.

How a worker looks away depends on the loop. uvloop accepts by itself, as long as it has a server: the server is closed
and opened anew. asyncio's own loop accepts many at once in tasks, of which a close would lose some: there accepting is
done here, one connection at a time, which costs less, too.
"""

from __future__ import annotations

import abc
import asyncio
import errno
import logging
import select
import socket
from typing import Any, cast

from addax.asgi.state import ServerState
from addax.core.load_table import LoadTable
from addax.server.accepting import MakeProtocol, open_server

logger = logging.getLogger("addax.error")

#: How many connections more than the least busy worker's are no reason to look away: this many, and this share of them.
SLACK_COUNT = 2
_SLACK_SHARE = 0.125
#: How long a worker looks away, in seconds: long enough for another one to be woken and to accept.
PAUSE_S = 0.004
#: How long it accepts whatever comes after that was in vain, in seconds; twice as long each time, up to the longest.
_IN_VAIN_S, _IN_VAIN_MAX_S = 0.02, 0.1
#: No descriptor or no memory is left: how long to leave connections in the queue, in seconds (as asyncio does).
_RETRY_S = 1.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Balance:
    """One worker's part in the spreading.

    Args:
        table: of all workers.
        number: of this one.
        state: knows its connections.
    """

    def __init__(self, table: LoadTable, number: int, state: ServerState) -> None:
        self._table = table
        self._number = number
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._doors: list[Door] = []
        self._is_paused = False
        self._is_closed = False
        self._in_vain_s = 0.0
        self._steady_until = 0.0

    async def open_server(
        self, make_protocol: MakeProtocol, sock: socket.socket, backlog: int
    ) -> asyncio.AbstractServer:
        """Accept connections on a socket that other workers accept from, too."""
        kind: type[Door] = SelectorDoor if isinstance(self._loop, asyncio.SelectorEventLoop) else ServerDoor
        door = kind(self, make_protocol, sock, backlog)
        await door.open()
        self._doors.append(door)
        self.note()
        # It has the methods that are called of a server here, and no others.
        return cast("asyncio.AbstractServer", door)

    def accepted(self) -> None:
        """A connection was taken; it is not among the worker's yet."""
        count = len(self._state.connections) + 1
        self._table.note(self._number, count)
        if self._is_paused or self._loop.time() < self._steady_until:
            return
        others = self._table.others(self._number)
        if others and count > min(others) * (1 + _SLACK_SHARE) + SLACK_COUNT:
            self._is_paused = True
            # Not from inside of what is accepting.
            self._loop.call_soon(self._pause, sum(others))

    def _pause(self, total_of_others: int) -> None:
        if not self._is_closed:
            for door in self._doors:
                door.pause()
            self._loop.call_later(PAUSE_S, self._resume, total_of_others)

    def _resume(self, total_before: int) -> None:
        self._is_paused = False
        if self._is_closed:
            return
        is_in_vain = sum(self._table.others(self._number)) == total_before and any(
            door.has_waiting() for door in self._doors
        )
        if is_in_vain:
            self._in_vain_s = min(_IN_VAIN_MAX_S, 2 * self._in_vain_s or _IN_VAIN_S)
            self._steady_until = self._loop.time() + self._in_vain_s
        else:
            self._in_vain_s = 0.0
        for door in self._doors:
            door.resume()

    def note(self) -> None:
        """The worker has fewer connections than before, perhaps."""
        if not self._is_closed:
            self._table.note(self._number, len(self._state.connections))

    def closed(self) -> None:
        """Nothing more is accepted here."""
        self._is_closed = True


class Door(abc.ABC):
    """Lets connections of one socket in.

    Args:
        balance: is told of each.
        make_protocol: of a connection.
        sock: listens.
        backlog: as of ``listen(2)``.
    """

    def __init__(self, balance: Balance, make_protocol: MakeProtocol, sock: socket.socket, backlog: int) -> None:
        self._balance = balance
        self._make_protocol = make_protocol
        self._sock = sock
        self._backlog = backlog
        self._loop = asyncio.get_running_loop()
        self._is_closed = False

    @abc.abstractmethod
    async def open(self) -> None:
        """Begin."""

    @abc.abstractmethod
    def pause(self) -> None:
        """Leave connections in the queue."""

    @abc.abstractmethod
    def resume(self) -> None:
        """Go on after a pause."""

    def has_waiting(self) -> bool:
        """Whether a connection is in the queue."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """End; twice is harmless."""
        if not self._is_closed:
            self._is_closed = True
            self._balance.closed()
            self.pause()

    def is_serving(self) -> bool:
        """Whether it was not closed."""
        return not self._is_closed

    async def wait_closed(self) -> None:
        """Nothing is left to wait for: connections belong to the worker."""

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What it accepts from."""
        return () if self._is_closed else (self._sock,)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        return self._loop

    def _accepted(self) -> asyncio.Protocol:
        self._balance.accepted()
        return self._make_protocol()


class ServerDoor(Door):
    """By means of the loop's own server, which is closed for a pause."""

    _server: asyncio.AbstractServer | None = None
    _opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See ``Door``."""
        # A copy: the loop closes what its server has.
        server = await open_server(self._accepted, self._sock.dup(), self._backlog)
        self._opening = None
        if self._is_closed:
            server.close()
        else:
            self._server = server

    def pause(self) -> None:
        """See ``Door``."""
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        if self._server is not None:
            self._server.close()
            self._server = None

    def resume(self) -> None:
        """See ``Door``."""
        if self._server is None and self._opening is None:
            self._opening = self._loop.create_task(self.open(), name="addax accept")


class SelectorDoor(Door):
    """Accepts here, one connection for each time the loop finds the socket ready."""

    def __init__(self, balance: Balance, make_protocol: MakeProtocol, sock: socket.socket, backlog: int) -> None:
        super().__init__(balance, make_protocol, sock, backlog)
        self._attaching: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """See ``Door``."""
        self._sock.setblocking(False)
        self._sock.listen(self._backlog)
        self.resume()

    def pause(self) -> None:
        """See ``Door``."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())

    def resume(self) -> None:
        """See ``Door``."""
        if not self._is_closed:
            self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            logger.error("Cannot accept connections: %s. Trying again in %g s.", error.strerror, _RETRY_S)
            self.pause()
            self._loop.call_later(_RETRY_S, self.resume)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._accepted, connection))
        self._attaching.add(task)
        task.add_done_callback(self._attached)

    def _attached(self, task: asyncio.Task[Any]) -> None:
        self._attaching.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # A client that has gone in the same moment.
            logger.debug("A connection ended before it began: %r", task.exception())
