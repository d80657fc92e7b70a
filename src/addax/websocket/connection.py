"""One open WebSocket: codec, close machine and cycle put together. Speaks to a Host, never to a transport.

It begins when a handshake was accepted: the HTTP connection has written its answer and hands its host over, with the
bytes that came after the handshake. The way of one message: ``receive_data`` → codec → ``on_text`` → the cycle's queue
→ the application; and back: ``send_text`` → codec → ``write``.

All that has to happen at some time is one number, the host's deadline; ``_watch`` finds the nearest.

Implements: RFC 6455 §5.5 (control frames), §7 (closing); of ASGI what lies between the cycle and the wire.
"""

from __future__ import annotations

import asyncio
import logging
import random

from addax.asgi.diagnosis import describe_cycle
from addax.asgi.service import Service
from addax.asgi.ws_cycle import WebSocketCycle
from addax.core.clock import NEVER
from addax.core.errors import ClientDisconnected, RemoteProtocolError
from addax.core.report import InProgress
from addax.core.settings import WebSocketSettings
from addax.core.wire import Host, Peer
from addax.observe.websocket import log_closed, log_handshake, log_open
from addax.websocket import heap
from addax.websocket.codec import Codec, CodecHandler
from addax.websocket.codes import ABNORMAL, GOING_AWAY, INTERNAL_ERROR
from addax.websocket.deflate import DeflateParameters
from addax.websocket.machine import CloseMachine
from addax.websocket.states import FINISHED, OPEN

_logger = logging.getLogger("addax.error")

#: After how long without a message a WebSocket's compression is freed, in seconds; at most twice as long.
REST_S = 2.0
#: A server that stops closes so many WebSockets a second, so that their clients do not come back in one wave, but all
#: of them within DRAIN_MAX_S.
DRAIN_RATE = 500
DRAIN_MAX_S = 10.0
#: What is shorter than this is now: the wheel that watches deadlines is not finer.
_SOON_S = 0.25

#: In the place of the codec of a connection that is gone: a compiled class must not find None there.
_NO_CODEC = Codec(CodecHandler(), WebSocketSettings(), None)


