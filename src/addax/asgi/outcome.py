"""Classifies how the application's run for a request ended: its mistake, the client's leaving, or nobody's fault.

Used by ``run_app`` and by ``app_run``, its compiled counterpart.
"""

from __future__ import annotations

import logging
from typing import Any

from addax.asgi.http_cycle import HttpCycle
from addax.asgi.sinks import ResponseSink
from addax.asgi.ws_cycle import WebSocketCycle
from addax.core.errors import ClientDisconnected

_logger = logging.getLogger("addax.error")


def check_return(result: Any, cycle: HttpCycle, sink: ResponseSink) -> None:
    """The application has returned, with a mistake: something else than None, or too early."""
    if result is not None:
        _logger.error("ASGI callable should return None, but returned '%s'.", result)
    elif cycle.is_client_gone():
        return
    elif cycle.is_notified():
        # It was told to end, and has.
        pass
    elif not cycle.is_started():
        _logger.error("ASGI callable returned without starting response.")
    else:
        _logger.error("ASGI callable returned without completing response.")
    sink.fail(cycle)


def take_error(error: BaseException, cycle: HttpCycle, sink: ResponseSink) -> None:
    """The application has raised: loud, unless it is no more than the client that left."""
    if cycle.is_client_gone() and is_disconnect(error):
        return
    _logger.error("Exception in ASGI application\n", exc_info=error)
    sink.fail(cycle)


def check_websocket_return(result: Any, cycle: WebSocketCycle) -> None:
    """The application has returned from a WebSocket: in order, or with something else than None, or too early."""
    complaint = cycle.complaint()
    if result is not None:
        _logger.error("ASGI callable should return None, but returned '%s'.", result)
        cycle.fail()
    elif complaint:
        _logger.error(complaint)
        cycle.fail()
    else:
        cycle.returned()


def take_websocket_error(error: BaseException, cycle: WebSocketCycle) -> None:
    """The application has raised during a WebSocket: as ``take_error``."""
    if not (cycle.is_client_gone() and is_disconnect(error)):
        _logger.error("Exception in ASGI application\n", exc_info=error)
    cycle.fail()


def is_disconnect(error: BaseException) -> bool:
    """Whether an error is no more than the news that the client left, as frameworks pass it on.

    Frameworks wrap it: as the cause of an exception of their own, or in a group of what a task group's tasks raised.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        if isinstance(current, ClientDisconnected):
            return True
        seen.add(id(current))
        pending += (current.__cause__, current.__context__)
        pending += getattr(current, "exceptions", ())
    return False
