"""The supervisor's decisions, with workers that are only the far end of a link."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from addax.core import link as words
from addax.core.board import Board
from addax.core.errors import StartupError
from addax.core.link import Link
from addax.core.place import Place
from addax.core.settings import Bind, ListenSettings, Settings, SupervisorSettings, WorkerSettings
from addax.supervise import backoff, child, supervisor
from addax.supervise.sockets import WorkerSockets
from addax.supervise.spawning import Process, Spawner
from addax.supervise.supervisor import Supervisor

PATIENCE_S = 10.0


class FakeWorker:
    """A worker's side of its link."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.link = Link(socket.socket(fileno=os.dup(place.link_fd)))
        self.board = Board(place.board_fd)
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.heard: list[dict[str, Any]] = []
        self.signals: list[int] = []

    def say(self, kind: str, **fields: object) -> None:
        self.link.send(kind, **fields)

    def be_ready(self) -> None:
        self.board.beat(time.monotonic())
        self.say(words.LOADED)
        self.say(words.READY)

    def exit(self, code: int = 0) -> None:
        self.link.close()
        self.exited.set_result(code)

    def was_told(self, kind: str) -> dict[str, Any] | None:
        if self.link.fileno() >= 0:
            self.heard += self.link.receive()[0]
        return next((message for message in self.heard if message["kind"] == kind), None)


class FakeProcess(Process):
    def __init__(self, worker: FakeWorker, pid: int) -> None:
        super().__init__(pid, worker.exited)
        self._worker = worker

    def send_signal(self, number: int) -> None:
        self._worker.signals.append(number)


class FakeSpawner(Spawner):
    """Makes workers that do what the test says.

    Args:
        workers: where they are put.
        problem: why no worker can be prepared.
    """

    def __init__(self, workers: list[FakeWorker], problem: str = "") -> None:
        self.workers = workers
        self.problem = problem
        self.is_closed = False
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def prepare(self) -> None:
        await self.may_go_on.wait()
        if self.problem:
            raise StartupError(self.problem)

    async def spawn(self, place: Place) -> Process:
        self.workers.append(FakeWorker(place))
        return FakeProcess(self.workers[-1], 1000 + len(self.workers))

    async def close(self) -> None:
        self.is_closed = True


class Stage:
    """A supervisor among fakes."""

    def __init__(self, count: int = 2, health_s: float = 60.0, startup_s: float | None = 60.0) -> None:
        self.workers: list[FakeWorker] = []
        self.spawners: list[FakeSpawner] = []
        self.next_problem = ""
        self.holds_next = False
        self.started = asyncio.Event()
        settings = Settings(
            supervisor=SupervisorSettings(count, startup_timeout_s=startup_s, health_timeout_s=health_s),
            worker=WorkerSettings(),
            listen=ListenSettings((Bind(port=0),)),
        )
        self.sockets = WorkerSockets(settings.listen)
        self.supervisor = Supervisor(settings, self.sockets, 0, self._make_spawner, self._prepare, self.started.set)
        self.running = asyncio.ensure_future(self.supervisor.run())

    def _make_spawner(self, _: int) -> Spawner:
        self.spawners.append(FakeSpawner(self.workers, self.next_problem))
        if self.holds_next:
            self.spawners[-1].may_go_on.clear()
        return self.spawners[-1]

    async def _prepare(self) -> None:
        pass

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds; the loop is turned, so nothing depends on time."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "it never came to hold"
            await asyncio.sleep(0)

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    async def start(self) -> None:
        """All workers of the first generation are ready."""
        await self.until(lambda: self.workers)
        self.workers[0].be_ready()
        await self.until(lambda: len(self.workers) == self.supervisor.count)
        for worker in self.workers[1:]:
            worker.be_ready()
        await self.until(self.started.is_set)

    async def stop(self) -> int:
        """Everything ends."""
        self.supervisor.stop()
        for worker in self.workers:
            if not worker.exited.done():
                worker.exit()
        return await asyncio.wait_for(self.running, PATIENCE_S)


def play(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 3 * PATIENCE_S))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    caplog.set_level(logging.INFO, "addax.error")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


# ---- start


