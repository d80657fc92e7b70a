"""What a service manager hears of a supervisor: words, numbers, and for how long more time is asked for."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from addax.core.report import Counters
from addax.core.settings import SupervisorSettings
from addax.net import commentary
from addax.net.notify import Notifier
from addax.supervise.bulletin import Bulletin
from addax.supervise.child import Bounds

PATIENCE_S = 10.0


class FakeChild:
    def __init__(self, total: int = 0, is_healthy: bool = True) -> None:
        self.counters = Counters(total_requests=total, active_requests=1, connections=2)
        self.is_serving = True
        self.is_healthy = is_healthy


class FakeSupervisor:
    def __init__(self, *children: FakeChild) -> None:
        self.workers = list(children)
        self.count = len(children)
        self.restarts: Counter[str] = Counter()
        self.is_stopping = False
        self.bounds = Bounds(60.0, 30.0, 93.0)

    def children(self) -> list[FakeChild]:
        return list(self.workers)


class Stage:
    """A bulletin that looks all the time, and who hears it."""

    def __init__(self, manager: socket.socket, *children: FakeChild, startup_s: float | None = 60.0) -> None:
        self.manager = manager
        self.supervisor: Any = FakeSupervisor(*children)
        self.notifier = Notifier(manager.getsockname(), 0.01)
        self.bulletin = Bulletin(self.notifier, self.supervisor, SupervisorSettings(startup_timeout_s=startup_s))

    def heard(self) -> list[str]:
        """Everything so far; beats and requests for time by their names alone."""
        messages = []
        while True:
            try:
                messages.append(self.manager.recv(4096).decode())
            except BlockingIOError:
                return [text.partition("=")[0] if text.startswith(("WATCH", "EXTEND")) else text for text in messages]

    async def next(self, text: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until a message is heard that holds a text."""
        loop = asyncio.get_running_loop()
        while text not in (await asyncio.wait_for(loop.sock_recv(self.manager, 4096), patience_s)).decode():
            pass

    async def turns(self) -> list[str]:
        """What is said from now on in some turns, each kind of message once, in order."""
        self.heard()
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(20 * commentary.TURN_S, done.set)
        await done.wait()
        return list(dict.fromkeys(self.heard()))


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    monkeypatch.setattr(commentary, "TURN_S", 0.005)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


@pytest.fixture
def play(manager: socket.socket) -> Callable[..., None]:
    def play(main: Callable[[Stage], Coroutine[Any, Any, None]], *children: FakeChild, **options: Any) -> None:
        async def run() -> None:
            stage = Stage(manager, *children, **options)
            stage.bulletin.open()
            try:
                await main(stage)
            finally:
                stage.bulletin.close()
                stage.notifier.close()

        asyncio.run(asyncio.wait_for(run(), 3 * PATIENCE_S))

    return play


def test_status_is_said_when_it_is_another_one_and_forgets_no_request(play: Callable[..., None]) -> None:
    async def main(stage: Stage) -> None:
        stage.bulletin.ready()
        assert (
            "READY=1\nSTATUS=2 workers, 2 requests in progress, 4 connections, 30 requests, 0 restarts" in stage.heard()
        )
        assert await stage.turns() == ["WATCHDOG"]
        stage.supervisor.workers[0] = FakeChild(1)
        stage.supervisor.restarts["died"] += 1
        words = await stage.turns()
        assert "STATUS=2 workers, 2 requests in progress, 4 connections, 31 requests, 1 restart" in words
        assert len(words) == 2

    play(main, FakeChild(10), FakeChild(20))


def test_more_time_is_asked_for_until_workers_are_ready(play: Callable[..., None]) -> None:
    async def main(stage: Stage) -> None:
        assert await stage.turns() == ["EXTEND_TIMEOUT_USEC"]
        stage.bulletin.ready()
        assert await stage.turns() == ["WATCHDOG"]

    play(main, FakeChild())


