"""What is said of an event loop that does not tick, and when; most of it without the thread that says it."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from addax import testing
from addax.asgi.state import ServerState
from addax.core import clock
from addax.core.board import Board, create_board
from addax.core.clock import NEVER
from addax.core.report import InProgress
from addax.server import stacks, watchdog
from addax.server.heartbeat import Heartbeat
from addax.server.sleeper import Sleeper
from addax.server.watchdog import Watchdog

HERE = os.path.relpath(__file__)
#: For what has to come, and comes at once unless it is broken.
PATIENCE_S = 60.0


@pytest.fixture
def board() -> Iterator[Board]:
    fd = create_board()
    made = Board(fd)
    os.close(fd)
    yield made
    made.close()


class FakeLoop:
    """Runs what other threads have asked for when it is told to go on."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []
        self.has_ended = False
        self.is_closed = False

    def is_running(self) -> bool:
        return not self.has_ended

    def call_soon_threadsafe(self, callback: Callable[[], object], *, context: Any) -> None:
        if self.is_closed:
            raise RuntimeError("Event loop is closed")
        self.waiting.append(callback)

    def go_on(self) -> None:
        waiting, self.waiting = self.waiting, []
        for callback in waiting:
            callback()


class Stage:
    """A watchdog, and everything around it as the test wants it. Its loop's thread is the test's."""

    def __init__(self, board: Board, caplog: pytest.LogCaptureFixture) -> None:
        self.board = board
        self.loop = FakeLoop()
        self.time = 1000.0
        self.cpu_s = 5.0
        self.exit_codes: list[int] = []
        self.orphaned_count = 0
        self._caplog = caplog
        self.watchdog = self.make()

    def make(self, warn_after_s: float | None = 1.0, dump_after_s: float | None = 30.0, **more: Any) -> Watchdog:
        self.watchdog = Watchdog(
            self.loop,  # type: ignore[arg-type]
            ServerState(),
            self.board,
            warn_after_s=warn_after_s,
            dump_after_s=dump_after_s,
            on_orphaned=self._orphaned,
            now=lambda: self.time,
            cpu_time=lambda: self.cpu_s,
            end_process=self.exit_codes.append,
            **more,
        )
        self.board.beat(self.time)
        self.watchdog.begin(self.time)
        return self.watchdog

    def _orphaned(self) -> None:
        self.orphaned_count += 1

    def step(self, after_s: float = 0.0) -> float:
        """Let time pass, and the watchdog look; returns in how many seconds it wants to look again."""
        self.time += after_s
        return self.watchdog.step(self.time) - self.time

    def beat(self, after_s: float = 0.0) -> None:
        self.time += after_s
        self.board.beat(self.time)

    def go_on(self, after_s: float = 0.0) -> None:
        """The loop ticks again."""
        self.time += after_s
        self.loop.go_on()

    def told(self) -> list[tuple[str, str]]:
        """What was logged since the last call."""
        records = [(record.levelname, record.getMessage()) for record in self._caplog.records]
        assert all(record.name == "addax.error" for record in self._caplog.records)
        self._caplog.clear()
        return records


@pytest.fixture
def stage(board: Board, caplog: pytest.LogCaptureFixture) -> Stage:
    caplog.set_level(logging.INFO, "addax.error")
    return Stage(board, caplog)


# ---- a loop that ticks, and one that does not


def test_loop_that_ticks_is_left_alone(stage: Stage) -> None:
    assert stage.step() == 1.0
    for _ in range(10):
        stage.beat(0.75)
        # Not for each beat, but when the last one is too old.
        assert stage.step(0.25) == 0.75
    assert stage.told() == []


def test_stall_is_told_once_and_so_is_its_end(stage: Stage) -> None:
    assert stage.step() == 1.0
    assert stage.step(1.0) == 29.0
    ((level, text),) = stage.told()
    assert level == "WARNING"
    assert re.fullmatch(rf"Event loop blocked for 1\.0 s at {re.escape(HERE)}:\d+ in step", text)
    assert stage.step(10.0) == 19.0
    assert stage.told() == []
    stage.go_on(after_s=1.5)
    assert stage.step() == 1.0
    assert stage.told() == [("INFO", "Event loop goes on; it was blocked for 12.5 s.")]
    stage.beat()
    assert stage.step(0.5) == 0.5
    assert stage.told() == []


