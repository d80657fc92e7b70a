"""What processes there are, and what they hold, from /proc: see proc_pid_stat(5)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: How often /proc is looked at, in seconds: it wakes nobody.
_LOOK_S = 0.02
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37


@dataclass(frozen=True)
class ProcessInfo:
    """One process as it was a moment ago.

    Attributes:
        pid: its id.
        parent: its parent's.
        session: of the process that has begun its session.
        state: ``Z`` is one that nobody has asked for its exit code, ``T`` a stopped one.
        command: its command line.
    """

    pid: int
    parent: int
    session: int
    state: str
    command: str

    def __str__(self) -> str:
        return f"[{self.pid}] of [{self.parent}], {self.state}: {self.command or '(no command line)'}"


def look_at(pid: int) -> ProcessInfo | None:
    """One process; None: there is none of that id."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return None
    # The name of the program is in parentheses and may hold anything.
    state, parent, _, session = stat.rpartition(") ")[2].split()[:4]
    return ProcessInfo(pid, int(parent), int(session), state, command)


def all_processes() -> dict[int, ProcessInfo]:
    """All of this machine, or container, by their ids."""
    found = (look_at(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {info.pid: info for info in found if info is not None}


def descendants(pid: int) -> dict[int, ProcessInfo]:
    """Children, their children, and so on."""
    everybody = all_processes()
    family = {pid}
    grown = True
    while grown:
        young = {info.pid for info in everybody.values() if info.parent in family} - family
        family |= young
        grown = bool(young)
    return {member: everybody[member] for member in sorted(family - {pid}) if member in everybody}


def started_in(session: int, mark: str) -> dict[int, ProcessInfo]:
    """What belongs to a session, or has ``mark`` in its environment, wherever its parent is now."""
    me = os.getpid()
    return {
        info.pid: info
        for info in all_processes().values()
        if info.pid != me and (info.session == session or mark in _environment(info.pid))
    }


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def open_fds(pid: int) -> dict[int, str]:
    """Open descriptors of a process, and what each is.

    Raises:
        OSError: there is no such process.
    """
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def thread_count(pid: int) -> int:
    """How many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def until(look: Callable[[], T | None], patience_s: float, complaint: Callable[[], str]) -> T:
    """Look until there is something to be seen.

    Args:
        look: returns it; something false: not yet.
        patience_s: how long, in seconds.
        complaint: says what is missing.

    Raises:
        AssertionError: that takes too long.
    """
    end_at = time.monotonic() + patience_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end_at, complaint()
        time.sleep(_LOOK_S)


@contextlib.contextmanager
def adopting_orphans() -> Iterator[None]:
    """Be the parent of processes whose own one has ended, as init is, and so be able to ask for their exit codes."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int()
    assert libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0) == 0
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)
