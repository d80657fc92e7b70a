"""The page of memory that a worker shares: what is written on it, and what is read whatever stands there."""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from addax.core import slots
from addax.core.board import BOARD_BYTES, DUMPED, Board, Counters, ServedRequest, create_board
from addax.core.clock import now
from addax.core.slots import METHOD_BYTES, SLOT_BYTES, SLOT_COUNT, TARGET_BYTES


class Page:
    """A board, and the memory behind it."""

    def __init__(self) -> None:
        fd = create_board()
        self.board = Board(fd)
        self.memory = mmap.mmap(fd, BOARD_BYTES)
        self.fd = fd

    def read_elsewhere(self) -> Board:
        """Another mapping, as a supervisor has it."""
        return Board(self.fd)

    def put_raw(self, slot: int, method: bytes, target: bytes, started_at: float) -> None:
        """Write whatever it is into a slot."""
        at = (1 + slot) * SLOT_BYTES
        self.memory[at : at + SLOT_BYTES] = struct.pack(f"={METHOD_BYTES}s{TARGET_BYTES}sd", method, target, started_at)

    def close(self) -> None:
        self.board.close()
        self.memory.close()
        os.close(self.fd)


@pytest.fixture
def page() -> Iterator[Page]:
    made = Page()
    yield made
    made.close()


def told(board: Board, at: float = 100.0) -> list[tuple[str, str, float]]:
    return [tuple(request) for request in board.requests(at)]


# ---- what is written is read


def test_on_a_new_board_nothing_is_written(page: Page) -> None:
    assert page.board.heartbeat_at == 0.0
    assert page.board.counters() == Counters()
    assert page.board.requests(100.0) == []
    assert (page.board.flags, page.board.is_dumped) == (0, False)


def test_request_is_told_while_it_is_served_the_oldest_first(page: Page) -> None:
    first = page.board.begin("GET", b"/a?b=1", 90.0)
    second = page.board.begin("DELETE", b"/%20", 80.0)
    reader = page.read_elsewhere()
    assert told(reader) == [("DELETE", "/%20", 20.0), ("GET", "/a?b=1", 10.0)]
    page.board.end(second)
    assert told(reader) == [("GET", "/a?b=1", 10.0)]
    assert (page.board.started_at(first), page.board.started_at(second)) == (90.0, None)
    page.board.end(first)
    assert told(reader) == []
    reader.close()


def test_request_in_words() -> None:
    assert str(ServedRequest("GET", "/a", 1.25)) == "GET /a (for 1.2 s)"


def test_request_without_a_time_begins_now(page: Page) -> None:
    before = now()
    started_at = page.board.started_at(page.board.begin("GET", b"/", 0.0))
    assert started_at is not None
    assert before <= started_at <= now()


def test_age_is_never_negative(page: Page) -> None:
    page.board.begin("GET", b"/", 100.5)
    assert told(page.board) == [("GET", "/", 0.0)]


def test_beat_and_counters(page: Page) -> None:
    counters = Counters(10**12, 2, 3, 4, 5 * 2**30, 0.25, 4711)
    page.board.beat(12.5)
    page.board.count(counters)
    reader = page.read_elsewhere()
    assert reader.heartbeat_at == 12.5
    assert reader.counters() == counters
    reader.close()


def test_flags_are_set_and_cleared_one_by_one(page: Page) -> None:
    page.board.set_flag(DUMPED)
    page.board.set_flag(4)
    assert (page.board.flags, page.board.is_dumped) == (DUMPED | 4, True)
    page.board.set_flag(DUMPED, False)
    assert (page.board.flags, page.board.is_dumped) == (4, False)


# ---- slots


def test_every_slot_is_used_once_and_then_there_is_none(page: Page) -> None:
    taken = [page.board.begin("GET", b"/%d" % number, 1.0 + number) for number in range(SLOT_COUNT)]
    assert sorted(taken) == list(range(SLOT_COUNT))
    assert page.board.begin("GET", b"/more", 1.0) == -1
    page.board.end(-1)
    assert [target for _, target, _ in told(page.board, 1000.0)] == [f"/{number}" for number in range(SLOT_COUNT)]
    for slot in taken:
        page.board.end(slot)
    assert told(page.board) == []
    assert sorted(page.board.begin("GET", b"/", 1.0) for _ in range(SLOT_COUNT)) == list(range(SLOT_COUNT))


