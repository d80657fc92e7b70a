"""``--bind`` in real processes: several places together, their files, and what becomes of both in restarts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import stat
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import PATIENCE_S, App, Process, drain_socket
from processes import adopting_orphans, until
from supervised import Supervised
from test_listening import LOOPBACKS

from addax.config.config import Config
from addax.server.server import Server

pytestmark = pytest.mark.network

Start = Callable[..., Process]
HAS_IPV6 = len(LOOPBACKS) == 2
CLOSE = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
UNIX = ("unix:a.sock?mode=660", "unix:b.sock?mode=600")
TCP = ("127.0.0.1:0", "[::1]:0") if HAS_IPV6 else ("127.0.0.1:0", "127.0.0.2:0")
#: Workers that start and end quickly.
QUICK = ("--loop", "asyncio", "--http", "h11", "--interface", "asgi3")
#: Answers who asks.
PEER_APP = """
async def app(scope, receive, send):
    body = scope["client"][0].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""
SOMAXCONN = Path("/proc/sys/net/core/somaxconn")


def options(*binds: str) -> list[str]:
    return [word for bind in binds for word in ("--bind", bind)]


def fetch(address: Any) -> bytes:
    """One answer; from a Unix socket if the address is a path."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(PATIENCE_S)
        client.connect(address)
        client.sendall(CLOSE)
        return drain_socket(client)


def banners(process: Process, count: int, skip: int = 0) -> list[str]:
    """Where the server says it runs."""
    process.wait_for("Addax running on ", skip + count)
    found = [re.search(r"Addax running on (.*) \(Press CTRL\+C to quit\)$", line) for line in list(process.lines)]
    return [match[1] for match in found if match is not None][skip:]


def tcp_addresses(texts: list[str]) -> list[tuple[str, int]]:
    found = [re.fullmatch(r"http://\[?([^\]/]*?)\]?:(\d+)", text) for text in texts]
    return [(match[1], int(match[2])) for match in found if match is not None]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Paths of sockets are short: from inside of their folder."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def expect_all_answer(folder: Path, addresses: list[tuple[str, int]]) -> None:
    with inside(folder):
        for address in [*addresses, "a.sock", "b.sock"]:
            assert fetch(address).startswith(b"HTTP/1.1 200 "), address
    assert (mode_of(folder / "a.sock"), mode_of(folder / "b.sock")) == (0o660, 0o600)


# ---- in this process


def test_addresses_of_a_server_are_all_of_them(
    run: Callable[[Coroutine[Any, Any, None]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        config = Config(App(), bind=[TCP[0], "unix:a.sock", TCP[1]], log_config=None, access_log=False)
        async with Server(config, handle_signals=False) as server:
            first, path, second = server.addresses
            assert (path, first[0]) == ("a.sock", "127.0.0.1")
            for address in (first, path, second):
                body = await asyncio.to_thread(fetch, address)
                assert body.endswith(b"\r\n\r\nok")

    run(main())
    assert list(tmp_path.iterdir()) == []


# ---- one process


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_tcp_and_unix_sockets_together(start: Start, tmp_path: Path, loop: str) -> None:
    process = start(*options(TCP[0], UNIX[0], TCP[1], UNIX[1]), "--loop", loop)
    texts = banners(process, 4)
    addresses = tcp_addresses(texts)
    assert texts[1::2] == ["unix socket a.sock", "unix socket b.sock"]
    assert [host for host, _ in addresses] == [bind.rpartition(":")[0].strip("[]") for bind in TCP]
    expect_all_answer(tmp_path, addresses)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    assert list(tmp_path.glob("*.sock")) == []


def test_inherited_descriptor_beside_an_address(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as parent:
        fd = parent.fileno()
        process = start(*options(f"fd://{fd}", "127.0.0.1:0"), pass_fds=[fd])
        first, second = banners(process, 2)
        assert first == f"socket {parent.getsockname()}"
        for address in [parent.getsockname(), *tcp_addresses([second])]:
            assert fetch(address).endswith(b"\r\n\r\nok")


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_inherited_socket_of_both_families_shows_each_client_as_it_is(start: Start, tmp_path: Path, loop: str) -> None:
    (tmp_path / "app.py").write_text(PEER_APP)
    # As systemd makes one of ListenStream=8000.
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as parent:
        process = start("--fd", str(parent.fileno()), "--loop", loop, pass_fds=[parent.fileno()])
        banners(process, 1)
        found = [fetch((host, parent.getsockname()[1])) for host in LOOPBACKS]
    assert [answer.rpartition(b"\r\n")[2].decode() for answer in found] == LOOPBACKS


def test_binds_from_the_environment(start: Start, tmp_path: Path) -> None:
    process = start(env={"ADDAX_BIND": "127.0.0.1:0 unix:a.sock"})
    assert banners(process, 2)[1] == "unix socket a.sock"
    assert (tmp_path / "a.sock").is_socket()


def test_third_bind_that_is_taken_is_named_and_leaves_nothing(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(*options("127.0.0.1:0", UNIX[0], f"127.0.0.1:{port}"))
        assert process.wait() == 3
    (line,) = [line for line in process.messages() if "Errno" in line]
    assert line.startswith(f"--bind 127.0.0.1:{port}: [Errno ")
    assert "app: startup" not in process.lines
    assert list(tmp_path.glob("*.sock")) == []


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
@pytest.mark.parametrize(
    ("binds", "message"),
    [
        (["unix:a.sock?user=no-such-one"], "--bind: there is no user 'no-such-one'"),
        (["localhost:5", "127.0.0.1:5"], "--bind: 'localhost:5' and '127.0.0.1:5' are the same address"),
    ],
)
def test_what_only_the_start_can_find_is_exit_code_2(
    start: Start, workers: tuple[str, ...], binds: list[str], message: str
) -> None:
    process = start(*options(*binds), *workers)
    assert process.wait() == 2
    assert f"Error: {message}" in process.lines
    assert "app: startup" not in process.lines


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_backlog_above_the_systems_is_warned_about_once(start: Start, workers: tuple[str, ...]) -> None:
    # Other systems than Linux do not tell.
    allowed = int(SOMAXCONN.read_text()) if SOMAXCONN.exists() else 2048
    process = start(*options(*TCP), "--backlog", str(allowed + 1), *QUICK, *workers)
    banners(process, 2)
    process.send_signal(signal.SIGTERM)
    process.wait()
    expected = f"--backlog: {allowed + 1} is more than the system allows (net.core.somaxconn {allowed})"
    assert [line for line in process.messages() if "backlog" in line] == [expected] * SOMAXCONN.exists()


# ---- with workers as without


@pytest.mark.parametrize("workers", [(), ("--workers", "2"), ("--workers", "2", "--reuse-port")])
@pytest.mark.parametrize(
    "where", [("--host", "::", "--port", "0"), ("--bind", ":0")] if HAS_IPV6 else [("--bind", ":0")]
)
def test_all_interfaces_are_both_families_whatever_the_number_of_workers(
    start: Start, tmp_path: Path, workers: tuple[str, ...], where: tuple[str, ...]
) -> None:
    (tmp_path / "app.py").write_text(PEER_APP)
    process = start(*where, *QUICK, *workers)
    ((_, port),) = tcp_addresses(banners(process, 1))
    # An IPv4 client shows as what it is, and not as ::ffff:127.0.0.1.
    assert [fetch((host, port)).rpartition(b"\r\n")[2].decode() for host in LOOPBACKS] == LOOPBACKS


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_a_name_is_all_its_addresses_whatever_the_number_of_workers(start: Start, workers: tuple[str, ...]) -> None:
    process = start(*options("localhost:0"), *QUICK, *workers)
    ((host, port),) = tcp_addresses(banners(process, 1))
    assert host == "localhost"
    for address in {row[4] for row in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)}:
        assert fetch(address[:2]).endswith(b"\r\n\r\nok")


# ---- with workers


def test_workers_keep_all_places_in_restart_and_upgrade(tmp_path: Path) -> None:
    pid_file = tmp_path / "addax.pid"
    arguments = (*options(TCP[0], UNIX[0], TCP[1], UNIX[1]), *QUICK, "--pid-file", str(pid_file))
    with adopting_orphans(), Supervised(tmp_path, *arguments) as server:
        texts = banners(server, 4)
        addresses = tcp_addresses(texts)
        folder = server.app.path
        first = server.wait_for_workers(2)
        expect_all_answer(folder, addresses)
        inodes = [os.lstat(folder / name).st_ino for name in ("a.sock", "b.sock")]

        server.send_signal(signal.SIGHUP)
        server.wait_for("Restart complete")
        second = server.wait_for_workers(2, without=frozenset(first))
        expect_all_answer(folder, addresses)

        old = server.pid
        server.send_signal(signal.SIGUSR2)
        server.wait_for("is ready")
        server.adopt(int(pid_file.read_text()))
        assert server.wait_for_supervisor(old) == 0
        server.wait_for_workers(2, without=frozenset(first | second))
        # The new one says of the same places the same.
        assert banners(server, 4, skip=4) == texts
        expect_all_answer(folder, addresses)
        assert [os.lstat(folder / name).st_ino for name in ("a.sock", "b.sock")] == inodes

        # The next release is broken: its supervisor gives up, and the files stay with those who serve.
        server.app.write("broken", has_syntax_error=True)
        server.send_signal(signal.SIGUSR2)
        server.wait_for("; this one goes on.")
        expect_all_answer(folder, addresses)
        assert [os.lstat(folder / name).st_ino for name in ("a.sock", "b.sock")] == inodes

        server.send_signal(signal.SIGTERM)
        assert server.wait_for_supervisor() == 0
        assert list(folder.glob("*.sock")) == []
        server.process.wait(PATIENCE_S)


def test_stop_during_an_upgrade_leaves_the_file_to_the_new_supervisor(tmp_path: Path) -> None:
    pid_file = tmp_path / "addax.pid"
    arguments = (*options("unix:a.sock"), *QUICK, "--pid-file", str(pid_file))
    with adopting_orphans(), Supervised(tmp_path, *arguments) as server:
        server.wait_for_workers(2)
        server.app.set_startup("wait")
        server.send_signal(signal.SIGUSR2)
        server.wait_for("startup: wait", 2)
        old = server.pid
        server.send_signal(signal.SIGTERM)
        assert server.wait_for_supervisor(old) == 0
        server.app.set_startup()
        until(pid_file.exists, PATIENCE_S, server.describe)
        server.adopt(int(pid_file.read_text()))
        server.wait_for_workers(2)
        with inside(server.app.path):
            assert fetch("a.sock").startswith(b"HTTP/1.1 200 ")

        server.send_signal(signal.SIGTERM)
        assert server.wait_for_supervisor() == 0
        assert list(server.app.path.glob("*.sock")) == []
        server.process.wait(PATIENCE_S)
