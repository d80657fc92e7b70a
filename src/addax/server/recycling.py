"""When a process has served enough: requests, memory, age. Asked by ``server.Server`` while it serves.

A process alone ends then, and whoever started it starts another one. Under a supervisor it asks to be replaced, and
serves until the replacement does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from addax.asgi.state import ServerState
from addax.core.settings import WorkerSettings
from addax.server.memory import resident_bytes

#: How often the memory is looked at, in seconds.
MEMORY_CHECK_S = 1.0
_MEBIBYTE = 1024 * 1024


class Limits:
    """The bounds of one process.

    Args:
        settings: where the bounds are.
        requests_max_count: jitter included; None: no bound.
        state: counts requests.
        on_reached: called, in the loop, when a bound may have been reached; more than once perhaps.
        resident: gives the resident memory of this process in bytes.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        requests_max_count: int | None,
        state: ServerState,
        on_reached: Callable[[], None],
        resident: Callable[[], int] = resident_bytes,
    ) -> None:
        self._settings = settings
        self._requests_max_count = requests_max_count
        self._state = state
        self._on_reached = on_reached
        self._resident = resident
        self._is_old = False
        self._too_large_bytes: int | None = None
        self._timers: list[asyncio.TimerHandle] = []

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch from now on."""
        self._state.requests_limit = self._requests_max_count
        self._state.on_limit = self._on_reached
        lifetime_s = self._settings.lifetime_max_s
        if lifetime_s is not None:
            self._timers.append(loop.call_later(lifetime_s, self._grow_old))
        if self._settings.memory_max_bytes is not None:
            self._timers.append(loop.call_later(MEMORY_CHECK_S, self._look_at_memory, loop))

    def stop(self) -> None:
        """Watch no more."""
        self._state.on_limit = None
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def reached(self) -> str | None:
        """Which bound was reached, in words; None: none."""
        requests, lifetime_s = self._requests_max_count, self._settings.lifetime_max_s
        if requests is not None and self._state.total_requests >= requests:
            return f"Maximum request limit of {requests} exceeded"
        if self._too_large_bytes is not None:
            bound = self._settings.memory_max_bytes or 0
            return f"Memory limit of {bound // _MEBIBYTE} MiB exceeded, {self._too_large_bytes // _MEBIBYTE} MiB in use"
        if self._is_old:
            return f"Lifetime limit of {lifetime_s:g} seconds exceeded"
        return None

    def _grow_old(self) -> None:
        # Not asked of a clock again: a loop's timer may be a little early by it.
        self._is_old = True
        self._on_reached()

    def _look_at_memory(self, loop: asyncio.AbstractEventLoop) -> None:
        bound = self._settings.memory_max_bytes
        used = self._resident()
        if bound is not None and used > bound:
            self._too_large_bytes = used
            self._on_reached()
            return
        self._timers[-1] = loop.call_later(MEMORY_CHECK_S, self._look_at_memory, loop)
