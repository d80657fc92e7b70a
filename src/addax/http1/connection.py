"""One HTTP/1.1 connection: parser, state machine and request cycles put together. Speaks to a Host, never to a
transport.

The way of one request: ``receive_data`` → parser → ``on_head`` (scope and cycle) → ``_start`` (the application, after
the parser has returned) → ``send_head`` / ``send_body`` of ``writer.py`` → one ``host.write``. Then ``_advance``
takes the next pipelined request, waits for more, or closes.

Implements: RFC 9112 §9 (connection management), RFC 9110 §15.5.9 (408), §15.5.20 (421), §15.6.4 (503).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from addax.asgi.diagnosis import cycle_started_at
from addax.asgi.exchange import HttpExchange
from addax.asgi.http_cycle import HttpCycle
from addax.asgi.phases import ENDED
from addax.asgi.run_app import EagerTask, new_task, run_http, start_http
from addax.asgi.service import Service
from addax.asgi.sinks import WebSocketSink
from addax.asgi.ws_cycle import WebSocketCycle
from addax.core.clock import NEVER
from addax.core.errors import ClientDisconnected, RemoteProtocolError
from addax.core.fields import EXPECTS_CONTINUE, FORWARDED, KEEP_ALIVE, WEBSOCKET
from addax.core.headers import RequestHead, read_request_head
from addax.core.report import InProgress
from addax.core.settings import Http1Settings
from addax.core.target import Target, parse_target
from addax.core.types import Headers
from addax.core.wire import Host, Peer
from addax.http1.encode import DefaultFields, error_response
from addax.http1.parser import UPGRADED, Parser, ParserHandler, adapt
from addax.http1.states import READ_BODY, READ_CLOSED, READ_DONE, READ_IDLE, WRITE_CLOSED, WRITE_DONE
from addax.http1.upgrade import Upgrade
from addax.http1.writer import ResponseWriter

_logger = logging.getLogger("addax.error")

#: Pipelined requests that are answered before the loop gets its turn (as hyper's dispatcher: often enough for speed,
#: seldom enough that one client cannot keep the others waiting).
TURN_MAX_REQUESTS = 16
#: Request body that is read and thrown away so that the connection can be used again after an early answer; beyond it
#: the connection is closed, because reading on would serve nobody.
DISCARD_MAX_BYTES = 262144
#: How long an idle connection must have been idle before a worker that stops closes it, in seconds.
DRAIN_REST_S = 1.0
#: How much of a host that is not served is shown in the log.
_HOST_SHOWN_BYTES = 255

#: What an answer to the peer's mistake says besides (RFC 9110 §15.5.22, RFC 6455 §4.4).
_FURTHER_LINES = {426: b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"}

#: In the place of the parser of a connection that is gone: a compiled class must not find None there.
_NO_PARSER = Parser(ParserHandler(), Http1Settings())


class Http1Connection(ResponseWriter):
    """A ``ParserHandler`` and a ``ResponseSink``; fills ``core.wire.Connection``."""

    __slots__ = (
        "_body_count",
        "_buffer_mark",
        "_client",
        "_cycle",
        "_discarded",
        "_idle_timeout_s",
        "_is_app_due",
        "_is_eof",
        "_is_reading_paused",
        "_parser",
        "_proxy",
        "_target",
        "_target_parts",
        "_template",
        "_tls",
        "_upgrade",
    )

    def __init__(self, service: Service, defaults: DefaultFields) -> None:
        self._begin(service, defaults)
        self._parser: Parser = adapt(self._service.parser(self, self._settings), self, self._settings)
        self._cycle: HttpCycle | None = None
        #: Of a handshake that the application has not answered yet.
        self._upgrade: Upgrade | None = None
        self._is_app_due = False
        self._body_count = 0
        self._discarded = 0
        self._target = b""
        self._target_parts: Target = ("", b"", b"", None)
        self._is_reading_paused = False
        self._is_eof = False
        self._idle_timeout_s = self._settings.keep_alive_timeout_s
        self._buffer_mark = 0

    # ---- Connection: what the host tells

    def connected(self, host: Host, peer: Peer) -> None:
        """The first call, once."""
        service = self._service
        self._host = host
        self._client = peer.client
        self._template = service.scopes.template(peer)
        self._tls = peer.tls
        self._proxy = service.rules_for(peer)
        # For the first byte and for the whole first head; it is not set anew in between.
        self._ended_at = service.now()
        host.set_deadline(self._ended_at + self._settings.head_timeout_s)

    def receive_data(self, data: bytes) -> None:
        """Bytes from the peer; never raises."""
        machine = self._machine
        reading = machine.reading
        if reading == READ_CLOSED:
            self._host.discarded()
            return
        parser = self._parser
        was_inside_head = False
        self._gathering = True
        if reading == READ_DONE:
            parser.keep(data)
        else:
            was_inside_head = reading == READ_IDLE and parser.is_inside_message
            try:
                parser.feed(data)
            except RemoteProtocolError as error:
                self._refuse(error)
        if parser.pending_bytes:
            self._is_pipelined = True
        if self._is_app_due:
            self._start()
        if machine.reading != READ_IDLE:
            self._advance()
        if self._fields is not None:
            self._flush_head()
        self._gathering = False
        if self._out is not None:
            self._is_pipelined = False
            self._write_gathered()
        if machine.reading != READ_IDLE:
            self._watch_request()
        elif parser.is_inside_message:
            if not was_inside_head:
                self._watch_head()
        elif self._method and self.is_writable:
            # As ``_watch_idle``, without another look at the clock.
            self._host.set_deadline(self._ended_at + self._idle_timeout_s)

    def receive_eof(self) -> bool:
        """The peer has closed its half, or all of it, which looks the same: answers on their way are still sent."""
        machine = self._machine
        if machine.reading == READ_CLOSED:
            return False
        self._is_eof = True
        if machine.is_idle():
            self._end_of_requests()
        elif machine.reading == READ_BODY:
            # Half a body, which nobody can complete any more.
            if machine.writing == WRITE_DONE:
                self._close()
            else:
                self._give_up("disconnected")
        elif machine.writing == WRITE_DONE:
            self._advance_later()
        elif self._cycle is not None:
            self._cycle.notify()
        return True

    def _end_of_requests(self) -> None:
        """No further request can come: close, or answer half a one."""
        if self._parser.is_inside_message:
            self._refuse(RemoteProtocolError("the request head ended in the middle"))
        else:
            self._close()

    def write_paused(self) -> None:
        """More than ``write_buffer_bytes`` wait for the peer."""
        self.is_writable = False
        self._buffer_mark = self._host.write_buffer_size()
        self._host.set_deadline(self._service.now() + self._settings.write_timeout_s)

    def write_resumed(self) -> None:
        """The peer has taken most of what waited."""
        self.is_writable = True
        self._wake_drained()
        self._watch_silence()
        if self._machine.is_idle() and not self._parser.is_inside_message:
            self._watch_idle()
        if self._machine.can_take_next():
            self._advance_later()

    def deadline_reached(self) -> None:
        """Something took too long: which, the state says."""
        machine = self._machine
        if not self.is_writable:
            self._write_stalled()
        elif self._upgrade is not None and machine.can_answer():
            self._give_handshake_up(self._upgrade)
        elif machine.reading == READ_BODY and machine.can_answer():
            self._refuse(RemoteProtocolError("the request body did not arrive in time", 408))
        elif machine.reading == READ_BODY or machine.reading == READ_CLOSED:
            self._give_up("aborted")
        elif self._parser.is_inside_message:
            self._refuse(RemoteProtocolError("the request head did not arrive in time", 408))
        elif machine.is_idle():
            self._close()

    def start_draining(self, rest_s: float | None = None) -> None:
        """Finish the exchange in progress, take nothing new.

        Args:
            rest_s: how long an idle connection must have been idle before it is closed, in seconds, and never longer
                than it would be kept anyway; None: ``DRAIN_REST_S``.
        """
        # An answer whose head is on the wire already has promised to keep the connection: the client may have its next
        # request on the way. So the one that says "close" is the next one, if it comes soon.
        self._is_draining = True
        self._idle_timeout_s = min(DRAIN_REST_S if rest_s is None else rest_s, self._idle_timeout_s)
        if not self._machine.is_idle() or self._parser.is_inside_message:
            return
        # A client that used the connection a moment ago may have its next request on the way, which a close would lose.
        rest_until = self._ended_at + self._idle_timeout_s
        if self._service.now() < rest_until:
            self._host.set_deadline(rest_until)
        else:
            self._close()

    def notify_disconnect(self) -> None:
        """Tell the application of the request in progress that the server stops, by ``http.disconnect``."""
        if self._cycle is not None:
            self._cycle.notify()

    def in_progress(self) -> InProgress | None:
        """The request whose application runs now, though its response may have ended."""
        cycle = self._cycle
        if cycle is None or self._is_app_due or cycle.is_returned:
            return None
        task = cycle.task
        if task is not None and task.done():
            # It has refused a WebSocket.
            return None
        upgrade = self._upgrade
        if upgrade is None:
            kind, started_at = "http", cycle_started_at(cycle, self._service.state)
        else:
            kind, started_at = "websocket", upgrade.opened_at
        return InProgress(kind, self._method, self._target_parts[0], cycle.scope.get("client"), started_at, task)

    def lost(self, error: Exception | None) -> None:
        """The last call, once: the transport is gone."""
        self._machine.stop_reading()
        self._machine.stop_writing()
        self._out = None
        self._break_cycle("disconnected")
        self._wake_drained()
        # The parser keeps this object alive, and this object the parser.
        self._parser = _NO_PARSER

    # ---- ParserHandler: what the parser cuts

    def on_head(
        self, method: str, target: bytes, minor: int, headers: Headers, known: RequestHead | None
    ) -> RequestHead:
        """A request head: decide what it means and make its cycle."""
        head = read_request_head(minor, headers) if known is None else known
        body_length, flags = head
        if target is self._target:
            # The parser has seen these very bytes before, and a look is all that is left to do.
            target_parts = self._target_parts
        else:
            target_parts = self._target_parts = parse_target(method, target)
            # What "*" means depends on the method; and bytes of length one are one object wherever they come from.
            self._target = target if target != b"*" else b""
        if target_parts[3] is not None:
            _replace_host(headers, target_parts[3])
        has_body = body_length != 0
        if has_body:
            limit = self._settings.body_max_bytes
            if limit is not None and body_length > limit:
                raise RemoteProtocolError("the request body is too large", 413)
            # False otherwise: a connection on which somebody still waits for 100 is not used again.
            self._expects_continue = flags & EXPECTS_CONTINUE != 0
            self._body_count = 0
            self._discarded = 0
        service = self._service
        is_kept = flags & KEEP_ALIVE != 0 and not (self._is_draining or service.state.is_leaving)
        self._machine.head_read(has_body, is_kept)
        self._method = method
        self._minor = minor
        scope = service.scopes.http(self._template, self._client, method, target_parts, minor, headers)
        if self._tls is not None:
            scope["extensions"]["tls"] = self._tls
        if flags & FORWARDED and self._proxy is not None:
            self._proxy.apply(scope)
        if service.hosts is not None and not service.hosts.allows(scope):
            self._refuse_host(scope, has_body)
        self._is_app_due = True
        if flags & WEBSOCKET and service.codec is not None:
            return self._begin_upgrade(method, scope, headers, has_body)
        exchange = HttpExchange(scope) if service.access is not None else None
        self._cycle = HttpCycle(scope, self, has_body, exchange)
        return head

    def _refuse_host(self, scope: dict[str, Any], has_body: bool) -> None:
        """A request for a host that is not served here (RFC 9110 §7.4); one for a WebSocket too."""
        # With a cycle it is an exchange like others: it is in the access log, and the answer to HEAD has no body.
        exchange = HttpExchange(scope) if self._service.access is not None else None
        self._cycle = HttpCycle(scope, self, has_body, exchange)
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        detail = f"{host[:_HOST_SHOWN_BYTES].decode('ascii', 'backslashreplace')!r} is not among --allowed-host"
        raise RemoteProtocolError("this host is not served here", 421, detail)

    def _begin_upgrade(self, method: str, scope: dict[str, Any], headers: Headers, has_body: bool) -> RequestHead:
        """A request that asks for a WebSocket."""
        self._upgrade = Upgrade(self._service, method, scope, headers, has_body)
        # What comes behind a handshake is no HTTP request, also if it is refused: it is not looked at then.
        self._machine.forbid_reuse()
        # It has a log line of its own.
        self._cycle = HttpCycle(scope, self, False, None)
        return UPGRADED, 0

    def on_body(self, chunk: bytes) -> None:
        """The next bytes of the request body."""
        self._body_count += len(chunk)
        limit = self._settings.body_max_bytes
        if limit is not None and self._body_count > limit:
            raise RemoteProtocolError("the request body is too large", 413)
        self._expects_continue = False
        cycle = self._cycle
        if cycle is None or cycle.phase == ENDED:
            self._discarded += len(chunk)
        else:
            cycle.body_arrived(chunk)

    def on_end(self) -> None:
        """A request with a body is complete."""
        self._machine.request_read()
        if self._cycle is not None:
            self._cycle.body_ended()

    # ---- the flow of exchanges

    def _advance(self) -> None:
        """Go on after a complete exchange: with what was pipelined, or to the end of the connection."""
        turns = 0
        machine = self._machine
        while machine.can_take_next() and self.is_writable:
            if turns == TURN_MAX_REQUESTS:
                self._advance_later()
                return
            turns += 1
            self._take_next()
            if self._is_app_due:
                self._start()
        if self._is_eof and machine.is_idle():
            self._end_of_requests()
        else:
            self._close_when_over()

    def _take_next(self) -> None:
        """Begin another exchange, which may have been pipelined already."""
        self._machine.take_next()
        self._cycle = None
        if self._parser.pending_bytes:
            try:
                self._parser.next_message()
            except RemoteProtocolError as error:
                self._refuse(error)

    def _advance_later(self) -> None:
        # Not in the application's context, or the next request would begin with what this one has set.
        self._service.loop.call_soon(self._go_on, context=self._service.context)

    def _go_on(self) -> None:
        """Take up what ``_advance`` left, outside of the application's stack."""
        machine = self._machine
        if machine.writing == WRITE_CLOSED:
            return
        self._gathering = True
        self._advance()
        self._stop_gathering()
        if machine.reading != READ_IDLE:
            self._watch_request()
        elif self._parser.is_inside_message:
            self._watch_head()
        else:
            self._watch_idle()

    def _close_when_over(self) -> None:
        machine = self._machine
        is_last = not machine.keep_alive or (self._is_draining and machine.reading == READ_BODY)
        if machine.writing != WRITE_DONE or not is_last:
            return
        if machine.reading == READ_BODY:
            # The answer came before the request was read to its end: the client may still be sending.
            self._close_lingering()
        else:
            self._close()

    def _close(self) -> None:
        self._write_gathered()
        self._machine.stop_reading()
        self._machine.stop_writing()
        self._host.close()

    def _watch_idle(self) -> None:
        """An exchange is over and no other has begun. While its answer waits for the client, that has the deadline."""
        if self._method and self.is_writable:
            now = self._ended_at = self._service.now()
            self._host.set_deadline(now + self._idle_timeout_s)

    def _watch_head(self) -> None:
        """A head has begun and is not complete: it has its time. What follows of it does not give it more."""
        if self._method:
            self._host.set_deadline(self._service.now() + self._settings.head_timeout_s)

    def _watch_request(self) -> None:
        """A request is in progress: bound what waits of it and of those behind it, and its silence."""
        machine = self._machine
        if machine.reading == READ_CLOSED:
            return
        cycle = self._cycle
        if machine.reading == READ_BODY:
            if cycle is not None and cycle.body_size > self._settings.body_buffer_bytes:
                self._pause_reading()
            elif self._discarded > DISCARD_MAX_BYTES:
                machine.forbid_reuse()
                self._close_when_over()
                return
        elif self._parser.pending_bytes > self._settings.pipeline_max_bytes:
            self._pause_reading()
        self._watch_silence()

    def _watch_silence(self) -> None:
        """Set the deadline that fits the state of a request in progress."""
        machine = self._machine
        if machine.writing == WRITE_CLOSED or not self.is_writable:
            return
        if machine.reading == READ_BODY and not self._is_reading_paused:
            self._host.set_deadline(self._service.now() + self._settings.body_timeout_s)
        elif self._upgrade is not None and machine.can_answer():
            self._host.set_deadline(self._upgrade.until)
        elif machine.reading != READ_IDLE:
            self._host.set_deadline(NEVER)

    def _start(self) -> None:
        """Call the application, as a task that runs at once where the interpreter can do that."""
        self._is_app_due = False
        service = self._service
        cycle = self._cycle
        assert cycle is not None
        shared = service.state
        limit = service.concurrency_max_count
        if limit is not None and shared.active_requests >= limit:
            _logger.warning("Exceeded concurrency limit.")
            self._answer_error(503, "Service Unavailable", b"retry-after: 1\r\n")
            return
        shared.active_requests += 1
        if self._upgrade is not None:
            self._upgrade.start(cycle, self, self._target)
            return
        board = shared.board
        if board is not None:
            started_at = 0.0 if cycle.exchange is None else cycle.exchange.started_at
            cycle.slot = board.begin(self._method, self._target, started_at)
        if service.starts_at_once:
            # An application that never has to wait has answered when this returns: a third of the cost of a call
            # (measured).
            if start_http is None:
                task = EagerTask(run_http(service.app, cycle, self, shared), loop=service.loop, eager_start=True)
            else:
                task = start_http(service.app, cycle, self, shared, service.task_options)
        else:
            coroutine = run_http(service.app, cycle, self, shared)
            task = new_task(coroutine, service.loop, self._settings.reset_contextvars)
        if not cycle.is_returned:
            cycle.task = task
            shared.tasks.add(task)

    def _give_handshake_up(self, upgrade: Upgrade) -> None:
        """The application takes too long to say whether it wants the WebSocket."""
        assert self._cycle is not None
        upgrade.log_timeout(self._cycle.scope)
        self._answer_error(503, "Service Unavailable", b"retry-after: 1\r\n")

    # ---- ResponseSink: what is not writing

    def accept_websocket(
        self, cycle: WebSocketCycle, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]]
    ) -> WebSocketSink:
        """Answer a handshake with 101, and leave the transport to the WebSocket (RFC 6455 §4.2.2)."""
        upgrade = self._upgrade
        if upgrade is None or not self._machine.can_answer() or self._is_eof:
            raise ClientDisconnected("the client has disconnected")
        head, socket = upgrade.accept(cycle, subprotocol, headers, self._defaults, self._is_draining)
        self._put_out(head)
        self._write_gathered()
        self._machine.stop_reading()
        self._machine.stop_writing()
        handshake, self._cycle = self._cycle, None
        if handshake is not None:
            self._account(handshake)
        leftover = self._parser.detach()
        self._parser = _NO_PARSER
        self._upgrade = None
        self._resume_reading()
        self._host.replace(socket, leftover)
        if not self.is_writable:
            # The host says so once.
            socket.write_paused()
        return socket

    def body_consumed(self) -> None:
        """The application has taken all body bytes there were."""
        if self._is_reading_paused and self._machine.reading == READ_BODY:
            self._resume_reading()
            self._watch_silence()

    def fail(self, cycle: HttpCycle) -> None:
        """The application of this cycle cannot finish its response."""
        if cycle is not self._cycle or cycle.phase == ENDED:
            return
        if self._is_eof and cycle.is_notified():
            self._give_up("disconnected")
        elif self._machine.can_answer():
            self._answer_error(500, "Internal Server Error")
        else:
            self._give_up("aborted")

    # ---- the end of an exchange

    def _end_response(self) -> None:
        """The response's last byte was written: account for it and let the connection go on."""
        cycle = self._cycle
        assert cycle is not None
        cycle.end("completed")
        # As ``_account``, written out: a call is one per cent of a request in plain Python.
        service = self._service
        if cycle.exchange is not None and service.access is not None:
            service.access.record(cycle.exchange)
        shared = service.state
        shared.total_requests += 1
        if shared.requests_limit is not None and shared.total_requests == shared.requests_limit:
            shared.limit_reached()
        if self._is_reading_paused:
            self._resume_reading()
        if not self._parser.pending_bytes and not self._is_eof and self._machine.take_next():
            self._cycle = None
            if not self._gathering:
                self._watch_idle()
        elif not self._gathering:
            # The application is still on the stack: a pipelined request must not start inside of this one.
            self._advance_later()

    def _account(self, cycle: HttpCycle) -> None:
        """One more exchange is over."""
        service = self._service
        if cycle.exchange is not None and service.access is not None:
            service.access.record(cycle.exchange)
        shared = service.state
        shared.total_requests += 1
        if shared.requests_limit is not None and shared.total_requests == shared.requests_limit:
            shared.limit_reached()

    # ---- ends

    def _refuse(self, error: RemoteProtocolError) -> None:
        """The peer's mistake: one answer if nothing of another is on the wire, and nothing further is served."""
        client = self._client
        _logger.info(
            "%s - Invalid HTTP request received: %s (%d)%s",
            f"{client[0]}:{client[1]}" if client else "",
            error.reason,
            error.status,
            f": {error.detail}" if error.detail else "",
        )
        self._machine.stop_reading()
        if self._machine.can_answer():
            self._answer_error(error.status, error.reason, _FURTHER_LINES.get(error.status, b""))
        elif self._machine.writing == WRITE_DONE:
            self._close_lingering()
        else:
            self._give_up("aborted")

    def _answer_error(self, status: int, reason: str, extra: bytes = b"") -> None:
        """Send an answer of the server's own, and close so that the client can read it."""
        is_head = self._cycle is not None and self._method == "HEAD"
        self._fields = None
        self._is_app_due = False
        self._put_out(error_response(status, reason, is_head, extra, self._defaults))
        if self._cycle is not None:
            self._cycle.answered_by_server(status, 0 if is_head else len(reason))
        self._break_cycle("completed")
        self._close_lingering()

    def _close_lingering(self) -> None:
        self._write_gathered()
        self._machine.stop_reading()
        self._machine.stop_writing()
        self._host.linger()

    def _give_up(self, outcome: str) -> None:
        """Break the connection off, so that a response that is not complete cannot be taken for one that is."""
        self._machine.stop_reading()
        self._machine.stop_writing()
        self._break_cycle(outcome)
        self._wake_drained()
        self._host.abort()

    def _break_cycle(self, outcome: str) -> None:
        """Tell the application that nobody reads its response any more."""
        cycle, self._cycle = self._cycle, None
        if cycle is None:
            return
        was_ended = cycle.phase == ENDED
        cycle.disconnected(outcome)
        if not was_ended:
            self._account(cycle)

    def _write_stalled(self) -> None:
        size = self._host.write_buffer_size()
        if size < self._buffer_mark:
            self._buffer_mark = size
            self._host.set_deadline(self._service.now() + self._settings.write_timeout_s)
        else:
            self._give_up("aborted")

    def _pause_reading(self) -> None:
        if not self._is_reading_paused:
            self._is_reading_paused = True
            self._host.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_reading_paused:
            self._is_reading_paused = False
            self._host.resume_reading()


def _replace_host(headers: Headers, authority: bytes) -> None:
    """RFC 9112 §3.2.2: the authority of an absolute target stands above Host, which "MUST" be ignored."""
    headers[:] = [(b"host", authority), *[field for field in headers if field[0] != b"host"]]
