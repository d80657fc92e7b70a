"""Let what is in progress come to its end, within bounds. Called by ``Server.shutdown`` when nobody is accepted now.

=====================  ==============================================================================================
when                   what
=====================  ==============================================================================================
at once                idle connections close; answers say ``connection: close``
notice timeout         requests that still run get ``http.disconnect`` from ``receive``; what they send still arrives
graceful timeout       their tasks are cancelled
shortly after          connections that are still there are broken off
=====================  ==============================================================================================

An urgent stop gives the notice at once and cancels ``URGENT_S`` later; a forced one cancels at once.
"""

from __future__ import annotations

import asyncio
import logging
import math

from addax.asgi.state import ServerState
from addax.server.stopping import StopRequest

logger = logging.getLogger("addax.error")

#: What an urgent stop leaves of the graceful timeout, in seconds.
URGENT_S = 1.0
#: How long a task may take to follow its cancellation, and a connection to send what it has, in seconds.
CANCEL_S = 1.0
#: How long the loop may take to report that connections were broken off, in seconds.
_ABORT_S = 0.5
#: When it is said what is waited for, in seconds from the start: requests in progress, or mere connections, which
#: close by themselves within this time.
_SAY_REQUESTS_S = 0.1
_SAY_CONNECTIONS_S = 2.0
#: How long connections without a request may take to send what they have when everything is to be over, in seconds.
_FLUSH_S = 0.1


class Drain:
    """One stop of one worker.

    Args:
        state: the connections and tasks to wait for.
        stop: how urgent it is; may change while ``run`` waits.
        graceful_timeout_s: from the start of ``run`` to the cancellation; None: for ever, 0: none.
        notice_timeout_s: from the start of ``run`` to the notice.
    """

    def __init__(
        self, state: ServerState, stop: StopRequest, graceful_timeout_s: float | None, notice_timeout_s: float
    ) -> None:
        self._state = state
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._say_requests_at = now + _SAY_REQUESTS_S
        self._say_connections_at = now + _SAY_CONNECTIONS_S
        self._said: set[str] = set()
        self._notice_at = now + notice_timeout_s
        self._cancel_at = math.inf if graceful_timeout_s is None else now + graceful_timeout_s
        self._was_urgent = False

    async def run(self) -> None:
        """Return when all connections and tasks are gone, or all bounds were reached."""
        self._state.on_quiet = self._stop.wake
        try:
            for connection in list(self._state.connections):
                connection.start_draining(self._stop.rest_s)
            await self._wait_gracefully()
            if not self._is_over():
                await self._cancel()
        finally:
            self._state.on_quiet = None

    # ---- waiting

    def _is_over(self) -> bool:
        return not self._state.connections and not self._state.tasks

    async def _wait_gracefully(self) -> None:
        while not self._is_over():
            now = self._loop.time()
            if self._stop.is_urgent and not self._was_urgent:
                self._was_urgent = True
                self._notice_at = now
                self._cancel_at = min(self._cancel_at, now + URGENT_S)
            if self._stop.is_forced or now >= self._cancel_at:
                return
            if now >= self._notice_at:
                self._notice_at = math.inf
                self._give_notice()
            self._say_what_is_waited_for(now)
            await self._stop.wait(self._next_look(now))

    def _next_look(self, now: float) -> float | None:
        moments = (self._notice_at, self._cancel_at, self._say_requests_at, self._say_connections_at)
        return min((moment for moment in moments if now < moment < math.inf), default=None)

    async def _wait_at_most(self, bound_s: float) -> None:
        until = self._loop.time() + bound_s
        while not self._is_over() and self._loop.time() < until:
            await self._stop.wait(until)

    def _say_what_is_waited_for(self, now: float) -> None:
        kind = "connections to close" if self._state.connections else "background tasks to complete"
        is_due = now >= (self._say_requests_at if self._state.tasks else self._say_connections_at)
        if is_due and kind not in self._said:
            self._said.add(kind)
            logger.info(f"Waiting for {kind}. (CTRL+C to force quit)")

    # ---- steps

    def _give_notice(self) -> None:
        for connection in list(self._state.connections):
            connection.notify_disconnect()

    async def _cancel(self) -> None:
        # A second signal: the line that it follows has said "CTRL+C to force quit".
        is_forced = self._stop.is_forced or self._was_urgent
        reason = "stop was forced" if is_forced else "timeout graceful shutdown exceeded"
        tasks = [task for task in self._state.tasks if not task.done()]
        if tasks:
            logger.error("Cancel %s running task(s), %s", len(tasks), reason)
        for task in tasks:
            task.cancel(msg=f"Task cancelled, {reason}")
        await self._wait_at_most(CANCEL_S if tasks else _FLUSH_S)
        if self._state.connections:
            logger.info("Break off %d connection(s), %s", len(self._state.connections), reason)
            for connection in list(self._state.connections):
                connection.abort()
            await self._wait_at_most(_ABORT_S)
        if self._state.tasks:
            logger.error("%d task(s) go on in spite of their cancellation", len(self._state.tasks))
