"""Become another user when the sockets are bound: ``--user`` and ``--group``.

``resolve`` is called while options are checked, ``drop`` and after it ``check_installation`` by ``supervise.running``
and ``addax._run`` as soon as nothing is left to do for root. POSIX only; the module can be imported anywhere.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from addax.core import accounts
from addax.core.errors import ConfigError, StartupError

if TYPE_CHECKING:
    from collections.abc import Callable


class Identity(NamedTuple):
    """Who a process is to be."""

    uid: int
    gid: int
    #: Of the user; None for a number that the user database does not know.
    name: str | None = None
    #: The user's directory.
    home: str = "/"


def resolve(user: str | None, group: str | None) -> Identity | None:
    """Look a user and a group up.

    Args:
        user: a name or a number; None: the present one.
        group: a name or a number; None: the primary group of ``user``.

    Returns:
        Who to become; None if there is nothing to do.

    Raises:
        ConfigError: there is no such user or group, or only root could become that.
    """
    if user is None and group is None:
        return None
    option = "--group" if user is None else "--user"
    if not hasattr(os, "setuid"):
        raise ConfigError(option, "needs a POSIX system")
    entry = accounts.find_user(str(os.geteuid()) if user is None else user)
    uid = (
        os.geteuid()
        if user is None
        else accounts.id_of("--user", "user", user, None if entry is None else entry.pw_uid)
    )
    gid = None if group is None else accounts.id_of("--group", "group", group, accounts.find_group(group))
    if os.geteuid() != 0:
        # Who is this user already, in whatever group, has what --user asks for.
        if uid == os.geteuid() and gid in (None, os.getegid()):
            return None
        raise ConfigError(option, f"only root can become another user or group, and this is user {os.geteuid()}")
    if entry is not None:
        return Identity(uid, entry.pw_gid if gid is None else gid, entry.pw_name, entry.pw_dir)
    if gid is None:
        raise ConfigError("--user", f"user {uid} is not in the user database, so it has no group: add --group")
    return Identity(uid, gid)


def drop(identity: Identity) -> None:
    """Become somebody else, for good. ``HOME``, ``USER`` and ``LOGNAME`` become those of a new user.

    Args:
        identity: who, see ``resolve``.

    Raises:
        StartupError: that failed, or the process could become root again. It must not go on then.
    """
    former_uid = os.getuid()
    try:
        # Groups first: the new user has no right to choose them. Those of root would stay otherwise.
        if identity.name is not None:
            os.initgroups(identity.name, identity.gid)
        else:
            os.setgroups([identity.gid])
        os.setgid(identity.gid)
        # By root this sets the saved id too, which seteuid would leave to come back to.
        os.setuid(identity.uid)
    except OSError as error:
        reason = error.strerror or error
        raise StartupError(f"cannot become user {identity.uid} with group {identity.gid}: {reason}") from error
    _check_dropped(identity)
    if identity.uid != former_uid:
        _set_environment(identity)


def check_installation(identity: Identity) -> None:
    """Find out now whether the user that this process has become can read Python and addax.

    Most of both is read later, one module when it is needed: without this the start ends in whatever cannot be imported
    first.

    Args:
        identity: who it has become.

    Raises:
        ConfigError: it cannot.
    """
    who = identity.name or identity.uid
    for place in (sys.executable, os.__file__, __file__):
        # By the real ids, which are those of the new user.
        if place and not os.access(place, os.R_OK):
            advice = "Python and addax have to be where this user can read them"
            raise ConfigError("--user", f"{who} cannot read {place!r}: {advice}")


def _check_dropped(identity: Identity) -> None:
    if (os.getuid(), os.geteuid()) != (identity.uid,) * 2 or (os.getgid(), os.getegid()) != (identity.gid,) * 2:
        raise StartupError(f"cannot become user {identity.uid} with group {identity.gid}: the system did not do it")
    # A capability that was kept (a security policy, a container's settings) makes all of it worthless.
    if identity.uid != 0 and (_can(os.setuid) or (identity.gid != 0 and _can(os.setgid))):
        raise StartupError(f"became user {identity.uid}, but could become root again: refusing to serve like that")


def _can(become: Callable[[int], None]) -> bool:
    """Whether root's id can be had."""
    try:
        become(0)
    except OSError:
        return False
    return True


def _set_environment(identity: Identity) -> None:
    os.environ["HOME"] = identity.home
    for name in ("USER", "LOGNAME"):
        if identity.name is not None:
            os.environ[name] = identity.name
        else:
            # No name is better than root's.
            os.environ.pop(name, None)
