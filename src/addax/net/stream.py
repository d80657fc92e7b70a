"""Joins a transport of the event loop with the connection that understands its bytes.

asyncio's Protocol on one side, Host on the other. The only owner of the transport: nobody else closes it.

Implements: RFC 9112 §9.6 (closing in two steps, so that the peer can read the last answer).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from addax.asgi.service import Service
from addax.core import clock
from addax.core.clock import NEVER
from addax.core.errors import LocalProtocolError
from addax.core.report import InProgress
from addax.core.wire import Connection, Host, Peer, write_nothing
from addax.http1.connection import Http1Connection
from addax.http1.encode import DefaultFields
from addax.net.timers import Wheel

_logger = logging.getLogger("addax.error")

#: After the last answer: how long the peer may be silent, and how long it may go on sending, in seconds.
LINGER_SILENCE_S = 2.0
LINGER_TOTAL_S = 10.0
#: The same for both when the worker stops.
LINGER_DRAIN_S = 0.5
#: What one call of ``sendfile`` is given.
SENDFILE_PIECE_BYTES = 262144

#: Addresses of this host that connections came in at, as the socket says them, and as ASGI does: one object for all of
#: their connections.
_servers: dict[tuple[Any, ...], tuple[str, int]] = {}
_SERVERS_MAX = 64
#: What IPv4 addresses begin with where they are written as IPv6 (RFC 4291 §2.5.5.2).
_MAPPED = "::ffff:"


class _Gone:
    """In the place of the connection of a transport that is gone; filled as far as that may still be asked."""

    def receive_data(self, data: bytes) -> None:
        """Nobody reads."""

    def in_progress(self) -> InProgress | None:
        """Nothing is."""
        return None


_GONE = cast("Connection", _Gone())


class Stream(Host):
    """One accepted connection. Fills ``asyncio.Protocol``, which is not a base because compiled classes have one base.

    Args:
        service: what to serve.
        defaults: field lines of every response.
        wheel: watches the deadline.
        first: what understands the first bytes; None: an ``Http1Connection``.
    """

    __slots__ = (
        "_connection",
        "_has_peer_ended",
        "_is_closing",
        "_is_reading_paused",
        "_linger_until",
        "_service",
        "_transport",
        "_wheel",
        "data_received",
        "deadline",
        "looked_at",
    )

    def __init__(
        self, service: Service, defaults: DefaultFields, wheel: Wheel, first: Connection | None = None
    ) -> None:
        # As ``Host`` begins, without the call: it costs a tenth of all that is done here.
        self.write = write_nothing
        self._service = service
        self._wheel = wheel
        self._connection: Connection = Http1Connection(service, defaults) if first is None else first
        self._transport: Any = None
        # As ``write``: what is called for every request is the other side's own method, not one of ours that calls it.
        self.data_received: Callable[[bytes], None] = self._connection.receive_data
        self._is_closing = False
        self._is_reading_paused = False
        self._has_peer_ended = False
        #: While lingering: until when at the most. What arrives is thrown away.
        self._linger_until = 0.0
        self.deadline = NEVER
        self.looked_at = NEVER

    # ---- asyncio.Protocol: what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first call, once."""
        self._transport = transport
        self._transport.set_write_buffer_limits(self._service.settings.write_buffer_bytes)
        self.write = self._transport.write
        self._service.state.connections.add(self)
        self._connection.connected(self, _peer(transport))

    def eof_received(self) -> bool:
        """The peer has closed its sending half."""
        self._has_peer_ended = True
        if self._is_closing:
            self._transport.close()
            return False
        return self._connection.receive_eof()

    def pause_writing(self) -> None:
        """Too much waits for the peer."""
        if not self._is_closing:
            self._connection.write_paused()

    def resume_writing(self) -> None:
        """The peer has taken enough."""
        if not self._is_closing:
            self._connection.write_resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        """The last call, once."""
        self._stop_writing()
        self._wheel.discard(self, self.looked_at)
        self.deadline = self.looked_at = NEVER
        connection, self._connection = self._connection, _GONE
        # The connection keeps its host, for an application that has not ended. If that kept it in turn, all that is
        # theirs would wait for the collector of cycles.
        self.data_received = _GONE.receive_data
        connection.lost(exc)
        self._service.state.connection_lost(self)

    # ---- Host: what the connection asks

    async def send_file(self, file: BinaryIO, offset: int, count: int) -> bool:
        """Send part of a file by ``sendfile(2)`` where the loop can."""
        begin, end = offset, offset + count
        while offset < end:
            piece = min(SENDFILE_PIECE_BYTES, end - offset)
            sending = self._service.loop.sendfile(self._transport, file, offset, piece, fallback=False)
            try:
                # While the kernel sends, nothing waits in the transport whose stalling could be seen; so each piece
                # has the time in which a client must take some of what waits for it.
                sent = await asyncio.wait_for(sending, self._service.settings.write_timeout_s)
            except (NotImplementedError, asyncio.SendfileNotAvailableError) as error:
                if offset > begin:
                    # asyncio says so of whatever the first try of a call fails with. For this file it has worked
                    # before, so it is the connection that has failed.
                    raise ConnectionResetError("the client has disconnected") from error
                return False
            except asyncio.TimeoutError:
                self.abort()
                return True
            except RuntimeError:
                # asyncio's word for a transport that is closing; the connection learns that by ``lost``.
                if not self._transport.is_closing():
                    raise
                return True
            if not sent:
                raise LocalProtocolError("the file became shorter while it was sent")
            offset += sent
        return True

    def write_buffer_size(self) -> int:
        """How many written bytes the peer has not taken yet."""
        size: int = self._transport.get_write_buffer_size()
        return size

    def close(self) -> None:
        """Close after what was written has been sent."""
        if self._is_closing:
            return
        self._stop_writing()
        self._transport.close()
        # A peer that takes nothing would keep the transport for ever.
        self._watch(self._service.now() + self._service.settings.write_timeout_s)

    def linger(self) -> None:
        """Stop sending, discard what arrives, then close."""
        if self._is_closing:
            return
        if self._has_peer_ended or not self._transport.can_write_eof():
            self.close()
            return
        self._stop_writing()
        now = clock.now()
        self._linger_until = now + LINGER_TOTAL_S
        self._watch(now + LINGER_SILENCE_S)
        self.resume_reading()
        try:
            self._transport.write_eof()
        except OSError:
            # The peer was faster: it has reset the connection.
            self._transport.abort()

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        self._stop_writing()
        self._transport.abort()

    def discarded(self) -> None:
        """Bytes came that nobody will look at: while lingering they postpone the end a little, up to a bound."""
        if self._linger_until:
            self._watch(min(self._linger_until, clock.now() + LINGER_SILENCE_S))

    def pause_reading(self) -> None:
        """Take no more bytes from the peer."""
        if not self._is_reading_paused and not self._transport.is_closing():
            self._is_reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Undo ``pause_reading``."""
        if self._is_reading_paused and not self._transport.is_closing():
            self._is_reading_paused = False
            self._transport.resume_reading()

    def set_deadline(self, when: float) -> None:
        """Ask for ``deadline_reached`` at ``when``, seconds on ``core.clock.now``."""
        if self._is_closing:
            return
        self._watch(when)

    def replace(self, connection: Connection, leftover: bytes, peer: Peer | None = None) -> None:
        """Hand the transport over to another protocol."""
        self._connection = connection
        self.data_received = connection.receive_data
        # The transport keeps its protocol's methods, so it has to be told that they are others.
        self._transport.set_protocol(self)
        connection.connected(self, _peer(self._transport) if peer is None else peer)
        if leftover:
            connection.receive_data(leftover)

    # ---- what the wheel and the server tell

    def deadline_reached(self) -> None:
        """The deadline has passed."""
        if not self._is_closing:
            self._connection.deadline_reached()
        elif self._linger_until:
            self._transport.close()
            self._linger_until = 0.0
            self._watch(clock.now() + self._service.settings.write_timeout_s)
        else:
            self._transport.abort()

    def start_draining(self, rest_s: float | None = None) -> None:
        """The worker stops: finish what is in progress, then close; see ``Http1Connection.start_draining``."""
        if not self._is_closing:
            self._connection.start_draining(rest_s)
        elif self._linger_until:
            self._linger_until = clock.now() + LINGER_DRAIN_S
            self._watch(self._linger_until)

    def notify_disconnect(self) -> None:
        """The worker will not wait much longer: tell the request in progress."""
        if not self._is_closing:
            self._connection.notify_disconnect()

    def in_progress(self) -> InProgress | None:
        """The request whose application runs now."""
        return self._connection.in_progress()

    def _watch(self, when: float) -> None:
        # As ``Wheel.put``.
        self.deadline = when
        if when < self.looked_at:
            self.looked_at = self._wheel.move(self, self.looked_at, when)

    def _stop_writing(self) -> None:
        self._is_closing = True
        self.write = write_nothing


def _peer(transport: asyncio.BaseTransport) -> Peer:
    """Both addresses as ASGI wants them. None of this raises: the peer may be gone already (getpeername fails then).

    Nothing else is asked of the transport: each question costs as much as all the rest here. That a socket is a Unix
    socket shows in its name; and what is encrypted is so by ``tls_layer``, which tells of it.
    """
    own = transport.get_extra_info("sockname")
    if isinstance(own, str | bytes):
        return Peer(None, (_text(own), None) if own else None)
    client = transport.get_extra_info("peername")
    return Peer(
        _pair(client) if isinstance(client, tuple) else None,
        (_servers.get(own) or _remember(own)) if isinstance(own, tuple) else None,
    )


def _pair(address: tuple[Any, ...]) -> tuple[str, int]:
    # IPv6 has two numbers more; and other families have no text in front.
    if len(address) == 2 and type(address[0]) is str:
        return address
    return _plain_host(address[0]), int(address[1])


def _plain_host(host: object) -> str:
    """An address. IPv4 is written as IPv4 also where one socket is for both families, as systemd makes them."""
    text = str(host)
    return text[len(_MAPPED) :] if text.startswith(_MAPPED) and "." in text else text


def _remember(own: tuple[Any, ...]) -> tuple[str, int]:
    if len(_servers) >= _SERVERS_MAX:
        _servers.clear()
    server = _servers[own] = _pair(own)
    return server


def _text(path: str | bytes) -> str:
    return path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")


if TYPE_CHECKING:

    def _is_host(stream: Stream) -> Host:
        return stream