def test_start_that_may_take_for_ever_asks_for_nothing(play: Callable[..., None]) -> None:
    async def main(stage: Stage) -> None:
        assert await stage.turns() == []

    play(main, FakeChild(), startup_s=None)


def test_start_that_has_had_its_time_asks_for_no_more(play: Callable[..., None]) -> None:
    async def main(stage: Stage) -> None:
        assert await stage.turns() == []

    play(main, FakeChild(), startup_s=0.0)


def test_restart_begins_and_ends_and_a_failure_stays_in_sight(play: Callable[..., None]) -> None:
    async def main(stage: Stage) -> None:
        told = stage.bulletin
        told.restart_begins()
        told.restart_ends("before it was ready", False)
        assert [text for text in stage.heard() if "RE" in text.split("=")[0]] == []
        told.ready()
        told.restart_begins()
        assert set(await stage.turns()) == {"WATCHDOG", "EXTEND_TIMEOUT_USEC"}
        told.restart_ends("Restart failed.", True)
        assert "READY=1\nSTATUS=Restart failed." in stage.heard()
        words = await stage.turns()
        assert "STATUS=Restart failed. 1 worker, 1 request in progress, 2 connections, 0 requests, 0 restarts" in words
        assert "EXTEND_TIMEOUT_USEC" not in words
        told.restart_begins()
        await stage.next("RELOADING=1")
        told.restart_ends("Restart complete.", False)
        await stage.next("STATUS=1 worker, 1 request")

    play(main, FakeChild())


def test_stop_asks_for_time_and_beats_whatever_the_workers_do(play: Callable[..., None]) -> None:
    async def main(stage: Stage) -> None:
        stage.bulletin.ready()
        stage.supervisor.is_stopping = True
        for child in stage.supervisor.workers:
            child.is_serving = child.is_healthy = False
        stage.bulletin.stop_begins()
        assert "STOPPING=1\nSTATUS=Stopping: 1 worker, 1 request in progress" in "\n".join(stage.heard())
        assert set(await stage.turns()) >= {"WATCHDOG", "EXTEND_TIMEOUT_USEC"}

    play(main, FakeChild())


def test_stop_that_may_take_for_ever_asks_for_nothing(play: Callable[..., None]) -> None:
    async def main(stage: Stage) -> None:
        stage.bulletin.ready()
        stage.supervisor.is_stopping = True
        stage.supervisor.bounds = Bounds(60.0, 30.0, None)
        stage.bulletin.stop_begins()
        assert "EXTEND_TIMEOUT_USEC" not in await stage.turns()

    play(main, FakeChild())


@pytest.mark.parametrize(
    ("children", "count", "has_beat"),
    [
        ([True, False], 2, True),
        ([False, False], 2, False),
        ([], 2, False),
        # Paused by SIGWINCH.
        ([], 0, True),
    ],
)
def test_beat_needs_one_healthy_worker(
    play: Callable[..., None], children: list[bool], count: int, has_beat: bool
) -> None:
    async def main(stage: Stage) -> None:
        stage.supervisor.count = count
        stage.bulletin.ready()
        assert ("WATCHDOG" in await stage.turns()) == has_beat

    play(main, *(FakeChild(is_healthy=is_healthy) for is_healthy in children))


def test_nobody_is_asked_for_time_while_no_worker_lives(play: Callable[..., None]) -> None:
    async def main(stage: Stage) -> None:
        stage.bulletin.ready()
        stage.bulletin.restart_begins()
        assert await stage.turns() == []

    play(main, FakeChild(is_healthy=False))


def test_without_a_manager_there_are_no_timers() -> None:
    async def main() -> None:
        supervisor: Any = FakeSupervisor(FakeChild())
        silent = Bulletin(Notifier(), supervisor, SupervisorSettings())
        silent.open()
        silent.ready()
        silent.stop_begins()
        assert silent._commentary._turns is None
        silent.close()

    asyncio.run(main())
