"""Why a process ended, in words.

Called by ``supervise.obituary`` for workers, and for other children. Every text begins with a verb, so that it can
follow the name of a process.
"""

from __future__ import annotations

import signal
from pathlib import Path

from addax.config.capacity import find_control_groups, read_lines

#: Signals by which a process ends that made a mistake, and which mostly nobody sent.
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")
#: ``signal.SIGKILL`` is not there on Windows.
_SIGKILL = 9

#: Where version 2 and version 1 of control groups count what was killed for want of memory.
_COUNTER_FILES = ("memory.events", "memory.oom_control")


def describe_exit(code: int) -> str:
    """Say how a process ended, for example ``exited with code 1`` or ``crashed with SIGSEGV (signal 11)``.

    Args:
        code: as ``subprocess`` has it: negative for a signal.
    """
    if code >= 0:
        return f"exited with code {code}"
    name = _signal_name(-code)
    return f"crashed with {name}" if name.startswith(_CRASHES) else f"was killed by {name}"


def explain(code: int, oom: bool, asked: bool) -> str:
    """Say how a process ended and, where it was killed, who may have done it.

    Args:
        code: as for ``describe_exit``.
        oom: whether the kernel has killed a process of this control group for want of memory, see ``OomWatch``.
        asked: whether it was this process that sent the signal.
    """
    if asked and code < 0:
        # An abort that was asked for, to see stacks, is no crash.
        return f"was killed by {_signal_name(-code)}"
    text = describe_exit(code)
    if code != -_SIGKILL:
        return text
    if oom:
        return f"{text}, out of memory in its cgroup"
    return f"{text}, which nobody here asked for; if the machine ran out of memory the kernel log says so"


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        # Real-time signals between the first and the last have no name in Python.
        return f"signal {number}"


class OomWatch:
    """Watches how often the kernel has killed for want of memory in the control group of this process.

    Where that cannot be seen (no Linux, no control group with a count) it is as if it never happened.

    Args:
        root: where the file system begins.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._seen = self._read()

    def has_killed(self) -> bool:
        """Whether it has happened since the last call; the first time, since this object was made."""
        former, seen = self._seen, self._read()
        if seen is None:
            return False
        self._seen = seen
        return former is not None and former[0] == seen[0] and former[1] < seen[1]

    def _read(self) -> tuple[Path, int] | None:
        """The count and where it was: a process may be moved to another group, and two groups cannot be compared."""
        # The nearest group that counts is the one whose limit holds for this process.
        for directory in find_control_groups(self._root, "memory"):
            for name in _COUNTER_FILES:
                count = _read_count(directory / name)
                if count is not None:
                    return directory, count
        return None


def _read_count(path: Path) -> int | None:
    for line in read_lines(path):
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdecimal() and len(value) < 20:
            return int(value)
    return None
