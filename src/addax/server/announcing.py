"""What the service manager (systemd) hears of a process that serves alone. ``addax.run`` hands it to a ``Server``.

A program that embeds a server has its own things to say, and a worker leaves it to its supervisor.
"""

from __future__ import annotations

import asyncio

from addax.asgi.state import ServerState
from addax.core.settings import WorkerSettings
from addax.net.commentary import Commentary, describe_load
from addax.net.notify import Notifier

#: Beyond the bounds of its two parts, how long a graceful stop may take, in seconds.
_STOP_MARGIN_S = 5.0


class Announcer:
    """Says READY, STOPPING, STATUS and WATCHDOG, the last from the event loop that serves.

    Args:
        notifier: speaks.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._commentary: Commentary | None = None
        self._state: ServerState | None = None
        self._is_stopping = False

    def started(self, state: ServerState) -> None:
        """Connections are accepted.

        Args:
            state: has the numbers.
        """
        self._state = state
        commentary = self._begin()
        commentary.open()
        commentary.ready()

    def reloading(self) -> None:
        """Files are about to be read anew, because a signal has asked for it."""
        if self._state is not None:
            self._begin().reloading(None)

    def reloaded(self) -> None:
        """That is done, with or without success."""
        if self._state is not None:
            self._begin().ready()

    def stopping(self, settings: WorkerSettings) -> None:
        """A stop begins, or a start has failed.

        Args:
            settings: say how long it may take; for ever: the unit's own limit holds.
        """
        self._is_stopping = True
        graceful_s, shutdown_s = settings.graceful_timeout_s, settings.lifespan_shutdown_timeout_s
        bound_s = None
        if graceful_s is not None and shutdown_s is not None:
            bound_s = settings.shutdown_delay_s + graceful_s + shutdown_s + _STOP_MARGIN_S
        self._begin().stopping(bound_s)

    def ended(self) -> None:
        """Nothing more is said from this loop."""
        if self._commentary is not None:
            self._commentary.close()

    def _begin(self) -> Commentary:
        if self._commentary is None:
            # That the watchdog is beaten at all, from this loop, is what is to be shown.
            self._commentary = Commentary(asyncio.get_running_loop(), self._notifier, self._describe, lambda: True)
        return self._commentary

    def _describe(self) -> str:
        state = self._state
        if state is None:
            return ""
        load = describe_load(state.active_requests, len(state.connections), state.total_requests)
        return f"Stopping: {load}" if self._is_stopping else load
