"""What can happen to a supervisor, and what must be so afterwards; ``chaos`` plays it."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from load_generator import LoadGenerator
from load_tally import Failure
from processes import look_at, until
from supervised import Caller, Supervised

#: Longest wait for what ought to happen in a round, in seconds.
ROUND_PATIENCE_S = 60.0
#: With which --timeout-worker-healthcheck the server was started, in seconds.
HEALTH_S = 2.0
#: How long after the end of a worker its clients may notice, and how much before it was known here, in seconds.
_NOTICE_S, _EARLY_S = 1.0, 0.05
#: How long the supervisor may take to say what has happened, in seconds.
_WORD_S = 5.0
#: Longer than any worker lives that is blocked, in seconds.
_FOR_EVER_S = 120


class Violation(Exception):
    """Something is not as it should be."""


@dataclass(frozen=True)
class Exemption:
    """Requests that may fail, because their worker was killed.

    Attributes:
        pid: of the worker.
        since: ``time.monotonic``.
        until: the same.
    """

    pid: int
    since: float
    until: float

    def covers(self, failure: Failure) -> bool:
        """Whether this one may: its worker is known to be this one, or has not said a byte yet."""
        if failure.outcome not in ("reset", "cut short") or not self.since <= failure.ended_at <= self.until:
            return False
        return failure.pid == self.pid or (failure.pid is None and failure.received_bytes == 0)


class Chaos:
    """The rounds.

    Args:
        server: runs and serves.
        load: runs.
        workers_count: with which the server was started.
        pid_file: of the server.
        dice: what happens to whom, and when.
        has_fork_server: whether one more process belongs to the server.
    """

    def __init__(
        self,
        server: Supervised,
        load: LoadGenerator,
        workers_count: int,
        pid_file: Path,
        dice: random.Random,
        has_fork_server: bool,
    ) -> None:
        self.wanted = workers_count
        self.workers: set[int] = set()
        self.expected: list[Failure] = []
        self.unexpected: list[Failure] = []
        self._server = server
        self._load = load
        self._first_count = workers_count
        self._pid_file = pid_file
        self._dice = dice
        self._helpers_count = int(has_fork_server)
        self._version = 1
        self._exemptions: list[Exemption] = []
        self._judged_count = 0
        #: Open descriptors by supervisor and number of workers.
        self._fds: dict[tuple[int, int], dict[int, str]] = {}
        self.rounds: dict[str, Callable[[], str]] = {
            "HUP": self.hup,
            "HUP during HUP": self.hup_during_hup,
            "HUP, syntax error": self.hup_with_syntax_error,
            "HUP, kill": self.hup_and_kill,
            "HUP, TTIN or TTOU": self.hup_and_resize,
            "TTIN": self.more,
            "TTOU": self.fewer,
            "USR1": self.usr1,
            "USR2": self.usr2,
            "USR2, syntax error": self.usr2_with_syntax_error,
            "kill": self.kill,
            "TERM a worker": self.terminate,
            "STOP": self.stop,
            "STOP, CONT": self.stop_and_continue,
            "block": self.block,
            "block shortly": self.block_shortly,
            "exit": self.exit,
            "crash": self.crash,
            "recycle": self.recycle,
        }

    # ---- rounds; each returns a note for the table

    def hup(self) -> str:
        """A rolling restart with a new version."""
        old = frozenset(self.workers)
        self._new_version()
        self._hang_up()
        self.settle(gone=old)
        return f"version {self._version}"

    def hup_during_hup(self) -> str:
        """Another one before the first is complete; the newer version has to win."""
        old = frozenset(self.workers)
        self._new_version()
        completed = self._server.count_lines("Restart complete")
        self._server.send_signal(signal.SIGHUP)
        delay_s = self._dice.uniform(0.0, 2.0)
        time.sleep(delay_s)
        self._new_version()
        self._server.send_signal(signal.SIGHUP)
        self._wait_for_line("Restart complete", count=completed + 1)
        self.settle(gone=old, is_version_awaited=True)
        return f"version {self._version}, after {delay_s:.2f} s"

    def hup_with_syntax_error(self) -> str:
        """A restart that cannot succeed changes nothing, and the next one does."""
        old = frozenset(self.workers)
        failed = self._server.count_lines("Restart failed")
        self._server.app.write("broken", has_syntax_error=True)
        self._server.send_signal(signal.SIGHUP)
        self._wait_for_line("Restart failed", count=failed + 1)
        # Mended at once: a worker that has served enough is replaced at any time.
        self._server.app.write(str(self._version))
        self.settle()
        kept_count = len(self.workers & old)
        self._new_version()
        self._hang_up()
        self.settle(gone=old)
        return f"{kept_count} kept, then version {self._version}"

    def hup_and_kill(self) -> str:
        """A worker is killed while the restart goes on; if it was a new one, the restart may fail, and is repeated."""
        old = frozenset(self.workers)
        complete, failed = (self._server.count_lines(text) for text in ("Restart complete", "Restart failed"))
        self._new_version()
        self._server.send_signal(signal.SIGHUP)
        time.sleep(self._dice.uniform(0.0, 1.5))
        pid = self._pick(self._server.worker_pids())
        self._kill(pid)
        self._wait_for(
            lambda: (
                self._server.count_lines("Restart complete") > complete
                or self._server.count_lines("Restart failed") > failed
            ),
            "end of the restart",
        )
        has_failed = self._server.count_lines("Restart failed") > failed
        if has_failed:
            self._hang_up()
        self.settle(gone=old | {pid})
        return f"{'an old' if pid in old else 'a new'} worker{', repeated' if has_failed else ''}"

    def hup_and_resize(self) -> str:
        """The number of workers changes while a restart goes on."""
        old = frozenset(self.workers)
        completed = self._server.count_lines("Restart complete")
        self._new_version()
        self._server.send_signal(signal.SIGHUP)
        delay_s = self._dice.uniform(0.0, 1.0)
        time.sleep(delay_s)
        is_more = self.wanted <= self._first_count
        self.wanted += 1 if is_more else -1
        self._server.send_signal(signal.SIGTTIN if is_more else signal.SIGTTOU)
        self._wait_for_line("Restart complete", count=completed + 1)
        self.settle(gone=old)
        return f"{self.wanted} workers, after {delay_s:.2f} s, version {self._version}"

    def more(self) -> str:
        """One worker more; at the most one more than at the start."""
        if self.wanted > self._first_count:
            return "left out: " + self.fewer()
        self.wanted += 1
        self._server.send_signal(signal.SIGTTIN)
        self.settle()
        return f"{self.wanted} workers"

    def fewer(self) -> str:
        """One worker less; two stay."""
        if self.wanted <= 2:
            return "left out: " + self.more()
        self.wanted -= 1
        self._server.send_signal(signal.SIGTTOU)
        self.settle()
        return f"{self.wanted} workers"

    def usr1(self) -> str:
        """Log files are opened anew; nothing else happens."""
        old = self.workers
        self._server.send_signal(signal.SIGUSR1)
        self.settle()
        return f"{len(old & self.workers)} kept"

    def usr2(self) -> str:
        """A new supervisor takes over; its parent ends."""
        old, old_pid = frozenset(self.workers), self._server.pid
        self._new_version()
        self._server.send_signal(signal.SIGUSR2)
        self._wait_for(lambda: self._pid_in_file() not in (0, old_pid), "new process id in the file")
        pid = self._pid_in_file()
        info = look_at(pid)
        if info is None or info.parent not in (old_pid, os.getpid()):
            raise Violation(f"the new supervisor is {info}")
        code = self._server.wait_for_supervisor(old_pid, ROUND_PATIENCE_S)
        if code != 0:
            raise Violation(f"the old supervisor has ended with {code}")
        self._server.adopt(pid)
        self.wanted = self._first_count
        self.settle(gone=old | {old_pid})
        return f"[{old_pid}] → [{pid}], version {self._version}"

    def usr2_with_syntax_error(self) -> str:
        """A new supervisor whose workers cannot start ends, and this one has never stopped serving."""
        old = self.workers
        self._server.app.write("broken", has_syntax_error=True)
        begun = self._server.count_lines("starting a new supervisor")
        self._server.send_signal(signal.SIGUSR2)
        self._wait_for_line("starting a new supervisor", count=begun + 1)
        line = [line for line in self._server.lines if "starting a new supervisor" in line][-1]
        pid = int(line.rpartition("[")[2].rpartition("]")[0])
        self._wait_gone(pid)
        self._wait_for(lambda: self._server.count_lines(f"[{pid}]", "this one goes on"), "word of it", _WORD_S)
        self._server.app.write(str(self._version))
        self.settle()
        return f"{len(self.workers & old)} kept"

    def kill(self) -> str:
        """A worker is killed, as the kernel does when memory runs out."""
        pid = self._pick(self.workers)
        self._kill(pid)
        self.settle(gone=frozenset({pid}))
        return f"[{pid}]"

    def terminate(self) -> str:
        """Somebody tells a worker to end, behind the supervisor's back: it ends gracefully, and is replaced."""
        pid = self._pick(self.workers)
        os.kill(pid, signal.SIGTERM)
        self._wait_gone(pid)
        self.settle(gone=frozenset({pid}))
        return f"[{pid}]"

    def stop(self) -> str:
        """A worker is stopped and stays so: it is killed."""
        pid = self._pick(self.workers)
        since = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        self._await_end(pid, since)
        return f"[{pid}] was killed"

    def stop_and_continue(self) -> str:
        """A worker is stopped until the supervisor has noticed it: it ends gracefully then."""
        pid = self._pick(self.workers)
        since = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        self._wait_for(
            lambda: self._server.count_lines(f"[{pid}]", "no sign of life") or self._is_gone(pid), "news of its silence"
        )
        if not self._is_gone(pid):
            os.kill(pid, signal.SIGCONT)
        self._wait_gone(pid)
        # Only if it came too late to continue.
        is_killed = self._server.count_lines(f"[{pid}]", "it is killed") > 0
        if is_killed:
            self._exempt(pid, since)
        self.settle(gone=frozenset({pid}))
        return f"[{pid}] {'was killed all the same' if is_killed else 'ended by itself'}"

    def block(self) -> str:
        """A handler blocks the loop of its worker for longer than it may."""
        since = time.monotonic()
        pid = self._ask_one(f"/block?s={_FOR_EVER_S}")
        self._await_end(pid, since)
        return f"[{pid}] was killed"

    def block_shortly(self) -> str:
        """A handler blocks the loop, but not too long; nothing may come of it."""
        with self._server.caller() as caller:
            caller.get(f"/block?s={HEALTH_S / 2}")
            pid = caller.pid
        is_there = pid in self._server.worker_pids()
        self.settle()
        return f"[{pid}] {'goes on' if is_there else 'was replaced meanwhile'}"

    def exit(self) -> str:
        """A worker ends itself in the middle of everything."""
        return self._end_one("/exit")

    def crash(self) -> str:
        """A worker crashes."""
        return self._end_one("/crash")

    def recycle(self) -> str:
        """A worker has served enough."""
        before = self._server.count_lines("Maximum request limit")
        with self._server.caller() as caller:
            self._wait_for(lambda: self._ask_until_recycled(caller, before), "replacement")
        self.settle()
        return f"{self._server.count_lines('Maximum request limit')} so far"

    # ---- what rounds are made of

    def _new_version(self) -> None:
        self._version += 1
        self._server.app.write(str(self._version))

    def _hang_up(self) -> None:
        completed = self._server.count_lines("Restart complete")
        self._server.send_signal(signal.SIGHUP)
        self._wait_for_line("Restart complete", count=completed + 1)

    def _pick(self, pids: set[int]) -> int:
        # One that has gone meanwhile, because it had served enough, cannot be picked any more.
        return self._dice.choice(sorted(pids & self._server.worker_pids()))

    def _kill(self, pid: int) -> None:
        since = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        self._wait_gone(pid)
        self._exempt(pid, since)

    def _end_one(self, target: str) -> str:
        since = time.monotonic()
        pid = self._ask_one(target)
        self._wait_gone(pid)
        self._exempt(pid, since)
        self.settle(gone=frozenset({pid}))
        return f"[{pid}]"

    def _await_end(self, pid: int, since: float) -> None:
        self._wait_gone(pid)
        self._exempt(pid, since)
        self.settle(gone=frozenset({pid}))

    def _ask_one(self, target: str) -> int:
        """Ask for something that has no answer; return the process that was asked."""
        while True:
            with self._server.caller() as caller:
                caller.get("/pid")
                if not caller.is_last:
                    caller.ask(target)
                    return caller.pid

    def _ask_until_recycled(self, caller: Caller, before: int) -> bool:
        for _ in range(100):
            caller.get("/")
        return self._server.count_lines("Maximum request limit") > before

    def _exempt(self, pid: int, since: float) -> None:
        self._exemptions.append(Exemption(pid, since - _EARLY_S, time.monotonic() + _NOTICE_S))

    def _pid_in_file(self) -> int:
        try:
            return int(self._pid_file.read_text())
        except (OSError, ValueError):
            return 0

    @staticmethod
    def _is_gone(pid: int) -> bool:
        return look_at(pid) is None

    def _wait_gone(self, pid: int) -> None:
        self._wait_for(lambda: self._is_gone(pid), f"end of [{pid}]")

    def _wait_for_line(self, text: str, count: int) -> None:
        self._wait_for(lambda: self._server.count_lines(text) >= count, f"{text!r} for the {count}th time")

    def _wait_for(self, look: Callable[[], object], what: str, patience_s: float = ROUND_PATIENCE_S) -> None:
        until(look, patience_s, lambda: f"no {what}")

    # ---- after each round

    def settle(self, gone: frozenset[int] = frozenset(), is_version_awaited: bool = False) -> None:
        """Wait until all is as it should be.

        Args:
            gone: processes that must not be there any more.
            is_version_awaited: whether a restart may still be in progress that has not been waited for.

        Raises:
            Violation: it is not.
            AssertionError: the same.
        """
        end_at = time.monotonic() + ROUND_PATIENCE_S
        while True:
            pids = self._server.wait_for_workers(self.wanted, without=gone, patience_s=ROUND_PATIENCE_S)
            if is_version_awaited and set(self._versions(pids)) != {str(self._version)}:
                if time.monotonic() > end_at:
                    raise Violation(f"not version {self._version} everywhere: {self._versions(pids)}")
                time.sleep(0.1)
                continue
            found = self._server.answering(pids)
            if pids <= self._server.worker_pids() or time.monotonic() > end_at:
                break
            # Somebody had served enough, and was replaced while the others were asked.
        versions = {pid: found[pid] for pid in pids}
        if set(versions.values()) != {str(self._version)}:
            raise Violation(f"not version {self._version}: {versions}")
        self.workers = pids
        if self._pid_in_file() != self._server.pid:
            raise Violation(f"process id {self._pid_in_file()} in the file, not {self._server.pid}")
        self._check_nobody_else()
        self._check_fds()

    def _versions(self, pids: set[int]) -> list[str]:
        started = self._server.started_versions()
        return [started[pid] for pid in sorted(pids)]

    def _check_nobody_else(self) -> None:
        def look() -> bool:
            family = self._server.all_descendants()
            strangers = self._server.leftovers().keys() - family.keys() - {self._server.pid}
            zombies = [info for info in family.values() if info.state == "Z"]
            # A replacement may be on its way: a worker that has served enough does not wait for a round.
            workers_count = len(self._server.worker_pids())
            return not strangers and not zombies and len(family) == workers_count + self._helpers_count

        until(look, ROUND_PATIENCE_S, lambda: f"somebody is there who should not be:\n{self._server.describe()}")

    def _check_fds(self) -> None:
        key = self._server.pid, self.wanted
        if key not in self._fds:
            self._fds[key] = self._server.open_fds()
            return
        before = self._fds[key]

        def look() -> bool:
            return len(self._server.open_fds()) <= len(before)

        def complaint() -> str:
            more = self._server.open_fds()
            return f"{len(more)} descriptors of the supervisor instead of {len(before)}: {before} {more}"

        until(look, ROUND_PATIENCE_S, complaint)

    def judge(self) -> tuple[int, int]:
        """Judge the failures since the last time; returns how many were expected, and how many not."""
        failures = self._load.failures[self._judged_count :]
        self._judged_count += len(failures)
        expected = [one for one in failures if any(exemption.covers(one) for exemption in self._exemptions)]
        unexpected = [one for one in failures if one not in expected]
        self.expected += expected
        self.unexpected += unexpected
        return len(expected), len(unexpected)
