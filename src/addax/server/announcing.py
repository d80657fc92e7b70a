"""What the service manager (systemd) hears of a process that serves alone. ``addax.run`` hands it to a ``Server``.

A program that embeds a server has its own things to say, and a worker leaves it to its supervisor.
"""

from __future__ import annotations

import asyncio

from addax.asgi.state import ServerState
from addax.core.settings import WorkerSettings
from addax.net.notify import EXTENSION_S, TURN_S, Notifier, Pulse, Repeated, describe_load

#: Beyond the bounds of its two parts, how long a graceful stop may take, in seconds.
_STOP_MARGIN_S = 5.0


class Announcer:
    """Says READY, STOPPING, STATUS and WATCHDOG, the last from the event loop that serves.

    Args:
        notifier: speaks.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._state: ServerState | None = None
        self._pulse: Pulse | None = None
        self._turns: Repeated | None = None
        self._last_status = ""
        self._is_stopping = False
        self._asks_until = 0.0

    def started(self, state: ServerState) -> None:
        """Connections are accepted.

        Args:
            state: has the numbers.
        """
        if not self._notifier.has_listener:
            return
        loop = asyncio.get_running_loop()
        self._state = state
        self._notifier.ready(self._describe_anew(state))
        self._turns = Repeated(loop, TURN_S, self._turn)
        # That it is called at all is what is to be shown.
        self._pulse = Pulse(loop, self._notifier, lambda: True)
        self._pulse.start()

    def reloading(self) -> None:
        """Files are about to be read anew, because a signal has asked for it."""
        if self._state is not None:
            self._notifier.reloading(self._describe_anew(self._state))

    def reloaded(self) -> None:
        """That is done, with or without success."""
        if self._state is not None:
            self._notifier.ready(self._describe_anew(self._state))

    def stopping(self, settings: WorkerSettings) -> None:
        """A stop begins, or a start has failed.

        Args:
            settings: say how long it may take; for ever: the unit's own limit holds.
        """
        self._is_stopping = True
        self._notifier.stopping("" if self._state is None else self._describe_anew(self._state))
        graceful_s, shutdown_s = settings.graceful_timeout_s, settings.lifespan_shutdown_timeout_s
        if graceful_s is not None and shutdown_s is not None:
            bound_s = settings.shutdown_delay_s + graceful_s + shutdown_s + _STOP_MARGIN_S
            self._asks_until = asyncio.get_running_loop().time() + bound_s
            self._notifier.extend_timeout(EXTENSION_S)

    def ended(self) -> None:
        """Nothing more is said from this loop."""
        for timer in (self._turns, self._pulse):
            if timer is not None:
                timer.stop()

    def _turn(self) -> None:
        assert self._state is not None
        last = self._last_status
        if self._describe_anew(self._state) != last:
            self._notifier.status(self._last_status)
        if self._is_stopping and asyncio.get_running_loop().time() < self._asks_until:
            self._notifier.extend_timeout(EXTENSION_S)

    def _describe_anew(self, state: ServerState) -> str:
        load = describe_load(state.active_requests, len(state.connections), state.total_requests)
        self._last_status = f"Stopping: {load}" if self._is_stopping else load
        return self._last_status