def test_slot_that_is_freed_twice_is_free_once(page: Page) -> None:
    slot = page.board.begin("GET", b"/", 1.0)
    page.board.end(slot)
    page.board.end(slot)
    for wrong in (-1, -2, SLOT_COUNT, SLOT_COUNT + 1000):
        page.board.end(wrong)
        assert page.board.started_at(wrong) is None
    taken = [page.board.begin("GET", b"/", 1.0) for _ in range(SLOT_COUNT + 1)]
    assert sorted(taken) == list(range(-1, SLOT_COUNT))


def test_websockets_leave_half_of_the_slots_to_requests(page: Page) -> None:
    sockets = [page.board.begin_websocket(b"/ws", 1.0) for _ in range(SLOT_COUNT)]
    kept = [slot for slot in sockets if slot >= 0]
    assert len(kept) == SLOT_COUNT // 2 + 1
    assert set(told(page.board)) == {("WebSocket", "/ws", 99.0)}
    requests = [page.board.begin("GET", b"/", 1.0) for _ in range(SLOT_COUNT)]
    assert len([slot for slot in requests if slot >= 0]) == SLOT_COUNT - len(kept)
    page.board.end(kept[0])
    assert page.board.begin_websocket(b"/ws", 1.0) == -1


# ---- text


@pytest.mark.parametrize(
    ("method", "target", "shown"),
    [
        ("GET", b"/" + b"a" * (TARGET_BYTES - 1), ("GET", "/" + "a" * (TARGET_BYTES - 1))),
        ("GET", b"/" + b"a" * TARGET_BYTES, ("GET", "/" + "a" * (TARGET_BYTES - 4) + "...")),
        ("GET", b"/" + b"a" * 100_000, ("GET", "/" + "a" * (TARGET_BYTES - 4) + "...")),
        ("M" * METHOD_BYTES, b"/", ("M" * METHOD_BYTES, "/")),
        ("M" * 100, b"/", ("M" * METHOD_BYTES, "/")),
        ("GÄT", b"/", (r"G\xc3\x84T", "/")),
        # As a connection notes "*".
        ("OPTIONS", b"", ("OPTIONS", "*")),
        ("GET", b"/\n\x1b[31m\xff\\", ("GET", r"/\n\x1b[31m\xff\\")),
        ("GET", b"/a\0b", ("GET", "/a")),
    ],
    ids=["fits", "too-long", "much-too-long", "method-fits", "method-too-long", "not-ascii", "star", "escaped", "zero"],
)
def test_text_is_cut_and_printable(page: Page, method: str, target: bytes, shown: tuple[str, str]) -> None:
    # What a longer one has left in the slot is not seen.
    page.board.end(page.board.begin("X" * METHOD_BYTES, b"x" * TARGET_BYTES, 1.0))
    page.board.begin(method, target, 1.0)
    assert told(page.board) == [(*shown, 99.0)]


@pytest.mark.parametrize("put", [slots._put, slots.put], ids=["plain", "as-it-runs"])
def test_both_variants_write_the_same(put: Any) -> None:
    for method, target in [("GET", b"/"), ("M" * 20, b"/" * 300), ("É", b"")]:
        memory = bytearray(3 * SLOT_BYTES)
        put(memoryview(memory), SLOT_BYTES, method, target, 7.5)
        expected_target = b"/" * (TARGET_BYTES - 3) + b"..." if len(target) > TARGET_BYTES else target
        expected = struct.pack(f"={METHOD_BYTES}s{TARGET_BYTES}sd", method.encode(), expected_target, 7.5)
        assert memory == bytes(SLOT_BYTES) + expected + bytes(SLOT_BYTES)


@pytest.mark.parametrize(
    ("put", "free"), [(slots._put, slots._free), (slots.put, slots.free)], ids=["plain", "as-it-runs"]
)
def test_no_variant_writes_behind_the_memory(put: Any, free: Any) -> None:
    memory = memoryview(bytearray(2 * SLOT_BYTES))
    numbers = memory.cast("d")
    for at in (SLOT_BYTES + 8, 2 * SLOT_BYTES, 2**40):
        with pytest.raises((IndexError, struct.error)):
            put(memory, at, "GET", b"/", 1.0)
    for at in (len(numbers), 2**40):
        with pytest.raises(IndexError):
            free(numbers, at)
    with pytest.raises(TypeError):
        put(memoryview(bytes(SLOT_BYTES)), 0, "GET", b"/", 1.0)
    assert not any(memory)
    put(memory, SLOT_BYTES, "GET", b"/", 1.0)
    assert (free(numbers, len(numbers) - 1), free(numbers, len(numbers) - 1)) == (True, False)
    assert numbers[-1] == 0.0


