"""Three hosts behind HAProxy, each in a network namespace of its own: deploys over all of them fail no request.

``ADDAX_TEST_REQUESTS=20000`` makes them last until so many requests were answered.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import PATIENCE_S
from load_generator import LoadGenerator
from namespaces import Network, why_not
from processes import until
from proxies import DEPLOY, HAProxy, HAProxyTcp, find_program
from supervised import Supervised
from supervised_app import AppFolder

pytestmark = [pytest.mark.network, pytest.mark.slow]

REQUESTS_COUNT = int(os.environ.get("ADDAX_TEST_REQUESTS", "400"))
HOSTS = ["app1", "app2", "app3"]
PORT = 8000
#: Longest wait for a deploy over all hosts, in seconds.
DEPLOY_S = 60.0
#: Health checks 200 ms apart fail twice by then.
DELAY_S = 1.0


@dataclass(frozen=True)
class Setting:
    """How HAProxy and addax are set up."""

    kind: type[HAProxy]
    #: ``--timeout-shutdown-delay``.
    delay_s: float


class Cluster:
    """HAProxy with addax on three hosts behind it, and what is deployed to them."""

    def __init__(self, folder: Path, network: Network, stack: contextlib.ExitStack, setting: Setting) -> None:
        self.network = network
        self._setting = setting
        self._stack = stack
        self.apps: dict[str, AppFolder] = {}
        self.servers: dict[str, Supervised] = {}
        for host in HOSTS:
            (folder / host).mkdir()
            self.apps[host] = AppFolder(folder / host)
            self._begin(host)
        for server in self.servers.values():
            server.wait_for("Addax running on")
        self.proxy = setting.kind(folder, self._changes(), network.inside("edge"), network.address("edge"))
        self._stack.enter_context(self.proxy)

    def _begin(self, host: str) -> None:
        server = Supervised(
            self.apps[host],
            *("--bind", f"{self.network.address(host)}:{PORT}", "--timeout-keep-alive", "75"),
            *("--forwarded-allow-ips", self.network.inner_address),
            *("--timeout-shutdown-delay", str(self._setting.delay_s)),
            *(("--proxy-protocol",) if self._setting.kind is HAProxyTcp else ()),
            prefix=self.network.inside(host),
        )
        self.servers[host] = self._stack.enter_context(server)

    def _changes(self) -> dict[str, str]:
        old = "127.0.0.1:8000" if self._setting.kind is HAProxyTcp else "unix@/run/addax/http.sock"
        lines = "".join(f"    server {host} {self.network.address(host)}:{PORT}\n" for host in HOSTS)
        return {
            f"    server app1 {old}\n": lines,
            # Nothing is tried twice: the deploy needs none of it.
            "retries 3": "retries 0",
            "option redispatch": "no option redispatch",
            "check inter 2s": "check inter 200ms",
        }

    def write(self, version: str, *, has_syntax_error: bool = False) -> None:
        """Put another release on all hosts."""
        for app in self.apps.values():
            app.write(version, has_syntax_error=has_syntax_error)

    def restart(self, host: str) -> bool:
        """What ``systemctl restart`` does of a service of Type=notify; whether it serves."""
        old = self.servers[host]
        if old.process.poll() is None:
            old.send_signal(signal.SIGTERM)
            assert old.wait() == 0
        self._begin(host)
        new = self.servers[host]

        def is_running() -> bool:
            return new.count_lines("Addax running on") > 0

        until(lambda: is_running() or new.process.poll() is not None, PATIENCE_S, new.describe)
        return is_running()

    def is_up(self, host: str) -> bool:
        """Whether HAProxy sends requests to it."""
        rows = [line.split(",") for line in self.proxy.ask("show stat").splitlines()]
        return [row[17] for row in rows if row[:2] == ["app", host]] == ["UP"]

    def versions(self) -> dict[str, set[str]]:
        """What has been started on which host since it was last restarted."""
        return {host: set(server.started_versions().values()) for host, server in self.servers.items()}

    def stop(self) -> None:
        """Stop all of it."""
        for server in self.servers.values():
            server.send_signal(signal.SIGTERM)
        for server in self.servers.values():
            assert server.wait() == 0, server.describe()


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Started, and nothing left of it at the end."""
    if find_program("haproxy") is None:
        pytest.skip("haproxy is not installed")
    if reason := why_not():
        pytest.skip(reason)
    with Network(HOSTS) as network, contextlib.ExitStack() as stack:
        yield Cluster(tmp_path, network, stack, request.param)


