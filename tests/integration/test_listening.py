"""Where real processes listen, and what they say when they cannot."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Process, drain_socket, request

pytestmark = pytest.mark.network

Start = Callable[..., Process]


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


LOOPBACKS = ["127.0.0.1"] + ["::1"] * _has_ipv6()
CLOSE = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


def fetch(host: str, port: int) -> bytes:
    with socket.create_connection((host, port)) as client:
        client.sendall(CLOSE)
        return drain_socket(client)


@pytest.mark.parametrize("host", LOOPBACKS)
def test_the_banner_is_an_url_that_works(start: Start, host: str) -> None:
    process = start("--host", host, "--port", "0")
    banner_host, port = process.address
    assert banner_host == host
    assert fetch(host, port).endswith(b"\r\n\r\nok")
    text = f"[{host}]" if ":" in host else host
    assert f"Addax running on http://{text}:{port} (Press CTRL+C to quit)" in process.messages()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_all_addresses_are_ipv4_and_ipv6(start: Start, loop: str) -> None:
    process = start("--host", "::" if len(LOOPBACKS) == 2 else "0.0.0.0", "--port", "0", "--loop", loop)
    _, port = process.address
    for host in LOOPBACKS:
        assert fetch(host, port).endswith(b"\r\n\r\nok")


def test_a_taken_port_names_its_holder_and_exits_with_3(start: Start) -> None:
    first = start("--port", "0")
    _, port = first.address
    second = start("--port", str(port))
    assert second.wait() == 3
    (line,) = [line for line in second.messages() if "Errno" in line]
    expected = (
        f"[Errno {errno.EADDRINUSE}] error while attempting to bind on address ('127.0.0.1', {port}): "
        "address already in use"
    )
    assert line.startswith(expected)
    if sys.platform == "linux":
        assert f"(held by process {first.process.pid}: " in line
    assert "app: startup" not in second.lines


def test_a_restart_on_the_same_port_works_at_once(start: Start) -> None:
    first = start("--port", "0")
    host, port = first.address
    with request((host, port), "/") as client:
        client.recv(65536)
        first.send_signal(signal.SIGTERM)
        assert first.wait() == -signal.SIGTERM
    second = start("--port", str(port))
    assert second.address == (host, port)
    assert fetch(host, port).endswith(b"\r\n\r\nok")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_stale_unix_socket_is_replaced_and_a_live_one_is_not(start: Start, tmp_path: Path, loop: str) -> None:
    killed = start("--uds", "s", "--uds-mode", "600", "--loop", loop)
    killed.wait_for("Addax running on unix socket s ")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert (tmp_path / "s").is_socket()

    process = start("--uds", "s", "--loop", loop)
    process.wait_for("Addax running on unix socket s ")
    assert stat.S_IMODE(os.stat(tmp_path / "s").st_mode) == 0o600

    late = start("--uds", "s", "--loop", loop)
    assert late.wait() == 3
    (line,) = [line for line in late.messages() if "Errno" in line]
    assert "a live server answers there" in line
    assert (tmp_path / "s").is_socket()


def test_an_inherited_descriptor_is_served(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as parent:
        host, port = parent.getsockname()
        process = start("--fd", str(parent.fileno()), pass_fds=[parent.fileno()])
        process.wait_for(f"Addax running on socket ('127.0.0.1', {port}) (Press CTRL+C to quit)")
        assert fetch(host, port).endswith(b"\r\n\r\nok")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        assert parent.getsockname() == (host, port)


def test_a_descriptor_that_is_none_exits_with_3_and_one_line(start: Start) -> None:
    process = start("--fd", "1")
    assert process.wait() == 3
    (line,) = [line for line in process.messages() if "descriptor" in line]
    assert line.startswith("cannot listen on file descriptor 1: ")


def test_an_unknown_host_exits_with_3_and_one_line(start: Start) -> None:
    process = start("--host", "a" * 70 + ".test", "--port", "0")
    assert process.wait() == 3
    assert sum("cannot find the address of host" in line for line in process.messages()) == 1
    assert "app: startup" not in process.lines