def test_first_worker_is_alone_until_it_has_loaded_the_application() -> None:
    async def main() -> None:
        stage = Stage(3)
        await stage.until(lambda: stage.workers)
        await stage.settle()
        assert len(stage.workers) == 1
        stage.workers[0].say(words.LOADED)
        await stage.until(lambda: len(stage.workers) == 3)
        assert not stage.started.is_set()
        for worker in stage.workers:
            worker.be_ready()
        await stage.until(stage.started.is_set)
        assert sorted(worker.place.number for worker in stage.workers) == [1, 2, 3]
        assert await stage.stop() == 0

    play(main)


@pytest.mark.parametrize(("code", "expected"), [(3, 3), (2, 2), (1, 3), (-11, 3), (0, 3)])
def test_first_start_that_fails_ends_the_server(code: int, expected: int, log: Callable[[], str]) -> None:
    async def main() -> None:
        stage = Stage(2)
        await stage.until(lambda: stage.workers)
        stage.workers[0].say(words.LOADED)
        await stage.until(lambda: len(stage.workers) == 2)
        stage.workers[1].say(words.FAILED, reason="no database")
        await stage.settle()
        stage.workers[1].exit(code)
        await stage.until(lambda: stage.workers[0].was_told(words.STOP))
        stage.workers[0].exit()
        assert await asyncio.wait_for(stage.running, PATIENCE_S) == expected

    play(main)
    assert "failed to start, stopping the parent process" in log()
    assert "no database" in log()


def test_preparation_that_fails_ends_the_server_with_its_code(log: Callable[[], str]) -> None:
    async def main() -> None:
        stage = Stage(2)
        stage.spawners[0].problem = "no such module"
        assert await asyncio.wait_for(stage.running, PATIENCE_S) == 3
        assert not stage.workers

    play(main)
    assert "no such module" in log()


def test_worker_that_is_not_ready_in_time_is_shown_and_killed(
    monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]
) -> None:
    monkeypatch.setattr(child, "DUMP_S", 0.0)

    async def main() -> None:
        stage = Stage(1, startup_s=0.001)
        await stage.until(lambda: stage.workers and len(stage.workers[0].signals) == 2)
        assert stage.workers[0].signals == [6, 9]
        stage.workers[0].exit(-9)
        assert await asyncio.wait_for(stage.running, PATIENCE_S) == 3

    play(main)
    assert "was not ready within 0.001 seconds (--timeout-worker-startup)" in log()


# ---- numbers


def test_workers_are_added_and_removed_but_never_the_last_one(log: Callable[[], str]) -> None:
    async def main() -> None:
        stage = Stage(1)
        await stage.start()
        stage.supervisor.add_worker()
        await stage.until(lambda: len(stage.workers) == 2)
        stage.workers[1].be_ready()
        await stage.settle()
        stage.supervisor.remove_worker()
        await stage.until(lambda: stage.workers[1].was_told(words.STOP))
        assert stage.workers[1].was_told(words.STOP) == {"kind": "stop", "handover": True, "rest_s": None}
        stage.workers[1].exit()
        await stage.settle()
        stage.supervisor.remove_worker()
        await stage.settle()
        assert stage.workers[0].was_told(words.STOP) is None
        assert await stage.stop() == 0

    play(main)
    assert "Already reached one process" in log()


def test_pause_ends_all_and_a_restart_brings_them_back() -> None:
    async def main() -> None:
        stage = Stage(2)
        await stage.start()
        stage.supervisor.pause()
        await stage.until(lambda: all(worker.was_told(words.STOP) for worker in stage.workers))
        for worker in stage.workers:
            worker.exit()
        await stage.settle()
        assert stage.supervisor.children() == []
        stage.supervisor.restart()
        await stage.until(lambda: len(stage.workers) == 4)
        assert await stage.stop() == 0

    play(main)


# ---- restart


def test_restart_replaces_one_at_a_time_and_the_new_one_is_ready_first(log: Callable[[], str]) -> None:
    async def main() -> None:
        stage = Stage(2)
        await stage.start()
        stage.supervisor.restart()
        for number in (1, 2):
            await stage.until(lambda: len(stage.workers) == 2 + number)  # noqa: B023
            await stage.settle()
            assert len(stage.workers) == 2 + number
            assert stage.workers[number - 1].was_told(words.STOP) is None
            new = stage.workers[-1]
            assert (new.place.number, new.place.generation) == (number, 2)
            new.be_ready()
            await stage.until(lambda: stage.workers[number - 1].was_told(words.STOP))  # noqa: B023
            await stage.settle()
            # The next one waits until the old one is gone.
            assert len(stage.workers) == 2 + number
            stage.workers[number - 1].exit()
        await stage.until(lambda: "Restart complete" in log())
        await stage.until(lambda: stage.spawners[0].is_closed)
        assert not stage.spawners[1].is_closed
        assert await stage.stop() == 0

    play(main)
    assert "Restart complete: 2 of 2 workers replaced" in log()


