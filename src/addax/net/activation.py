"""Sockets that systemd has bound and passed to this process: ``--bind systemd`` or ``--fd``, see ``sd_listen_fds(3)``.

``listen`` asks for them. The environment says how many there are, from descriptor 3 on, what each is called, and for
which process they are. It is read once: then the variables go, and no program that is started from here inherits the
sockets. They stay open as long as the process, as in systemd, so that a server can be started again on them.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from addax.core.errors import StartupError

_FIRST_FD = 3
_COUNT, _PID, _NAMES = "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"
#: That the variables name, and one with which newer versions of systemd name the process once more.
_VARIABLES = (_COUNT, _PID, _NAMES, "LISTEN_PIDFDID")


class Passed(NamedTuple):
    """One socket."""

    fd: int
    #: ``FileDescriptorName=`` of its unit, by default the name of the unit.
    name: str


#: What was found when the variables were read.
_passed: list[Passed] = []


def find(option: str) -> list[int]:
    """The descriptors that were passed.

    Args:
        option: ``systemd`` for all, ``systemd:NAME`` for those of a name.

    Returns:
        At least one; they are not inherited by other programs.

    Raises:
        StartupError: there is none, or they are for another process.
    """
    passed = _take()
    _, has_name, name = option.partition(":")
    found = [each.fd for each in passed if not has_name or each.name == name]
    if not found:
        there = ", ".join(dict.fromkeys(each.name for each in passed))
        raise StartupError(f"systemd has passed no socket of the name {name!r}; there is: {there}")
    return found


def _take() -> list[Passed]:
    if _COUNT in os.environ:
        _passed[:] = _read()
        for variable in _VARIABLES:
            os.environ.pop(variable, None)
        for each in _passed:
            _keep_to_ourselves(each)
    if not _passed:
        raise StartupError(f"{_COUNT} says that systemd has passed no socket; is there a .socket unit for it?")
    return _passed


def _read() -> list[Passed]:
    pid, count = os.environ.get(_PID, ""), os.environ[_COUNT]
    if pid != str(os.getpid()):
        raise StartupError(
            f"the sockets that systemd has passed are for process {pid or '(none)'} ({_PID}), and this one is "
            f"{os.getpid()}: no other program may stand between systemd and addax"
        )
    if not count.isdecimal():
        raise StartupError(f"{_COUNT} is {count!r}, which is no number")
    names = os.environ.get(_NAMES, "").split(":")
    return [
        # As sd_listen_fds_with_names(3) calls what has no name.
        Passed(_FIRST_FD + index, names[index] if index < len(names) and names[index] else "unknown")
        for index in range(int(count))
    ]


def _keep_to_ourselves(passed: Passed) -> None:
    try:
        os.set_inheritable(passed.fd, False)
    except OSError as error:
        raise StartupError(f"descriptor {passed.fd}, which {_COUNT} speaks of: {error.strerror}") from error
