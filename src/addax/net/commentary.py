"""When a service manager is told what: again and again while a service runs, and for how long more time is asked for.

``server.announcing`` and ``supervise.bulletin`` say what goes on, for a process that serves alone and for a supervisor;
what both have in common is here. The words are in ``notify``.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

from addax.net.notify import Notifier

#: How often the status is looked at, and more time is asked for, in seconds; each request asks for several such turns.
TURN_S = 5.0
EXTENSION_S = 4 * TURN_S


class Commentary:
    """Tells of a service from its start to its end. Without a service manager it does nothing.

    ====================  ==========================================================================
    when                  what
    ====================  ==========================================================================
    every ``TURN_S``      the status, if it is another one; more time, while it is needed
    half of WatchdogSec   that the service is alive, from the first ``ready`` on, while it is
    ====================  ==========================================================================

    Args:
        loop: the loop.
        notifier: speaks.
        describe: the status, for people; empty: there is nothing to say yet.
        is_alive: whether the service is. Time is not asked for while it is not, for that would put the watchdog off.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        notifier: Notifier,
        describe: Callable[[], str],
        is_alive: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._notifier = notifier
        self._describe = describe
        self._is_alive = is_alive
        self._pulse = Pulse(loop, notifier, is_alive)
        self._turns: Repeated | None = None
        self._is_ready = False
        self._last_status = ""
        #: On the loop's clock; 0: no more time is needed.
        self._asks_until = 0.0

    def open(self) -> None:
        """Look at the service from now on."""
        if self._notifier.has_listener and self._turns is None:
            self._turns = Repeated(self._loop, TURN_S, self._turn)

    def ready(self, status: str = "") -> None:
        """It serves: for the first time, or again.

        Args:
            status: what is to be read for now, if it is not what the service is described as.
        """
        self._is_ready = True
        self._asks_until = 0.0
        self._notifier.ready(self._renew(status))
        self._pulse.start()

    def reloading(self, bound_s: float | None) -> None:
        """A reload begins; ``ready`` ends it.

        Args:
            bound_s: as for ``ask_for_time``.
        """
        self._notifier.reloading(self._renew())
        self.ask_for_time(bound_s)

    def stopping(self, bound_s: float | None) -> None:
        """It begins to end.

        Args:
            bound_s: as for ``ask_for_time``.
        """
        self._notifier.stopping(self._renew())
        self.ask_for_time(bound_s)

    def ask_for_time(self, bound_s: float | None) -> None:
        """Ask for more time, now and again.

        Args:
            bound_s: for how long it may be needed, in seconds; None: for ever, so the manager's own limit holds.
        """
        if bound_s is None:
            self._asks_until = 0.0
        else:
            self._asks_until = self._loop.time() + bound_s
            self._notifier.extend_timeout(EXTENSION_S)

    def close(self) -> None:
        """Say nothing more."""
        self._pulse.stop()
        if self._turns is not None:
            self._turns.stop()
            self._turns = None

    def _turn(self) -> None:
        last = self._last_status
        status = self._renew()
        if status != last:
            self._notifier.status(status)
        if self._loop.time() < self._asks_until and (not self._is_ready or self._is_alive()):
            self._notifier.extend_timeout(EXTENSION_S)

    def _renew(self, status: str = "") -> str:
        self._last_status = status or self._describe()
        return self._last_status


class Pulse:
    """Beats the watchdog from an event loop, and so shows that the loop goes round.

    Args:
        loop: the loop.
        notifier: says it.
        is_healthy: whether there is reason to.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, notifier: Notifier, is_healthy: Callable[[], bool]) -> None:
        self._loop = loop
        self._notifier = notifier
        self._is_healthy = is_healthy
        self._repeated: Repeated | None = None

    def start(self) -> None:
        """Beat now, and from now on, if anybody waits for it."""
        interval_s = self._notifier.watchdog_interval_s
        if interval_s is not None and self._repeated is None:
            self._repeated = Repeated(self._loop, interval_s, self._beat)
            self._beat()

    def stop(self) -> None:
        """Beat no more."""
        if self._repeated is not None:
            self._repeated.stop()
            self._repeated = None

    def _beat(self) -> None:
        if self._is_healthy():
            self._notifier.watchdog()


class Repeated:
    """A timer that goes off again and again.

    Args:
        loop: the loop.
        interval_s: between two calls, and before the first.
        callback: what is called.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval_s: float, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._interval_s = interval_s
        self._callback = callback
        # Of nobody: a timer would keep alive whatever the context of its maker holds.
        self._context = contextvars.Context()
        self._timer = loop.call_later(interval_s, self._go_off, context=self._context)

    def stop(self) -> None:
        """No more."""
        self._timer.cancel()

    def _go_off(self) -> None:
        self._timer = self._loop.call_later(self._interval_s, self._go_off, context=self._context)
        self._callback()


def describe_load(active_count: int, connections_count: int, total_count: int) -> str:
    """The counters of a server, or the sums of several, for a status."""
    return ", ".join(
        (
            counted(active_count, "request") + " in progress",
            counted(connections_count, "connection"),
            counted(total_count, "request"),
        )
    )


def counted(count: int, noun: str) -> str:
    """A number and what it counts."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