class WebSocketConnection(CodecHandler):
    """A ``CodecHandler`` and a ``WebSocketSink``; fills ``core.wire.Connection``.

    Args:
        service: what is served.
        cycle: the application's side of this WebSocket.
        deflate: what was negotiated about compression; None: there is none.
        is_draining: the server is stopping.
    """

    __slots__ = (
        "_buffer_mark",
        "_can_rest",
        "_close_until",
        "_codec",
        "_counters",
        "_cycle",
        "_drain_at",
        "_drain_waiters",
        "_ending",
        "_expires_at",
        "_gathers",
        "_has_heard",
        "_host",
        "_is_active",
        "_is_being_asked",
        "_is_flush_due",
        "_is_pausing",
        "_machine",
        "_out",
        "_out_bytes",
        "_ping_due_at",
        "_pong_due_at",
        "_rest_at",
        "_service",
        "_settings",
        "_stall_at",
    )

    def __init__(
        self, service: Service, cycle: WebSocketCycle, deflate: DeflateParameters | None, is_draining: bool
    ) -> None:
        super().__init__()
        self._service = service
        self._settings = service.websocket
        self._cycle: WebSocketCycle | None = cycle
        self._machine = CloseMachine()
        self._counters = service.state.websockets
        self._codec: Codec = service.codec(self, service.websocket, deflate)
        self._host: Host
        #: What waits for the end of the loop's turn; None while it is nothing.
        self._out: list[bytes] | None = None
        self._out_bytes = 0
        self._is_flush_due = False
        #: Whether writes are gathered here. uvloop does it itself, for less.
        self._gathers = service.gathers_writes
        self._drain_waiters: list[asyncio.Future[None]] | None = None
        #: How the peer has ended it, by its mistake or with code and reason, as long as the application has not had its
        #: turn since.
        self._ending: RemoteProtocolError | tuple[int, str] | None = None
        #: The application is taking a message now, and may want to answer it.
        self._is_being_asked = False
        #: Reading has paused because messages wait for the application.
        self._is_pausing = False
        #: Something came since the last ping.
        self._has_heard = False
        #: Messages came or went since it was looked for the last time.
        self._is_active = False
        # When what has to happen, on ``core.clock.now``.
        self._ping_due_at = NEVER
        self._pong_due_at = NEVER
        self._expires_at = NEVER
        #: Only with compression, and only while it holds memory.
        self._rest_at = NEVER
        self._can_rest = deflate is not None
        self._drain_at = 0.0 if is_draining else NEVER
        self._close_until = NEVER
        self._stall_at = NEVER
        self._buffer_mark = 0

    # ---- Connection: what the host tells

    def connected(self, host: Host, peer: Peer) -> None:
        """The first call, once."""
        self._host = host
        counters = self._counters
        counters.open += 1
        counters.total += 1
        if self._cycle is not None:
            log_handshake(self._cycle.scope, 101)
        log_open()
        now = self._service.now()
        self._ping_due_at = now + self._settings.ping_interval_s if self._settings.ping_interval_s else NEVER
        if self._settings.lifetime_max_s is not None:
            self._expires_at = now + self._settings.lifetime_max_s
        self._watch()

    def receive_data(self, data: bytes) -> None:
        """Bytes from the peer; never raises."""
        self._has_heard = True
        self._counters.bytes_received += len(data)
        if self._machine.state == FINISHED or self._ending is not None:
            self._host.discarded()
            return
        try:
            self._codec.feed(data)
        except RemoteProtocolError as error:
            self._end(error)

    def receive_eof(self) -> bool:
        """The peer has closed its half without a close frame: there is nothing left to say to it."""
        self._machine.give_up()
        self._end_cycle(ABNORMAL, "")
        return False

    def write_paused(self) -> None:
        """More than ``write_buffer_bytes`` wait for the peer."""
        self.is_writable = False
        self._buffer_mark = self._host.write_buffer_size()
        self._stall_at = self._service.now() + self._service.settings.write_timeout_s
        self._watch()

    def write_resumed(self) -> None:
        """The peer has taken most of what waited."""
        self.is_writable = True
        self._stall_at = NEVER
        self._wake_drained()
        self._watch()

    def deadline_reached(self) -> None:
        """The time of something has come: of what, the numbers say."""
        now = self._service.now()
        if now >= self._stall_at and not self._is_taking(now):
            self._abort()
        elif now >= self._close_until:
            # Nobody answers: the close frame was sent, and that has to do (RFC 6455 §7.1.1).
            self._finish()
        elif self._machine.state == OPEN:
            if now >= self._drain_at:
                self._shut_down()
            elif now >= self._expires_at:
                self._say_close(GOING_AWAY, "maximum lifetime reached")
            else:
                self._tick(now)
        self._watch()

    def start_draining(self, rest_s: float | None = None) -> None:
        """The worker stops: close, at a moment of one's own."""
        if self._machine.state != OPEN or self._drain_at != NEVER:
            return
        spread_s = min(self._counters.open / DRAIN_RATE, DRAIN_MAX_S)
        delay_s = random.uniform(0.0, spread_s)
        if spread_s < _SOON_S:
            self._shut_down()
        else:
            self._drain_at = self._service.now() + delay_s
            self._watch()

    def notify_disconnect(self) -> None:
        """The worker will not wait much longer."""
        if self._machine.state == OPEN:
            self._shut_down()

    def in_progress(self) -> InProgress | None:
        """This WebSocket, as long as both sides keep it open."""
        cycle = self._cycle
        return None if cycle is None or cycle.is_returned else describe_cycle(cycle, self._service.state, cycle.task)

    def lost(self, error: Exception | None) -> None:
        """The last call, once: the transport is gone."""
        self._machine.give_up()
        self._out = None
        self._end_cycle(ABNORMAL, "")
        self._wake_drained()
        counters = self._counters
        counters.open -= 1
        if self._rest_at != NEVER:
            heap.freed(self._service.loop)
        # The codec keeps this object alive, and this object the codec.
        self._codec = _NO_CODEC
        code = self._machine.code
        counters.closes[code] = counters.closes.get(code, 0) + 1
        log_closed()

    # ---- CodecHandler: what the codec finds

    def on_text(self, text: str) -> None:
        """A whole text message."""
        self._take({"type": "websocket.receive", "text": text}, len(text))

    def on_binary(self, data: bytes) -> None:
        """A whole binary message."""
        self._take({"type": "websocket.receive", "bytes": data}, len(data))

    def on_ping(self, payload: bytes) -> None:
        """Answer a ping (RFC 6455 §5.5.2), unless the peer takes none of the answers."""
        if self._machine.state == OPEN and self.is_writable:
            self._codec.send_pong(payload)

    def on_pong(self, payload: bytes) -> None:
        """A pong: that something came is all there is to it."""

    def on_close(self, code: int, reason: str) -> None:
        """The peer closes: answer with the same, and close the connection, which is the server's part."""
        self._end((code, reason))

    def _take_close(self, code: int, reason: str) -> None:
        has_to_answer = self._machine.close_received(code)
        cycle = self._cycle
        if cycle is not None:
            cycle.peer_closing(code, reason)
        if has_to_answer:
            self._codec.send_close(code, reason)
            self._machine.close_sent(code)
        self._finish()

    def write(self, data: bytes) -> None:
        """Bytes of a frame."""
        self._counters.bytes_sent += len(data)
        if not self._gathers:
            self._host.write(data)
            return
        if self._out is None:
            self._out = []
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes > self._service.settings.write_buffer_bytes:
            # What never waits would fill the memory before the host could say that the client is slow.
            self._flush()
        elif not self._is_flush_due:
            self._is_flush_due = True
            # Not in the application's context, which would be kept alive by it.
            self._service.loop.call_soon(self._flush_in_turn, context=self._service.context)

    def _take(self, message: dict[str, object], size: int) -> None:
        """Hand a message to the application; if too much waits for it, stop reading."""
        counters = self._counters
        counters.messages_received += 1
        self._is_active = True
        if self._can_rest and self._rest_at == NEVER:
            self._rest_later()
        cycle = self._cycle
        if cycle is None or self._machine.state != OPEN:
            # Behind our close frame nobody wants it any more.
            return
        if self._settings.counts_messages:
            self._service.state.count_request()
        cycle.message_arrived(message, size)
        if (
            cycle.queued_bytes > self._service.settings.body_buffer_bytes
            or cycle.queued_count() >= self._settings.queue_max_count
        ):
            cycle.is_full = True
            self._codec.is_paused = True
            if not self._is_pausing:
                self._is_pausing = True
                self._host.pause_reading()

    # ---- WebSocketSink: what the cycle asks

    def send_text(self, text: str) -> None:
        """Send a text message."""
        self._codec.send_text(text)
        self._counters.messages_sent += 1
        self._is_active = True
        if self._can_rest and self._rest_at == NEVER:
            self._rest_later()

    def send_binary(self, data: bytes) -> None:
        """Send a binary message."""
        self._codec.send_binary(data)
        self._counters.messages_sent += 1
        self._is_active = True
        if self._can_rest and self._rest_at == NEVER:
            self._rest_later()

    def close(self, code: int, reason: str) -> None:
        """The application closes."""
        if self._machine.state == OPEN:
            self._say_close(code, reason)
            self._watch()

    def messages_consumed(self) -> None:
        """The application has taken what waited: read on."""
        if not self._is_pausing or self._machine.state == FINISHED or self._ending is not None:
            return
        self._is_being_asked = True
        try:
            self._codec.go_on()
        except RemoteProtocolError as error:
            self._end(error)
            return
        finally:
            self._is_being_asked = False
        if not self._codec.is_paused and self._is_pausing:
            self._is_pausing = False
            self._host.resume_reading()

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was sent."""
        while not self.is_writable and self._machine.state != FINISHED:
            future: asyncio.Future[None] = self._service.loop.create_future()
            if self._drain_waiters is None:
                self._drain_waiters = []
            self._drain_waiters.append(future)
            try:
                await future
            finally:
                if self._drain_waiters is not None and future in self._drain_waiters:
                    self._drain_waiters.remove(future)
        if not self.is_writable:
            raise ClientDisconnected("the client has disconnected")

    # ---- time

    def _watch(self) -> None:
        """Set the host's deadline to the nearest of all times."""
        if self._machine.state == FINISHED:
            return
        due = min(self._stall_at, self._close_until)
        if self._machine.state == OPEN:
            due = min(due, self._ping_due_at, self._pong_due_at, self._expires_at, self._drain_at, self._rest_at)
        self._host.set_deadline(due)

    def _rest_later(self) -> None:
        """Look in a while whether messages still flow."""
        self._is_active = False
        self._rest_at = self._service.now() + REST_S
        self._watch()

    def _rest_if_idle(self, now: float) -> None:
        if self._is_active:
            self._is_active = False
            self._rest_at = now + REST_S
        else:
            self._rest_at = NEVER
            self._codec.rest()
            heap.freed(self._service.loop)

    def _tick(self, now: float) -> None:
        """Ping, look for the answer to the last ping, and let an idle codec rest."""
        settings = self._settings
        if now >= self._rest_at:
            self._rest_if_idle(now)
        if self._pong_due_at != NEVER:
            # Anything is a sign of life. And while reading has paused the answer cannot be seen.
            if self._has_heard or self._is_pausing:
                self._pong_due_at = NEVER
            elif now >= self._pong_due_at:
                self._say_close(INTERNAL_ERROR, "keepalive ping timeout")
                return
        interval = settings.ping_interval_s
        if now < self._ping_due_at or not interval:
            return
        self._ping_due_at = now + interval
        if self.is_writable and self._pong_due_at == NEVER:
            self._codec.send_ping(b"")
            self._has_heard = False
            if settings.ping_timeout_s:
                self._pong_due_at = now + settings.ping_timeout_s

    def _is_taking(self, now: float) -> bool:
        """Whether the peer has taken some of what waits since the last look; it gets more time then."""
        size = self._host.write_buffer_size()
        if size >= self._buffer_mark:
            return False
        self._buffer_mark = size
        self._stall_at = now + self._service.settings.write_timeout_s
        return True

    # ---- ends

    def _say_close(self, code: int, reason: str) -> None:
        """Our close frame, whoever wants it; the peer has a while to answer."""
        self._codec.send_close(code, reason)
        self._machine.close_sent(code)
        self._close_until = self._service.now() + self._settings.close_timeout_s
        cycle = self._cycle
        if cycle is not None:
            cycle.peer_closing(code, reason)
        if self._is_pausing:
            # The peer's answer stands behind messages that nobody wants any more.
            self.messages_consumed()

    def _shut_down(self) -> None:
        """The server stops, as the application wants it said."""
        cycle = self._cycle
        assert cycle is not None
        self._say_close(cycle.shutdown_code, "server is shutting down" if cycle.shutdown_code == GOING_AWAY else "")

    def _end(self, ending: RemoteProtocolError | tuple[int, str]) -> None:
        """The peer has ended it. What came before that may still be answered: if messages wait, the application has its
        turn first.
        """
        self._ending = ending
        cycle = self._cycle
        if self._is_being_asked or (cycle is not None and cycle.queued_count() > 0):
            self._service.loop.call_soon(self._end_now, context=self._service.context)
        else:
            self._end_now()

    def _end_now(self) -> None:
        # Not kept: a traceback holds this connection.
        ending, self._ending = self._ending, None
        if ending is None or self._machine.state == FINISHED:
            return
        if isinstance(ending, RemoteProtocolError):
            self._fail(ending)
        else:
            self._take_close(ending[0], ending[1])

    def _fail(self, error: RemoteProtocolError) -> None:
        """The peer's mistake: say which, and close without waiting for an answer (RFC 6455 §7.1.7)."""
        _logger.debug("WebSocket failed: %s (%d)", error.reason, error.status)
        machine = self._machine
        if machine.state == OPEN:
            self._codec.send_close(error.status, error.reason)
            machine.close_sent(error.status)
        self._end_cycle(error.status, error.reason)
        self._flush()
        machine.give_up()
        self._wake_drained()
        self._host.linger()

    def _finish(self) -> None:
        """All was said: close the connection."""
        self._machine.give_up()
        self._end_cycle(self._machine.code, "")
        self._flush()
        self._wake_drained()
        self._host.close()

    def _abort(self) -> None:
        """Break the connection off: the peer takes nothing."""
        self._machine.give_up()
        self._end_cycle(ABNORMAL, "")
        self._wake_drained()
        self._host.abort()

    def _end_cycle(self, code: int, reason: str) -> None:
        """The application hears of the end, if it has not before; the two forget each other."""
        cycle, self._cycle = self._cycle, None
        if cycle is not None:
            cycle.ended(code, reason)

    # ---- writing

    def _flush_in_turn(self) -> None:
        self._is_flush_due = False
        self._flush()

    def _flush(self) -> None:
        out = self._out
        if out is None:
            return
        self._out = None
        self._out_bytes = 0
        self._host.write(out[0] if len(out) == 1 else b"".join(out))

    def _wake_drained(self) -> None:
        waiters, self._drain_waiters = self._drain_waiters, None
        if waiters is not None:
            for future in waiters:
                if not future.done():
                    future.set_result(None)
