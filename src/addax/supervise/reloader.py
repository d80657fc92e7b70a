"""``--reload``: one worker, which is started again when a file of the application changes.

The socket is bound here and stays: a request that comes while the application starts waits in the kernel's queue. The
old worker is told to end at once and has little time to: a stream that never ends is not to hold up who is editing. A
worker that cannot start shows why, and the next change is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from addax.net.commentary import Pulse
from addax.supervise.child import Bounds, Child, Observer
from addax.supervise.obituary import describe_end
from addax.supervise.running import Office, log_process, taking_signals
from addax.supervise.spawning import InterpreterSpawner, Reaper
from addax.supervise.watching import Watcher, shown

logger = logging.getLogger("addax.error")

#: How long a worker may take to end for a reload before it is hurried, and then before it is killed, in seconds: a
#: second for what is in progress, the application's shutdown, and no more, for somebody is waiting to see a change.
GRACE_S, KILL_S = 0.5, 2.5
#: How long an idle connection must have been idle to be closed at once, in seconds: a browser's next request is to
#: reach the new code, but what a client has just sent is on its way to the old.
REST_S = 0.1


class Reloader(Observer):
    """Serves with the application as it is in the files.

    Args:
        office: sockets and what workers begin with.
        watcher: sees changes.
        directories: that are watched, for the log.
    """

    def __init__(self, office: Office, watcher: Watcher, directories: list[Path]) -> None:
        self._office = office
        self._watcher = watcher
        self._directories = directories
        self._loop = asyncio.get_running_loop()
        self._reaper = Reaper(self._loop)
        self._spawner = InterpreterSpawner(self._reaper, office.directory)
        worker = office.plan.settings.worker
        # Nobody judges a worker that may stand in a debugger.
        self._bounds = Bounds.of_stop(None, None, worker)
        self._child: Child | None = None
        self._generation = 0
        self._stops_count = 0
        self._news = asyncio.Event()
        self._changes: list[Path] = []
        self._is_reload_asked = False
        self._notifier = office.notifier
        self._pulse = Pulse(self._loop, self._notifier, lambda: True)
        #: The service manager waits for the end of a reload.
        self._is_reload_told = False

    async def run(self) -> int:
        """Serve until a signal; returns the exit code."""
        logger.info("Will watch for changes in these directories: %s", [str(path) for path in self._directories])
        self._office.opened(self._tell_ready)
        log_process("Started reloader process", f" using {self._watcher.name}")
        with taking_signals(self._loop, self._actions()):
            await self._office.run_host_startup(self._reaper)
            await self._watcher.start()
            watching = asyncio.ensure_future(self._watch())
            try:
                await self._serve()
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
                await self._watcher.close()
        self._pulse.stop()
        self._reaper.close()
        log_process("Stopping reloader process")
        return 0

    async def _serve(self) -> None:
        while not self._stops_count:
            self._generation += 1
            child = self._child = Child(1, self._generation, self._bounds, self)
            try:
                sockets = self._office.sockets
                await child.start(self._spawner, self._office.boot_fd, sockets.for_worker(1), sockets.counts)
            except OSError as error:
                logger.error("The application's process could not be made: %s. Waiting for a change.", error)
            await self._wait_for_news()
            if not self._is_stopping():
                await self._end(child)
        if self._child is not None:
            await self._await_end(self._child)

    async def _wait_for_news(self) -> None:
        while not (self._is_stopping() or self._changes or self._is_reload_asked):
            self._news.clear()
            await self._news.wait()
        if self._changes:
            changes, self._changes = self._changes, []
            logger.warning("%s detected changes in %s. Reloading...", self._watcher.name, shown(changes, Path.cwd()))
        self._is_reload_asked = False

    async def _watch(self) -> None:
        while True:
            self._changes += await self._watcher.wait_for_change()
            self._news.set()

    # ---- the end of a worker

    async def _end(self, child: Child) -> None:
        child.stop(is_handover=True, rest_s=REST_S)
        timer = self._loop.call_later(GRACE_S, child.hurry, KILL_S)
        await self._await_end(child)
        timer.cancel()

    async def _await_end(self, child: Child) -> None:
        while child.is_alive:
            self._news.clear()
            await self._news.wait()

    def child_ready(self, child: Child) -> None:
        """See ``Observer``."""
        self._tell_reloaded("")

    def child_gone(self, child: Child) -> None:
        """See ``Observer``."""
        if child is self._child and not self._is_stopping() and not child.was_asked:
            # Its own words are above.
            text = f"The application {describe_end(child, False)}. Waiting for a change to start it again."
            logger.error("%s", text)
            self._tell_reloaded(text)
        self._news.set()

    def child_leaves(self, child: Child, reason: str) -> None:
        """See ``Observer``."""
        self._reload()

    def child_retires(self, child: Child, reason: str) -> None:
        """See ``Observer``."""
        logger.info("%s in child process [%d]. Replacing it.", reason, child.pid)
        self._reload()

    # ---- signals

    def _actions(self) -> dict[str, Callable[[], None]]:
        return {
            signal.SIGINT.name: self._stop,
            signal.SIGTERM.name: self._stop,
            "SIGQUIT": self._stop,
            "SIGHUP": self._hang_up,
            "SIGUSR1": self._reopen_logs,
            # Nothing to do, and no reason to end either.
            "SIGUSR2": _ignore,
            "SIGTTIN": _ignore,
            "SIGTTOU": _ignore,
        }

    def _reopen_logs(self) -> None:
        self._office.reopen_logs()
        if self._child is not None:
            self._child.reopen_logs()

    def _is_stopping(self) -> bool:
        return self._stops_count > 0

    def _hang_up(self) -> None:
        self._notifier.reloading()
        self._is_reload_told = True
        self._reload()

    def _tell_ready(self) -> None:
        # The socket is open; whether the application works is what is being tried out here.
        self._notifier.ready()
        self._pulse.start()

    def _tell_reloaded(self, status: str) -> None:
        if self._is_reload_told:
            self._is_reload_told = False
            self._notifier.ready(status)

    def _reload(self) -> None:
        self._is_reload_asked = True
        self._news.set()

    def _stop(self) -> None:
        self._stops_count += 1
        if self._stops_count == 1:
            self._notifier.stopping()
        self._office.sockets.close()
        if self._child is not None:
            if self._stops_count == 1:
                self._child.stop(is_handover=False)
            elif self._stops_count == 2:
                self._child.hurry()
            else:
                self._child.kill()
        self._news.set()


def _ignore() -> None:
    """Nothing."""
