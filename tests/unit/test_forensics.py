"""How the end of a process is put into words, and how kills for want of memory are noticed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from addax.supervise.forensics import OomWatch, describe_exit, explain

KILLED = "was killed by SIGKILL (signal 9)"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, "exited with code 0"),
        (1, "exited with code 1"),
        (3, "exited with code 3"),
        (-signal.SIGKILL, KILLED),
        (-signal.SIGTERM, "was killed by SIGTERM (signal 15)"),
        (-signal.SIGSEGV, "crashed with SIGSEGV (signal 11)"),
        (-signal.SIGABRT, "crashed with SIGABRT (signal 6)"),
        (-signal.SIGBUS, f"crashed with SIGBUS (signal {int(signal.SIGBUS)})"),
        (-signal.SIGILL, "crashed with SIGILL (signal 4)"),
        (-signal.SIGFPE, "crashed with SIGFPE (signal 8)"),
        (-37, "was killed by signal 37"),
    ],
)
def test_describe_exit(code: int, expected: str) -> None:
    assert describe_exit(code) == expected


def test_describe_exit_of_a_real_crash() -> None:
    process = subprocess.run([sys.executable, "-c", "import os; os.abort()"], stderr=subprocess.DEVNULL, check=False)
    assert describe_exit(process.returncode) == "crashed with SIGABRT (signal 6)"


@pytest.mark.parametrize(
    ("code", "oom", "asked", "expected"),
    [
        (-9, True, False, f"{KILLED}, out of memory in its cgroup"),
        (
            -9,
            False,
            False,
            f"{KILLED}, which nobody here asked for; if the machine ran out of memory the kernel log says so",
        ),
        (-9, False, True, KILLED),
        (-9, True, True, KILLED),
        (-6, False, True, "was killed by SIGABRT (signal 6)"),
        (-6, False, False, "crashed with SIGABRT (signal 6)"),
        (-15, False, False, "was killed by SIGTERM (signal 15)"),
        (1, True, False, "exited with code 1"),
        (1, False, True, "exited with code 1"),
    ],
)
def test_explain(code: int, oom: bool, asked: bool, expected: str) -> None:
    assert explain(code, oom, asked) == expected


# --- OomWatch ---------------------------------------------------------------------------------------------------------


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="ascii")


def kills(directory: Path, count: int, version: int = 2) -> None:
    if version == 2:
        write(directory / "memory.events", f"low 0\nhigh 9\nmax 4\noom 7\noom_kill {count}\noom_group_kill 8\n")
    else:
        write(directory / "memory.oom_control", f"oom_kill_disable 0\nunder_oom 0\noom_kill {count}\n")


def groups(root: Path, content: str) -> None:
    write(root / "proc/self/cgroup", content)


@pytest.mark.parametrize(
    ("listed", "directory", "version"),
    [
        ("0::/web\n", "sys/fs/cgroup/web", 2),
        ("0::/\n", "sys/fs/cgroup", 2),
        ("4:memory:/docker/1f\n0::/\n", "sys/fs/cgroup/memory/docker/1f", 1),
        ("4:memory:/docker/1f\n0::/\n", "sys/fs/cgroup/memory", 1),
    ],
)
def test_has_killed_once_for_each_rise(tmp_path: Path, listed: str, directory: str, version: int) -> None:
    groups(tmp_path, listed)
    kills(tmp_path / directory, 2, version)
    watch = OomWatch(tmp_path)
    assert not watch.has_killed()
    kills(tmp_path / directory, 4, version)
    assert watch.has_killed()
    assert not watch.has_killed()
    kills(tmp_path / directory, 5, version)
    assert watch.has_killed()


def test_nearest_group_that_counts_is_watched(tmp_path: Path) -> None:
    groups(tmp_path, "0::/a/b\n")
    kills(tmp_path / "sys/fs/cgroup/a", 0)
    kills(tmp_path / "sys/fs/cgroup", 0)
    watch = OomWatch(tmp_path)
    kills(tmp_path / "sys/fs/cgroup", 1)
    assert not watch.has_killed()
    kills(tmp_path / "sys/fs/cgroup/a", 1)
    assert watch.has_killed()


def test_counts_of_two_groups_are_not_compared(tmp_path: Path) -> None:
    groups(tmp_path, "0::/a\n")
    kills(tmp_path / "sys/fs/cgroup/a", 1)
    kills(tmp_path / "sys/fs/cgroup/b", 5)
    watch = OomWatch(tmp_path)
    groups(tmp_path, "0::/b\n")
    assert not watch.has_killed()
    kills(tmp_path / "sys/fs/cgroup/b", 6)
    assert watch.has_killed()


def test_count_that_appears_or_goes_is_no_kill(tmp_path: Path) -> None:
    watch = OomWatch(tmp_path)
    assert not watch.has_killed()
    groups(tmp_path, "0::/a\n")
    kills(tmp_path / "sys/fs/cgroup/a", 3)
    assert not watch.has_killed()
    (tmp_path / "sys/fs/cgroup/a/memory.events").unlink()
    assert not watch.has_killed()
    kills(tmp_path / "sys/fs/cgroup/a", 4)
    assert watch.has_killed()


@pytest.mark.parametrize(
    "content", ["", "oom_kill", "oom_kill \n", "oom_kill -1", "oom_kill x", "oom_kill " + "9" * 5000]
)
def test_odd_counts_are_no_kill(tmp_path: Path, content: str) -> None:
    groups(tmp_path, "0::/a\n")
    kills(tmp_path / "sys/fs/cgroup/a", 0)
    watch = OomWatch(tmp_path)
    write(tmp_path / "sys/fs/cgroup/a/memory.events", content)
    assert not watch.has_killed()


def test_on_this_machine_nothing_was_killed_since() -> None:
    assert isinstance(OomWatch().has_killed(), bool)
