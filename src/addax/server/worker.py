"""A process that serves for a supervisor: ``python -m addax.server.worker PLACE``.

It imports the application, says so, serves, and ends when the supervisor says so or is gone. The supervisor alone
decides: a terminal's CTRL+C is not for this process, and one that has served enough asks to be replaced.
``server.forking`` runs the same in a process that it has forked.

Signals: SIGTERM ends this process gracefully, SIGUSR1 opens log files anew; SIGINT and SIGHUP are left to the
supervisor. SIGABRT shows what every thread does, and ends the process.
"""

from __future__ import annotations

import asyncio
import contextvars
import faulthandler
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence

from addax.config.config import Config
from addax.config.log_files import reopen_log_files
from addax.config.process_title import set_title, title
from addax.core import link as words
from addax.core.board import Board
from addax.core.errors import ConfigError, StartupError
from addax.core.link import Link, Message
from addax.core.load_table import LoadTable
from addax.core.place import Place
from addax.core.settings import Settings
from addax.loops import running
from addax.server.balancing import Balance
from addax.server.boot import Boot, read_boot
from addax.server.heartbeat import Heartbeat
from addax.server.hooking import WorkerHooks
from addax.server.server import Server
from addax.server.watchdog import Watchdog

logger = logging.getLogger("addax.error")

