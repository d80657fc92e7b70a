"""What systemd hears from the start to the end, and the sockets that it passes."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import PATIENCE_S, Process, request
from processes import adopting_orphans, look_at, until
from service_manager import ServiceManager
from supervised import Supervised, supervised
from supervised_app import AppFolder
from tests.certificates import Authority

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
        assert not manager.is_alien
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


def test_successor_that_cannot_start_changes_nothing(tmp_path: Path, manager: ServiceManager) -> None:
    with adopting_orphans(), supervised(tmp_path, *QUICK, env=manager.environment()) as server:
        manager.wait_for("READY=1")
        workers = server.wait_for_workers(2)
        server.app.write("2", has_syntax_error=True)
        server.send_signal(signal.SIGUSR2)
        server.wait_for("has ended and was not ready; this one goes on.")
        assert server.answering(workers)
    assert manager.sequence() == ["READY", "STOPPING"]
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


# ---- a single process


@pytest.mark.parametrize("is_good", [True, False])
def test_single_process_reloads_its_certificates(
    tmp_path: Path, manager: ServiceManager, authority: Authority, is_good: bool
) -> None:
    files = authority.server("localhost").copy_to(tmp_path)
    tls = ["--ssl-certfile", str(files.certfile), "--ssl-keyfile", str(files.keyfile)]
    with Supervised(tmp_path, *tls, workers=None, env=manager.environment()) as server:
        manager.wait_for("READY=1")
        if not is_good:
            files.keyfile.write_text("no key\n")
        server.send_signal(signal.SIGHUP)
        manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1", count=2)
        server.send_signal(signal.SIGTERM)
        assert server.wait() == -signal.SIGTERM
    assert manager.sequence() == ["READY", "RELOADING", "READY", "STOPPING"]


def test_single_process_from_start_to_end(start: Callable[..., Process], manager: ServiceManager) -> None:
    server = start("--port", "0", env=manager.environment(watchdog_s=1.0))
    ready = manager.wait_for("READY=1")
    assert ready.pid == server.process.pid
    assert ready.fields["STATUS"] == "0 requests in progress, 0 connections, 0 requests"
    server.wait_for("app: startup")
    # From the event loop, as often as twice in that time.
    manager.wait_for("WATCHDOG=1", count=3)
    with request(server.address, "/slow"):
        server.wait_for("app: /slow")
        server.send_signal(signal.SIGTERM)
        stopping = manager.wait_for("STOPPING=1")
        assert stopping.fields["STATUS"] == "Stopping: 1 request in progress, 1 connection, 0 requests"
        manager.wait_until(lambda word: "EXTEND_TIMEOUT_USEC" in word.fields)
    assert server.wait() == -signal.SIGTERM
    assert manager.sequence() == ["READY", "STOPPING"]
    assert manager.refused == []


def test_blocked_loop_of_a_single_process_does_not_beat(start: Callable[..., Process], manager: ServiceManager) -> None:
    server = start("--port", "0", env=manager.environment(watchdog_s=0.4))
    manager.wait_for("WATCHDOG=1", count=2)
    os.kill(server.process.pid, signal.SIGSTOP)
    until(lambda: is_stopped(server.process.pid), PATIENCE_S, lambda: "it runs")
    before = manager.count("WATCHDOG=1")
    with pytest.raises(AssertionError):
        manager.wait_for("WATCHDOG=1", count=before + 2, patience_s=1.0)
    os.kill(server.process.pid, signal.SIGCONT)
    manager.wait_for("WATCHDOG=1", count=before + 2)


def is_stopped(pid: int) -> bool:
    info = look_at(pid)
    return info is not None and info.state == "T"


def test_single_process_that_cannot_start_is_never_ready(
    start: Callable[..., Process], manager: ServiceManager
) -> None:
    server = start("--port", "0", env={**manager.environment(), "FAIL_AT_STARTUP": "1"})
    assert server.wait() == 3
    assert manager.sequence() == ["STOPPING"]


# ---- sockets that are passed

#: Puts sockets where systemd would, names this process, and becomes the server.
ACTIVATE = """
import fcntl, os, sys
high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 100) for fd in os.environ.pop("TEST_FDS").split(",")]
for number, fd in enumerate(high, 3):
    os.dup2(fd, number)
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.environ["LISTEN_FDS"] = str(len(high))
os.execv(sys.argv[1], sys.argv[1:])
"""


def activation(*sockets: socket.socket, names: str = "", **environment: str) -> dict[str, Any]:
    """Options of ``Process`` for a server that gets sockets."""
    fds = [sock.fileno() for sock in sockets]
    variables = {"TEST_FDS": ",".join(map(str, fds)), **({"LISTEN_FDNAMES": names} if names else {}), **environment}
    return {"prefix": (sys.executable, "-c", ACTIVATE), "pass_fds": fds, "env": variables}


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """Three that listen."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    yield sockets
    for sock in sockets:
        sock.close()


