"""The handshake of a WebSocket as an HTTP/1.1 connection has to do with it: from the request that asks for one to the
connection that takes over.

``http1/connection.py`` makes an ``Upgrade`` of a head that asks, and has it until the handshake is answered. A refusal
is an ordinary response and nothing of this module; ``accept`` is the other answer.

Implements: RFC 6455 §4.2.2 (the server's answer), for HTTP/1.1; what it says is in ``websocket/handshake.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from addax.asgi.http_cycle import HttpCycle
from addax.asgi.run_app import EagerTask, new_task, run_websocket
from addax.asgi.service import Service
from addax.asgi.sinks import ResponseSink
from addax.asgi.ws_cycle import WebSocketCycle
from addax.core.errors import RemoteProtocolError
from addax.core.status import STATUS_LINES
from addax.core.types import Headers
from addax.http1.encode import DefaultFields
from addax.observe.websocket import log_handshake
from addax.websocket.connection import WebSocketConnection
from addax.websocket.handshake import read_opening, response_fields, share_fields

_logger = logging.getLogger("addax.error")


class Upgrade:
    """A handshake that was read and is not answered.

    Args:
        service: what is served.
        method: of the request.
        scope: of the request; it becomes that of a WebSocket.
        headers: of the request.
        has_body: whether it has a body, which it must not.

    Raises:
        RemoteProtocolError: this cannot become a WebSocket; the scope was not changed then.
    """

    __slots__ = ("_opening", "_service", "opened_at", "until")

    def __init__(self, service: Service, method: str, scope: dict[str, Any], headers: Headers, has_body: bool) -> None:
        if has_body:
            raise RemoteProtocolError("a WebSocket handshake has no body")
        self._service = service
        self._opening = read_opening(method, headers, service.websocket)
        share_fields(headers)
        #: When it was read, and until when the application has to answer, on ``core.clock.now``.
        self.opened_at = service.now()
        self.until = self.opened_at + service.websocket.handshake_timeout_s
        service.scopes.websocket(scope, self._opening.subprotocols)

    def start(self, handshake: HttpCycle, sink: ResponseSink, target: bytes) -> None:
        """Call the application: once for all of the WebSocket's life, so it need not be quick.

        Args:
            handshake: the request.
            sink: takes the answer.
            target: of the request, for the board.
        """
        service = self._service
        cycle = WebSocketCycle(handshake, sink)
        if service.state.board is not None:
            cycle.slot = service.state.board.begin_websocket(target, self.opened_at)
        coroutine = run_websocket(service.app, cycle, service.state)
        if service.starts_at_once:
            task = EagerTask(coroutine, loop=service.loop, eager_start=True)
        else:
            task = new_task(coroutine, service.loop, service.settings.reset_contextvars)
        if not cycle.is_returned:
            cycle.task = handshake.task = task
            service.state.tasks.add(task)

    def log_timeout(self, scope: dict[str, Any]) -> None:
        """Log that the application has not said in time whether it wants the WebSocket: it is refused with 503."""
        _logger.warning(
            "A WebSocket handshake was not answered by the application in %g s (--ws-handshake-timeout).",
            self._service.websocket.handshake_timeout_s,
        )
        log_handshake(scope, 503)

    def accept(
        self,
        cycle: WebSocketCycle,
        subprotocol: str | None,
        headers: Iterable[tuple[bytes, bytes]],
        defaults: DefaultFields,
        is_draining: bool,
    ) -> tuple[bytes, WebSocketConnection]:
        """Make what says yes, and what speaks after that.

        Args:
            cycle: as for ``ResponseSink.accept_websocket``, like the next two.
            subprotocol: the same.
            headers: the same.
            defaults: field lines of every response.
            is_draining: the server is stopping.

        Returns:
            The head to send, and the connection that its host goes to.

        Raises:
            LocalProtocolError: as ``ResponseSink.accept_websocket``.
        """
        fields = response_fields(self._opening, subprotocol, headers)
        connection = WebSocketConnection(self._service, cycle, self._opening.deflate, is_draining)
        return STATUS_LINES[101] + defaults.lines() + fields + b"\r\n", connection
