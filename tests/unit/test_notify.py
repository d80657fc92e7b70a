"""What a service manager hears, over a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from addax.net.commentary import Pulse, describe_load
from addax.net.notify import Notifier

PATIENCE_S = 10.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


@pytest.fixture
def notifier(manager: socket.socket) -> Iterator[Notifier]:
    notifier = Notifier(manager.getsockname(), 20.0)
    yield notifier
    notifier.close()


def heard(manager: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(manager.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_each_word_is_one_datagram(manager: socket.socket, notifier: Notifier) -> None:
    notifier.ready()
    notifier.ready("serving")
    notifier.stopping("bye")
    notifier.status("one\nREADY=1")
    notifier.watchdog()
    notifier.extend_timeout(1.5)
    assert heard(manager) == [
        "READY=1",
        "READY=1\nSTATUS=serving",
        "STOPPING=1\nSTATUS=bye",
        "STATUS=one READY=1",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=1500000",
    ]


def test_reload_has_the_time_of_the_monotonic_clock(manager: socket.socket, notifier: Notifier) -> None:
    before = time.monotonic_ns() // 1000
    notifier.reloading("new code")
    after = time.monotonic_ns() // 1000
    first, second, third = heard(manager)[0].split("\n")
    assert (first, third) == ("RELOADING=1", "STATUS=new code")
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= after


def test_after_another_process_was_named_this_one_is_silent(manager: socket.socket, notifier: Notifier) -> None:
    notifier.mainpid(4711)
    notifier.stopping()
    notifier.watchdog()
    notifier.status("still here")
    assert heard(manager) == ["MAINPID=4711"]


def test_variables_are_taken_from_the_environment_and_passed_on_to_a_successor_alone(manager: socket.socket) -> None:
    variables = {
        "NOTIFY_SOCKET": manager.getsockname(),
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    notifier = Notifier.take(variables)
    assert variables == {"HOME": "/"}
    assert notifier.has_listener
    assert notifier.watchdog_interval_s == 1.5
    assert notifier.successor_variables() == {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "3000000"}
    notifier.close()
    successor = Notifier.take(notifier.successor_variables())
    assert successor.watchdog_interval_s == 1.5
    successor.close()


@pytest.mark.parametrize(
    ("usec", "pid"), [("0", None), ("", None), ("-1", None), ("x", None), ("3000000", "1"), (None, None)]
)
def test_watchdog_that_is_not_for_this_process_is_none(
    manager: socket.socket, usec: str | None, pid: str | None
) -> None:
    given = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
    notifier = Notifier.take({name: value for name, value in given.items() if value is not None})
    assert notifier.watchdog_interval_s is None
    notifier.close()


@pytest.mark.parametrize(
    "variables", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}, {"NOTIFY_SOCKET": "/nowhere/at/all"}]
)
def test_without_a_manager_nothing_happens(variables: dict[str, str]) -> None:
    notifier = Notifier.take({**variables, "WATCHDOG_USEC": "1000"})
    notifier.ready("serving")
    notifier.watchdog()
    notifier.mainpid(1)
    notifier.close()
    notifier.stopping()


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_abstract_name() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"addax-test-{os.getpid()}"
        manager.bind(f"\0{name}")
        manager.setblocking(False)
        notifier = Notifier(f"@{name}")
        notifier.ready()
        assert heard(manager) == ["READY=1"]
        notifier.close()


def test_full_queue_delays_what_matters_and_drops_beats(manager: socket.socket, notifier: Notifier) -> None:
    sent = 0
    while not notifier._unsent:
        sent += 1
        notifier.status(str(sent))
        assert sent < 100_000
    notifier.watchdog()
    notifier.extend_timeout(1)
    notifier.stopping()
    assert heard(manager) == [f"STATUS={number}" for number in range(1, sent)]
    notifier.watchdog()
    assert heard(manager) == [f"STATUS={sent}", "STOPPING=1", "WATCHDOG=1"]


def test_what_waits_at_the_end_is_sent_when_there_is_room(manager: socket.socket, notifier: Notifier) -> None:
    sent = 0
    while not notifier._unsent:
        sent += 1
        notifier.status(str(sent))
        assert sent < 100_000
    notifier.mainpid(4711)
    first = manager.recv(4096)
    closing = threading.Thread(target=notifier.close)
    closing.start()
    rest: list[str] = []
    while closing.is_alive():
        rest += heard(manager)
    closing.join()
    assert first == b"STATUS=1"
    assert [*rest, *heard(manager)][-1] == "MAINPID=4711"


def test_pulse_beats_while_there_is_reason_to(manager: socket.socket) -> None:
    asked = 0

    async def main() -> None:
        done = asyncio.Event()

        def is_healthy() -> bool:
            nonlocal asked
            asked += 1
            if asked == 4:
                done.set()
            return asked != 2

        notifier = Notifier(manager.getsockname(), 0.01)
        pulse = Pulse(asyncio.get_running_loop(), notifier, is_healthy)
        pulse.start()
        pulse.start()  # a second time is harmless
        await asyncio.wait_for(done.wait(), PATIENCE_S)
        pulse.stop()
        notifier.close()

    asyncio.run(main())
    assert heard(manager) == ["WATCHDOG=1"] * (asked - 1)


def test_pulse_without_a_watchdog_asks_nobody(manager: socket.socket) -> None:
    async def main() -> None:
        notifier = Notifier(manager.getsockname())
        pulse = Pulse(asyncio.get_running_loop(), notifier, lambda: pytest.fail("asked"))
        pulse.start()
        pulse.stop()
        notifier.close()

    asyncio.run(main())
    assert heard(manager) == []


def test_load_in_words() -> None:
    assert describe_load(12, 345, 67890) == "12 requests in progress, 345 connections, 67890 requests"
    assert describe_load(1, 1, 1) == "1 request in progress, 1 connection, 1 request"
