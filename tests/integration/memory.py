"""How much memory a process has, from /proc: see proc_pid_status(5)."""

from __future__ import annotations

import re
from pathlib import Path


def resident_bytes(pid: int) -> int:
    """Memory that the process has now."""
    return _read(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """The most memory that it has had since ``reset_peak``."""
    return _read(pid, "VmHWM")


def reset_peak(pid: int) -> None:
    """Forget the peak; see proc_pid_clear_refs(5)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _read(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None, status
    return int(found[1]) * 1024