def test_restart_does_not_wait_for_ever_for_a_worker_that_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "DRAIN_WAIT_S", 0.01)

    async def main() -> None:
        stage = Stage(2)
        await stage.start()
        stage.supervisor.restart()
        await stage.until(lambda: len(stage.workers) == 3)
        stage.workers[2].be_ready()
        await stage.until(lambda: len(stage.workers) == 4)
        assert not stage.workers[0].exited.done()
        assert await stage.stop() == 0

    play(main)


@pytest.mark.parametrize("spawner_fails", [False, True])
def test_restart_that_fails_leaves_the_old_workers(spawner_fails: bool, log: Callable[[], str]) -> None:
    async def main() -> None:
        stage = Stage(2)
        await stage.start()
        stage.next_problem = "SyntaxError in app.py" if spawner_fails else ""
        stage.supervisor.restart()
        if not spawner_fails:
            await stage.until(lambda: len(stage.workers) == 3)
            stage.workers[2].say(words.FAILED, reason="SyntaxError in app.py")
            await stage.settle()
            stage.workers[2].exit(3)
        await stage.until(lambda: "Restart failed" in log())
        await stage.settle()
        assert all(worker.was_told(words.STOP) is None for worker in stage.workers[:2])
        assert len(stage.workers) == (2 if spawner_fails else 3)
        # The next one is a new try.
        stage.next_problem = ""
        stage.supervisor.restart()
        count = len(stage.workers)
        await stage.until(lambda: len(stage.workers) == count + 1)
        assert await stage.stop() == 0

    play(main)
    assert "SyntaxError in app.py" in log()
    assert "the old workers go on serving" in log()


def test_restart_during_a_restart_begins_again() -> None:
    async def main() -> None:
        stage = Stage(2)
        await stage.start()
        stage.supervisor.restart()
        await stage.until(lambda: len(stage.workers) == 3)
        stage.supervisor.restart()
        await stage.until(lambda: len(stage.workers) == 4)
        # The replacement of the first restart may have older code.
        assert stage.workers[2].was_told(words.STOP)
        assert stage.workers[3].place.generation == 3
        stage.workers[2].exit()
        stage.workers[3].be_ready()
        await stage.until(lambda: stage.workers[0].was_told(words.STOP))
        assert await stage.stop() == 0

    play(main)


# ---- workers that end, or want to


def test_worker_that_wants_to_retire_serves_until_its_replacement_does(log: Callable[[], str]) -> None:
    async def main() -> None:
        stage = Stage(2)
        await stage.start()
        for worker in stage.workers:
            worker.say(words.RETIRE, reason="Maximum request limit of 10 exceeded")
        await stage.until(lambda: len(stage.workers) == 3)
        await stage.settle()
        # One at a time.
        assert len(stage.workers) == 3
        assert stage.workers[0].was_told(words.STOP) is None
        stage.workers[2].be_ready()
        await stage.until(lambda: stage.workers[0].was_told(words.STOP))
        stage.workers[0].exit()
        await stage.until(lambda: len(stage.workers) == 4)
        assert stage.workers[3].place.number == 2
        stage.workers[3].be_ready()
        await stage.until(lambda: stage.workers[1].was_told(words.STOP))
        assert await stage.stop() == 0
        assert stage.supervisor.restarts == {"request limit": 2}

    play(main)
    assert "Maximum request limit of 10 exceeded in child process [1001]. Replacing it." in log()


def test_worker_that_dies_is_replaced_at_once_and_what_it_served_is_told(log: Callable[[], str]) -> None:
    async def main() -> None:
        stage = Stage(2)
        await stage.start()
        stage.workers[0].board.begin("GET", b"/poison?x=1", time.monotonic())
        stage.workers[0].exit(-11)
        await stage.until(lambda: len(stage.workers) == 3)
        assert stage.workers[2].place.number == 1
        assert await stage.stop() == 0

    play(main)
    assert "Child process [1001] died: it crashed with SIGSEGV (signal 11)" in log()
    assert "GET /poison?x=1" in log()