def answers(sock: socket.socket) -> bool:
    """Whether somebody answers at the other end, and not only the kernel."""
    with request(sock.getsockname(), "/pid") as client:
        client.settimeout(PATIENCE_S)
        return client.recv(12) == b"HTTP/1.1 200"


def test_single_process_serves_on_all_sockets_that_were_passed(
    start: Callable[..., Process], sockets: list[socket.socket]
) -> None:
    server = start("--fd", "systemd", **activation(*sockets))
    line = server.wait_for("Addax running on socket")
    assert all(str(sock.getsockname()) in line for sock in sockets)
    assert all(answers(sock) for sock in sockets)
    server.send_signal(signal.SIGTERM)
    assert server.wait() == -signal.SIGTERM
    # They are systemd's: what comes now waits for the next start.
    with request(sockets[0].getsockname(), "/pid") as client:
        again = start("--fd", "systemd", **activation(*sockets))
        assert client.recv(12) == b"HTTP/1.1 200"
        again.send_signal(signal.SIGTERM)
        assert again.wait() == -signal.SIGTERM


def test_single_process_takes_sockets_by_name(start: Callable[..., Process], sockets: list[socket.socket]) -> None:
    server = start("--fd", "systemd:web", **activation(*sockets, names="web:admin:web"))
    line = server.wait_for("Addax running on socket")
    assert [str(sock.getsockname()) in line for sock in sockets] == [True, False, True]
    assert answers(sockets[0])
    assert answers(sockets[2])


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_sockets_that_were_passed_are_binds_among_others(
    start: Callable[..., Process], sockets: list[socket.socket], workers: tuple[str, ...]
) -> None:
    binds = [word for bind in ("127.0.0.1:0", "systemd:web", "systemd:admin") for word in ("--bind", bind)]
    server = start(*binds, *workers, **activation(*sockets, names="web:admin:web"))
    web, admin, also_web = (str(sock.getsockname()) for sock in sockets)
    server.wait_for("Addax running on http://127.0.0.1:")
    server.wait_for(f"Addax running on socket {web}, {also_web} (")
    server.wait_for(f"Addax running on socket {admin} (")
    assert all(answers(sock) for sock in sockets)
    server.send_signal(signal.SIGTERM)
    server.wait()


def test_supervisor_serves_on_sockets_that_were_passed_and_hands_them_on(
    tmp_path: Path, sockets: list[socket.socket], manager: ServiceManager
) -> None:
    options = activation(*sockets, names="web:admin:web", **manager.environment())
    with adopting_orphans(), Supervised(tmp_path, *QUICK, "--fd", "systemd:web", **options) as server:
        manager.wait_for("READY=1")
        for pid in server.wait_for_workers(2):
            assert b"LISTEN_" not in Path(f"/proc/{pid}/environ").read_bytes()
            # Two sockets in each, and not the third one.
            assert len(inodes(server.open_fds(pid)) & set(map(inode, sockets))) == 2
        assert answers(sockets[0])
        assert answers(sockets[2])
        old = server.pid
        server.send_signal(signal.SIGUSR2)
        server.adopt(int(manager.wait_until(lambda word: "MAINPID" in word.fields).fields["MAINPID"]))
        assert server.wait_for_supervisor(old) == 0
        assert answers(sockets[0])
        assert answers(sockets[2])
        manager.wait_for("READY=1", count=2)
        server.send_signal(signal.SIGTERM)
        assert server.wait_for_supervisor() == 0
        server.process.wait(PATIENCE_S)


def inode(sock: socket.socket) -> str:
    return f"socket:[{os.fstat(sock.fileno()).st_ino}]"


def inodes(fds: dict[int, str]) -> set[str]:
    return set(fds.values())


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_sockets_of_another_process_are_refused(
    start: Callable[..., Process], sockets: list[socket.socket], workers: tuple[str, ...]
) -> None:
    server = start("--fd", "systemd", *workers, **activation(*sockets, LISTEN_PID="1"))
    assert server.wait() == 3
    assert "the sockets that systemd has passed are for process 1 (LISTEN_PID), and this one is " in server.lines[-1]