@contextlib.contextmanager
def answering(path: Path, answer: Callable[[str], bool]) -> Iterator[str]:
    """Be asked by commands to restart a host; yields the command, for the shell."""
    ask = (
        "import socket, sys\n"
        "sock = socket.socket(socket.AF_UNIX)\n"
        "sock.connect(sys.argv[1])\n"
        "sock.sendall(sys.argv[2].encode())\n"
        "sys.exit(0 if sock.recv(16) == b'done' else 1)\n"
    )
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                host = connection.recv(64).decode()
                if not host:
                    return
                with contextlib.suppress(OSError):
                    connection.sendall(b"done" if answer(host) else b"failed")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"{shlex.join([sys.executable, '-c', ask, str(path)])} {{server}}"
    finally:
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(str(path))
        thread.join(PATIENCE_S)
        listener.close()


def roll(cluster: Cluster, command: str) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    line = [sys.executable, str(DEPLOY / "rolling-deploy.py"), "--admin", cluster.proxy.admin_path, command]
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=DEPLOY_S)


@pytest.mark.parametrize("cluster", [Setting(HAProxy, 0.0)], indirect=True)
def test_rolling_deploy_over_three_hosts_fails_no_request(cluster: Cluster, tmp_path: Path) -> None:
    outside = cluster.network.inside("outside")
    with (
        answering(tmp_path / "control", cluster.restart) as command,
        LoadGenerator(cluster.proxy.address, is_process=True, prefix=outside) as load,
    ):
        load.wait_for_count(100)
        # A release that cannot start stays on one host, which nobody is sent to.
        cluster.write("broken", has_syntax_error=True)
        failed = roll(cluster, command)
        assert failed.returncode == 1, failed.stdout + failed.stderr
        assert "app1: the command ended with 1. It is left in state drain" in failed.stderr
        load.wait_for_more(50)
        deploys_count = 0
        while deploys_count == 0 or load.total < REQUESTS_COUNT:
            deploys_count += 1
            cluster.write(f"deploy {deploys_count}")
            done = roll(cluster, command)
            assert done.returncode == 0, f"{done.stdout}{done.stderr}{cluster.proxy.describe()}"
            assert cluster.versions() == {host: {f"deploy {deploys_count}"} for host in HOSTS}
            load.wait_for_more(50)
        result = load.stop()
    print(f"{deploys_count} deploys to 3 hosts, and one that was given up: {result.summary()}")
    assert result.failed_count == 0, f"{result.summary()}\n{cluster.proxy.describe()}"
    assert result.total >= REQUESTS_COUNT
    cluster.stop()


@pytest.mark.parametrize(
    "cluster", [Setting(HAProxy, DELAY_S), Setting(HAProxyTcp, DELAY_S)], indirect=True, ids=["HTTP", "TCP"]
)
def test_restart_of_one_host_after_the_other_is_noticed_in_time(cluster: Cluster) -> None:
    # Nobody tells HAProxy: /health answers 503 while addax goes on serving, for --timeout-shutdown-delay.
    outside = cluster.network.inside("outside")
    with LoadGenerator(cluster.proxy.address, is_process=True, prefix=outside) as load:
        load.wait_for_count(100)
        deploys_count = 0
        while deploys_count == 0 or load.total < REQUESTS_COUNT:
            deploys_count += 1
            cluster.write(f"deploy {deploys_count}")
            for host in HOSTS:
                assert cluster.restart(host), cluster.servers[host].describe()
                until(lambda: cluster.is_up(host), PATIENCE_S, cluster.proxy.describe)  # noqa: B023
                load.wait_for_more(50)
            assert cluster.versions() == {host: {f"deploy {deploys_count}"} for host in HOSTS}
        result = load.stop()
    print(f"{deploys_count} deploys to 3 hosts: {result.summary()}")
    assert result.failed_count == 0, f"{result.summary()}\n{cluster.proxy.describe()}"
    assert result.total >= REQUESTS_COUNT
    cluster.stop()
