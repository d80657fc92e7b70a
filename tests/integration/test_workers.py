"""Workers under a supervisor: real processes, real signals, real clients.

``ADDAX_TEST_REQUESTS=20000`` makes the deploys below last until so many requests were answered.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from harness import PATIENCE_S, drain_socket, request
from load_generator import LoadGenerator
from processes import adopting_orphans, look_at, until
from supervised import Supervised, supervised
from supervised_app import AppFolder

pytestmark = pytest.mark.network

REQUESTS_COUNT = int(os.environ.get("ADDAX_TEST_REQUESTS", "1500"))
#: For what is to end soon after a worker was told to.
QUICK = ("--timeout-keep-alive", "1", "--timeout-graceful-shutdown", "5")


# ---- the command lines of the documentation


def test_workers_serve_and_stop(tmp_path: Path) -> None:
    with supervised(tmp_path, workers=4) as server:
        pids = server.wait_for_workers(4)
        assert len(pids) == 4
        assert server.pid not in pids
        assert server.answering(pids).keys() >= pids
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
    messages = server.messages()
    assert messages[0] == f"Started parent process [{server.pid}]"
    assert messages[-1] == f"Stopping parent process [{server.pid}]"
    assert sum(line.startswith("Terminated child process") for line in messages) == 4


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def test_production_command_line(tmp_path: Path) -> None:
    port = free_port()
    line = f"--host 0.0.0.0 --port {port} --loop uvloop --http httptools --log-level warning --timeout-keep-alive 5"
    with Supervised(tmp_path, *line.split(), "--limit-concurrency", "1000", workers=4) as server:
        pids = server.wait_for_workers(4)
        with request(("127.0.0.1", port), "/pid") as client:
            client.shutdown(socket.SHUT_WR)
            assert int(drain_socket(client).rpartition(b"\r\n")[2]) in pids
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
    # Warnings only, and there were none.
    assert [line for line in server.lines if not line.startswith("app[")] == []


#: Two cores at the most, where that can be said: a large machine would start as many processes.
ON_FEW_CORES = """
import os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_number_that_was_found_out_is_explained_once(tmp_path: Path) -> None:
    prefix = (sys.executable, "-c", ON_FEW_CORES)
    with supervised(tmp_path, "--supervise", workers="auto", prefix=prefix) as server:
        lines = [line for line in server.messages() if "auto" in line]
        found = re.fullmatch(r"Workers: ([0-9]+) \(auto: ([0-9]+ of )?[0-9]+ cores?( by .+)?\)\.", lines[0])
        assert found is not None, lines
        assert len(lines) == 1
        assert len(server.wait_for_workers(int(found[1]))) == int(found[1])
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
    assert [line for line in server.messages() if "auto" in line] == lines


# ---- deploys


