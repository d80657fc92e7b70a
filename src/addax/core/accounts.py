"""Users and groups of the system, by name or number, as options name them.

Called by ``net.unix_socket`` (who a socket's file belongs to) and ``supervise.privileges`` (who a process becomes).
POSIX only; the module can be imported anywhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from addax.core.errors import ConfigError

if TYPE_CHECKING:
    from pwd import struct_passwd

_NUMBER = re.compile(r"[0-9]{1,10}")
#: The one after it means "leave it as it is" to the kernel, so a process that asked for it would stay root.
_ID_MAX = 2**32 - 2


def find_user(user: str) -> struct_passwd | None:
    """Look a user up; by name first, as chown does: a name may look like a number."""
    import pwd

    try:
        return pwd.getpwnam(user)
    except (KeyError, ValueError):
        pass
    try:
        return pwd.getpwuid(int(user)) if _NUMBER.fullmatch(user) else None
    except (KeyError, OverflowError):
        return None


def find_group(group: str) -> int | None:
    """Look a group up by name."""
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        return None


def id_of(option: str, kind: str, text: str, found: int | None) -> int:
    """The number of a user or a group.

    Args:
        option: where it was named, for the message.
        kind: ``user`` or ``group``.
        text: what was asked for.
        found: what the system knows of it; None: nothing.

    Raises:
        ConfigError: the system knows nothing of it and it is no number.
    """
    if found is not None:
        return found
    if not _NUMBER.fullmatch(text):
        raise ConfigError(option, f"there is no {kind} {text!r}")
    number = int(text)
    if number > _ID_MAX:
        raise ConfigError(option, f"{number} is no {kind} id: the largest is {_ID_MAX}")
    return number
