"""The process of a supervisor around its heart: sockets, signals, pid file, rights, and the succession by a new one.

What the service manager hears of it is wired here, too.

``addax._run`` describes what is to be run in a ``Plan``; ``run`` returns the exit code. Used for workers and for
``--reload``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from addax.config.log_files import reopen_log_files
from addax.config.process_title import set_main_title
from addax.core.errors import StartupError
from addax.core.place import Place
from addax.core.settings import Settings
from addax.core.shared_memory import create_shared_memory
from addax.core.terminal import has_terminal
from addax.loops import running
from addax.net.listen import Address, explain_backlog
from addax.net.notify import Notifier
from addax.net.unix_socket import SocketFile
from addax.supervise import privileges
from addax.supervise.bulletin import Bulletin
from addax.supervise.forensics import describe_exit
from addax.supervise.pid_file import PidFile
from addax.supervise.sockets import WorkerSockets
from addax.supervise.spawning import (
    HOST_STARTUP,
    ForkSpawner,
    InterpreterSpawner,
    Reaper,
    Spawner,
    start_interpreter,
)
from addax.supervise.supervisor import STARTUP_FAILURE, Supervisor
from addax.supervise.upgrade import Inheritance, Upgrade, starting_directory, take_inheritance

logger = logging.getLogger("addax.error")


@dataclass(frozen=True)
class Plan:
    """What a supervisor is to do.

    Attributes:
        app: where the application is; for titles.
        settings: of workers and supervisor.
        boot: what workers begin with, as ``server.boot.Boot.dump`` makes it.
        announce: logs where connections are accepted, given what is bound for each bind.
        identity: who to become when the sockets are bound; None: stay.
        pid_file: where to write the process id.
        process_title: instead of ``addax`` in titles.
        has_hooks: whether there may be a hook to run before the first worker.
        sockets: bound already by somebody else.
    """

    app: str
    settings: Settings
    boot: bytes
    announce: Callable[[list[list[Address]]], None]
    identity: privileges.Identity | None = None
    pid_file: str | None = None
    process_title: str | None = None
    has_hooks: bool = False
    sockets: WorkerSockets | None = None


class Office:
    """What every supervisor has: bound sockets, a file for its workers, a pid file, fewer rights.

    Args:
        plan: what to do.

    Raises:
        StartupError: an address, the pid file or the other user cannot be had.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.notifier = Notifier.take()
        self.inheritance: Inheritance | None = take_inheritance()
        self.notifier.is_main = self.inheritance is None
        self.directory = starting_directory()
        set_main_title("supervisor", plan.app, plan.process_title)
        inherited: dict[int, list[list[int]]] | None = None
        files: tuple[SocketFile, ...] = ()
        if self.inheritance is not None:
            inherited, files = self.inheritance.sockets, self.inheritance.files
        warning = explain_backlog(plan.settings.listen.backlog) if plan.sockets is None else None
        if warning is not None:
            logger.warning("%s", warning)
        self.sockets = plan.sockets or WorkerSockets(
            plan.settings.listen, inherited, plan.settings.supervisor.workers_count, files
        )
        self._pid_file = PidFile(plan.pid_file) if plan.pid_file is not None else None
        try:
            if self.inheritance is None:
                self._write_pid()
            if plan.identity is not None:
                self.sockets.chown(plan.identity.uid, plan.identity.gid)
                privileges.drop(plan.identity)
                privileges.check_installation(plan.identity)
        except BaseException:
            self.sockets.close()
            raise
        # In memory: there may be no place to write to.
        self.boot_fd = create_shared_memory("addax-boot", len(plan.boot))
        os.pwrite(self.boot_fd, plan.boot, 0)

    def opened(self, on_main: Callable[[], None]) -> None:
        """Everything is ready: tell it, and let the predecessor go.

        Args:
            on_main: called when this is the main process of the service; without a predecessor it has always been.
        """
        self.plan.announce(self.sockets.bound)
        if self.inheritance is None:
            on_main()
            return

        def released() -> None:
            self.notifier.is_main = True
            self.sockets.own_files()
            on_main()

        self._write_pid()
        self.inheritance.tell_ready(asyncio.get_running_loop(), released)

    def make_spawner(self, reaper: Reaper, generation: int) -> Spawner:
        """What starts the workers of a generation."""
        if self.plan.settings.supervisor.preload:
            return ForkSpawner(reaper, self.boot_fd, generation, self.directory)
        return InterpreterSpawner(reaper, self.directory)

    async def run_host_startup(self, reaper: Reaper) -> None:
        """Run the hook that comes before the first worker.

        Raises:
            StartupError: it failed; the reason was logged there.
        """
        if not self.plan.has_hooks or self.inheritance is not None:
            return
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = start_interpreter(
                reaper, HOST_STARTUP, Place(0, 1, self.boot_fd, theirs.fileno()), self.directory
            )
        try:
            code = await asyncio.shield(process.exited)
        except asyncio.CancelledError:
            process.send_signal(signal.SIGTERM)
            raise
        if code != 0:
            error = StartupError(f"the process of the hook host_startup {describe_exit(code)}")
            error.exit_code = code if code in (2, STARTUP_FAILURE) else STARTUP_FAILURE
            raise error

    @staticmethod
    def reopen_logs() -> None:
        """Open the log files of this process anew."""
        for path in reopen_log_files():
            logger.info("Opened %s anew.", path)

    def close(self) -> None:
        """Give everything back."""
        self.sockets.close()
        os.close(self.boot_fd)
        if self._pid_file is not None:
            self._pid_file.remove()
        self.notifier.close()

    def _write_pid(self) -> None:
        if self._pid_file is not None:
            self._pid_file.write(takeover_from=self.inheritance.parent if self.inheritance is not None else None)


