"""How many workers a machine, or the container on it, has room for: ``--workers auto``.

Cores that this process may use, the CPU quota and the memory of its control group (cgroup v2 and v1), and the memory of
the machine. What cannot be read or makes no sense is as if it were not there. Called where the value of ``--workers``
is read; ``supervise.forensics`` finds control groups with it. Standard library only.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: What a worker is expected to occupy at the least: the interpreter, a framework and a small application take 60 to
#: 100 MiB, and requests come on top. A container with less than that for each core would be killed for want of memory
#: under load, which is worse than a core that idles.
WORKER_BYTES = 128 * 1024 * 1024

#: Where control groups are mounted: v2 alone, and v2 beside v1.
_V2_MOUNTS = ("sys/fs/cgroup", "sys/fs/cgroup/unified")
_V1_MOUNT = "sys/fs/cgroup"
#: Version 1 says "no limit" with the largest number of pages, which depends on the size of a page. An exbibyte is more
#: than anybody has.
_NO_LIMIT_BYTES = 1 << 60


@dataclass(frozen=True)
class Capacity:
    """What ``find_capacity`` found.

    Attributes:
        count: how many workers, 1 at the least.
        reason: why so many, a short phrase: ``2 of 8 cores by cgroup quota 2.0``.
    """

    count: int
    reason: str


def find_capacity(root: Path = Path("/")) -> Capacity:
    """Find out how many workers there is room for: one for each core, fewer where quota or memory are short.

    Args:
        root: where the file system begins.
    """
    cores_count = _count_cores()
    count, bound = cores_count, ""
    quota = _smallest(root, "cpu", _read_quota)
    if quota is not None and math.ceil(quota) < count:
        # Half a core more makes another worker: the last one may as well use it.
        count, bound = math.ceil(quota), f"cgroup quota {round(quota, 3)}"
    memory = _find_memory(root)
    if memory is not None and memory[0] // WORKER_BYTES < count:
        memory_bytes, owner = memory
        count, bound = max(1, memory_bytes // WORKER_BYTES), f"{owner} memory of {memory_bytes >> 20} MiB"
    cores = f"{cores_count} core{'' if cores_count == 1 else 's'}"
    return Capacity(count, f"{count} of {cores} by {bound}" if count < cores_count else cores)


def _count_cores() -> int:
    # Python 3.13; it knows -X cpu_count too.
    process_cpu_count: Callable[[], int | None] | None = getattr(os, "process_cpu_count", None)
    if process_cpu_count is not None:
        return process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        try:
            return len(os.sched_getaffinity(0)) or 1
        except OSError:
            pass
    return os.cpu_count() or 1


# --- Control groups ---------------------------------------------------------------------------------------------------


def find_control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Directories that may hold the files of a controller for this process; not all of them exist.

    Args:
        root: where the file system begins.
        controller: its name in version 1, for example ``memory``.

    Yields:
        The control group of this process, its parents, and the place where the hierarchy is mounted; then the same of
        the next hierarchy. In a container that place is often the group of the container, whatever the path says.
    """
    for line in read_lines(root / "proc/self/cgroup"):
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            mounts = list(_V2_MOUNTS)
        elif controller in controllers.split(","):
            mounts = [f"{_V1_MOUNT}/{name}" for name in dict.fromkeys((controller, controllers))]
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts:
            # Seen from inside of a namespace, a group outside of it: it cannot be reached from here.
            parts = []
        for mount in mounts:
            directory = root.joinpath(mount, *parts)
            yield directory
            for _ in parts:
                directory = directory.parent
                yield directory


def read_lines(path: Path) -> list[str]:
    """The lines of a small file; none if it cannot be read."""
    try:
        # As bytes: after --user the interpreter may be out of reach, and a codec would be imported from there.
        return path.read_bytes().decode("ascii", "replace").split("\n")
    except (OSError, ValueError):  # ValueError: no path at all, for what the path is made of came from a file too
        return []


def _smallest(root: Path, controller: str, read: Callable[[Path], float | None]) -> float | None:
    # A limit holds for all groups below, so the smallest one counts, not the nearest.
    found = [read(directory) for directory in find_control_groups(root, controller)]
    return min((limit for limit in found if limit is not None), default=None)


def _read_quota(directory: Path) -> float | None:
    """How many cores a group may use; None: all."""
    quota, _, period = _first_line(directory / "cpu.max").partition(" ")
    if not quota:
        quota, period = (_first_line(directory / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    quota_us, period_us = _whole(quota), _whole(period)
    return None if quota_us is None or period_us is None else quota_us / period_us


def _read_memory(directory: Path) -> int | None:
    """How many bytes a group may occupy; None: any number."""
    limits = [_whole(_first_line(directory / name)) for name in ("memory.max", "memory.limit_in_bytes")]
    return min((limit for limit in limits if limit is not None), default=None)


def _find_memory(root: Path) -> tuple[int, str] | None:
    """The bytes that there are, and whose they are."""
    machine = _read_machine_memory(root)
    limit = _smallest(root, "memory", _read_memory)
    if limit is not None and (machine is None or limit < machine):
        return int(limit), "cgroup"
    return None if machine is None else (machine, "machine")


def _read_machine_memory(root: Path) -> int | None:
    for line in read_lines(root / "proc/meminfo"):
        words = line.split()
        if len(words) == 3 and words[0] == "MemTotal:" and words[2] == "kB":
            kibibytes = _whole(words[1])
            return None if kibibytes is None else kibibytes * 1024
    return None


def _first_line(path: Path) -> str:
    lines = read_lines(path)
    return lines[0] if lines else ""


def _whole(text: str) -> int | None:
    """A number above 0 that can be a limit; None for "max", -1, "no limit" of version 1, and what is no number."""
    text = text.strip()
    # 19 digits are what the kernel writes at the most; Python would take thousands.
    if not text.isdecimal() or len(text) > 19:
        return None
    number = int(text)
    return number if 0 < number < _NO_LIMIT_BYTES else None
