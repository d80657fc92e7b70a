"""``python -m addax app:app --workers N`` in a process, its application, and its workers as they are seen from outside.

with supervised(tmp_path, workers=2) as server:
    old = server.wait_for_workers(2)
    server.app.write("2")
    server.send_signal(signal.SIGHUP)
    new = server.wait_for_workers(2, without=frozenset(old))
    assert server.answering(new) == dict.fromkeys(new, "2")
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import processes
from harness import PATIENCE_S, Process
from processes import ProcessInfo, until
from supervised_app import AppFolder

#: Set to a different value for each ``Supervised``; its descendants inherit it.
MARK = "ADDAX_TEST_MARK"
#: What the command line of a worker holds; with --preload, of its parent.
_WORKER = re.compile(r"addax\.server\.worker|: worker [0-9]+ \[")
_WORKER_NUMBER = re.compile(r': worker ([0-9]+) \[|"number":([0-9]+)')
_FORK_SERVER = re.compile(r"addax\.server\.forking|: fork server \[")
#: How long a probe keeps the loop of a worker busy, so that the next one goes to another, and when that one is sent.
_PROBE_S, _PROBE_STEP_S = 0.1, 0.03
_PROBES_MAX_COUNT = 20
#: A worker that has said that it is ready accepts connections; so long nothing may change for all to be settled.
_SETTLED_S = 0.2


class Caller:
    """A blocking client with one connection, for what a test asks by itself; leads to one process.

    Args:
        address: of the server.
        timeout_s: for an answer.
        tls: how to speak TLS; None: not at all.
    """

    def __init__(
        self, address: tuple[str, int], timeout_s: float = PATIENCE_S, tls: ssl.SSLContext | None = None
    ) -> None:
        if tls is None:
            self._client = http.client.HTTPConnection(*address, timeout=timeout_s)
        else:
            self._client = http.client.HTTPSConnection(*address, timeout=timeout_s, context=tls)
        #: Who has answered, and whether the next request will be another connection's.
        self.pid = 0
        self.is_last = False
        self.version = ""

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, target: str) -> bytes:
        """Ask and return the body.

        Raises:
            OSError, http.client.HTTPException: there is no answer.
        """
        return self.post(target, None)

    def post(self, target: str, content: bytes | None) -> bytes:
        """As ``get``, with something to take along; None: nothing, which makes it a GET."""
        self._client.request("GET" if content is None else "POST", target, content)
        response = self._client.getresponse()
        body = response.read()
        assert response.status == 200, (response.status, body)
        self.pid, self.version = int(response.headers["x-pid"]), response.headers["x-version"]
        self.is_last = response.will_close
        return body

    def ask(self, target: str) -> None:
        """Ask and do not wait for the answer, which may never come."""
        self._client.request("GET", target)

    @property
    def serial(self) -> str:
        """Of the certificate that the server has shown on this connection."""
        assert isinstance(self._client.sock, ssl.SSLSocket)
        facts = self._client.sock.getpeercert()
        assert facts is not None
        return str(facts["serialNumber"])


class Supervised(Process):
    """A supervisor with its workers. As a context it makes sure, at the end, that nothing is left of it.

    Args:
        folder: for the application, or an ``AppFolder``.
        args: further options.
        workers: how many; None: the option is not given.
        tls: how its clients speak TLS; None: not at all.
        options: of ``Process``.

    Attributes:
        app: the folder of the application.
        pid: of the supervisor; ``adopt`` changes it after an upgrade.
    """

    def __init__(
        self,
        folder: Path | AppFolder,
        *args: str,
        workers: int | str | None = 2,
        tls: ssl.SSLContext | None = None,
        **options: Any,
    ) -> None:
        self._tls = tls
        self.app = folder if isinstance(folder, AppFolder) else AppFolder(folder)
        self._mark = f"{MARK}={uuid.uuid4().hex}"
        name, _, value = self._mark.partition("=")
        # Without cached bytecode: two versions of one second and one size would be taken for the same.
        env = {name: value, "PYTHONDONTWRITEBYTECODE": "1", **options.pop("env", {})}
        count = () if workers is None else ("--workers", str(workers))
        where = () if "--bind" in args else ("--port", "0")
        args = (*where, "--no-access-log", *count, *args)
        # A session of its own, by which those are found whose parent has ended.
        super().__init__(self.app.path, *args, env=env, start_new_session=True, **options)
        self.pid = self.process.pid

    def __enter__(self) -> Supervised:
        return self

    def __exit__(self, error_type: object, *_: object) -> None:
        try:
            if error_type is None and self.process.poll() is not None and processes.look_at(self.pid) is None:
                self.ensure_nothing_left()
        finally:
            self.close()

    # ---- processes

    def all_descendants(self) -> dict[int, ProcessInfo]:
        """Children of the supervisor, their children, and so on; the dead ones that nobody has buried, too."""
        return processes.descendants(self.pid)

    def worker_pids(self) -> set[int]:
        """Processes that serve, or are about to, or have not ended yet."""
        family = self.all_descendants()
        return {info.pid for info in family.values() if info.state != "Z" and self._is_worker(info, family)}

    @staticmethod
    def _is_worker(info: ProcessInfo, family: dict[int, ProcessInfo]) -> bool:
        if _WORKER.search(info.command):
            return True
        parent = family.get(info.parent)
        return parent is not None and bool(_FORK_SERVER.search(parent.command))

    def started_versions(self) -> dict[int, str]:
        """Which version the application had in each process in which its startup has come to its end, by process id."""
        found = (re.fullmatch(r"app\[(\d+)\]: started (.*)", line) for line in list(self.lines))
        return {int(match[1]): match[2] for match in found if match is not None}

    def wait_for_workers(
        self, count: int, *, without: frozenset[int] = frozenset(), patience_s: float = 0.0
    ) -> set[int]:
        """Wait until there are just so many workers, all have started, and nobody comes or goes any more.

        Args:
            count: how many.
            without: processes that must be gone.
            patience_s: 0: that of the tests.

        Returns:
            Their process ids.
        """
        since: dict[frozenset[int], float] = {}

        def look() -> set[int]:
            pids = frozenset(self.worker_pids())
            if len(pids) != count or pids & without or not pids <= self.started_versions().keys():
                since.clear()
                return set()
            first = since.setdefault(pids, time.monotonic())
            return set(pids) if time.monotonic() - first >= _SETTLED_S else set()

        def complaint() -> str:
            return f"not {count} workers, without {sorted(without)}:\n{self.describe()}"

        if count == 0:
            until(lambda: not self.worker_pids(), patience_s or PATIENCE_S, complaint)
            return set()
        return until(look, patience_s or PATIENCE_S, complaint)

    def wait_for_worker_numbers(self, *numbers: int) -> None:
        """Wait until these numbers, and no others, are taken; by as many processes as there may be.

        A worker and its successor have the same number. So this, unlike the number of processes, says how many workers
        are wanted also while they replace each other all the time.
        """

        def taken() -> set[int]:
            found = map(_WORKER_NUMBER.search, (info.command for info in self.all_descendants().values()))
            return {int(match[1] or match[2]) for match in found if match is not None}

        until(
            lambda: taken() == set(numbers),
            PATIENCE_S,
            lambda: f"not the workers {list(numbers)}, but {sorted(taken())}:\n{self.describe()}",
        )

    def count_lines(self, *texts: str) -> int:
        """How many lines hold all of these."""
        return sum(all(text in line for text in texts) for line in list(self.lines))

    def wait_gone(self, pid: int, patience_s: float = PATIENCE_S) -> None:
        """Wait until a process is gone, and somebody has asked for its exit code."""
        until(lambda: processes.look_at(pid) is None, patience_s, lambda: f"still there: {processes.look_at(pid)}")

    def open_fds(self, pid: int | None = None) -> dict[int, str]:
        """Open descriptors of the supervisor, or of another process, and what each is."""
        return processes.open_fds(self.pid if pid is None else pid)

    def describe(self) -> str:
        """Processes and last lines, for a message."""
        family = [str(info) for info in processes.started_in(self.process.pid, self._mark).values()]
        return "\n".join([f"supervisor [{self.pid}]", *family, "---- last lines", *self.lines[-60:]])

    # ---- requests

    def caller(self, timeout_s: float = PATIENCE_S) -> Caller:
        """A connection for requests of a test."""
        return Caller(self.address, timeout_s, self._tls)

    def answering(self, wanted: set[int], patience_s: float = PATIENCE_S) -> dict[int, str]:
        """Ask until each of these processes has answered.

        Every probe keeps the worker that gets it busy for a moment, so that the next one goes to another.

        Returns:
            The version that each process has answered with; of others, too, that have answered meanwhile.

        Raises:
            AssertionError: one does not answer, or a request fails.
        """
        found: dict[int, str] = {}
        troubles: list[Exception] = []

        def probe() -> None:
            try:
                with self.caller() as caller:
                    caller.get(f"/block?s={_PROBE_S}")
                    found[caller.pid] = caller.version
            except Exception as error:
                troubles.append(error)

        threads: list[threading.Thread] = []
        end_at = time.monotonic() + patience_s
        while not wanted <= found.keys() and not troubles and time.monotonic() < end_at:
            if sum(thread.is_alive() for thread in threads) < _PROBES_MAX_COUNT:
                threads.append(threading.Thread(target=probe))
                threads[-1].start()
            time.sleep(_PROBE_STEP_S)
        for thread in threads:
            thread.join()
        assert not troubles, f"a probe has failed: {troubles[0]!r}"
        missing = sorted(wanted - found.keys())
        assert not missing, f"no answer from {missing}, but from {sorted(found)}:\n{self.describe()}"
        return found

    # ---- the end

    def send_signal(self, number: int) -> None:
        """Send a signal to the supervisor, also to one that has taken over."""
        if self.pid == self.process.pid:
            super().send_signal(number)
        else:
            os.kill(self.pid, number)

    def adopt(self, pid: int) -> None:
        """Take another process for the supervisor: after an upgrade."""
        self.pid = pid

    def wait_for_supervisor(self, pid: int | None = None, patience_s: float = PATIENCE_S) -> int:
        """Wait for the end of a supervisor, while others may still write to the same output.

        Args:
            pid: None: the present one. One that was adopted must be a child of this process: see
                ``processes.adopting_orphans``.
            patience_s: how long, in seconds.

        Returns:
            Its exit code, negative for a signal.
        """
        asked = self.pid if pid is None else pid
        if asked == self.process.pid:
            return self.process.wait(patience_s)
        status = until(lambda: _status_of(asked), patience_s, lambda: f"[{asked}] does not end:\n{self.describe()}")
        return os.waitstatus_to_exitcode(status[0])

    def leftovers(self) -> dict[int, ProcessInfo]:
        """What there is still of everything that was started here."""
        if self.process.poll() is not None:
            self._bury_adopted()
        return processes.started_in(self.process.pid, self._mark)

    def ensure_nothing_left(self, patience_s: float = 3.0) -> None:
        """Wait until everything is gone that was started here; what is not is ended.

        Raises:
            AssertionError: something was still there.
        """
        try:
            until(
                lambda: not self.leftovers(),
                patience_s,
                lambda: "left behind:\n" + "\n".join(map(str, self.leftovers().values())),
            )
        finally:
            self._end_leftovers()

    def _bury_adopted(self) -> None:
        # Only where this process stands in for init; and not the supervisor, whose exit code is asked for elsewhere.
        for info in processes.started_in(self.process.pid, self._mark).values():
            if info.state == "Z" and info.parent == os.getpid() and info.pid != self.pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(info.pid, os.WNOHANG)

    def _end_leftovers(self) -> None:
        for pid in self.leftovers():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            # If this process has adopted it, somebody has to bury it.
            with contextlib.suppress(ChildProcessError):
                if pid != self.process.pid:
                    os.waitpid(pid, 0)

    def close(self) -> None:
        """End everything, whatever it does."""
        self._end_leftovers()
        super().close()


def _status_of(pid: int) -> tuple[int] | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return (status,) if ended else None


@contextlib.contextmanager
def supervised(folder: Path, *args: str, **options: Any) -> Iterator[Supervised]:
    """Run a supervisor, wait for its workers, and at the end have it stop properly and leave nothing behind."""
    with Supervised(folder, *args, **options) as server:
        server.wait_for("Addax running on")
        yield server
        if server.process.poll() is None:
            server.send_signal(signal.SIGTERM)
            code = server.wait()
            assert code == 0, f"exit code {code}:\n{server.describe()}"
