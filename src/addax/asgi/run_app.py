# cython: annotation_typing=True
"""Calls the application for one request and classifies how that ended: the only place that catches what it raises.

Implements: ASGI HTTP message format 2.5 on exceptions: an error before the response starts is a 500 response, after
it a broken connection; an error because the client left is nobody's fault.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from addax.asgi.http_cycle import HttpCycle
from addax.asgi.phases import ENDED
from addax.asgi.sinks import ResponseSink
from addax.asgi.state import ServerState
from addax.core.errors import ClientDisconnected
from addax.core.types import ASGIApp

_logger = logging.getLogger("addax.error")


async def run_http(app: ASGIApp, cycle: HttpCycle, channel: Any, sink: ResponseSink, state: ServerState) -> None:
    """Run the application for one request. Whatever it raises, ``SystemExit`` too, costs this request and no other.

    Args:
        app: the ASGI 3 application.
        cycle: of the request.
        channel: the cycle again, for its ``receive`` and ``send``: of a name with a compiled type they would be C
            functions instead of bound methods.
        sink: takes the response.
        state: counts requests.
    """
    try:
        # An application should return nothing; one that does return something has a mistake that is worth telling.
        result: object = await app(  # type: ignore[func-returns-value]
            cycle.scope, channel.receive, channel.send
        )
    except (asyncio.CancelledError, GeneratorExit):
        sink.fail(cycle)
        raise
    except BaseException as error:
        _take_error(error, cycle, sink)
    else:
        if result is not None or cycle.phase != ENDED:
            _check_return(result, cycle, sink)
    finally:
        cycle.is_returned = True
        state.active_requests -= 1
        if cycle.task is not None:
            state.tasks.discard(cycle.task)
        if state.on_quiet is not None and state.active_requests == 0:
            state.on_quiet()


def _check_return(result: Any, cycle: HttpCycle, sink: ResponseSink) -> None:
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


def _take_error(error: BaseException, cycle: HttpCycle, sink: ResponseSink) -> None:
    if cycle.is_client_gone() and is_disconnect(error):
        return
    _logger.error("Exception in ASGI application\n", exc_info=error)
    sink.fail(cycle)


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
