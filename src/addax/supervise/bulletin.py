"""What the service manager (systemd) hears of a supervisor and its workers. ``running`` makes it and opens it.

===================  ===========================================================================
when                 what
===================  ===========================================================================
workers start        more time is asked for, up to ``--timeout-worker-startup``
they are ready       READY; for a successor when its predecessor has named it as the main process
a restart            RELOADING, then READY with how it ended
every ``TURN_S``     STATUS, if it is another one
half of WatchdogSec  WATCHDOG, while a worker serves and its event loop shows that it is alive
a stop               STOPPING; more time is asked for, as long as workers may take to end
===================  ===========================================================================

Where an option says that something may take for ever nothing is asked for: the unit's own limits hold then.
"""

from __future__ import annotations

import asyncio

from addax.core.report import Counters
from addax.core.settings import SupervisorSettings
from addax.net.commentary import Commentary, counted, describe_load
from addax.net.notify import Notifier
from addax.supervise.child import Child
from addax.supervise.supervisor import DRAIN_WAIT_S, Supervisor
from addax.supervise.witness import Witness


class Bulletin(Witness):
    """Tells it.

    Args:
        notifier: speaks.
        supervisor: whose workers are looked at; the caller makes this its witness.
        settings: of the supervisor.
    """

    def __init__(self, notifier: Notifier, supervisor: Supervisor, settings: SupervisorSettings) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._commentary = Commentary(asyncio.get_running_loop(), notifier, self._describe, self._is_alive)
        self._is_ready = False
        #: Before the numbers of a status.
        self._prefix = ""
        self._seen: set[Child] = set()
        #: Of workers that are gone.
        self._gone_requests_count = 0

    def open(self) -> None:
        """The first workers are about to be started."""
        self._commentary.open()
        self._commentary.ask_for_time(self._settings.startup_timeout_s)

    def ready(self) -> None:
        """All of them serve, and this is the main process of the service."""
        self._is_ready = True
        self._commentary.ready()

    def close(self) -> None:
        """Say nothing more."""
        self._commentary.close()

    # ---- what the supervisor tells

    def restart_begins(self) -> None:
        """See ``Witness``."""
        if self._is_ready:
            self._prefix = "Restarting: "
            startup_s = self._settings.startup_timeout_s
            each_s = None if startup_s is None else startup_s + DRAIN_WAIT_S
            self._commentary.reloading(None if each_s is None else each_s * self._supervisor.count)

    def restart_ends(self, text: str, has_failed: bool) -> None:
        """See ``Witness``."""
        if self._is_ready:
            # A failure is to be seen until something else is tried.
            self._prefix = f"{text} " if has_failed else ""
            self._commentary.ready(text)

    def stop_begins(self) -> None:
        """See ``Witness``."""
        self._prefix = "Stopping: "
        self._commentary.stopping(self._supervisor.bounds.join_s)

    # ---- what is looked at

    @property
    def _is_stopping(self) -> bool:
        return self._supervisor.is_stopping

    def _is_alive(self) -> bool:
        # A stop has bounds of its own, and who has paused the workers wants none.
        supervisor = self._supervisor
        return self._is_stopping or supervisor.count == 0 or any(child.is_healthy for child in supervisor.children())

    # ---- in words

    def _describe(self) -> str:
        if not (self._is_ready or self._is_stopping):
            return ""
        children = self._supervisor.children()
        counters = [child.counters for child in children]
        workers = counted(len([child for child in children if child.is_serving or self._is_stopping]), "worker")
        load = describe_load(
            sum(each.active_requests for each in counters),
            sum(each.connections for each in counters),
            self._count_requests(children, counters),
        )
        restarts = counted(sum(self._supervisor.restarts.values()), "restart")
        return f"{self._prefix}{workers}, {load}, {restarts}"

    def _count_requests(self, children: list[Child], counters: list[Counters]) -> int:
        self._gone_requests_count += sum(child.counters.total_requests for child in self._seen.difference(children))
        self._seen = set(children)
        return self._gone_requests_count + sum(each.total_requests for each in counters)
