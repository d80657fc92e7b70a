"""SIGUSR2: start a new supervisor, with the code as it is now, on the same sockets; end when it is ready.

The new one is started with the command line of this one and inherits the sockets; an environment variable tells it so.
It says on a connection to this one that it is ready; this one names it to the service manager and closes it.
It begins as a child of this process and is nobody's when this process has gone, as after any start in the background;
where there is a service manager it is that one's from the beginning.
A new one that cannot start leaves everything as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from addax.core.errors import StartupError
from addax.net.unix_socket import SocketFile
from addax.supervise.forensics import describe_exit
from addax.supervise.orphan import start_orphan
from addax.supervise.sockets import WorkerSockets, read_sockets
from addax.supervise.spawning import INIT_PID, Reaper

logger = logging.getLogger("addax.error")

#: Tells a new supervisor what it takes over.
VARIABLE = "ADDAX_TAKE_OVER"
_READY = b"ready\n"
#: Of a process, as the kernel keeps them: its id, user and group.
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True)
class Inheritance:
    """What a supervisor takes over from the one before it.

    Attributes:
        parent: the process id of that one.
        notify_fd: where it is told that this one is ready; ends when that one has no more to say.
        sockets: descriptors by worker number and bind, see ``sockets``.
        files: of Unix sockets among them; they are that one's until it has no more to say.
    """

    parent: int
    notify_fd: int
    sockets: dict[int, list[list[int]]]
    files: tuple[SocketFile, ...] = ()

    def tell_ready(self, loop: asyncio.AbstractEventLoop, on_released: Callable[[], None]) -> None:
        """Let the old one end.

        Args:
            loop: waits for the answer.
            on_released: called when that one has named this process to the service manager, or is gone.
        """

        def released() -> None:
            loop.remove_reader(self.notify_fd)
            os.close(self.notify_fd)
            on_released()

        loop.add_reader(self.notify_fd, released)
        with contextlib.suppress(OSError):
            # If it is gone there is nobody to tell, and nobody to wait for.
            os.write(self.notify_fd, _READY)


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
        files = tuple(SocketFile(path, identity=(int(dev), int(ino))) for path, dev, ino in fields.get("files", ()))
        found = Inheritance(int(fields["parent"]), int(fields["notify_fd"]), read_sockets(fields["sockets"]), files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StartupError(f"{VARIABLE} is set to {text!r}, which is for the use of addax alone") from error
    if not _is_from(found):
        raise StartupError(f"{VARIABLE} names process {found.parent}, which has not started this one")
    for fd in (found.notify_fd, *(fd for groups in found.sockets.values() for fds in groups for fd in fds)):
        os.set_inheritable(fd, False)
    return found


def _is_from(found: Inheritance) -> bool:
    """Whether the process that it names has made it; the variable may have been left in an environment."""
    if found.parent == os.getppid():
        return True
    # One that was made for a service manager is its child: then the connection tells who has made it.
    try:
        with socket.socket(fileno=os.dup(found.notify_fd)) as link:
            pid, _, _ = _CREDENTIALS.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    except (OSError, AttributeError):
        return False
    return bool(pid == found.parent)


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
        variables: that its environment has besides those of this process; empty: there is no service manager.
        on_ready: called, with its process id, when its workers are ready, and before it hears that this was understood.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reaper: Reaper,
        sockets: WorkerSockets,
        directory: str,
        variables: Mapping[str, str],
        on_ready: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._reaper = reaper
        self._sockets = sockets
        self._directory = directory
        self._variables = variables
        self._on_ready = on_ready
        self._link: socket.socket | None = None
        self._pid = 0
        self._was_ready = False

    def start(self) -> None:
        """Start it, unless that is in progress."""
        if os.getpid() == INIT_PID:
            logger.error(
                "SIGUSR2: not as the first process of a container, which ends with it. SIGHUP restarts workers."
            )
            return
        if self._link is not None:
            logger.warning("SIGUSR2: process [%d], the new supervisor, is starting already.", self._pid)
            return
        ours, theirs = socket.socketpair()
        text, fds = self._sockets.describe()
        files = [(file.path, *file.identity) for file in self._sockets.files]
        fields = {"parent": os.getpid(), "notify_fd": theirs.fileno(), "sockets": text, "files": files}
        try:
            self._pid = self._spawn(json.dumps(fields), [theirs.fileno(), *fds])
        except OSError as error:
            ours.close()
            logger.error("SIGUSR2: a new supervisor cannot be started: %s", error)
            return
        finally:
            theirs.close()
        self._link = ours
        self._sockets.has_heir = True
        self._loop.add_reader(ours, self._listen)
        logger.info("Received SIGUSR2, starting a new supervisor [%d].", self._pid)

    def _spawn(self, inheritance: str, fds: list[int]) -> int:
        command = [sys.executable, *sys.orig_argv[1:]]
        environment = {**os.environ, **self._variables, VARIABLE: inheritance}
        if self._variables:
            return start_orphan(command, self._directory, environment, fds)
        process = subprocess.Popen(command, cwd=self._directory, env=environment, pass_fds=fds)
        process.returncode = 0  # its end is the reaper's to take
        self._reaper.watch(process.pid).add_done_callback(self._ended)
        return process.pid

    def _listen(self) -> None:
        assert self._link is not None
        try:
            said = self._link.recv(len(_READY))
        except ConnectionError:
            said = b""
        if said:
            self._was_ready = True
            logger.info("The new supervisor [%d] is ready.", self._pid)
            self._on_ready(self._pid)
        elif self._variables:
            # Somebody else hears how.
            logger.error("The new supervisor [%d] has ended and was not ready; this one goes on.", self._pid)
        self._forget()

    def _ended(self, ended: asyncio.Future[int]) -> None:
        if self._link is not None:
            self._forget()
        if not self._was_ready:
            logger.error("The new supervisor [%d] %s; this one goes on.", self._pid, describe_exit(ended.result()))

    def _forget(self) -> None:
        assert self._link is not None
        self._loop.remove_reader(self._link)
        self._link.close()
        self._link = None
        self._sockets.has_heir = False