def test_next_stall_is_told_again(stage: Stage) -> None:
    for _ in range(3):
        stage.step()
        stage.step(1.0)
        stage.go_on()
        stage.step()
        assert [level for level, _ in stage.told()] == ["WARNING", "INFO"]
        stage.beat()


def test_end_of_a_stall_shows_by_a_beat_too(stage: Stage) -> None:
    stage.step()
    stage.loop.is_closed = True
    stage.step(1.0)
    stage.beat(after_s=0.5)
    stage.step(0.25)
    assert [level for level, _ in stage.told()] == ["WARNING", "INFO"]


def test_block_behind_a_block_is_another_one(stage: Stage) -> None:
    stage.step()
    stage.step(1.0)
    stage.go_on(after_s=1.0)
    assert stage.step() == 1.0
    # It has run what was asked for by threads, and is stuck in the callback after that, before its timers.
    stage.step(1.0)
    assert [text.partition(" at ")[0] for _, text in stage.told()] == [
        "Event loop blocked for 1.0 s",
        "Event loop goes on; it was blocked for 2.0 s.",
        "Event loop blocked for 1.0 s",
    ]


def test_stacks_are_dumped_once_a_stall(stage: Stage, board: Board) -> None:
    stage.step()
    stage.step(1.0)
    stage.told()
    assert not board.is_dumped
    assert stage.step(29.0) == NEVER
    ((level, text),) = stage.told()
    assert level == "ERROR"
    first, second, *_ = text.splitlines()
    assert first == "Event loop blocked for 30.0 s. What all threads and tasks do:"
    assert re.fullmatch(r"Thread \d+ \(MainThread\), most recent call last:", second)
    assert "in test_stacks_are_dumped_once_a_stall" in text
    assert "Tasks: 0" in text
    assert board.is_dumped
    assert stage.step(100.0) == NEVER
    assert stage.told() == []
    stage.go_on()
    stage.step()
    assert not board.is_dumped
    assert [level for level, _ in stage.told()] == ["INFO"]


def test_loop_that_never_ticked_has_its_time_from_the_start(stage: Stage) -> None:
    stage.make()
    stage.board.beat(0.0)
    assert stage.step(0.5) == 0.5
    assert stage.told() == []
    stage.step(0.5)
    assert [level for level, _ in stage.told()] == ["WARNING"]


@pytest.mark.parametrize(
    ("warn_after_s", "dump_after_s", "levels"),
    [(None, None, []), (1.0, None, ["WARNING"]), (None, 1.0, ["ERROR"]), (1.0, 1.0, ["WARNING", "ERROR"])],
)
def test_each_bound_can_be_left_out(
    stage: Stage, warn_after_s: float | None, dump_after_s: float | None, levels: list[str]
) -> None:
    stage.make(warn_after_s, dump_after_s)
    assert stage.step() == (1.0 if levels else NEVER)
    assert stage.step(1.0) == NEVER
    assert [level for level, _ in stage.told()] == levels
    stage.go_on()
    stage.step()
    assert [level for level, _ in stage.told()] == ["INFO"] * bool(levels)


def test_loop_that_has_ended_is_not_blocked(stage: Stage) -> None:
    stage.step()
    stage.loop.has_ended = True
    assert stage.step(1.0) == 1.0
    assert stage.step(1.0) == 1.0
    assert stage.told() == []


# ---- what looks like a stall


def test_process_that_was_stopped_gets_another_chance(stage: Stage) -> None:
    stage.step()
    # Woken up an hour too late: the loop could not tick either. Before that it was busy.
    stage.cpu_s += 1.0
    assert stage.step(3601.0) == 1.0
    assert stage.told() == []
    stage.beat(0.25)
    assert stage.step(0.75) == 0.25
    assert stage.told() == []


