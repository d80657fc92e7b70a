"""Lines that wait are written in order, once, and none is lost: whatever the stream, other threads and signals do."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from addax.observe.batch import BATCH_MAX_CHARS, PIECE_MAX_BYTES
from addax.observe.handler import AccessHandler, ServerHandler, flush_access_lines

posix_only = pytest.mark.skipif(os.name != "posix", reason="descriptors are written to on POSIX")


def make_handler(stream: Any) -> AccessHandler:
    handler = AccessHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def make_record(text: str) -> logging.LogRecord:
    return logging.LogRecord("test", logging.INFO, __file__, 0, text, None, None)


@contextlib.contextmanager
def pipe(*, blocking: bool = True) -> Iterator[tuple[IO[bytes], AccessHandler]]:
    """The reading end of a pipe, and a handler that writes to the other one."""
    reader, writer = os.pipe()
    os.set_blocking(writer, blocking)
    with os.fdopen(reader, "rb") as source, io.TextIOWrapper(os.fdopen(writer, "wb")) as stream:
        yield source, make_handler(stream)


class Reader(threading.Thread):
    """Reads a pipe in small pieces until it has seen so many lines."""

    def __init__(self, source: IO[bytes], count: int) -> None:
        super().__init__(daemon=True)
        self.source = source
        self.count = count
        self.data = b""

    def run(self) -> None:
        while self.data.count(b"\n") < self.count:
            self.data += os.read(self.source.fileno(), 511)


# --- In order and together --------------------------------------------------------------------------------------------


def test_lines_wait_until_they_are_flushed() -> None:
    stream = io.StringIO()
    handler = make_handler(stream)
    handler.batch.add("a\n")
    handler.batch.add("b\n")
    assert stream.getvalue() == ""
    handler.flush()
    assert stream.getvalue() == "a\nb\n"


def test_lines_that_are_long_enough_are_written_at_once() -> None:
    stream = io.StringIO()
    handler = make_handler(stream)
    line = "x" * 99 + "\n"
    for _ in range(BATCH_MAX_CHARS // 100):
        handler.batch.add(line)
    assert stream.getvalue() == ""
    handler.batch.add(line)
    assert stream.getvalue() == line * (BATCH_MAX_CHARS // 100 + 1)


def test_a_record_from_elsewhere_comes_after_the_lines_that_wait() -> None:
    stream = io.StringIO()
    handler = make_handler(stream)
    handler.batch.add("first\n")
    handler.handle(make_record("second"))
    assert stream.getvalue() == "first\nsecond\n"


def test_lines_go_to_the_stream_that_was_there_before() -> None:
    old, new = io.StringIO(), io.StringIO()
    handler = make_handler(old)
    handler.batch.add("a\n")
    handler.setStream(new)
    handler.batch.add("b\n")
    handler.close()
    assert (old.getvalue(), new.getvalue()) == ("a\n", "b\n")


def test_access_lines_are_above_a_line_of_the_server() -> None:
    stream = io.StringIO()
    access, server = make_handler(stream), ServerHandler(stream)
    access.batch.add("GET /\n")
    server.handle(make_record("Shutting down"))
    assert stream.getvalue() == "GET /\nShutting down\n"


def test_all_access_lines_of_the_process_can_be_written() -> None:
    handlers = [make_handler(io.StringIO()) for _ in range(2)]
    for handler in handlers:
        handler.batch.add("a\n")
    flush_access_lines()
    assert [handler.stream.getvalue() for handler in handlers] == ["a\n", "a\n"]


def test_lines_of_several_threads_are_all_written_and_none_is_torn() -> None:
    thread_count, line_count = 4, 3000
    with tempfile.TemporaryFile("w+") as stream:
        handler = make_handler(stream)

        def work(name: int) -> None:
            for number in range(line_count):
                handler.batch.add(f"{name} {number}\n")
                if number % 100 == 0:
                    handler.handle(make_record(f"{name} record"))

        threads = [threading.Thread(target=work, args=(name,)) for name in range(thread_count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        handler.flush()
        stream.seek(0)
        lines = stream.read().splitlines()
    for name in range(thread_count):
        own = [line.split()[1] for line in lines if line.startswith(f"{name} ")]
        assert [text for text in own if text != "record"] == [str(number) for number in range(line_count)]
        assert own.count("record") == line_count // 100
    assert len(lines) == thread_count * (line_count + line_count // 100)


class Relogging(io.StringIO):
    """Logs through the handler that is writing to it, as a signal handler may."""

    handler: AccessHandler | None = None

    def write(self, text: str) -> int:
        count = super().write(text)
        handler, self.handler = self.handler, None
        if handler is not None:
            handler.handle(make_record("from inside"))
        return count


def test_a_record_logged_while_lines_are_written_comes_after_them() -> None:
    stream = Relogging()
    stream.handler = handler = make_handler(stream)
    handler.batch.add("a\n")
    handler.batch.add("b\n")
    handler.flush()
    assert stream.getvalue() == "a\nb\nfrom inside\n"


# --- Pipes and files --------------------------------------------------------------------------------------------------


@posix_only
@pytest.mark.parametrize("blocking", [True, False])
def test_a_full_pipe_is_waited_for(blocking: bool) -> None:
    lines = [f"{number} {'x' * (number % 300)}\n" for number in range(3000)]
    with pipe(blocking=blocking) as (source, handler):
        reader = Reader(source, len(lines))
        # Fill it before anybody reads, so that the writer has to wait.
        handler.batch.add(lines[0])
        handler.flush()
        reader.start()
        for line in lines[1:]:
            handler.batch.add(line)
        handler.flush()
        reader.join(15)
    assert reader.data.decode() == "".join(lines)


@posix_only
def test_a_pipe_gets_pieces_that_do_not_mix_with_those_of_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[bytes] = []
    write = os.write

    def note(descriptor: int, data: bytes) -> int:
        pieces.append(bytes(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", note)
    with pipe() as (source, handler):
        reader = Reader(source, 202)
        reader.start()
        for number in range(201):
            handler.batch.add(f"{number:99d}\n")
        # A line that is too long for that goes in pieces of its own.
        handler.batch.add("y" * (PIECE_MAX_BYTES + 50) + "\n")
        handler.flush()
        reader.join(15)
    assert b"".join(pieces) == reader.data
    assert max(map(len, pieces)) <= PIECE_MAX_BYTES
    short = [piece for piece in pieces if b"y" not in piece]
    assert len(short) < 201 * 100 / PIECE_MAX_BYTES + 2
    assert all(piece.endswith(b"\n") for piece in short)


@posix_only
def test_what_was_printed_before_stays_before() -> None:
    with tempfile.TemporaryFile("w+") as stream:
        handler = make_handler(stream)
        stream.write("printed ")
        handler.batch.add("line\n")
        handler.flush()
        stream.seek(0)
        assert stream.read() == "printed line\n"


@posix_only
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "utf-16"])
def test_a_character_that_the_stream_does_not_know_loses_no_line(encoding: str) -> None:
    with tempfile.TemporaryFile("w+", encoding=encoding) as stream:
        handler = make_handler(stream)
        for line in ("a\n", "€\n", "b\n"):
            handler.batch.add(line)
        handler.flush()
        handler.batch.add("c\n")
        handler.flush()
        stream.seek(0)
        assert stream.read().replace("\\u20ac", "€") == "a\n€\nb\nc\n"


@posix_only
def test_a_reader_that_has_gone_is_reported_once_and_costs_nobody_else(capsys: pytest.CaptureFixture[str]) -> None:
    with pipe() as (source, handler):
        source.close()
        for _ in range(3):
            handler.batch.add("a\n")
            handler.batch.add("b\n")
            handler.flush()
    error = capsys.readouterr().err
    assert error.count("--- Logging error ---") == 1
    assert "BrokenPipeError" in error
    assert "lines could not be written" in error


def test_a_stream_that_fails_for_a_while_is_reported_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    class Full(io.StringIO):
        is_full = False

        def write(self, text: str) -> int:
            if self.is_full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    stream = Full()
    handler = make_handler(stream)
    for number, is_full in enumerate((False, True, True, False, True)):
        stream.is_full = is_full
        handler.batch.add(f"{number}\n")
        handler.flush()
    assert stream.getvalue() == "0\n3\n"
    assert capsys.readouterr().err.count("--- Logging error ---") == 2


def test_a_closed_stream_raises_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    handler = make_handler(stream)
    stream.close()
    handler.batch.add("a\n")
    handler.flush()
    assert "I/O operation on closed file" in capsys.readouterr().err


@posix_only
def test_what_an_exception_of_a_signal_handler_has_interrupted_is_written_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = 0
    write = os.write

    def interrupt_second(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return write(descriptor, data[:3])

    with tempfile.TemporaryFile("w+") as stream:
        handler = make_handler(stream)
        monkeypatch.setattr(os, "write", interrupt_second)
        handler.batch.add("first\n")
        with pytest.raises(KeyboardInterrupt):
            handler.flush()
        handler.batch.add("second\n")
        handler.flush()
        stream.seek(0)
        assert stream.read() == "first\nsecond\n"


# --- Processes --------------------------------------------------------------------------------------------------------

FORKING = """
import logging, os, sys
from addax.observe.handler import AccessHandler

handler = AccessHandler(sys.stdout)
handler.batch.add("parent before\\n")
child = os.fork()
if child == 0:
    handler.batch.add("child\\n")
    sys.exit()
os.waitpid(child, 0)
handler.batch.add("parent after\\n")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_waits_at_a_fork_is_written_once_and_the_rest_when_the_processes_end(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as file:
        subprocess.run([sys.executable, "-c", FORKING], stdout=file, check=True, timeout=30)
        file.seek(0)
        assert file.read() == "child\nparent before\nparent after\n"