def test_worker_that_leaves_by_itself_is_replaced_at_once() -> None:
    async def main() -> None:
        stage = Stage(1)
        await stage.start()
        stage.workers[0].say(words.LEAVING, reason="SIGTERM")
        await stage.until(lambda: len(stage.workers) == 2)
        assert stage.workers[0].was_told(words.STOP) == {"kind": "stop", "handover": True, "rest_s": None}
        assert not stage.workers[0].exited.done()
        assert await stage.stop() == 0

    play(main)


def test_signal_to_all_processes_of_a_group_replaces_nobody() -> None:
    async def main() -> None:
        stage = Stage(2)
        await stage.start()
        for worker in stage.workers:
            worker.say(words.LEAVING, reason="SIGTERM")
        await stage.settle()
        stage.supervisor.stop()
        await stage.until(lambda: all(worker.was_told(words.STOP) for worker in stage.workers))
        # What waits in the queue is theirs to take: nobody comes after them.
        assert [worker.was_told(words.STOP)["handover"] for worker in stage.workers] == [False, False]  # type: ignore[index]
        assert await stage.stop() == 0
        assert len(stage.workers) == 2

    play(main)


def test_workers_that_die_again_and_again_end_the_server(
    monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]
) -> None:
    monkeypatch.setattr(backoff, "_FIRST_S", 0.0)

    async def main() -> None:
        stage = Stage(1)
        await stage.start()
        for count in range(1, backoff.LOOP_COUNT + 1):
            stage.workers[-1].exit(1)
            if count < backoff.LOOP_COUNT:
                await stage.until(lambda: len(stage.workers) == count + 1)  # noqa: B023
                stage.workers[-1].be_ready()
                await stage.settle()
        assert await asyncio.wait_for(stage.running, PATIENCE_S) == supervisor.CRASH_LOOP

    play(main)
    assert "Workers die again and again: 5 in a row" in log()


def test_worker_that_dies_again_and_again_beside_a_good_one_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_FIRST_S", 0.0)

    async def main() -> None:
        stage = Stage(2)
        await stage.start()
        for count in range(2 * backoff.LOOP_COUNT):
            (number,) = {worker.place.number for worker in stage.workers[-1:]}
            assert number == 2
            stage.workers[-1].exit(1)
            await stage.until(lambda: len(stage.workers) == 3 + count)  # noqa: B023
        assert not stage.running.done()
        assert await stage.stop() == 0

    play(main)


def test_worker_without_a_sign_of_life_is_asked_then_killed_and_replaced(
    monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]
) -> None:
    monkeypatch.setattr(child, "ASK_S", 0.0)
    monkeypatch.setattr(child, "DUMP_S", 0.0)

    async def main() -> None:
        stage = Stage(1, health_s=0.05)
        await stage.start()
        stuck = stage.workers[0]
        await stage.until(lambda: len(stage.workers) == 2)
        await stage.until(lambda: stuck.signals == [6, 9])
        assert stuck.was_told(words.STOP)
        stuck.exit(-9)
        for worker in stage.workers[1:]:
            worker.board.beat(time.monotonic() + 60)
            worker.be_ready()
        assert await stage.stop() == 0
        assert stage.supervisor.killed_count >= 1

    play(main)
    assert "its event loop has given no sign of life" in log()


def test_worker_that_ticks_is_left_alone() -> None:
    async def main() -> None:
        stage = Stage(1, health_s=0.05)
        await stage.start()
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            stage.workers[0].board.beat(time.monotonic())
            await asyncio.sleep(0.005)
        assert len(stage.workers) == 1
        assert await stage.stop() == 0

    play(main)


# ---- stop


def test_stop_asks_then_hurries_then_kills() -> None:
    async def main() -> None:
        stage = Stage(2)
        await stage.start()
        address = stage.sockets.bound[0][0]
        stage.supervisor.stop()
        worker = stage.workers[0]
        await stage.until(lambda: worker.was_told(words.STOP))
        assert worker.was_told(words.STOP) == {"kind": "stop", "handover": False, "rest_s": None}
        # Nobody listens here any more: these workers are not real ones.
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(address)
        assert worker.was_told(words.HURRY) is None
        stage.supervisor.hurry()
        await stage.until(lambda: worker.was_told(words.HURRY))
        assert worker.signals == []
        stage.supervisor.hurry()
        assert worker.signals == [9]
        assert await stage.stop() == 0

    play(main)