def test_loop_that_does_not_use_its_other_chance_is_blocked(stage: Stage) -> None:
    stage.step()
    stage.step(3601.0)
    stage.step(1.0)
    assert [text.partition(" at ")[0] for _, text in stage.told()] == ["Event loop blocked for 1.0 s"]


def test_being_a_little_late_is_no_excuse(stage: Stage) -> None:
    stage.step()
    stage.step(1.9)
    assert [text.partition(" at ")[0] for _, text in stage.told()] == ["Event loop blocked for 1.9 s"]


def test_code_that_keeps_the_interpreter_to_itself_is_no_excuse(stage: Stage) -> None:
    stage.step()
    # As a regular expression does: no other thread runs meanwhile, and the processor is busy, most of the time.
    stage.cpu_s += 3.0
    stage.step(5.0)
    assert [text.partition(" at ")[0] for _, text in stage.told()] == ["Event loop blocked for 5.0 s"]


def test_debugger_may_hold_the_loop(stage: Stage) -> None:
    debugger: dict[str, Any] = {"__name__": "pdb"}
    exec("def interaction(look): return look()", debugger)
    stage.step()
    for _ in range(40):
        assert debugger["interaction"](lambda: stage.step(1.0)) == 1.0
    assert stage.told() == []
    # When it is left the loop has its time.
    stage.time += 0.5
    assert stage.step() == 0.5
    stage.step(0.5)
    assert [level for level, _ in stage.told()] == ["WARNING"]


# ---- a log that cannot be written


