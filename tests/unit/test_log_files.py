"""Log files that were moved away are opened anew; nothing is lost, cut off or opened twice."""

from __future__ import annotations

import io
import logging
import logging.handlers
import os
import queue
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from addax.config.log_files import reopen_log_files
from addax.observe.handler import AccessHandler, ServerHandler

NAME = "tests.log_files"


@pytest.fixture(autouse=True)
def handlers() -> Iterator[list[logging.Handler]]:
    """Those of the logger of these tests, all closed at the end."""
    logger = logging.getLogger(NAME)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger.handlers
    for handler in logger.handlers[:]:
        handler.close()
    logger.handlers.clear()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


Handlers = list[logging.Handler]


def log(text: str) -> None:
    logging.getLogger(NAME).info(text)


def move(path: Path) -> Path:
    return path.rename(path.with_suffix(".1"))


def test_without_files_there_is_nothing_to_do(handlers: Handlers) -> None:
    handlers += [logging.StreamHandler(sys.stderr), logging.NullHandler(), AccessHandler(), ServerHandler()]
    assert reopen_log_files() == []


def test_moved_file_is_opened_anew_and_closed(handlers: Handlers, path: Path) -> None:
    handler = logging.FileHandler(path, encoding="utf-8")
    handlers.append(handler)
    log("one")
    old = handler.stream
    moved = move(path)
    log("two")
    assert reopen_log_files() == [str(path)]
    log("thrée")
    assert moved.read_text() == "one\ntwo\n"
    assert path.read_text(encoding="utf-8") == "thrée\n"
    assert old.closed


def test_second_time_is_like_the_first(handlers: Handlers, path: Path) -> None:
    handlers.append(logging.FileHandler(path))
    for text in ("one", "two"):
        log(text)
        path.unlink()
        assert reopen_log_files() == [str(path)]
        assert path.read_text() == ""


@pytest.mark.parametrize("mode", ["w", "x", "w+", "a"])
def test_nothing_is_truncated(handlers: Handlers, path: Path, mode: str) -> None:
    handler = logging.FileHandler(path, mode=mode)
    handlers.append(handler)
    log("one")
    assert reopen_log_files() == [str(path)]
    log("two")
    assert path.read_text() == "one\ntwo\n"
    assert handler.mode == mode


def test_file_that_was_not_opened_yet_stays_so(handlers: Handlers, path: Path) -> None:
    handlers.append(logging.FileHandler(path, delay=True))
    assert reopen_log_files() == []
    assert not path.exists()
    log("one")
    assert reopen_log_files() == [str(path)]


@pytest.mark.parametrize(
    "make",
    [
        lambda path: logging.handlers.RotatingFileHandler(path, maxBytes=1000, backupCount=2),
        lambda path: logging.handlers.TimedRotatingFileHandler(path, backupCount=2),
        logging.handlers.WatchedFileHandler,
    ],
    ids=["rotating", "timed", "watched"],
)
def test_handlers_of_the_standard_library(handlers: Handlers, path: Path, make: Any) -> None:
    handlers.append(make(path))
    log("one")
    moved = move(path)
    assert reopen_log_files() == [str(path)]
    log("two")
    assert moved.read_text() == "one\n"
    assert path.read_text() == "two\n"


def test_what_is_no_file_is_left_alone(handlers: Handlers) -> None:
    handlers.append(logging.FileHandler(os.devnull))
    assert reopen_log_files() == []


