"""Starts servers on a core of their own, watches what they use, and ends them: these processes and no others."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cases import get
from environment import child_environ
from peers import PEERS, Peer, Setup

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
START_PATIENCE_S = 30.0
STOP_PATIENCE_S = 10.0
ANSWER_PATIENCE_S = 3.0
#: ``PROCESS_CPUTIME`` of another process is the clock with this number, see clock_getcpuclockid(3).
_CPU_CLOCK = 2


class ServerError(Exception):
    """A server did not start, or did not do what was asked. Says which and how."""


class Running:
    """A server that was started; it does not listen yet.

    Args:
        name: a key of ``PEERS``.
        setup: what it is started for.
        directory: where its log goes.
    """

    def __init__(self, name: str, setup: Setup, directory: Path) -> None:
        self.name = name
        self.peer: Peer = PEERS[name]
        self.setup = setup
        self._directory = directory
        self._start()

    def _start(self) -> None:
        self.port = _free_port()
        self.log = self._directory / f"{self.name}-{self.port}.log"
        # One file for all that it writes: where the output of a service goes, and the same for every server.
        with self.log.open("wb") as log, on_core(SERVER_CORE):
            self._process = subprocess.Popen(
                self.peer.command(self.setup, self.port),
                env=child_environ(self.peer.pure),
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def restart(self) -> None:
        """End it, start it again on another port, and wait for it."""
        self.stop()
        self._start()
        self.wait()

    def wait(self, poll_s: float = 0.02) -> None:
        """Return when it has answered a request.

        Raises:
            ServerError: it has ended, or did not answer in time.
        """
        give_up_at = time.monotonic() + START_PATIENCE_S
        while True:
            if self._process.poll() is not None:
                raise ServerError(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")
            try:
                return self._ask()
            except OSError as error:
                if time.monotonic() > give_up_at:
                    raise ServerError(f"{self.name} does not answer: {error}\n{self.tail()}") from None
                time.sleep(poll_s)

    def is_answering(self) -> bool:
        """Whether it answers one more request."""
        try:
            self._ask()
        except OSError:
            return False
        return True

    def _ask(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), ANSWER_PATIENCE_S) as client:
            if self.setup.tls:
                return
            # Without "Connection: close": fastpysgi 0.6 answers nobody any more after that.
            client.sendall(get(b"/hello"))
            if not client.recv(65536).startswith(b"HTTP/1.1 "):
                raise ConnectionError("no answer")

    def cpu_s(self) -> float:
        """CPU time of its processes so far, user and system, in seconds."""
        return sum(_cpu_s(pid) for pid in self.processes())

    def memory_bytes(self) -> int:
        """Memory of its processes, what they share counted once: the sum of their PSS."""
        return sum(_pss_bytes(pid) for pid in self.processes())

    def processes(self) -> list[int]:
        """It and its descendants: some servers serve from a child."""
        return list(_family(self._process.pid))

    def tail(self) -> str:
        """The end of what it has written."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def log_line_count(self) -> int:
        """Lines that it has written."""
        with self.log.open("rb") as log:
            return sum(1 for _ in log)

    def stop(self) -> None:
        """End it, and whatever it has left."""
        processes = self.processes()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Processes that are started meanwhile run on this core only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_descriptor_limit() -> int:
    """Let this process and those that it starts have as many descriptors as they may; returns how many those are."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = children.read_text().split()
        except OSError:
            continue
        for child in pids:
            yield from _family(int(child))


def _cpu_s(pid: int) -> float:
    # In nanoseconds, where /proc/PID/stat has hundredths of a second.
    try:
        return time.clock_gettime((~pid << 3) | _CPU_CLOCK)
    except OSError:
        return 0.0


def _pss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


@contextmanager
def started(names: Iterable[str], setup: Setup) -> Iterator[list[Running]]:
    """Start servers and wait until all answer; stop them at the end.

    Raises:
        ServerError: one did not start.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="addax-bench-")))
        servers = []
        for name in names:
            server = Running(name, setup, directory)
            stack.callback(server.stop)
            servers.append(server)
        for server in servers:
            server.wait()
        yield servers