class Stuck(logging.Handler):
    """Writes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_free = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.is_free.wait(PATIENCE_S)


@pytest.fixture
def stuck_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    handler = Stuck()
    monkeypatch.setattr(watchdog, "LOG_PATIENCE_S", 0.01)
    logging.getLogger("addax.error").addHandler(handler)
    yield handler
    handler.is_free.set()
    logging.getLogger("addax.error").removeHandler(handler)
    for thread in threading.enumerate():
        if thread.name == "addax watchdog's writer":
            thread.join()


def test_stuck_log_does_not_hold_the_watchdog(
    stage: Stage, board: Board, stuck_log: Stuck, capfd: pytest.CaptureFixture[str]
) -> None:
    stage.make(orphan_kill_after_s=50.0)
    stage.step()
    stage.step(1.0)
    assert not board.is_dumped
    stage.step(29.0)
    assert board.is_dumped
    assert "most recent call first" in capfd.readouterr().err
    stage.watchdog.orphaned(stage.time)
    stage.step(50.0)
    assert stage.exit_codes == [70]


def test_stacks_that_nobody_has_seen_are_not_dumped(
    stage: Stage, board: Board, stuck_log: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "__stderr__", None)
    stage.step()
    stage.step(30.0)
    assert not board.is_dumped


def test_log_that_raises_has_not_worked(stage: Stage, board: Board, capfd: pytest.CaptureFixture[str]) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise ValueError("no")

    logger = logging.getLogger("addax.error")
    logger.addFilter(refuse)
    try:
        stage.make(None, 1.0)
        stage.step()
        stage.step(1.0)
    finally:
        logger.removeFilter(refuse)
    assert board.is_dumped
    assert "most recent call first" in capfd.readouterr().err


# ---- orphans


def test_orphan_is_told_and_then_ended(stage: Stage) -> None:
    stage.make(None, None, orphan_kill_after_s=33.0)
    assert stage.step() == NEVER
    stage.watchdog.orphaned(stage.time)
    assert stage.orphaned_count == 1
    assert stage.step() == 33.0
    assert stage.step(32.0) == 1.0
    assert (stage.told(), stage.exit_codes) == ([], [])
    assert stage.step(1.0) == NEVER
    assert stage.told() == [("ERROR", "The parent process is gone, and this one did not end within 33 s: killed.")]
    assert stage.exit_codes == [70]


def test_orphan_has_as_long_as_it_wants_without_a_bound(stage: Stage) -> None:
    stage.make(None, None)
    stage.watchdog.orphaned(stage.time)
    assert stage.orphaned_count == 1
    assert stage.step(10000.0) == NEVER
    assert stage.exit_codes == []


def test_orphan_that_was_stopped_gets_the_rest_of_its_time(stage: Stage) -> None:
    stage.make(None, None, orphan_kill_after_s=10.0)
    stage.watchdog.orphaned(stage.time)
    assert stage.step() == 10.0
    stage.beat(4.0)
    assert stage.step() == 6.0
    assert stage.step(1000.0) == 6.0
    assert stage.exit_codes == []
    stage.step(6.0)
    assert stage.exit_codes == [70]


# ---- places


def _code(filename: str, name: str) -> Callable[..., Any]:
    """A function that calls what it is given; without that, it asks where it is."""
    source = f"def {name}(ask, inner=None, *more):\n    return ask() if inner is None else inner(ask, *more)\n"
    namespace: dict[str, Any] = {"__name__": name}
    exec(compile(source, filename, "exec"), namespace)
    function: Callable[..., Any] = namespace[name]
    return function


_APP = os.path.join(os.getcwd(), "shop", "app.py")
_LIB = os.path.join(sysconfig.get_paths()["purelib"], "slowlib", "core.py")
_STANDARD = os.path.dirname(os.__file__)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([_APP], "shop/app.py:2 in f0"),
        ([_APP, _APP], "shop/app.py:2 in f1"),
        ([_APP, f"{_STANDARD}/queue.py", f"{_STANDARD}/threading.py"], "shop/app.py:2 in f0"),
        ([_APP, _LIB, f"{_STANDARD}/socket.py"], "slowlib/core.py:2 in f1, called at shop/app.py:2 in f0"),
        ([_LIB, _APP], "shop/app.py:2 in f1"),
        (["/srv/app.py"], "/srv/app.py:2 in f0"),
        (["<string>"], "<string>:2 in f0"),
        (["/srv/a\nb.py"], r"/srv/a\x0ab.py:2 in f0"),
        ([stacks.__file__.replace("server/stacks.py", "examples/showcase.py")], "showcase.py:2 in f0"),
        ([_LIB, f"{_STANDARD}/json/decoder.py"], "slowlib/core.py:2 in f0"),
        # The loop was called by the application, and is held by the server's own code.
        ([_APP, f"{_STANDARD}/asyncio/runners.py#run", stacks.__file__], "stacks.py:2 in f2"),
        ([f"{_STANDARD}/asyncio/base_events.py#_run_once", f"{_STANDARD}/selectors.py"], "selectors.py:2 in f1"),
    ],
)
def test_place_is_the_innermost_one_of_an_application(files: list[str], expected: str) -> None:
    # What is outside of that is not looked at.
    functions = [_code(f"{_STANDARD}/asyncio/runners.py", "run")]
    for number, file in enumerate(files):
        filename, _, name = file.partition("#")
        functions.append(_code(filename, name or f"f{number}"))
    place = functions[0](lambda: stacks.blocking_place(sys._getframe(1)), *functions[1:])
    assert place == expected or place.endswith(f"/{expected}")


def test_place_of_nothing() -> None:
    assert stacks.blocking_place(None) == ""
    assert not stacks.is_debugged(None)
    assert stacks.frame_of(0) is None


def test_working_directory_may_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise FileNotFoundError

    frame: FrameType = sys._getframe()
    monkeypatch.setattr(os, "getcwd", fail)
    assert stacks.place(frame).startswith(__file__)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (InProgress("http", "GET", "/a", ("127.0.0.1", 5000), 99.0, None), "GET /a from 127.0.0.1:5000, for 1.0 s"),
        (InProgress("websocket", "GET", "/w s\n", None, None, None), "WebSocket /w%20s%0A"),
        (InProgress("http", "G\n", "/", ("a\nb", 1), None, None), r"G\x0a / from a\x0ab:1"),
    ],
)
def test_request_in_words(request_: InProgress, words: str) -> None:
    assert stacks.describe_request(request_, 100.0) == words


def test_many_threads_are_not_all_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "THREADS_MAX_COUNT", 2)
    release = threading.Event()
    threads = [threading.Thread(target=release.wait, name=f"waiting\n{number}") for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        text = stacks.describe_threads(threads[2].ident or 0)
    finally:
        release.set()
        for thread in threads:
            thread.join()
    assert text.startswith(f"Thread {threads[2].ident} (waiting\\x0a2), most recent call last:\n")
    assert re.search(r"\.\.\. and \d+ more threads\n$", text)
    assert "test_many_threads" not in text, "this is the thread that asks"


def test_tasks_are_described_with_what_they_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "TASKS_MAX_COUNT", 3)

    async def inner(done: asyncio.Event) -> None:
        await done.wait()

    async def outer(done: asyncio.Event) -> None:
        await inner(done)

    async def main() -> None:
        done = asyncio.Event()
        tasks = [asyncio.create_task(outer(done), name=f"n{number}\n") for number in range(4)]
        await asyncio.sleep(0)
        text = stacks.describe_tasks(asyncio.get_running_loop(), lambda task: f"serves {task.get_name()!r}")
        done.set()
        await asyncio.gather(*tasks)
        first, second, *_, last = text.splitlines()
        assert first == "Tasks: 5"
        name = "test_tasks_are_described_with_what_they_wait_for.<locals>.outer"
        assert second.startswith(rf"  task n0\x0a of {name}, serves 'n0\n', at asyncio/locks.py:")
        assert last == "  ... and 2 more"

    asyncio.run(main())


# ---- the thread


class Lines(logging.Handler):
    """Tells of each line of the log as soon as it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._awaited: list[tuple[str, threading.Event]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.levelname} {record.getMessage()}")
        for pattern, event in self._awaited:
            if re.search(pattern, self.texts[-1]):
                event.set()

    def coming(self, pattern: str) -> threading.Event:
        """Set when a line like this has come, from now on."""
        event = threading.Event()
        self._awaited.append((pattern, event))
        return event

    def like(self, pattern: str) -> list[str]:
        return [text for text in self.texts if re.search(pattern, text)]