# ---- whatever stands there


def test_any_bytes_are_read_without_harm(page: Page) -> None:
    chance = random.Random(4)
    fills = [b"\xff" * BOARD_BYTES, b"\x7f" * BOARD_BYTES, b"A" * BOARD_BYTES, b"\0\xf8\x7f" * (BOARD_BYTES // 3)]
    fills += [chance.randbytes(BOARD_BYTES) for _ in range(50)]
    for fill in fills:
        page.memory[: len(fill)] = fill
        assert 0.0 <= page.board.heartbeat_at < 2.0**53
        assert all(0 <= number < 2**53 for number in page.board.counters())
        assert page.board.flags >= 0
        requests = page.board.requests(1e9)
        assert len(requests) <= SLOT_COUNT
        for request in requests:
            assert len(request.method) <= 4 * METHOD_BYTES
            assert len(request.target) <= 4 * TARGET_BYTES
            assert str(request).isascii()
            assert str(request).isprintable()
            assert request.age_s >= 0.0


@pytest.mark.parametrize("started_at", [float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 1e300])
def test_slot_without_a_real_time_is_free(page: Page, started_at: float) -> None:
    page.put_raw(3, b"GET", b"/half", started_at)
    assert told(page.board) == []


_WRITER = """
import sys
from addax.core.board import Board
board = Board(int(sys.argv[1]))
print("ready", flush=True)
texts = [("GET", b"/" + b"a" * 160), ("POST", b"/" + b"b" * 120), ("DELETE", b"/" + b"c" * 167)]
while True:
    for method, target in texts:
        board.end(board.begin(method, target, 0.0))
"""


def _run(code: str, fd: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(fd)]
    process = subprocess.Popen(command, pass_fds=[fd], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_request_is_whole_although_another_process_writes_meanwhile(page: Page) -> None:
    whole = {("GET", "/" + "a" * 160), ("POST", "/" + "b" * 120), ("DELETE", "/" + "c" * 167)}
    process = _run(_WRITER, page.fd)
    try:
        seen: list[ServedRequest] = []
        while len(seen) < 300:
            assert process.poll() is None
            seen += page.board.requests(0.0)
    finally:
        _kill(process)
    assert {(request.method, request.target) for request in seen} <= whole


_VICTIM = """
import os, signal, sys, time
from addax.core.board import Board, Counters
board = Board(int(sys.argv[1]))
os.close(int(sys.argv[1]))
done = board.begin("GET", b"/done", time.monotonic())
board.begin("GET", b"/poison?x=1", time.monotonic())
board.begin_websocket(b"/ws", time.monotonic())
board.end(done)
board.beat(time.monotonic())
board.count(Counters(total_requests=5, active_requests=2, pid=os.getpid()))
print("ready", flush=True)
signal.pause()
"""


def test_supervisor_reads_what_a_killed_process_has_left(page: Page) -> None:
    before = now()
    process = _run(_VICTIM, page.fd)
    _kill(process)
    after = now()
    # The clock is the same for both processes.
    assert before < page.board.heartbeat_at < after
    assert page.board.counters() == Counters(total_requests=5, active_requests=2, pid=process.pid)
    first, second = page.board.requests(after)
    assert (first.method, first.target, second.method, second.target) == ("GET", "/poison?x=1", "WebSocket", "/ws")
    assert 0.0 < second.age_s < first.age_s < after - before


# ---- memory


def test_memory_belongs_to_who_has_it_and_not_to_the_descriptor() -> None:
    fd = create_board()
    assert not os.get_inheritable(fd)
    board, reader = Board(fd), Board(fd)
    os.close(fd)
    board.beat(3.0)
    assert reader.heartbeat_at == 3.0
    board.close()
    reader.close()


def test_too_small_a_file_is_no_board() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"\0" * (BOARD_BYTES - 1))
        file.flush()
        with pytest.raises(ValueError, match="mmap length"):
            Board(file.fileno())


def test_board_that_was_closed_takes_everything_and_tells_nothing(page: Page) -> None:
    board = page.read_elsewhere()
    slot = board.begin("GET", b"/", 1.0)
    board.beat(1.0)
    board.close()
    board.end(slot)
    assert board.requests(100.0) == []
    assert board.heartbeat_at == 0.0
    board.beat(2.0)
    board.count(Counters(1))
    board.set_flag(DUMPED)
    board.end(board.begin("GET", b"/", 1.0))
    board.close()
    # It has not reached the others.
    assert page.board.heartbeat_at == 1.0
