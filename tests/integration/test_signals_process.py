"""Signals to real processes: what still gets its answer, what is told, what ends, and the exit code."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Process, drain_socket, request

pytestmark = pytest.mark.network

Start = Callable[..., Process]

#: What a stop always ends with, whatever it went through.
LAST_LINES = ["Waiting for application shutdown.", "app: shutdown", "Application shutdown complete."]


def ends_properly(process: Process) -> bool:
    return process.messages()[-4:-1] == LAST_LINES and process.messages()[-1].startswith("Finished server process [")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0), (signal.SIGHUP, -signal.SIGHUP)],
)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_signal_stops_gracefully_and_ends_the_process_as_expected(
    start: Start, number: signal.Signals, code: int, loop: str
) -> None:
    process = start("--port", "0", "--loop", loop)
    with request(process.address, "/slow") as client:
        process.wait_for("app: /slow")
        process.send_signal(number)
        assert drain_socket(client).endswith(b"\r\n\r\nok")
    assert process.wait() == code
    pid = process.process.pid
    host, port = process.address
    assert process.messages() == [
        f"Started server process [{pid}]",
        "Waiting for application startup.",
        "app: startup",
        "Application startup complete.",
        f"Addax running on http://{host}:{port} (Press CTRL+C to quit)",
        "app: /slow",
        "Shutting down",
        "app: told",
        *LAST_LINES,
        f"Finished server process [{pid}]",
    ]


def test_a_signal_sent_from_inside_a_request_answers_it_first(start: Start) -> None:
    process = start("--port", "0")
    with request(process.address, f"/signal?{int(signal.SIGTERM)}") as client:
        assert drain_socket(client).endswith(b"\r\n\r\nok")
    assert process.wait() == -signal.SIGTERM
    assert ends_properly(process)


def test_streams_get_a_disconnect_at_the_notice_timeout(start: Start) -> None:
    process = start("--port", "0", "--timeout-shutdown-notice", "0.1")
    with request(process.address, "/disconnect") as client:
        process.wait_for("app: reading")
        process.send_signal(signal.SIGTERM)
        assert drain_socket(client).endswith(b"\r\n\r\nok")
    assert process.wait() == -signal.SIGTERM
    assert "app: disconnect" in process.lines
    assert ends_properly(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_gives_notice_at_once_and_cancels_soon(start: Start, number: signal.Signals) -> None:
    process = start("--port", "0", "--timeout-graceful-shutdown", "none")
    with request(process.address, "/disconnect") as told, request(process.address, "/forever") as stuck:
        process.wait_for("app: reading")
        process.wait_for("app: /forever")
        process.send_signal(number)
        process.wait_for("Shutting down")
        process.send_signal(number)
        assert drain_socket(told).endswith(b"\r\n\r\nok")
        drain_socket(stuck)
    assert process.wait() == (0 if number == signal.SIGINT else -number)
    assert "Cancel 1 running task(s), stop was forced" in process.messages()
    assert process.lines.index("app: disconnect") < process.lines.index("app: cancelled")
    assert ends_properly(process)


def test_a_third_signal_cancels_at_once_and_the_application_still_shuts_down(start: Start) -> None:
    process = start("--port", "0", "--timeout-graceful-shutdown", "none")
    with request(process.address, "/forever") as stuck:
        process.wait_for("app: /forever")
        process.send_signal(signal.SIGTERM)
        process.wait_for("Shutting down")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        drain_socket(stuck)
    # The latest is raised first, and this one ends the process.
    assert process.wait() == -signal.SIGTERM
    assert "app: cancelled" in process.lines
    assert ends_properly(process)


def test_the_graceful_timeout_ends_a_request_that_does_not_end(start: Start) -> None:
    process = start("--port", "0", "--timeout-graceful-shutdown", "0.1")
    with request(process.address, "/forever") as stuck:
        process.wait_for("app: /forever")
        process.send_signal(signal.SIGTERM)
        drain_socket(stuck)
    assert process.wait() == -signal.SIGTERM
    assert "Cancel 1 running task(s), timeout graceful shutdown exceeded" in process.messages()
    assert ends_properly(process)


def test_an_ignored_sighup_stays_ignored(start: Start) -> None:
    process = start("--port", "0", prefix=("nohup",))
    address = process.address
    process.send_signal(signal.SIGHUP)
    with request(address, "/") as client:
        assert client.recv(65536).endswith(b"\r\n\r\nok")
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    assert ends_properly(process)


def test_a_second_signal_gives_a_hanging_startup_up(start: Start) -> None:
    process = start("--port", "0", env={"HANG_AT_STARTUP": "1"})
    process.wait_for("app: startup")
    process.send_signal(signal.SIGTERM)
    process.wait_for("Waiting for application startup to end before stopping. (CTRL+C to give it up)")
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    assert not any("running on" in line for line in process.lines)


def test_a_failed_startup_exits_with_3(start: Start) -> None:
    process = start("--port", "0", env={"FAIL_AT_STARTUP": "1"})
    assert process.wait() == 3
    assert process.messages()[-2:] == ["no database", "Application startup failed. Exiting."]


def test_limit_max_requests_ends_with_0(start: Start) -> None:
    process = start("--port", "0", "--limit-max-requests", "1")
    with request(process.address, "/") as client:
        assert b"\r\n\r\nok" in drain_socket(client)
    assert process.wait() == 0
    assert "Maximum request limit of 1 exceeded. Terminating process." in process.messages()
    assert ends_properly(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_unix_socket_files_are_removed_under_every_signal(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    process = start("--uds", "s")
    process.wait_for("Addax running on unix socket s (Press CTRL+C to quit)")
    assert (tmp_path / "s").is_socket()
    process.send_signal(number)
    process.wait()
    assert not (tmp_path / "s").exists()
    assert ends_properly(process)


def test_unix_socket_files_are_removed_before_requests_have_ended(
    start: Start, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    process = start("--uds", "s")
    process.wait_for("Addax running on")
    with request("s", "/slow") as client:
        process.wait_for("app: /slow")
        process.send_signal(signal.SIGTERM)
        process.wait_for("Shutting down")
        assert drain_socket(client).endswith(b"ok")
    assert process.wait() == -signal.SIGTERM
    assert not (tmp_path / "s").exists()