@pytest.fixture
def lines() -> Iterator[Lines]:
    logger, handler = logging.getLogger("addax.error"), Lines()
    old = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(old)


class Watched:
    """A real loop with heartbeat and watchdog, and a client of an application in that loop.

    Their clock stands still, so that the loop is blocked when the test says so, and never because the machine is busy.
    """

    def __init__(self, board: Board, app: Any, **bounds: float | None) -> None:
        loop = asyncio.get_running_loop()
        self.time = clock.now()
        self.client = testing.FakeClient(testing.make_service(app))
        state = self.client.service.state
        state.board = board
        state.connections.add(self.client.connection)
        self._heartbeat = Heartbeat(loop, board, state, 0.01, now=lambda: self.time)
        self._watchdog = Watchdog(loop, state, board, **bounds, now=lambda: self.time)

    async def serve(self, request: bytes) -> None:
        self._heartbeat.start()
        self._watchdog.start()
        self.client.connection.receive_data(request)
        while not self.client.responses():
            await self.client.wait_for_event()

    def block(self, until: threading.Event) -> None:
        """Hold the loop, for half a second of its clock, and until something has happened."""
        self.time += 0.5
        assert until.wait(PATIENCE_S)

    def stop(self) -> None:
        self._watchdog.stop()
        self._heartbeat.stop()


async def _wait_for(event: threading.Event) -> None:
    assert await asyncio.get_running_loop().run_in_executor(None, event.wait, PATIENCE_S)


