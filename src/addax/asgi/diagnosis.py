"""Which request a task serves: for ``server.watchdog``, when something holds the event loop.

All of this is called by another thread than the loop's, which may go on in between. So everything is looked at once,
and whoever calls has to bear that a look fails.
"""

from __future__ import annotations

import asyncio
from typing import Any

from addax.asgi import run_app
from addax.asgi.http_cycle import HttpCycle
from addax.asgi.state import ServerState
from addax.asgi.ws_cycle import WebSocketCycle
from addax.core.report import InProgress


def find_request(task: asyncio.Task[Any], state: ServerState) -> InProgress | None:
    """The request whose application a task runs.

    Args:
        task: perhaps one of the application's own, which serve no request that is known.
        state: of the worker.
    """
    for connection in list(state.connections):
        found: InProgress | None = connection.in_progress()
        if found is not None and found.task is task:
            return found
    # A connection learns of the task when the application first waits, and forgets the request with the response's
    # end, behind which an application may have work to do. The task knows it all the time.
    cycle = run_app.cycle_of(task)
    return None if cycle is None else describe_cycle(cycle, state, task)


def describe_cycle(cycle: HttpCycle | WebSocketCycle, state: ServerState, task: asyncio.Task[Any] | None) -> InProgress:
    """The request of a cycle, from its scope, of which the application may have changed anything."""
    scope = cycle.scope
    return InProgress(
        str(scope.get("type")),
        str(scope.get("method", "GET")),
        str(scope.get("path")),
        scope.get("client"),
        cycle_started_at(cycle, state),
        task,
    )


def cycle_started_at(cycle: HttpCycle | WebSocketCycle, state: ServerState) -> float | None:
    """When it began, if somebody has noted that: the access log or the worker's board."""
    exchange = cycle.exchange if isinstance(cycle, HttpCycle) else None
    if exchange is not None:
        return exchange.started_at
    return None if state.board is None else state.board.started_at(cycle.slot)