#: Beyond the bounds of a graceful stop, how long an orphan may take, in seconds.
_ORPHAN_MARGIN_S = 3.0
#: A beat is due at least so often, in seconds, and several times within the bound of a healthy loop.
BEAT_MAX_S = 1.0
_BEATS_PER_BOUND_COUNT = 5
_REASON_MAX_LENGTH = 2000
#: How long a worker that was signalled waits for the supervisor's word, in seconds.
_ANSWER_S = 2.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve at the place that the command line tells.

    Raises:
        SystemExit: always. 0 after a graceful stop, 2 for an option, 3 when it could not start.
    """
    place = Place.parse((sys.argv[1:] if arguments is None else arguments)[0])
    link = Link(socket.socket(fileno=place.link_fd))
    ignore_terminal()
    try:
        boot = read_boot(place.boot_fd)
        os.close(place.boot_fd)
        config = Config(boot.app, **boot.options)
    except (ConfigError, StartupError) as error:
        sys.exit(fail(link, error))
    sys.exit(serve(place, link, boot, config))


def ignore_terminal() -> None:
    """Leave to the supervisor what a terminal sends to all processes in it."""
    # A function and not SIG_IGN, which programs that the application starts would inherit.
    signal.signal(signal.SIGINT, _ignore)
    signal.signal(signal.SIGHUP, _ignore)
    faulthandler.enable()


def _ignore(_: int, __: object) -> None:
    """For the supervisor."""


def fail(link: Link, error: Exception) -> int:
    """Say that this process could not start; returns its exit code."""
    logger.error("%s", error)
    link.send(words.FAILED, reason=str(error)[:_REASON_MAX_LENGTH])
    return error.exit_code if isinstance(error, (ConfigError, StartupError)) else 1


def serve(place: Place, link: Link, boot: Boot, config: Config) -> int:
    """Import the application, if that was not done yet, and serve it.

    Returns:
        The exit code.
    """
    for fd in place.socket_fds:
        # Programs that the application starts are not to keep the address.
        os.set_inheritable(fd, False)
    set_title(title(f"worker {place.number}", boot.app, config.process_title))
    board = Board(place.board_fd)
    os.close(place.board_fd)
    try:
        hooks = None
        if config.hooks is not None:
            hooks = WorkerHooks(os.fspath(config.hooks), boot.app, place.number, place.generation)
            hooks.start()
        config.load_app()
    except (ConfigError, StartupError) as error:
        return fail(link, error)
    link.send(words.LOADED)
    server: Server = (boot.server_class or Server)(config, handle_signals=False)
    server.server_state.board = board
    server.hooks = hooks
    server.socket_counts = place.socket_counts
    server.tells_expiry = place.number == 1
    sockets = [socket.socket(fileno=fd) for fd in place.socket_fds]
    worker = Worker(place, link, server, board)
    try:
        running.run(worker.run(sockets), config.get_loop_factory())
    except (ConfigError, StartupError) as error:
        return fail(link, error)
    return worker.exit_code


class Worker:
    """The life of a server under a supervisor.

    Args:
        place: where it stands.
        link: to the supervisor.
        server: serves; takes no signals by itself.
        board: tells the supervisor what goes on here.
    """

    def __init__(self, place: Place, link: Link, server: Server, board: Board) -> None:
        self.exit_code = 0
        self._place = place
        self._link = link
        self._server = server
        self._board = board
        self._wants_replacement = False
        self._balance: Balance | None = None
        if place.table_fd >= 0:
            self._table = LoadTable(place.table_fd)
            os.close(place.table_fd)
            server.make_balance = self._make_balance
        self._actions: dict[str, Callable[[Message], None]] = {
            words.STOP: self._stop,
            words.HURRY: lambda _: server.hurry(),
            words.REOPEN: lambda _: self._reopen(),
        }

    async def run(self, sockets: Sequence[socket.socket]) -> None:
        """Serve until the end."""
        loop = asyncio.get_running_loop()
        settings = self._server.config.settings()
        heartbeat = Heartbeat(loop, self._board, self._server.server_state, _beat_interval_s(settings), self._beat)
        watchdog = self._make_watchdog(loop, settings)
        loop.add_reader(self._link.fileno(), self._listen)
        loop.add_signal_handler(signal.SIGTERM, self._leave, "SIGTERM")
        loop.add_signal_handler(signal.SIGUSR1, self._reopen)
        self._server.on_limit = self._retire
        heartbeat.start()
        watchdog.start()
        try:
            await self._serve(sockets)
        finally:
            watchdog.stop()
            heartbeat.stop()
            loop.remove_reader(self._link.fileno())

    async def _serve(self, sockets: Sequence[socket.socket]) -> None:
        serving = asyncio.get_running_loop().create_task(self._server.serve(sockets=sockets), name="addax server")
        started = asyncio.ensure_future(self._server.wait_started())
        await asyncio.wait({serving, started}, return_when=asyncio.FIRST_COMPLETED)
        if self._server.started:
            self._link.send(words.READY)
        await asyncio.wait({serving, started})
        error = started.exception() if not started.cancelled() else None
        self._note_end(serving, error)

    def _note_end(self, serving: asyncio.Task[None], start_error: BaseException | None) -> None:
        if isinstance(start_error, StartupError):
            # It was logged where it was found.
            self._link.send(words.FAILED, reason=str(start_error)[:_REASON_MAX_LENGTH])
            self.exit_code = start_error.exit_code
        serving.result()

    # ---- what the supervisor says

    def _listen(self) -> None:
        messages, is_over = self._link.receive()
        for message in messages:
            action = self._actions.get(message["kind"])
            if action is not None:
                action(message)
        if is_over:
            asyncio.get_running_loop().remove_reader(self._link.fileno())
            self._orphaned()

    def _stop(self, message: Message) -> None:
        if not self._server.started:
            # Nobody is served yet, and nobody waits for this process.
            self._server.hurry()
        elif message.get("handover"):
            self._server.hand_over(message.get("rest_s"))
        else:
            self._server.should_exit = True

    def _reopen(self) -> None:
        for path in reopen_log_files():
            logger.info("Opened %s anew.", path)

    def _orphaned(self) -> None:
        if not self._server.should_exit:
            logger.error("The supervisor is gone: stopping.")
            self._stop({"kind": words.STOP})

    # ---- what happens here

    def _leave(self, reason: str) -> None:
        if self._server.should_exit:
            self._server.hurry()
        elif self._link.send(words.LEAVING, reason=reason):
            # The supervisor knows whether others go on; a signal to all of a group has reached it, too.
            asyncio.get_running_loop().call_later(_ANSWER_S, self._leave_unasked)
        else:
            self._stop({"kind": words.STOP})

    def _leave_unasked(self) -> None:
        if not self._server.should_exit:
            self._stop({"kind": words.STOP, "handover": True})

    def _make_balance(self) -> Balance:
        self._balance = Balance(self._table, self._place.number, self._server.server_state)
        return self._balance

    def _beat(self) -> None:
        # Connections that have ended: others are to know, and no connection has to tell it.
        if self._balance is not None:
            self._balance.note()

    def _retire(self, reason: str) -> None:
        if not self._wants_replacement:
            self._wants_replacement = True
            self._link.send(words.RETIRE, reason=reason)

    def _make_watchdog(self, loop: asyncio.AbstractEventLoop, settings: Settings) -> Watchdog:
        is_checked = self._place.is_checked
        worker = settings.worker
        bounds = (worker.shutdown_delay_s, worker.graceful_timeout_s, worker.lifespan_shutdown_timeout_s)
        return Watchdog(
            loop,
            self._server.server_state,
            self._board,
            warn_after_s=worker.stall_s if is_checked else None,
            dump_after_s=settings.supervisor.health_timeout_s if is_checked else None,
            orphan_fd=self._link.fileno(),
            # Told from its own thread: a loop that is blocked reads nothing.
            on_orphaned=lambda: _call_soon(loop, self._orphaned),
            orphan_kill_after_s=None
            if None in bounds
            else sum(bound for bound in bounds if bound is not None) + _ORPHAN_MARGIN_S,
        )


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(callback, context=contextvars.Context())
    except RuntimeError:
        pass  # the loop is closed: this process ends already


def _beat_interval_s(settings: Settings) -> float:
    bounds = [settings.supervisor.health_timeout_s]
    if settings.worker.stall_s is not None:
        bounds.append(settings.worker.stall_s)
    return min(BEAT_MAX_S, min(bounds) / _BEATS_PER_BOUND_COUNT)


if __name__ == "__main__":
    main()