@pytest.mark.slow
def test_deploys_under_load_fail_no_request(tmp_path: Path) -> None:
    recycling = ("--limit-max-requests", "400", "--limit-max-requests-jitter", "100")
    pid_file = tmp_path / "addax.pid"
    with adopting_orphans(), Supervised(tmp_path, *QUICK, *recycling, "--pid-file", str(pid_file)) as server:
        server.wait_for("Addax running on")
        with LoadGenerator(server.address, is_process=True) as load:
            load.wait_for_count(100)
            for count in range(1, 6):
                server.app.write(f"deploy {count}")
                server.send_signal(signal.SIGHUP)
                if count % 2:
                    # The others come while one is in progress.
                    server.wait_for("Restart complete", (count + 1) // 2)
                    load.wait_for_more(50)
            server.wait_for("Restart complete", 3)
            server.send_signal(signal.SIGTTIN)
            server.wait_for_worker_numbers(1, 2, 3)
            server.send_signal(signal.SIGTTOU)
            server.wait_for_worker_numbers(1, 2)
            old = server.pid
            server.send_signal(signal.SIGUSR2)
            server.wait_for("is ready")
            server.adopt(int(pid_file.read_text()))
            assert server.pid != old
            assert server.wait_for_supervisor(old) == 0
            load.wait_for_count(REQUESTS_COUNT)
            server.wait_for("Maximum request limit")
            until(lambda: versions(server) - {None} == {"deploy 5"}, PATIENCE_S, server.describe)
            # From now on a new connection may be refused; what was accepted is answered.
            load.expect_end()
            server.send_signal(signal.SIGTERM)
            assert server.wait_for_supervisor() == 0
            result = load.stop()
        print(result.summary())
        assert result.failed_count == 0, result.summary()
        assert result.total >= REQUESTS_COUNT
        assert not pid_file.exists()
        server.process.wait(PATIENCE_S)


def versions(server: Supervised) -> set[str | None]:
    """What the workers have that are there now; None of one that has not come so far."""
    started = server.started_versions()
    return {started.get(pid) for pid in server.worker_pids()}


def test_restart_with_a_mistake_leaves_the_old_workers_and_the_next_one_mends_it(tmp_path: Path) -> None:
    with supervised(tmp_path, *QUICK) as server:
        old = server.wait_for_workers(2)
        server.app.write("2", has_syntax_error=True)
        server.send_signal(signal.SIGHUP)
        line = server.wait_for("Restart failed")
        assert "the old workers go on serving" in line
        assert server.count_lines("SyntaxError") >= 1
        assert server.wait_for_workers(2) == old
        assert set(server.answering(old).values()) == {"1"}
        server.app.write("3")
        server.send_signal(signal.SIGHUP)
        server.wait_for("Restart complete: 2 of 2 workers replaced")
        new = server.wait_for_workers(2, without=frozenset(old))
        assert set(server.answering(new).values()) == {"3"}


def test_first_start_with_a_mistake_is_exit_code_3_and_said_once(tmp_path: Path) -> None:
    with Supervised(tmp_path, workers=4) as server:
        server.process.kill()
        server.process.wait()
        server.app.write("1", has_syntax_error=True)
        again = Supervised(server.app, workers=4)
        with again:
            assert again.wait() == 3
        assert again.count_lines("SyntaxError") == 1
        assert again.count_lines("failed to start, stopping the parent process") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--http", "nowhere:Parser"), 2, "http: 'nowhere:Parser' cannot be used"),
        (("--timeout-worker-startup", "0.5"), 3, "was not ready within 0.5 seconds"),
        ((), 3, "the startup was told to fail"),
    ],
)
def test_first_start_that_fails_says_why(tmp_path: Path, arguments: tuple[str, ...], code: int, text: str) -> None:
    (tmp_path / "startup").write_text("hang" if "--timeout-worker-startup" in arguments else "fail")
    with Supervised(tmp_path, *arguments) as server:
        assert server.wait() == code
        assert server.count_lines(text) >= 1


