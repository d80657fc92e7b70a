"""The timer that writes time and counters on the worker's board."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from addax.asgi.state import ServerState
from addax.core import clock
from addax.core.board import Board, Counters, create_board
from addax.server.heartbeat import Heartbeat


class FakeTimer:
    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """Keeps the one timer, and its clock, which moves when told to."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.due_at = 0.0
        self.callback: Callable[[], None] | None = None
        self.context: contextvars.Context | None = None
        self.timer = FakeTimer()

    def now(self) -> float:
        return self.time

    def call_later(self, delay_s: float, callback: Callable[[], None], *, context: contextvars.Context) -> FakeTimer:
        assert self.callback is None, "one timer at a time"
        self.due_at, self.callback, self.context = self.time + delay_s, callback, context
        self.timer = FakeTimer()
        return self.timer

    def run_timer(self, late_s: float = 0.0) -> None:
        callback, self.callback = self.callback, None
        assert callback is not None
        assert self.context is not None
        self.time = self.due_at + late_s
        self.context.run(callback)


@pytest.fixture
def board() -> Iterator[Board]:
    fd = create_board()
    made = Board(fd)
    os.close(fd)
    yield made
    made.close()


def make(loop: Any, board: Board, state: ServerState, resident: Callable[[], int] = lambda: 1) -> Heartbeat:
    return Heartbeat(loop, board, state, 0.25, now=loop.now, resident=resident)


def test_first_beat_is_that_of_the_start(board: Board) -> None:
    loop = FakeLoop()
    make(loop, board, ServerState()).start()
    assert board.heartbeat_at == 1000.0
    assert board.counters() == Counters(rss_bytes=1, pid=os.getpid())
    assert loop.due_at == 1000.25


def test_every_beat_tells_the_time_and_how_late_it_is(board: Board) -> None:
    loop = FakeLoop()
    make(loop, board, ServerState()).start()
    loop.run_timer()
    assert (board.heartbeat_at, board.counters().loop_lag_s) == (1000.25, 0.0)
    loop.run_timer(late_s=2.0)
    assert (board.heartbeat_at, board.counters().loop_lag_s) == (1002.5, 2.0)
    loop.run_timer()
    assert (board.heartbeat_at, board.counters().loop_lag_s) == (1002.75, 0.0)


def test_every_beat_tells_the_counters(board: Board) -> None:
    loop, state = FakeLoop(), ServerState()
    make(loop, board, state, lambda: 12345).start()
    state.total_requests, state.active_requests, state.websockets.open = 7, 2, 1
    state.connections |= {"a", "b", "c"}
    loop.run_timer()
    assert board.counters() == Counters(7, 2, 3, 1, 12345, 0.0, os.getpid())


def test_memory_is_looked_at_once_a_second(board: Board) -> None:
    loop = FakeLoop()
    sizes = iter(range(100))
    make(loop, board, ServerState(), lambda: next(sizes)).start()
    seen = []
    for _ in range(9):
        seen.append(board.counters().rss_bytes)
        loop.run_timer()
    assert seen == [0, 0, 0, 0, 1, 1, 1, 1, 2]


def test_real_memory_is_told(board: Board) -> None:
    loop = FakeLoop()
    Heartbeat(loop, board, ServerState(), 0.25).start()  # type: ignore[arg-type]
    assert board.counters().rss_bytes > 2**20


def test_stopped_heart_beats_no_more(board: Board) -> None:
    loop = FakeLoop()
    heartbeat = make(loop, board, ServerState())
    heartbeat.stop()
    heartbeat.start()
    heartbeat.stop()
    heartbeat.stop()
    assert loop.timer.is_cancelled


def test_timer_keeps_nobodys_context(board: Board) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("of who starts it")
    loop = FakeLoop()
    make(loop, board, ServerState()).start()
    for _ in range(2):
        assert loop.context is not None
        assert variable not in loop.context
        loop.run_timer()


def test_it_beats_in_a_real_loop(board: Board) -> None:
    async def main() -> None:
        beats: list[float] = []
        enough = asyncio.Event()

        def now() -> float:
            beats.append(clock.now())
            if len(beats) == 4:
                enough.set()
            return beats[-1]

        heartbeat = Heartbeat(asyncio.get_running_loop(), board, ServerState(), 0.001, now=now)
        heartbeat.start()
        await enough.wait()
        assert board.heartbeat_at == beats[-1] > beats[0]
        heartbeat.stop()

    asyncio.run(main())