class Supervising(Protocol):
    """What a supervisor does in its loop."""

    async def __call__(self, office: Office) -> int:
        """Work; returns the exit code."""


def run(plan: Plan, work: Supervising) -> int:
    """Be a supervisor.

    Returns:
        The exit code.

    Raises:
        StartupError: there is nothing to supervise with; it was not logged.
    """
    office = Office(plan)
    codes: list[int] = []

    async def main() -> None:
        codes.append(await work(office))

    try:
        # A plain loop, whatever the workers have: it takes SIGCHLD.
        running.run(main(), asyncio.SelectorEventLoop)
    finally:
        office.close()
    return codes[0]


async def supervise_workers(office: Office) -> int:
    """Keep the workers serving; fills ``Supervising``."""
    loop = asyncio.get_running_loop()
    reaper = Reaper(loop)
    supervisor = Supervisor(
        office.plan.settings,
        office.sockets,
        office.boot_fd,
        lambda generation: office.make_spawner(reaper, generation),
        prepare=lambda: office.run_host_startup(reaper),
        on_started=lambda: office.opened(bulletin.ready),
    )
    supervisor.witness = bulletin = Bulletin(office.notifier, supervisor, office.plan.settings.supervisor)
    log_process("Started parent process")
    variables = office.notifier.successor_variables()
    upgrade = Upgrade(
        loop, reaper, office.sockets, office.directory, variables, lambda pid: _succeed(office, supervisor, pid)
    )
    bulletin.open()
    with taking_signals(loop, _Signals(supervisor, upgrade).actions):
        code = await supervisor.run()
    bulletin.close()
    reaper.close()
    log_process("Stopping parent process")
    return code


def log_process(words: str, more: str = "") -> None:
    """Log a line about this process, as users of uvicorn know it."""
    pid = os.getpid()
    logger.info("%s [%d]%s", words, pid, more, extra={"color_message": f"{words} [\x1b[36m{pid}\x1b[0m]{more}"})


def _succeed(office: Office, supervisor: Supervisor, pid: int) -> None:
    # First: the end of this process is to be no news for the service manager. One that ends anyhow is to be one.
    if not supervisor.is_stopping:
        office.notifier.mainpid(pid)
    office.sockets.leave_files()
    supervisor.stop(is_handover=True)


class _Signals:
    """What each signal means for a supervisor of workers."""

    def __init__(self, supervisor: Supervisor, upgrade: Upgrade) -> None:
        self._supervisor = supervisor
        self._interrupts_count = 0
        self.actions: dict[str, Callable[[], None]] = {
            "SIGINT": self._interrupt,
            "SIGTERM": self._terminate,
            "SIGQUIT": self._quit,
            "SIGHUP": self._hang_up,
            "SIGTTIN": self._more,
            "SIGTTOU": self._fewer,
            "SIGUSR1": self._reopen,
            "SIGUSR2": upgrade.start,
            "SIGWINCH": self._window,
        }

    def _interrupt(self) -> None:
        self._interrupts_count += 1
        if self._interrupts_count == 1:
            logger.info("Received SIGINT, exiting.")
            self._supervisor.stop()
        else:
            logger.info("Received SIGINT again, exiting now.")
            self._supervisor.hurry()

    def _terminate(self) -> None:
        logger.info("Received SIGTERM, exiting.")
        self._supervisor.stop()

    def _quit(self) -> None:
        logger.info("Received SIGQUIT, exiting now.")
        self._supervisor.hurry()

    def _hang_up(self) -> None:
        logger.info("Received SIGHUP, restarting processes.")
        self._supervisor.restart()

    def _more(self) -> None:
        logger.info("Received SIGTTIN, increasing the number of processes.")
        self._supervisor.add_worker()

    def _fewer(self) -> None:
        logger.info("Received SIGTTOU, decreasing number of processes.")
        self._supervisor.remove_worker()

    def _reopen(self) -> None:
        Office.reopen_logs()
        self._supervisor.reopen_logs()

    def _window(self) -> None:
        # A terminal says with it that its window has another size.
        if has_terminal():
            logger.debug("Received SIGWINCH from a terminal: nothing to do.")
            return
        logger.info("Received SIGWINCH, stopping all workers. SIGHUP starts them again.")
        self._supervisor.pause()


@contextlib.contextmanager
def taking_signals(loop: asyncio.AbstractEventLoop, actions: dict[str, Callable[[], None]]) -> Iterator[None]:
    """Call what belongs to a signal while the block runs, where the platform has the signal."""
    numbers = [number for number in signal.Signals if number.name in actions]
    for number in numbers:
        loop.add_signal_handler(number, actions[number.name])
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
