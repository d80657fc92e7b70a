"""How many workers there is room for, in trees that look like those of machines and containers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from addax.config.capacity import Capacity, find_capacity, find_control_groups

MIB = 1024 * 1024

V2 = "0::/system.slice/web.service\n"
V1 = "12:cpu,cpuacct:/docker/1f\n4:memory:/docker/1f\n1:name=systemd:/docker/1f\n"

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files below the root: path, content, path, content, …"""

    def write(*files: str) -> None:
        for path, content in zip(files[::2], files[1::2], strict=True):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content, encoding="utf-8")

    return write


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    have_cores(monkeypatch, 8)


def have_cores(monkeypatch: pytest.MonkeyPatch, count: int | None) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: count, raising=False)


def test_files_are_read_without_the_interpreters_own(tmp_path: Path) -> None:
    # After --user these may be out of reach, and with them a codec that nobody has used yet.
    (tmp_path / "some").write_text("a\n")
    script = """
import pathlib, sys
from addax.config.capacity import read_lines
from addax.net.port_owner import describe_port
sys.modules["encodings.ascii"] = None
assert read_lines(pathlib.Path(sys.argv[1])) == ["a", ""]
describe_port(2, "127.0.0.1", 0)
"""
    subprocess.run([sys.executable, "-c", script, tmp_path / "some"], check=True)


# --- cores ------------------------------------------------------------------------------------------------------------


def test_without_any_file_there_is_a_worker_for_each_core(tmp_path: Path) -> None:
    assert find_capacity(tmp_path) == Capacity(8, "8 cores")


@pytest.mark.parametrize("count", [1, None])
def test_one_core_is_said_in_the_singular(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int | None) -> None:
    have_cores(monkeypatch, count)
    assert find_capacity(tmp_path) == Capacity(1, "1 core")


def test_before_python_3_13_the_cores_are_those_of_the_affinity(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "process_cpu_count")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert find_capacity(tmp_path).count == 3


@pytest.mark.parametrize("is_there", [True, False])
def test_without_affinity_the_cores_are_those_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_there: bool
) -> None:
    def refuse(_: int) -> set[int]:
        raise OSError("no such call")

    monkeypatch.delattr(os, "process_cpu_count")
    if is_there:
        monkeypatch.setattr(os, "sched_getaffinity", refuse, raising=False)
    else:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert find_capacity(tmp_path).count == 6


def test_this_machine_has_room_for_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    capacity = find_capacity()
    assert 1 <= capacity.count <= (os.cpu_count() or 1)
    assert "core" in capacity.reason


# --- quota ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quota_us", "expected"),
    [
        (200000, Capacity(2, "2 of 8 cores by cgroup quota 2.0")),
        (150000, Capacity(2, "2 of 8 cores by cgroup quota 1.5")),
        (50000, Capacity(1, "1 of 8 cores by cgroup quota 0.5")),
        (1000, Capacity(1, "1 of 8 cores by cgroup quota 0.01")),
        (730000, Capacity(8, "8 cores")),
        (1600000, Capacity(8, "8 cores")),
    ],
)
def test_quota_is_rounded_up(write: Write, tmp_path: Path, quota_us: int, expected: Capacity) -> None:
    write("proc/self/cgroup", V2, "sys/fs/cgroup/system.slice/web.service/cpu.max", f"{quota_us} 100000\n")
    assert find_capacity(tmp_path) == expected


def test_smallest_quota_on_the_way_up_counts(write: Write, tmp_path: Path) -> None:
    write("proc/self/cgroup", V2, "sys/fs/cgroup/system.slice/web.service/cpu.max", "600000 100000\n")
    write("sys/fs/cgroup/system.slice/cpu.max", "300000 100000\n", "sys/fs/cgroup/cpu.max", "max 100000\n")
    assert find_capacity(tmp_path) == Capacity(3, "3 of 8 cores by cgroup quota 3.0")


def test_group_of_a_container_is_where_its_hierarchy_is_mounted(write: Write, tmp_path: Path) -> None:
    write("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/cpu.max", "400000 200000\n")
    assert find_capacity(tmp_path).count == 2


def test_group_outside_of_the_namespace_is_not_looked_for(write: Write, tmp_path: Path) -> None:
    write(
        "proc/self/cgroup", "0::/../../../etc\n", "etc/cpu.max", "100000 100000\n", "sys/fs/cgroup/cpu.max", "max 1\n"
    )
    assert find_capacity(tmp_path) == Capacity(8, "8 cores")
    assert all(".." not in path.parts for path in find_control_groups(tmp_path, "cpu"))


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("group", ["", "/docker/1f"], ids=["mounted", "whole"])
def test_quota_of_version_1(write: Write, tmp_path: Path, mount: str, group: str) -> None:
    directory = f"sys/fs/cgroup/{mount}{group}"
    write("proc/self/cgroup", V1, f"{directory}/cpu.cfs_quota_us", "250000\n")
    write(f"{directory}/cpu.cfs_period_us", "100000\n")
    assert find_capacity(tmp_path) == Capacity(3, "3 of 8 cores by cgroup quota 2.5")