def test_handler_of_several_loggers_is_opened_once(
    handlers: Handlers, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counting(logging.FileHandler):
        opened_count = 0

        def _open(self) -> io.TextIOWrapper:
            self.opened_count += 1
            return super()._open()

    handler = Counting(path)
    handlers.append(handler)
    monkeypatch.setattr(logging.getLogger(NAME + ".inner.most"), "handlers", [handler])
    monkeypatch.setattr(logging.root, "handlers", [handler])
    assert handler.opened_count == 1
    assert reopen_log_files() == [str(path)]
    assert handler.opened_count == 2


def test_two_handlers_of_one_file_are_both_opened(handlers: Handlers, path: Path) -> None:
    handlers += [logging.FileHandler(path), logging.FileHandler(path)]
    path.unlink()
    assert reopen_log_files() == [str(path)]
    log("one")
    assert path.read_text() == "one\none\n"


def test_root_has_handlers_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.FileHandler(path)
    monkeypatch.setattr(logging.root, "handlers", [handler])
    try:
        assert reopen_log_files() == [str(path)]
    finally:
        handler.close()


def test_handlers_behind_others(handlers: Handlers, tmp_path: Path) -> None:
    files = [logging.FileHandler(tmp_path / f"{number}.log") for number in range(3)]
    queued = logging.handlers.QueueHandler(queue.SimpleQueue())
    # As dictConfig does since Python 3.12.
    queued.listener = logging.handlers.QueueListener(queue.SimpleQueue(), *files[1:])  # type: ignore[attr-defined,unused-ignore]
    nested = logging.handlers.MemoryHandler(10, target=logging.handlers.MemoryHandler(10, target=files[0]))
    handlers += [nested, queued, logging.handlers.MemoryHandler(10)]
    try:
        assert sorted(reopen_log_files()) == [str(tmp_path / f"{number}.log") for number in range(3)]
    finally:
        for handler in files:
            handler.close()


def test_handlers_that_refer_to_each_other_end(handlers: Handlers) -> None:
    one, two = logging.handlers.MemoryHandler(10), logging.handlers.MemoryHandler(10)
    one.target, two.target = two, one
    handlers.append(one)
    assert reopen_log_files() == []
    one.target = two.target = None


# --- what fails -------------------------------------------------------------------------------------------------------


def test_file_that_cannot_be_opened_is_kept_and_logged(
    handlers: Handlers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    lost, fine = logging.FileHandler(directory / "lost.log", mode="w"), logging.FileHandler(tmp_path / "fine.log")
    handlers += [lost, fine]
    log("one")
    moved = directory.rename(tmp_path / "moved")
    assert reopen_log_files() == [str(tmp_path / "fine.log")]
    log("two")
    assert (moved / "lost.log").read_text() == "one\ntwo\n"
    assert lost.mode == "w"
    [record] = [found for found in caplog.records if found.name != NAME]
    assert (record.name, record.levelno) == ("addax.error", logging.ERROR)
    assert record.getMessage() == (
        f"Log file {directory}/lost.log could not be opened anew, the old one stays in use: No such file or directory"
    )


def test_handler_that_raises_something_else_holds_nobody_up(
    handlers: Handlers, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(logging.FileHandler):
        is_odd = False

        def _open(self) -> io.TextIOWrapper:
            if self.is_odd:
                raise RuntimeError("odd")
            return super()._open()

    odd = Odd(path.with_name("odd.log"))
    odd.is_odd = True
    handlers += [odd, logging.FileHandler(path)]
    assert reopen_log_files() == [str(path)]
    assert caplog.messages[0].endswith("stays in use: odd")


def test_full_disk_is_a_reason_to_go_on(handlers: Handlers, path: Path) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            if not self.closed:
                raise OSError(28, "No space left on device")

        def close(self) -> None:
            if not self.closed:
                super().close()
                raise OSError(28, "No space left on device")

    handler = logging.FileHandler(path)
    handler.stream.close()
    handler.stream = Full()  # type: ignore[assignment]
    handlers.append(handler)
    assert reopen_log_files() == [str(path)]
    log("one")
    assert path.read_text() == "one\n"


# --- addax's own handlers ---------------------------------------------------------------------------------------------


class AccessFile(AccessHandler, logging.FileHandler):
    """What a user may write to have access lines in a file, and written together."""


def test_waiting_lines_go_to_the_old_file(handlers: Handlers, path: Path) -> None:
    handler = AccessFile(str(path))
    handlers.append(handler)
    handler.batch.add("one\n")
    moved = move(path)
    assert reopen_log_files() == [str(path)]
    handler.batch.add("two\n")
    handler.flush()
    assert moved.read_text() == "one\n"
    assert path.read_text() == "two\n"


def test_stream_of_our_handlers_is_kept_and_sent_to_the_new_file(handlers: Handlers, path: Path) -> None:
    with open(path, "w", encoding="utf-8") as stream:
        access, server = AccessHandler(stream), ServerHandler(stream)
        handlers += [server, access]
        access.batch.add("one\n")
        moved = move(path)
        assert reopen_log_files() == [str(path)]
        access.batch.add("two\n")
        log("three")
        print("four", file=stream, flush=True)
        assert access.stream is server.stream is stream
        assert reopen_log_files() == [str(path)]
        log("five")
        assert not os.get_inheritable(stream.fileno())
    assert moved.read_text() == "one\n"
    assert path.read_text() == "two\nthree\nthree\nfour\nfive\nfive\n"


def test_new_file_that_cannot_be_had_leaves_the_stream_as_it_is(
    handlers: Handlers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    with open(directory / "access.log", "a") as stream:
        handlers.append(AccessHandler(stream))
        moved = directory.rename(tmp_path / "moved")
        assert reopen_log_files() == []
        log("one")
    assert (moved / "access.log").read_text() == "one\n"
    assert "No such file or directory" in caplog.text


def test_streams_without_a_file_of_a_name_are_left_alone(handlers: Handlers, path: Path) -> None:
    read, write = os.pipe()
    nameless = os.open(path, os.O_WRONLY | os.O_CREAT)
    with open(path) as closed:
        pass
    with open(write, "w") as pipe, open(nameless, "w") as number, open(os.devnull, "w") as null:
        streams: list[Any] = [pipe, number, null, io.StringIO(), io.TextIOWrapper(io.BytesIO()), closed]
        handlers += [AccessHandler(stream) for stream in streams]
        assert reopen_log_files() == []
        handlers.clear()
    os.close(read)
