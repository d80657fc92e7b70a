"""SIGUSR2: start a new supervisor, with the code as it is now, on the same sockets; end when it is ready.

The new one is started with the command line of this one and inherits the sockets; an environment variable tells it so.
It begins as a child of this process and is nobody's when this process has gone, as after any start in the background.
A new one that cannot start leaves everything as it was.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from addax.core.errors import StartupError
from addax.supervise.forensics import describe_exit
from addax.supervise.sockets import WorkerSockets, read_sockets
from addax.supervise.spawning import INIT_PID, Reaper

logger = logging.getLogger("addax.error")

#: Tells a new supervisor what it takes over.
VARIABLE = "ADDAX_TAKE_OVER"
_READY = b"ready\n"


@dataclass(frozen=True)
class Inheritance:
    """What a supervisor takes over from the one before it.

    Attributes:
        parent: the process id of that one.
        notify_fd: where it is told that this one is ready.
        sockets: descriptors by worker number, see ``sockets``.
    """

    parent: int
    notify_fd: int
    sockets: dict[int, list[int]]

    def tell_ready(self) -> None:
        """Let the old one end."""
        os.write(self.notify_fd, _READY)
        os.close(self.notify_fd)


def take_inheritance() -> Inheritance | None:
    """What the environment says of it; removed from there, for it is for no other process.

    Raises:
        StartupError: it says nothing that can be understood.
    """
    text = os.environ.pop(VARIABLE, None)
    if text is None:
        return None
    try:
        fields = json.loads(text)
        found = Inheritance(int(fields["parent"]), int(fields["notify_fd"]), read_sockets(fields["sockets"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StartupError(f"{VARIABLE} is set to {text!r}, which is for the use of addax alone") from error
    if found.parent != os.getppid():
        raise StartupError(f"{VARIABLE} names process {found.parent}, which has not started this one")
    for fd in (found.notify_fd, *(fd for fds in found.sockets.values() for fd in fds)):
        os.set_inheritable(fd, False)
    return found


def starting_directory() -> str:
    """Where this process was started, by the name that was used: behind a link there may be a newer release by now."""
    real, named = os.getcwd(), os.environ.get("PWD", "")
    try:
        return named if os.path.samefile(named, real) else real
    except OSError:
        return real


class Upgrade:
    """The start of a new supervisor.

    Args:
        loop: watches it.
        reaper: hears of its end.
        sockets: for it.
        directory: where it is started.
        on_ready: called, with its process id, when its workers are ready.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reaper: Reaper,
        sockets: WorkerSockets,
        directory: str,
        on_ready: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._reaper = reaper
        self._sockets = sockets
        self._directory = directory
        self._on_ready = on_ready
        self._notify_fd: int | None = None
        self._pid = 0
        self._was_ready = False

    def start(self) -> None:
        """Start it, unless that is in progress."""
        if os.getpid() == INIT_PID:
            logger.error(
                "SIGUSR2: not as the first process of a container, which ends with it. SIGHUP restarts workers."
            )
            return
        if self._notify_fd is not None:
            logger.warning("SIGUSR2: process [%d], the new supervisor, is starting already.", self._pid)
            return
        notify_fd, theirs = os.pipe()
        text, fds = self._sockets.describe()
        fields = {"parent": os.getpid(), "notify_fd": theirs, "sockets": text}
        try:
            process = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]],
                cwd=self._directory,
                env={**os.environ, VARIABLE: json.dumps(fields)},
                pass_fds=[theirs, *fds],
            )
        except OSError as error:
            os.close(notify_fd)
            logger.error("SIGUSR2: a new supervisor cannot be started: %s", error)
            return
        finally:
            os.close(theirs)
        process.returncode = 0  # its end is the reaper's to take
        self._pid, self._notify_fd = process.pid, notify_fd
        self._reaper.watch(process.pid).add_done_callback(self._ended)
        self._loop.add_reader(notify_fd, self._listen)
        logger.info("Received SIGUSR2, starting a new supervisor [%d].", process.pid)

    def _listen(self) -> None:
        assert self._notify_fd is not None
        said = os.read(self._notify_fd, len(_READY))
        self._forget()
        if said:
            self._was_ready = True
            logger.info("The new supervisor [%d] is ready.", self._pid)
            self._on_ready(self._pid)

    def _ended(self, ended: asyncio.Future[int]) -> None:
        if self._notify_fd is not None:
            self._forget()
        if not self._was_ready:
            logger.error("The new supervisor [%d] %s; this one goes on.", self._pid, describe_exit(ended.result()))

    def _forget(self) -> None:
        assert self._notify_fd is not None
        self._loop.remove_reader(self._notify_fd)
        os.close(self._notify_fd)
        self._notify_fd = None
