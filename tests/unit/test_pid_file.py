"""The pid file: who may replace it, who may remove it, and what is not followed."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from addax.core.errors import StartupError
from addax.supervise.pid_file import PidFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "addax.pid"


@pytest.fixture
def living() -> Iterator[int]:
    """The id of another process, which lives until the test is over."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


@pytest.fixture
def gone() -> int:
    """An id that no process has: that of one which has been waited for."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def reason_of(pid_file: PidFile, takeover_from: int | None = None) -> str:
    with pytest.raises(StartupError) as caught:
        pid_file.write(takeover_from)
    return str(caught.value)


def test_write_makes_a_file_that_everybody_can_read(path: Path) -> None:
    former = os.umask(0o077)
    try:
        PidFile(path).write()
    finally:
        os.umask(former)
    assert path.read_bytes() == b"%d\n" % os.getpid()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(path.parent) == ["addax.pid"]


def test_write_again_replaces_the_file_as_a_whole(path: Path) -> None:
    pid_file = PidFile(path)
    pid_file.write()
    with path.open("rb") as former:
        pid_file.write()
        assert former.read() == path.read_bytes()
        assert os.fstat(former.fileno()).st_ino != path.stat().st_ino


def test_path_is_seen_from_the_directory_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pid_file = PidFile("addax.pid")
    monkeypatch.chdir("/")
    pid_file.write()
    assert os.listdir(tmp_path) == ["addax.pid"]


def test_living_process_in_the_file_is_an_error(path: Path, living: int) -> None:
    path.write_text(f"{living}\n")
    assert reason_of(PidFile(path)) == f"the pid file {path} names process {living}, which is running"
    assert path.read_text() == f"{living}\n"


def test_process_of_somebody_else_lives_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        assert (pid, number) == (4711, 0)
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    path.write_text("4711\n")
    assert "4711" in reason_of(PidFile(path))


def test_predecessor_is_replaced(path: Path, living: int) -> None:
    path.write_text(f"{living}\n")
    assert str(living) in reason_of(PidFile(path), takeover_from=os.getppid())
    PidFile(path).write(takeover_from=living)
    assert path.read_text() == f"{os.getpid()}\n"


def test_dead_process_is_replaced(path: Path, gone: int) -> None:
    path.write_text(f"{gone}\n")
    PidFile(path).write()
    assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"x", b"0\n", b"-1\n", b"1 1", b"+1", b"\xff", b"9" * 18, b"9" * 60, b" " * 100 + b"1", b"\0" * 9],
)
def test_garbage_is_replaced(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    PidFile(path).write()
    assert path.read_text() == f"{os.getpid()}\n"


def test_link_is_replaced_and_not_followed(path: Path, living: int) -> None:
    target = path.with_name("target")
    target.write_text(f"{living}\n")
    path.symlink_to(target)
    pid_file = PidFile(path)
    pid_file.write()
    assert not path.is_symlink()
    assert path.read_text() == f"{os.getpid()}\n"
    assert target.read_text() == f"{living}\n"


def test_link_in_place_of_the_file_is_not_removed(path: Path) -> None:
    target = path.with_name("target")
    PidFile(target).write()
    path.symlink_to(target)
    PidFile(path).remove()
    assert path.is_symlink()


@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_what_is_no_file_is_left_alone(path: Path, kind: str) -> None:
    path.mkdir() if kind == "directory" else os.mkfifo(path)
    assert reason_of(PidFile(path)) == f"the pid file {path} is something else than a file"
    assert not path.is_file()
    PidFile(path).remove()
    assert path.exists()


def test_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "none" / "addax.pid"
    assert reason_of(PidFile(path)) == f"the pid file {path} cannot be written: No such file or directory"


def test_failure_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    assert "No space left on device" in reason_of(PidFile(path))
    assert os.listdir(path.parent) == []


def test_remove_is_harmless_twice(path: Path) -> None:
    pid_file = PidFile(path)
    pid_file.remove()
    pid_file.write()
    pid_file.remove()
    assert not path.exists()
    pid_file.remove()


def test_remove_leaves_the_file_of_a_successor(path: Path, living: int) -> None:
    pid_file = PidFile(path)
    pid_file.write()
    path.write_text(f"{living}\n")
    pid_file.remove()
    assert path.read_text() == f"{living}\n"


def test_remove_by_a_child_leaves_the_file(path: Path) -> None:
    PidFile(path).write()
    code = "import sys; from addax.supervise.pid_file import PidFile; PidFile(sys.argv[1]).remove()"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert path.exists()


def test_remove_that_is_not_allowed_is_logged(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: str) -> None:
        raise PermissionError(13, "Permission denied")

    pid_file = PidFile(path)
    pid_file.write()
    monkeypatch.setattr(os, "unlink", refuse)
    with caplog.at_level(logging.WARNING):
        pid_file.remove()
    assert caplog.messages == [f"The pid file {path} could not be removed: Permission denied"]


def test_on_windows_nobody_is_asked(path: Path, living: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pid_file = PidFile(path)
    path.write_text(f"{living}\n")
    with monkeypatch.context() as patch:
        patch.setattr("addax.supervise.pid_file._is_windows", True)
        pid_file.write()
    assert path.read_text() == f"{os.getpid()}\n"
