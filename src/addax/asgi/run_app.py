"""Calls the application for one request or WebSocket, and nothing that it raises goes further.

Implements: ASGI HTTP message format 2.5 on exceptions: an error before the response starts is a 500 response, after
it a broken connection; an error because the client left is nobody's fault.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from addax.asgi.http_cycle import HttpCycle
from addax.asgi.outcome import check_return, check_websocket_return, take_error, take_websocket_error
from addax.asgi.phases import ENDED
from addax.asgi.sinks import ResponseSink
from addax.asgi.state import ServerState
from addax.asgi.ws_cycle import WebSocketCycle
from addax.core.types import ASGIApp


async def _run_http(app: ASGIApp, cycle: HttpCycle, sink: ResponseSink, state: ServerState) -> None:
    """Run the application for one request. Whatever it raises, ``SystemExit`` too, costs this request and no other.

    Args:
        app: the ASGI 3 application.
        cycle: of the request.
        sink: takes the response.
        state: counts requests.
    """
    try:
        # An application should return nothing; one that does return something has a mistake that is worth telling.
        result: object = await app(  # type: ignore[func-returns-value]
            cycle.scope, cycle.receive, cycle.send
        )
    except (asyncio.CancelledError, GeneratorExit):
        sink.fail(cycle)
        raise
    except BaseException as error:
        take_error(error, cycle, sink)
    else:
        if result is not None or cycle.phase != ENDED:
            check_return(result, cycle, sink)
    finally:
        _note_end(cycle, state)


async def run_websocket(app: ASGIApp, cycle: WebSocketCycle, state: ServerState) -> None:
    """Run the application for one WebSocket, from its handshake to its end; otherwise as for a request.

    Args:
        app: the ASGI 3 application.
        cycle: of the WebSocket.
        state: counts it among the requests in progress.
    """
    try:
        result: object = await app(  # type: ignore[func-returns-value]
            cycle.scope, cycle.receive, cycle.send
        )
    except (asyncio.CancelledError, GeneratorExit):
        cycle.fail()
        raise
    except BaseException as error:
        take_websocket_error(error, cycle)
    else:
        check_websocket_return(result, cycle)
    finally:
        _note_end(cycle, state)


def _note_end(cycle: HttpCycle | WebSocketCycle, state: ServerState) -> None:
    """The application has returned, in whatever way."""
    cycle.is_returned = True
    state.active_requests -= 1
    if state.board is not None:
        state.board.end(cycle.slot)
    if cycle.task is not None:
        state.tasks.discard(cycle.task)
    if state.on_quiet is not None and state.active_requests == 0:
        state.on_quiet()


def cycle_of(task: asyncio.Task[Any]) -> HttpCycle | WebSocketCycle | None:
    """The cycle whose application a task runs; None if it runs something else, or has ended."""
    coroutine: Any = task.get_coro()
    if isinstance(run_http, type) and isinstance(coroutine, run_http):
        cycle: HttpCycle | None = coroutine.cycle  # type: ignore[attr-defined]
        return cycle
    frame = getattr(coroutine, "cr_frame", None)
    if frame is None or frame.f_code not in (_run_http.__code__, run_websocket.__code__):
        return None
    found: HttpCycle | WebSocketCycle | None = frame.f_locals.get("cycle")
    return found


#: A task that runs until it first has to wait, inside of the call that makes it (Python 3.12). Untyped, because
#: ``eager_start`` is not in the signature of the oldest interpreter's Task.
EagerTask: Any = asyncio.Task


def new_task(
    coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, reset_contextvars: bool
) -> asyncio.Task[None]:
    """A task that starts with the loop's next turn, or in a way that only somebody's task factory knows.

    Args:
        coroutine: what it runs.
        loop: the running event loop.
        reset_contextvars: whether it begins with an empty context instead of a copy of the current one.
    """
    if not reset_contextvars:
        return loop.create_task(coroutine)
    # Before 3.11 a task cannot be given a context: it takes the one that it is made in.
    return contextvars.Context().run(loop.create_task, coroutine)


StartHttp: TypeAlias = Callable[[ASGIApp, HttpCycle, ResponseSink, ServerState, dict[str, Any]], "asyncio.Task[None]"]

#: What a task runs for one request: ``_run_http``, or where it is compiled the class that does the same.
run_http: Callable[[ASGIApp, HttpCycle, ResponseSink, ServerState], Coroutine[Any, Any, None]] = _run_http


#: Makes the task too, one that begins before it is scheduled (Python 3.12), where that is compiled; None elsewhere.
start_http: StartHttp | None = None

try:
    from addax.asgi import app_run
except ImportError:
    # Plain Python.
    pass
else:
    run_http = app_run.AppRun
    start_http = app_run.start_http
