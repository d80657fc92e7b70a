"""What systemd hears from the start to the end, and the sockets that it passes."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PATIENCE_S
from processes import adopting_orphans
from service_manager import ServiceManager
from supervised import Supervised, supervised
from supervised_app import AppFolder

pytestmark = pytest.mark.network

QUICK = ("--timeout-keep-alive", "1", "--timeout-graceful-shutdown", "5")
#: "2 workers, 0 requests in progress, 1 connection, 7 requests, 0 restarts"
NUMBERS = re.compile(
    r"(\d+) workers?, (\d+) requests? in progress, (\d+) connections?, (\d+) requests?, (\d+) restarts?$"
)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    with ServiceManager(tmp_path) as manager:
        yield manager


def numbers(status: str) -> list[int]:
    found = NUMBERS.search(status)
    assert found is not None, status
    return [int(number) for number in found.groups()]


# ---- a supervisor


def test_supervisor_from_start_to_end(tmp_path: Path, manager: ServiceManager) -> None:
    with supervised(tmp_path, *QUICK, env=manager.environment()) as server:
        ready = manager.wait_for("READY=1")
        assert ready.pid == server.pid
        assert numbers(ready.fields["STATUS"])[0] == 2
        # More time was asked for before.
        assert "EXTEND_TIMEOUT_USEC" in manager.words[0].fields
        old = server.wait_for_workers(2)

        server.app.write("2")
        asked_at = time.monotonic_ns() // 1000
        server.send_signal(signal.SIGHUP)
        reloading = manager.wait_for("RELOADING=1")
        assert int(reloading.fields["MONOTONIC_USEC"]) >= asked_at
        assert reloading.fields["STATUS"].startswith("Restarting: ")
        ended = manager.wait_for("READY=1", count=2)
        assert ended.fields["STATUS"].startswith("Restart complete: 2 of 2 workers replaced")
        new = server.wait_for_workers(2, without=frozenset(old))
        assert set(server.answering(new).values()) == {"2"}

        server.app.write("3", has_syntax_error=True)
        server.send_signal(signal.SIGHUP)
        manager.wait_for("RELOADING=1", count=2)
        failed = manager.wait_for("READY=1", count=3)
        assert failed.fields["STATUS"].startswith("Restart failed: child process [")
        assert failed.fields["STATUS"].endswith("the old workers go on serving.")
        assert server.wait_for_workers(2) == new

        server.send_signal(signal.SIGTERM)
        stopping = manager.wait_for("STOPPING=1")
        assert stopping.fields["STATUS"].startswith("Stopping: 2 workers, ")
        assert server.wait() == 0
    assert manager.sequence() == ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"]
    assert manager.refused == []
    assert "EXTEND_TIMEOUT_USEC" in manager.words[-1].fields
    # Nobody waits for it.
    assert manager.count("WATCHDOG=1") == 0


def test_status_has_the_counters_of_all_workers(tmp_path: Path, manager: ServiceManager) -> None:
    # Nobody waits for the request at the end.
    with supervised(tmp_path, "--timeout-graceful-shutdown", "0", env=manager.environment()) as server:
        manager.wait_for("READY=1")
        server.answering(server.wait_for_workers(2))
        with server.caller() as caller:
            caller.ask("/sleep?s=60")
            word = manager.wait_until(lambda word: ", 1 request in progress" in word.fields.get("STATUS", ""))
        workers_count, active, connections, total, restarts = numbers(word.fields["STATUS"])
        assert (workers_count, active, restarts) == (2, 1, 0)
        assert connections >= 1
        assert total >= 2


def test_start_that_fails_is_never_ready(tmp_path: Path, manager: ServiceManager) -> None:
    app = AppFolder(tmp_path)
    app.set_startup("fail")
    with Supervised(app, env=manager.environment()) as server:
        assert server.wait() == 3
    assert manager.sequence() == ["STOPPING"]


def test_successor_has_the_word_when_its_predecessor_has_named_it(tmp_path: Path, manager: ServiceManager) -> None:
    with adopting_orphans(), Supervised(tmp_path, *QUICK, env=manager.environment(watchdog_s=1.0)) as server:
        manager.wait_for("READY=1")
        server.wait_for_workers(2)
        old = server.pid
        server.send_signal(signal.SIGUSR2)
        named = manager.wait_until(lambda word: "MAINPID" in word.fields)
        assert named.pid == old
        server.adopt(int(named.fields["MAINPID"]))
        ready = manager.wait_for("READY=1", count=2)
        assert ready.pid == server.pid
        # It beats as well, and the predecessor has no last word.
        manager.wait_until(lambda word: word.pid == server.pid and "WATCHDOG=1" in word, count=2)
        assert server.wait_for_supervisor(old) == 0
        server.send_signal(signal.SIGHUP)
        assert manager.wait_for("RELOADING=1").pid == server.pid
        manager.wait_for("READY=1", count=3)
        server.send_signal(signal.SIGTERM)
        assert manager.wait_for("STOPPING=1").pid == server.pid
        assert server.wait_for_supervisor() == 0
        server.process.wait(PATIENCE_S)
    assert manager.sequence() == ["READY", "MAINPID", "READY", "RELOADING", "READY", "STOPPING"]
    assert manager.refused == []


def test_watchdog_falls_silent_when_no_worker_is_alive(tmp_path: Path, manager: ServiceManager) -> None:
    # Workers that do not beat for so long are not healthy any more; they are replaced by some that cannot start.
    bounds = ("--timeout-worker-healthcheck", "0.5", "--timeout-worker-startup", "none")
    with Supervised(tmp_path, *QUICK, *bounds, env=manager.environment(watchdog_s=0.4)) as server:
        manager.wait_for("READY=1")
        workers = server.wait_for_workers(2)
        manager.wait_for("WATCHDOG=1", count=3)
        server.app.set_startup("hang")
        # One that is alive is enough.
        os.kill(min(workers), signal.SIGSTOP)
        server.wait_for("no sign of life")
        manager.wait_for("WATCHDOG=1", count=manager.count("WATCHDOG=1") + 3)
        os.kill(max(workers), signal.SIGSTOP)
        server.wait_for("no sign of life", count=2)
        stopped_at = time.monotonic()
        # The supervisor itself is well: it says what the matter is.
        manager.wait_until(lambda word: word.fields.get("STATUS", "").startswith("0 workers"))
        assert [word for word in manager.words if "WATCHDOG=1" in word and word.at > stopped_at + 0.5] == []


def test_workers_do_not_see_the_variables(tmp_path: Path, manager: ServiceManager) -> None:
    with supervised(tmp_path, *QUICK, env=manager.environment(watchdog_s=10.0)) as server:
        for pid in server.wait_for_workers(2):
            text = Path(f"/proc/{pid}/environ").read_bytes()
            assert b"NOTIFY_SOCKET" not in text
            assert b"WATCHDOG_" not in text


def test_reload_from_files_is_ready_and_reloads(tmp_path: Path, manager: ServiceManager) -> None:
    environment = manager.environment(watchdog_s=1.0)
    with Supervised(tmp_path, "--reload", workers=None, env=environment) as server:
        assert manager.wait_for("READY=1").pid == server.pid
        manager.wait_for("WATCHDOG=1", count=2)
        server.wait_for("app[")
        server.send_signal(signal.SIGHUP)
        manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1", count=2)
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
    assert manager.sequence() == ["READY", "RELOADING", "READY", "STOPPING"]
