"""Start processes, and hear of their ends.

Two ways: a new interpreter for each worker, or a fork of one process that has imported the application already
(``--preload``). ``supervisor`` and ``reloader`` know neither; they get a ``Process``.

Nothing here waits for a process in a way that would keep the loop from its other work.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from typing import Any

from addax.core.errors import StartupError
from addax.core.place import Place
from addax.supervise.forensics import describe_exit

#: What ``python -m`` runs. Strings, for the floor above is not imported from here.
WORKER, FORK_SERVER, HOST_STARTUP = "addax.server.worker", "addax.server.forking", "addax.server.host_startup"
#: How long the fork server may take for a fork, in seconds.
_FORK_S = 30.0
#: How often a worker is looked at whose end nobody tells, in seconds.
_ORPHAN_LOOK_S = 0.5
#: The first process of a container, or of a machine: it inherits every process whose parent has died.
INIT_PID = 1
_RECEIVE_BYTES = 65536


class Process:
    """A process that was started.

    Attributes:
        pid: its id.
        exited: its return code once it has ended: negative for a signal, as in ``subprocess``.
    """

    def __init__(self, pid: int, exited: asyncio.Future[int]) -> None:
        self.pid = pid
        self.exited = exited

    def send_signal(self, number: int) -> None:
        """Send it a signal. Its id is not given to another process before ``exited`` is set."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Reaper:
    """Hears of the ends of child processes, and buries strangers where that is this process's duty.

    Args:
        loop: takes SIGCHLD from now on.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._children: dict[int, asyncio.Future[int]] = {}
        loop.add_signal_handler(signal.SIGCHLD, self._look)

    def watch(self, pid: int) -> asyncio.Future[int]:
        """The return code of a child, when it has one."""
        future: asyncio.Future[int] = self._loop.create_future()
        self._children[pid] = future
        # It may have ended before it was known here.
        self._loop.call_soon(self._look)
        return future

    def close(self) -> None:
        """Hear of no more ends."""
        self._loop.remove_signal_handler(signal.SIGCHLD)

    def _look(self) -> None:
        for pid in list(self._children):
            self._take(pid)
        if os.getpid() == INIT_PID:
            while self._take(-1):
                pass

    def _take(self, pid: int) -> bool:
        try:
            pid, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            # Somebody else has taken the status.
            future, code = self._children.pop(pid, None), 0
        else:
            if pid == 0:
                return False
            future, code = self._children.pop(pid, None), os.waitstatus_to_exitcode(status)
        if future is not None and not future.done():
            future.set_result(code)
        return pid > 0


class Spawner(abc.ABC):
    """Starts workers."""

    async def prepare(self) -> None:
        """Get ready.

        Raises:
            StartupError: workers cannot be started; the reason was logged.
        """

    @abc.abstractmethod
    async def spawn(self, place: Place) -> Process:
        """Start a worker.

        Args:
            place: with this process's descriptors; the caller closes them afterwards.

        Raises:
            OSError: no process could be made.
        """

    async def close(self) -> None:
        """Start no more."""


def start_interpreter(reaper: Reaper, module: str, place: Place, directory: str) -> Process:
    """Run a module in a new interpreter that is started as this one was.

    Args:
        reaper: hears of its end.
        module: its name.
        place: what the module is told.
        directory: where it begins, by a name that may lead to another place by now; where it leads nowhere, here.

    Raises:
        OSError: no process could be made.
    """
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    command = [sys.executable, *flags, "-m", module, str(place)]
    process = subprocess.Popen(command, pass_fds=place.fds, cwd=directory if os.path.isdir(directory) else None)
    # Its end is the reaper's to take.
    process.returncode = 0
    return Process(process.pid, reaper.watch(process.pid))


class InterpreterSpawner(Spawner):
    """A new interpreter for each worker.

    Args:
        reaper: hears of their ends.
        directory: where they begin.
    """

    def __init__(self, reaper: Reaper, directory: str) -> None:
        self._reaper = reaper
        self._directory = directory

    async def spawn(self, place: Place) -> Process:
        """See ``Spawner.spawn``."""
        return start_interpreter(self._reaper, WORKER, place, self._directory)


class ForkSpawner(Spawner):
    """Workers are forks of one process, which has imported the application and serves nobody.

    If that process dies, its workers go on; another one is made for the next of them.

    Args:
        reaper: hears of the end of that process.
        boot_fd: what it begins with.
        generation: shown in its place.
        directory: where it begins.
    """

    def __init__(self, reaper: Reaper, boot_fd: int, generation: int, directory: str) -> None:
        self._reaper = reaper
        self._boot_fd = boot_fd
        self._generation = generation
        self._directory = directory
        self._loop = asyncio.get_running_loop()
        self._server: _ForkServer | None = None
        self._turn = asyncio.Lock()

    async def prepare(self) -> None:
        """Start the process and wait until it has imported the application.

        Raises:
            StartupError: it could not; the reason was logged there.
        """
        ours, theirs = socket.socketpair()
        try:
            place = Place(0, self._generation, self._boot_fd, theirs.fileno())
            process = start_interpreter(self._reaper, FORK_SERVER, place, self._directory)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        server = _ForkServer(self._loop, ours)
        try:
            news: list[asyncio.Future[Any]] = [server.loaded, process.exited]
            await asyncio.wait(news, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            process.send_signal(signal.SIGKILL)
            raise
        if not server.loaded.done():
            code = process.exited.result()
            error = StartupError(f"the process that imports the application {describe_exit(code)}")
            error.exit_code = code if code in (2, 3) else error.exit_code
            raise error
        self._server = server

    async def spawn(self, place: Place) -> Process:
        """See ``Spawner.spawn``."""
        async with self._turn:
            if self._server is None or self._server.is_gone:
                try:
                    await self.prepare()
                except StartupError as error:
                    raise OSError(str(error)) from error
            assert self._server is not None
            return await self._server.fork(place)

    async def close(self) -> None:
        """Let the process end when its last worker has."""
        if self._server is not None:
            self._server.tell({"kind": "finish"})


class _ForkServer:
    """One fork server, from this side of its socket.

    Args:
        loop: watches the socket.
        sock: to the process.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.is_gone = False
        self.loaded: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._sock = sock
        self._rest = b""
        self._forked: asyncio.Future[int] | None = None
        self._workers: dict[int, asyncio.Future[int]] = {}
        loop.add_reader(sock.fileno(), self._listen)

    async def fork(self, place: Place) -> Process:
        """Have a worker made; one at a time.

        Raises:
            OSError: there is no answer.
        """
        self._forked = self._loop.create_future()
        request = json.dumps({"kind": "fork", "place": str(place)}).encode() + b"\n"
        fds = [place.link_fd, place.board_fd, place.table_fd, *place.socket_fds]
        socket.send_fds(self._sock, [request], [fd for fd in fds if fd >= 0])
        try:
            pid = await asyncio.wait_for(self._forked, _FORK_S)
        except asyncio.TimeoutError as error:
            raise OSError("the fork server gives no answer") from error
        exited: asyncio.Future[int] = self._loop.create_future()
        self._workers[pid] = exited
        return Process(pid, exited)

    def tell(self, message: dict[str, Any]) -> None:
        """Say something to the process, if it is there."""
        if not self.is_gone:
            with contextlib.suppress(OSError):
                self._sock.send(json.dumps(message).encode() + b"\n")

    def _listen(self) -> None:
        try:
            data = self._sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        if not data:
            self._lost()

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == "loaded" and not self.loaded.done():
            self.loaded.set_result(None)
        elif kind == "forked" and self._forked is not None and not self._forked.done():
            self._forked.set_result(message["pid"])
        elif kind == "exited":
            self._ended(message["pid"], message["code"])
            # Only now may the system give its id to another process.
            self.tell({"kind": "reap", "pid": message["pid"]})

    def _ended(self, pid: int, code: int) -> None:
        exited = self._workers.pop(pid, None)
        if exited is not None and not exited.done():
            exited.set_result(code)

    def _lost(self) -> None:
        self.is_gone = True
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        if self._forked is not None and not self._forked.done():
            self._forked.set_exception(OSError("the fork server is gone"))
        for pid in list(self._workers):
            self._look_after(pid)

    def _look_after(self, pid: int) -> None:
        # An orphan's end is told to nobody: look now and then whether it is there.
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            self._ended(pid, 0)
        else:
            self._loop.call_later(_ORPHAN_LOOK_S, self._look_after, pid)
