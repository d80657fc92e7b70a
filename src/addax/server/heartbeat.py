"""The sign of life of a worker's event loop: a timer that writes the time, and with it the counters, on its board.

Whoever maps the board sees whether the loop ticks: the supervisor, and the worker's own ``watchdog``.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable

from addax.asgi.state import ServerState
from addax.core import clock
from addax.core.board import Board
from addax.core.report import Counters
from addax.server.memory import resident_bytes

#: How often the memory is looked at, in seconds: the system counts pages for that.
_MEMORY_S = 1.0


class Heartbeat:
    """Beats in an event loop.

    Args:
        loop: the loop.
        board: gets the time and the counters.
        state: of the worker: what is counted.
        interval_s: between two beats.
        on_beat: called with each beat.
        now: the clock.
        resident: gives the resident memory of this process in bytes.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        board: Board,
        state: ServerState,
        interval_s: float,
        on_beat: Callable[[], None] = lambda: None,
        now: Callable[[], float] = clock.now,
        resident: Callable[[], int] = resident_bytes,
    ) -> None:
        self._loop = loop
        self._board = board
        self._state = state
        self._interval_s = interval_s
        self._on_beat = on_beat
        self._now = now
        self._resident = resident
        self._pid = os.getpid()
        self._timer: asyncio.TimerHandle | None = None
        # Of nobody: a timer would keep alive whatever the context of its maker holds.
        self._context = contextvars.Context()
        self._due_at = 0.0
        self._rss_bytes = 0
        self._rss_due_at = 0.0

    def start(self) -> None:
        """Beat now, and from now on. Called in the loop's thread."""
        self._due_at = self._rss_due_at = self._now()
        self._beat()

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        now = self._now()
        self._board.beat(now)
        self._board.count(self._count(now))
        self._on_beat()
        self._due_at = now + self._interval_s
        self._timer = self._loop.call_later(self._interval_s, self._beat, context=self._context)

    def _count(self, now: float) -> Counters:
        if now >= self._rss_due_at:
            self._rss_bytes = self._resident()
            self._rss_due_at = now + _MEMORY_S
        state = self._state
        return Counters(
            total_requests=state.total_requests,
            active_requests=state.active_requests,
            connections=len(state.connections),
            websockets_open=state.websockets.open,
            rss_bytes=self._rss_bytes,
            loop_lag_s=max(0.0, now - self._due_at),
            pid=self._pid,
        )