async def _answer(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


SLOW = b"GET /sl%65ep?a=1 HTTP/1.1\r\nHost: h\r\n\r\n"
#: The clock stood still when it began, or almost.
REQUEST = r"GET /sleep from 127\.0\.0\.1:50000, for -?\d+\.\d s"


def _hold(app: Callable[[Any, Any], Any], board: Board, **bounds: float | None) -> None:
    """Serve one request with an application that is given its watch and ``send``, until the loop has gone on."""

    async def main(lines: Lines) -> None:
        goes_on = lines.coming("INFO Event loop goes on; it was blocked for 0.5 s")

        async def run(scope: Any, receive: Any, send: Any) -> None:
            await app(watched, send)

        watched = Watched(board, run, **bounds)
        await watched.serve(SLOW)
        await _wait_for(goes_on)
        watched.stop()

    lines = next(handler for handler in logging.getLogger("addax.error").handlers if isinstance(handler, Lines))
    asyncio.run(main(lines))


@pytest.mark.parametrize("has_waited", [False, True], ids=["at-once", "later"])
def test_blocked_loop_is_told_with_line_task_and_request(board: Board, lines: Lines, has_waited: bool) -> None:
    is_told = lines.coming("WARNING")

    def slow(watched: Watched) -> None:
        watched.time += 0.5
        assert is_told.wait(PATIENCE_S)

    async def app(watched: Watched, send: Any) -> None:
        if has_waited:
            await asyncio.sleep(0)
        slow(watched)
        await _answer(send)

    _hold(app, board, warn_after_s=0.05, dump_after_s=None)
    (line,) = lines.like("WARNING")
    place = rf"{re.escape(HERE)}:{slow.__code__.co_firstlineno + 2} in slow"
    assert re.fullmatch(rf"WARNING Event loop blocked for 0\.5 s at {place} \(task [A-Za-z0-9-]+, {REQUEST}\)", line)


def test_request_is_told_behind_its_response_too(board: Board, lines: Lines) -> None:
    async def app(watched: Watched, send: Any) -> None:
        await _answer(send)
        await asyncio.sleep(0)
        watched.block(is_told)

    is_told = lines.coming("WARNING")
    _hold(app, board, warn_after_s=0.05, dump_after_s=None)
    assert re.search(rf"\(task [A-Za-z0-9-]+, {REQUEST}\)", lines.like("WARNING")[0])


def test_task_of_the_application_is_told_by_its_name(board: Board, lines: Lines) -> None:
    is_told = lines.coming("WARNING")

    async def refresh(watched: Watched) -> None:
        watched.block(is_told)

    async def app(watched: Watched, send: Any) -> None:
        await asyncio.create_task(refresh(watched), name="refresher")
        await _answer(send)

    _hold(app, board, warn_after_s=0.05, dump_after_s=None)
    assert lines.like("WARNING")[0].endswith(f" in block (task refresher of {refresh.__qualname__})")


def test_callback_that_blocks_has_no_task(board: Board, lines: Lines) -> None:
    is_told = lines.coming("WARNING")

    async def app(watched: Watched, send: Any) -> None:
        asyncio.get_running_loop().call_soon(watched.block, is_told)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await _answer(send)

    _hold(app, board, warn_after_s=0.05, dump_after_s=None)
    assert lines.like("WARNING")[0].endswith(" in block")


def test_connection_that_cannot_be_asked_does_not_hide_the_place(board: Board, lines: Lines) -> None:
    is_told = lines.coming("WARNING")

    async def app(watched: Watched, send: Any) -> None:
        watched.client.service.state.connections.add("broken")
        watched.client.service.state.connections.discard(watched.client.connection)
        watched.block(is_told)
        await _answer(send)

    _hold(app, board, warn_after_s=0.05, dump_after_s=None)
    assert re.search(r" in block \(task [^,]+\)$", lines.like("WARNING")[0])


def test_dump_of_a_real_loop_has_its_stack_its_tasks_and_their_requests(board: Board, lines: Lines) -> None:
    is_dumped = lines.coming("ERROR")

    async def app(watched: Watched, send: Any) -> None:
        other = asyncio.create_task(asyncio.Event().wait(), name="bystander")
        await asyncio.sleep(0)
        watched.block(is_dumped)
        other.cancel()
        await _answer(send)

    _hold(app, board, warn_after_s=None, dump_after_s=0.2)
    assert not board.is_dumped
    text = lines.like("ERROR")[0]
    assert re.search(r"^Thread \d+ \(MainThread\), most recent call last:$", text, re.MULTILINE)
    assert "assert until.wait(PATIENCE_S)" in text
    assert "(addax watchdog)" not in text
    assert re.search(r"^  task bystander of Event.wait, at asyncio/locks.py:\d+ in wait$", text, re.MULTILINE)
    assert re.search(rf"^  task [^,]+, {REQUEST}, at ", text, re.MULTILINE)


def test_thread_ends_when_it_is_stopped_and_can_be_started_again(board: Board) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        watching = Watchdog(loop, ServerState(), board, warn_after_s=60.0, dump_after_s=None)
        for _ in range(2):
            watching.start()
            (thread,) = (thread for thread in threading.enumerate() if thread.name == "addax watchdog")
            assert thread.daemon
            watching.stop()
            assert not thread.is_alive()
        watching.stop()

    asyncio.run(main())


def test_no_thread_where_there_is_nothing_to_watch(board: Board) -> None:
    before = threading.active_count()
    watching = Watchdog(FakeLoop(), ServerState(), board, warn_after_s=None, dump_after_s=None)  # type: ignore[arg-type]
    watching.start()
    assert threading.active_count() == before
    watching.stop()


def test_end_of_the_parent_is_noticed_although_the_loop_is_blocked(board: Board, lines: Lines) -> None:
    ours, parents = socket.socketpair()
    orphaned, ended = threading.Event(), threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    async def main() -> None:
        watching = Watchdog(
            asyncio.get_running_loop(),
            ServerState(),
            board,
            warn_after_s=None,
            dump_after_s=None,
            orphan_fd=ours.fileno(),
            on_orphaned=orphaned.set,
            orphan_kill_after_s=0.01,
            end_process=end,
        )
        watching.start()
        # What can be read is not for the watchdog.
        parents.send(b"hello")
        parents.close()
        assert orphaned.wait(PATIENCE_S)
        assert ended.wait(PATIENCE_S)
        watching.stop()
        assert ours.recv(100) == b"hello"
        ours.close()

    asyncio.run(main())
    assert codes == [70]
    assert len(lines.like("ERROR The parent process is gone")) == 1


# ---- how the thread sleeps


def test_sleeper_wakes_when_it_is_called_before_or_during_its_sleep() -> None:
    sleeper = Sleeper()
    sleeper.wake()
    sleeper.wake()
    assert not sleeper.sleep(NEVER)
    caller = threading.Thread(target=sleeper.wake)
    caller.start()
    assert not sleeper.sleep(NEVER)
    caller.join()
    assert not sleeper.sleep(-1.0)
    assert not sleeper.sleep(0.0)
    sleeper.close()
    sleeper.wake()


def test_sleeper_can_be_called_more_often_than_anybody_listens() -> None:
    sleeper = Sleeper()
    for _ in range(100_000):
        sleeper.wake()
    sleeper.sleep(NEVER)
    sleeper.close()


def test_sleeper_tells_a_hang_up_once() -> None:
    ours, theirs = socket.socketpair()
    sleeper = Sleeper(ours.fileno())
    theirs.send(b"x")
    assert not sleeper.sleep(0.0)
    theirs.close()
    assert sleeper.sleep(NEVER)
    assert not sleeper.sleep(0.0)
    sleeper.close()
    ours.close()


def test_sleeper_watches_its_socket_and_no_other_one_of_that_number() -> None:
    ours, theirs = socket.socketpair()
    sleeper = Sleeper(ours.fileno())
    number = ours.fileno()
    ours.close()
    other, gone = socket.socketpair()
    assert number in (other.fileno(), gone.fileno())
    other.close()
    gone.close()
    assert not sleeper.sleep(0.0)
    sleeper.close()
    # Nobody holds it open any more.
    assert theirs.recv(1) == b""
    theirs.close()


def test_sleeper_without_poll_sleeps_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("select.poll")
    sleeper = Sleeper()
    assert not sleeper.sleep(0.0)
    sleeper.wake()
    assert not sleeper.sleep(NEVER)
    sleeper.close()