def test_address_that_is_taken_is_exit_code_3(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with Supervised(tmp_path, "--port", str(taken.getsockname()[1])) as server:
            assert server.wait() == 3
        assert server.count_lines("address already in use") == 1


# ---- accidents


def test_worker_that_is_killed_is_replaced_and_the_others_notice_nothing(tmp_path: Path) -> None:
    # The connection that is kept is silent while a successor starts, however long that takes.
    with supervised(tmp_path, *QUICK, "--timeout-keep-alive", "60", workers=3) as server:
        pids = server.wait_for_workers(3)
        with server.caller() as caller:
            caller.get("/pid")
            victim = min(pids - {caller.pid})
            with server.caller() as waiting:
                # In the other one, which stays: a request that is in progress meanwhile.
                waiting.ask("/sleep?s=0.5")
                killed_at = time.monotonic()
                os.kill(victim, signal.SIGKILL)
                new = server.wait_for_workers(3, without=frozenset({victim}))
                print(f"replaced after {time.monotonic() - killed_at:.2f} s")
            survivor = caller.pid
            caller.get("/pid")
            assert caller.pid == survivor
    assert len(new & pids) == 2
    line = server.wait_for(f"Child process [{victim}] died")
    assert "was killed by SIGKILL (signal 9)" in line
    assert line.endswith("starting another one.")


def test_worker_that_crashes_tells_what_it_served(tmp_path: Path) -> None:
    with supervised(tmp_path) as server:
        server.wait_for_workers(2)
        with server.caller() as caller, pytest.raises(OSError):  # noqa: PT011  # reset or cut off
            caller.get("/crash?secret=no%0Anewline")
        line = server.wait_for("died: it crashed with SIGSEGV")
        assert "GET /crash?secret=no%0Anewline" in line
        server.wait_for_workers(2)


def test_supervisor_that_is_killed_leaves_no_worker(tmp_path: Path) -> None:
    with Supervised(tmp_path, *QUICK) as server:
        pids = server.wait_for_workers(2)
        with server.caller() as caller:
            caller.ask("/sleep?s=0.5")
            time.sleep(0.1)  # the request is on its way; nothing tells a client that it was read
            os.kill(server.pid, signal.SIGKILL)
            response = caller._client.getresponse()
            # What was in progress came to its end.
            assert response.status == 200
        assert server.wait() == -signal.SIGKILL
        for pid in pids:
            until(lambda: look_at(pid) is None or look_at(pid).state == "Z", PATIENCE_S, server.describe)  # type: ignore[union-attr]  # noqa: B023
    assert server.count_lines("The supervisor is gone: stopping.") == 2


def test_orphan_whose_loop_is_blocked_is_ended_hard(tmp_path: Path) -> None:
    line = ("--timeout-graceful-shutdown", "0.1", "--timeout-lifespan-shutdown", "0.1")
    with Supervised(tmp_path, *line, workers=1, env={"ADDAX_SUPERVISE": "1"}) as server:
        (pid,) = server.wait_for_workers(1)
        with server.caller() as caller:
            caller.ask("/block?s=60")
            server.wait_for("Event loop blocked")
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            until(lambda: look_at(pid) is None or look_at(pid).state == "Z", PATIENCE_S, server.describe)  # type: ignore[union-attr]


def test_blocked_worker_is_found_named_and_replaced(tmp_path: Path) -> None:
    with supervised(tmp_path, "--timeout-worker-healthcheck", "2") as server:
        pids = server.wait_for_workers(2)
        with server.caller() as caller:
            caller.ask("/block?s=30")
            line = server.wait_for("Event loop blocked")
            number = 1 + (tmp_path / "app.py").read_text().split("\n").index("        time.sleep(seconds)")
            assert f"app.py:{number}" in line
            assert "GET /block" in line
            stalled = server.wait_for("its event loop has given no sign of life")
            stuck = int(re.search(r"\[(\d+)\]", stalled)[1])  # type: ignore[index]
            server.wait_for_workers(2, without=frozenset({stuck}))
        assert server.count_lines("File ", f'app.py", line {number}') >= 1
        assert server.count_lines(f"Child process [{stuck}] does not react; it is killed.") == 1
        assert len(server.worker_pids() & pids) == 1


def test_worker_with_busy_threads_is_left_alone(tmp_path: Path) -> None:
    with supervised(tmp_path, "--timeout-worker-healthcheck", "1.5", "--timeout-worker-stall", "1") as server:
        pids = server.wait_for_workers(2)
        with server.caller() as caller:
            caller.get("/threads?count=6&s=4")
            busy = caller.pid
            for _ in range(8):
                with server.caller() as other:
                    other.get("/sleep?s=0.5")
        assert server.worker_pids() == pids
        assert busy in pids
    assert server.count_lines("no sign of life") == 0


def test_workers_that_cannot_live_end_the_server(tmp_path: Path) -> None:
    with Supervised(tmp_path, workers=2) as server:
        pids = server.wait_for_workers(2)
        server.app.set_startup("exit 7")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert server.wait() == 1
    assert server.count_lines("Workers die again and again") == 1
    assert server.count_lines("exited with code 7") >= 5


# ---- recycling


@pytest.mark.parametrize(
    ("option", "target", "reason"),
    [
        (("--limit-max-memory", "150m"), "/alloc?mb=150", "Memory limit of 150 MiB exceeded"),
        (("--limit-worker-lifetime", "1.5"), "/pid", "Lifetime limit of 1.5 seconds exceeded"),
        (("--limit-max-requests", "3"), "/pid", "Maximum request limit of 3 exceeded"),
    ],
)
def test_worker_that_has_served_enough_is_replaced_first(
    tmp_path: Path, option: tuple[str, ...], target: str, reason: str
) -> None:
    with supervised(tmp_path, *option, *QUICK, "--supervise", workers=1) as server:
        old = server.wait_for_workers(1)
        with server.caller() as caller:
            for _ in range(3):
                caller.get(target)
        server.wait_for(reason)
        server.wait_for("takes over from")
        assert server.wait_for_workers(1, without=frozenset(old))


# ---- sharing


@pytest.mark.parametrize("options", [(), ("--loop", "asyncio"), ("--reuse-port",)])
def test_connections_are_spread_evenly(tmp_path: Path, options: tuple[str, ...]) -> None:
    count = 160
    with supervised(tmp_path, *options, "--timeout-keep-alive", "30", workers=4) as server:
        server.wait_for_workers(4)
        callers = [server.caller() for _ in range(count)]
        pids: Counter[int] = Counter()
        try:
            for caller in callers:
                caller.get("/pid")
                pids[caller.pid] += 1
        finally:
            for caller in callers:
                caller.__exit__()
    print(sorted(pids.values()))
    assert len(pids) == 4
    # On an idle machine the table gives each of them 38 to 42; what wakes first gets all but one or two without it.
    assert min(pids.values()) >= (count / 4) * 0.4


def test_preloaded_workers_share_what_was_imported_and_a_restart_imports_anew(tmp_path: Path) -> None:
    with supervised(tmp_path, "--preload", *QUICK, workers=3) as server:
        old = server.wait_for_workers(3)
        assert server.count_lines("app[", "import") == 0
        server.app.write("2")
        server.send_signal(signal.SIGHUP)
        server.wait_for("Restart complete: 3 of 3")
        new = server.wait_for_workers(3, without=frozenset(old))
        assert set(server.answering(new).values()) == {"2"}
        server.app.write("3", has_syntax_error=True)
        server.send_signal(signal.SIGHUP)
        server.wait_for("Restart failed")
        assert server.wait_for_workers(3) == new
        # Its fork server is still there for it.
        victim = min(new)
        os.kill(victim, signal.SIGKILL)
        after = server.wait_for_workers(3, without=frozenset({victim}))
        assert set(server.answering(after).values()) == {"2"}


def test_fork_server_that_dies_takes_no_worker_along(tmp_path: Path) -> None:
    with supervised(tmp_path, "--preload", *QUICK) as server:
        pids = server.wait_for_workers(2)
        (fork_server,) = (pid for pid, info in server.all_descendants().items() if info.parent == server.pid)
        os.kill(fork_server, signal.SIGKILL)
        server.wait_gone(fork_server)
        assert server.answering(pids).keys() >= pids
        victim = min(pids)
        os.kill(victim, signal.SIGKILL)
        server.wait_for("starting another one")
        with server.caller() as caller:
            caller.get("/pid")


# ---- around


def test_first_process_of_a_container_buries_and_forwards(tmp_path: Path) -> None:
    rights = () if os.getuid() == 0 else ("--user", "--map-root-user")
    prefix = ("unshare", *rights, "--fork", "--kill-child", "--pid", "--mount-proc")
    (tmp_path / "orphans.py").write_text(
        "import os, subprocess\n"
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'http'\n"
        "    subprocess.run(['sh', '-c', 'sleep 0.05 & exit 0'])\n"
        "    zombies = [p for p in os.listdir('/proc') if p.isdigit() and ') Z ' in open(f'/proc/{p}/stat').read()]\n"
        "    body = f'{os.getppid()} {len(zombies)}'.encode()\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': body})\n"
    )
    line = [*prefix, sys.executable, "-m", "addax", "orphans:app", "--workers", "2", "--port", "0"]
    with subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stderr is not None
            lines: list[str] = []
            while not any("Addax running on" in line for line in lines):
                lines.append(process.stderr.readline())
                assert lines[-1], lines
            address = ("127.0.0.1", int(re.search(r":(\d+) ", lines[-1])[1]))  # type: ignore[index]
            answers: list[str] = []
            until(lambda: answers.append(ask(address)) or answers[-1] == "1 0", PATIENCE_S, lambda: str(answers[-5:]))
            (supervisor,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(supervisor), signal.SIGTERM)
            rest = process.stderr.read()
            assert process.wait(PATIENCE_S) == 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert "Stopping parent process [1]" in rest


def ask(address: tuple[str, int]) -> str:
    with request(address, "/") as client:
        client.shutdown(socket.SHUT_WR)
        return drain_socket(client).decode().rpartition("\r\n\r\n")[2]


HOOKS = """
import os, sys

def note(name, info):
    os.write(2, f"hook {name} {info.worker} {info.generation} {info.pid == os.getpid()} {info.addresses}\\n".encode())

def host_startup(info): note("host_startup", info)
def worker_start(info): note("worker_start", info)
async def worker_ready(info): note("worker_ready", info)
def worker_exit(info): note("worker_exit", info)
"""


def test_hooks_are_called_in_the_right_processes(tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text(HOOKS)
    with supervised(tmp_path, "--hooks", "hooks.py") as server:
        server.wait_for_workers(2)
        server.wait_for("hook worker_ready", 2)
        host, port = server.address
    lines = [line.removeprefix("hook ") for line in server.lines if line.startswith("hook ")]
    assert lines[0] == "host_startup 0 1 True ()"
    assert sorted(lines[1:]) == sorted(
        line
        for number in (1, 2)
        for line in (
            f"worker_start {number} 1 True ()",
            f"worker_ready {number} 1 True ('{host}:{port}',)",
            f"worker_exit {number} 1 True ('{host}:{port}',)",
        )
    )


def test_hook_that_fails_is_a_failed_start(tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text("def host_startup(info):\n    raise RuntimeError('no migration')\n")
    with Supervised(tmp_path, "--hooks", "hooks.py") as server:
        assert server.wait() == 3
    assert server.count_lines("no migration") >= 1
    assert server.worker_pids() == set()


def test_log_files_are_opened_anew(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    (tmp_path / "log.json").write_text(
        '{"version": 1, "disable_existing_loggers": false,'
        f'"handlers": {{"file": {{"class": "logging.FileHandler", "filename": "{log}"}},'
        '"console": {"class": "logging.StreamHandler"}},'
        '"loggers": {"addax": {"handlers": ["file", "console"], "level": "INFO"}}}'
    )
    with supervised(tmp_path, "--log-config", "log.json") as server:
        server.wait_for_workers(2)
        log.rename(tmp_path / "old.log")
        server.send_signal(signal.SIGUSR1)
        # The supervisor and both workers.
        server.wait_for("anew", 3)
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
    assert "Stopping parent process" in log.read_text()
    assert log.read_text().count("Finished server process") == 2


def test_pid_file_of_a_living_process_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(f"{os.getpid()}\n")
    with Supervised(tmp_path, "--pid-file", "pid") as server:
        assert server.wait() == 3
    assert server.count_lines(str(os.getpid())) >= 1
    assert (tmp_path / "pid").read_text() == f"{os.getpid()}\n"


def test_signal_to_all_processes_as_systemd_sends_it_stops_them_once(tmp_path: Path) -> None:
    with Supervised(tmp_path, *QUICK, workers=2) as server:
        pids = server.wait_for_workers(2)
        for pid in (*pids, server.pid):
            os.kill(pid, signal.SIGTERM)
        assert server.wait() == 0
    assert server.count_lines("Started server process") == 2
    assert server.count_lines("Terminated child process") == 2


@pytest.mark.parametrize("is_unix", [False, True])
def test_shutdown_delay_serves_on_and_sigquit_ends_it(tmp_path: Path, is_unix: bool) -> None:
    path = str(tmp_path / "s")
    where = ("--bind", f"unix:{path}") if is_unix else ()
    with Supervised(tmp_path, *where, "--timeout-shutdown-delay", "3600") as server:
        server.wait_for_workers(2)
        server.send_signal(signal.SIGTERM)
        server.wait_for("Accepting connections for another 3600 seconds", 2)
        address = path if is_unix else server.address
        for _ in range(10):
            with request(address, "/version") as client:
                assert drain_socket(client).endswith(b"\r\n\r\n1")
        server.send_signal(signal.SIGQUIT)
        assert server.wait() == 0
    assert not is_unix or not os.path.exists(path)


def test_shutdown_delay_is_not_for_restarts(tmp_path: Path) -> None:
    with Supervised(tmp_path, "--timeout-shutdown-delay", "0.2", *QUICK) as server:
        old = server.wait_for_workers(2)
        server.send_signal(signal.SIGHUP)
        server.wait_for("Restart complete")
        server.wait_for_workers(2, without=frozenset(old))
        assert server.count_lines("Accepting connections for another") == 0
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
    assert server.count_lines("Accepting connections for another") == 2


def test_restart_follows_a_link_to_the_next_release(tmp_path: Path) -> None:
    for release in ("1", "2"):
        (tmp_path / f"release-{release}").mkdir()
    AppFolder(tmp_path / "release-2").write("release 2")
    link = tmp_path / "current"
    link.symlink_to("release-1")
    with supervised(AppFolder(link), *QUICK, env={"PWD": str(link)}) as server:
        old = server.wait_for_workers(2)
        (tmp_path / "next").symlink_to("release-2")
        os.replace(tmp_path / "next", link)
        server.send_signal(signal.SIGHUP)
        server.wait_for("Restart complete: 2 of 2")
        new = server.wait_for_workers(2, without=frozenset(old))
        assert set(server.answering(new).values()) == {"release 2"}