def test_no_quota_of_version_1(write: Write, tmp_path: Path) -> None:
    write("proc/self/cgroup", V1, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert find_capacity(tmp_path) == Capacity(8, "8 cores")


def test_version_2_beside_version_1(write: Write, tmp_path: Path) -> None:
    write("proc/self/cgroup", V1 + "0::/x\n", "sys/fs/cgroup/unified/x/cpu.max", "100000 50000")
    assert find_capacity(tmp_path).count == 2


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (f"{400 * MIB}\n", Capacity(3, "3 of 8 cores by cgroup memory of 400 MiB")),
        (f"{64 * MIB}\n", Capacity(1, "1 of 8 cores by cgroup memory of 64 MiB")),
        (f"{8 * 128 * MIB}\n", Capacity(8, "8 cores")),
        ("max\n", Capacity(8, "8 cores")),
    ],
)
def test_memory_of_the_group(write: Write, tmp_path: Path, limit: str, expected: Capacity) -> None:
    write("proc/self/cgroup", V2, "sys/fs/cgroup/system.slice/web.service/memory.max", limit)
    write("proc/meminfo", "MemTotal:       16252928 kB\nMemFree: 1 kB\n")
    assert find_capacity(tmp_path) == expected


def test_smallest_memory_on_the_way_up_counts(write: Write, tmp_path: Path) -> None:
    write("proc/self/cgroup", V2, "sys/fs/cgroup/system.slice/web.service/memory.max", f"{512 * MIB}")
    write("sys/fs/cgroup/system.slice/memory.max", f"{256 * MIB}")
    assert find_capacity(tmp_path).count == 2


def test_memory_of_version_1(write: Write, tmp_path: Path) -> None:
    write("proc/self/cgroup", V1, "sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes", f"{300 * MIB}\n")
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert find_capacity(tmp_path) == Capacity(2, "2 of 8 cores by cgroup memory of 300 MiB")


@pytest.mark.parametrize("limit", ["9223372036854771712\n", f"{64 * 1024 * MIB}\n"], ids=["none", "more than there is"])
def test_memory_of_the_machine_counts_where_the_group_may_have_all(write: Write, tmp_path: Path, limit: str) -> None:
    write("proc/self/cgroup", V1, "sys/fs/cgroup/memory/memory.limit_in_bytes", limit)
    write("proc/meminfo", f"MemTotal: {600 * 1024} kB\n")
    assert find_capacity(tmp_path) == Capacity(4, "4 of 8 cores by machine memory of 600 MiB")


def test_the_scarcest_thing_is_named(write: Write, tmp_path: Path) -> None:
    write("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/cpu.max", "400000 100000", "proc/meminfo", "MemTotal: 307200 kB")
    assert find_capacity(tmp_path) == Capacity(2, "2 of 8 cores by machine memory of 300 MiB")
    write("sys/fs/cgroup/cpu.max", "100000 100000")
    assert find_capacity(tmp_path) == Capacity(1, "1 of 8 cores by cgroup quota 1.0")


# --- odd things -------------------------------------------------------------------------------------------------------

ODD = [
    "",
    "\n",
    "max",
    "0",
    "-5",
    "1.5 2",
    "0 100000",
    "a b",
    "\u0663 \u0661",
    "9" * 5000,
    "\0\ufffd 1",
    "100 200 300 400",
]


@pytest.mark.parametrize("content", [*ODD, "100000 0", "100000 -1", "200000 x"])
def test_odd_contents_are_as_if_they_were_not_there(write: Write, tmp_path: Path, content: str) -> None:
    write("proc/self/cgroup", "0::/a\n1:cpu,memory:/a\n", "sys/fs/cgroup/a/cpu.max", content)
    write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", content, "sys/fs/cgroup/cpu/a/cpu.cfs_period_us", content)
    assert find_capacity(tmp_path) == Capacity(8, "8 cores")


@pytest.mark.parametrize("content", ODD)
def test_odd_sizes_are_as_if_they_were_not_there(write: Write, tmp_path: Path, content: str) -> None:
    write("proc/self/cgroup", "0::/a\n1:cpu,memory:/a\n", "sys/fs/cgroup/a/memory.max", content)
    write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", content, "proc/meminfo", f"MemTotal: {content} kB\n")
    assert find_capacity(tmp_path) == Capacity(8, "8 cores")


@pytest.mark.parametrize(
    "content", ["", "::", "0", "0::", "x:y:z", "0::/\0", "0::" + "/a" * 300, "0::/" + "a" * 9999, "\n\n", "1:memory:"]
)
def test_odd_lists_of_groups_find_nothing(write: Write, tmp_path: Path, content: str) -> None:
    write("proc/self/cgroup", content)
    assert find_capacity(tmp_path) == Capacity(8, "8 cores")


def test_directories_in_place_of_files_are_ignored(tmp_path: Path) -> None:
    for path in ("proc/self/cgroup", "proc/meminfo", "sys/fs/cgroup/cpu.max"):
        (tmp_path / path).mkdir(parents=True)
    assert find_capacity(tmp_path) == Capacity(8, "8 cores")