def test_worker_that_does_not_end_in_time_is_killed(monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]) -> None:
    monkeypatch.setattr(child, "HURRY_S", 0.01)

    async def main() -> None:
        stage = Stage(1)
        await stage.start()
        stage.supervisor.hurry()
        await stage.until(lambda: stage.workers[0].signals == [9])
        stage.workers[0].exit(-9)
        assert await asyncio.wait_for(stage.running, PATIENCE_S) == 0
        assert stage.supervisor.killed_count == 1

    play(main)
    assert "did not end in time; it is killed" in log()


def test_stop_during_the_first_start_ends_workers_that_have_not_loaded() -> None:
    async def main() -> None:
        stage = Stage(2)
        await stage.until(lambda: stage.workers)
        stage.supervisor.stop()
        assert stage.workers[0].signals == [15]
        stage.workers[0].exit(-15)
        assert await asyncio.wait_for(stage.running, PATIENCE_S) == 0

    play(main)


def test_old_worker_that_dies_while_its_replacement_starts_is_replaced_by_that() -> None:
    async def main() -> None:
        stage = Stage(1)
        await stage.start()
        stage.workers[0].say(words.RETIRE, reason="Maximum request limit of 1 exceeded")
        await stage.until(lambda: len(stage.workers) == 2)
        stage.workers[0].exit(1)
        await stage.settle()
        stage.workers[1].be_ready()
        await stage.settle()
        # It is enough, and not to be replaced for the reason of the old one.
        assert len(stage.workers) == 2
        assert stage.workers[1].was_told(words.STOP) is None
        assert await stage.stop() == 0

    play(main)


def test_replacement_that_fails_after_the_old_worker_has_died_ends_the_restart(log: Callable[[], str]) -> None:
    async def main() -> None:
        stage = Stage(2)
        await stage.start()
        stage.supervisor.restart()
        await stage.until(lambda: len(stage.workers) == 3)
        stage.workers[0].exit(-9)
        await stage.settle()
        stage.workers[2].exit(3)
        await stage.until(lambda: "Restart failed" in log())
        await stage.until(lambda: len(stage.workers) == 4)
        assert stage.workers[3].place.number == 1
        assert await stage.stop() == 0

    play(main)


def test_worker_that_is_started_while_the_new_code_is_prepared_has_the_old_and_is_replaced(
    log: Callable[[], str],
) -> None:
    async def main() -> None:
        stage = Stage(1)
        await stage.start()
        stage.holds_next = True
        stage.supervisor.restart()
        await stage.until(lambda: len(stage.spawners) == 2)
        stage.workers[0].exit(-9)
        await stage.until(lambda: len(stage.workers) == 2)
        assert stage.workers[1].place.generation == 1
        stage.workers[1].be_ready()
        await stage.settle()
        stage.spawners[1].may_go_on.set()
        await stage.until(lambda: len(stage.workers) == 3)
        assert stage.workers[2].place.generation == 2
        stage.workers[2].be_ready()
        await stage.until(lambda: stage.workers[1].was_told(words.STOP))
        stage.workers[1].exit()
        await stage.until(lambda: "Restart complete: 1 of 1 workers replaced" in log())
        assert await stage.stop() == 0

    play(main)


def test_worker_that_is_started_after_a_restart_failed_has_the_old_code() -> None:
    async def main() -> None:
        stage = Stage(2)
        await stage.start()
        stage.supervisor.restart()
        await stage.until(lambda: len(stage.workers) == 3)
        stage.workers[2].exit(3)
        await stage.until(lambda: stage.spawners[1].is_closed)
        stage.workers[0].exit(-9)
        await stage.until(lambda: len(stage.workers) == 4)
        assert stage.workers[3].place.generation == 1
        stage.workers[3].be_ready()
        stage.supervisor.restart()
        await stage.until(lambda: len(stage.workers) == 5)
        assert stage.workers[4].place.generation == 3
        assert await stage.stop() == 0

    play(main)
