"""Listen on a Unix socket: make room where a dead server left its file, take the path, give it back at the end.

Called by ``net.listen``. POSIX only: what other platforms lack is looked up when it is needed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from addax.core import accounts
from addax.core.errors import ConfigError, StartupError
from addax.net import port_owner

#: Permission bits of a new socket file when nothing else was asked for.
DEFAULT_MODE = 0o666
#: How long a server that lives may take to show it, and how long to wait for another one that is just starting.
_PROBE_S = 1.0
_LOCK_S = 2.0
_LOCK_RETRY_S = 0.02


#: What ``chown`` leaves as it is.
_AS_IT_IS = -1


class Owner(NamedTuple):
    """Who a socket's file is to belong to; -1: whom it belongs to anyway."""

    uid: int = _AS_IT_IS
    gid: int = _AS_IT_IS


#: Nobody has asked for an owner.
ANYBODY = Owner()


class SocketFile:
    """The file that our bind made; told apart from a successor's by its inode.

    Args:
        path: where it is.
        owner: who it was given to, because somebody asked for it.
        identity: of the file that was made, device and inode; None: it is the one that is there now.
    """

    def __init__(self, path: str, owner: Owner = ANYBODY, identity: tuple[int, int] | None = None) -> None:
        self._owner = owner
        # The application may change the working directory before the end.
        self.path = os.path.abspath(path)
        #: Device and inode.
        self.identity = _identify(path) if identity is None else identity

    def give_to(self, uid: int, gid: int) -> None:
        """Let the file belong to who this process is going to be, as far as nobody has asked for another owner."""
        uid, gid = (
            _AS_IT_IS if asked != _AS_IT_IS else ours for asked, ours in zip(self._owner, (uid, gid), strict=True)
        )
        os.chown(self.path, uid, gid)

    def remove(self) -> None:
        """Delete the file if it is still ours. Call it before the socket closes: until then its inode is taken."""
        try:
            if _identify(self.path) == self.identity:
                os.unlink(self.path)
        except OSError:
            pass  # gone already, or its directory is no longer ours to write: nothing that a stop could still do


def _identify(path: str) -> tuple[int, int]:
    info = os.lstat(path)
    return info.st_dev, info.st_ino


def find_owner(place: str, user: str | None, group: str | None) -> Owner:
    """Look up who a file is to belong to, and whether this process may give it to them.

    Args:
        place: which socket, for the message.
        user: a name or a number; None: nobody has asked for one.
        group: the same of a group.

    Raises:
        ConfigError: there is no such user or group, or only root could do that.
    """
    if user is None and group is None:
        return ANYBODY
    if not hasattr(os, "chown"):
        raise ConfigError("bind", f"{place!r}: user and group need a POSIX system")
    uid = gid = _AS_IT_IS
    if user is not None:
        entry = accounts.find_user(user)
        uid = accounts.id_of("bind", "user", user, None if entry is None else entry.pw_uid)
    if group is not None:
        gid = accounts.id_of("bind", "group", group, accounts.find_group(group))
    # Without root's rights a file can only be given to another one of the groups that one is in.
    if os.geteuid() != 0:
        if uid not in (_AS_IT_IS, os.geteuid()):
            what = f"another user, and this is user {os.geteuid()}"
        elif gid not in (_AS_IT_IS, os.getegid(), *os.getgroups()):
            what = f"a group that user {os.geteuid()} is not in"
        else:
            return Owner(uid, gid)
        raise ConfigError("bind", f"{place!r}: only root can give a file to {what}")
    return Owner(uid, gid)


def listen_at(path: str, mode: int | None, backlog: int, owner: Owner = ANYBODY) -> tuple[socket.socket, SocketFile]:
    """Bind and listen.

    Args:
        path: where; a socket file that nobody answers on is replaced.
        mode: permission bits of the file; None keeps those of the file that is replaced, else ``DEFAULT_MODE``.
        backlog: as of ``listen(2)``.
        owner: who the file is to belong to.

    Raises:
        StartupError: a server answers there, or the path cannot be used.
    """
    sock = _new_socket(path)
    try:
        # Between bind and listen a probe finds nobody. Without the lock, two servers that start together could each
        # take the other's new file for a stale one.
        with _locked_directory(path):
            stale_mode = _make_room(path)
            sock.bind(path)
            file = SocketFile(path, owner)
            try:
                # Nobody can connect before listen(2), so owner and mode are right before the first connection.
                if owner != ANYBODY:
                    os.chown(path, *owner)
                os.chmod(path, next(bits for bits in (mode, stale_mode, DEFAULT_MODE) if bits is not None))
                sock.listen(backlog)
            except BaseException:
                file.remove()
                raise
    except BaseException as error:
        sock.close()
        if isinstance(error, (OSError, ValueError)):
            raise _failure(path, error) from error
        raise
    return sock, file


def check_path(path: str) -> None:
    """Find out early, without changing anything, whether a path is taken.

    Raises:
        StartupError: as ``listen_at``.
    """
    _new_socket(path).close()
    try:
        _find_stale(path)
    except (OSError, ValueError) as error:
        raise _failure(path, error) from error


def _new_socket(path: str) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise StartupError(f"cannot listen on {path!r}: this platform has no Unix sockets")
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


def _make_room(path: str) -> int | None:
    info = _find_stale(path)
    if info is None:
        return None
    os.unlink(path)
    return stat.S_IMODE(info.st_mode)


def _find_stale(path: str) -> os.stat_result | None:
    """Return the file that a dead server left, None if there is no file; raise if the path is taken."""
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(info.st_mode):
        raise StartupError(f"cannot listen on {path!r}: the file exists and is not a socket")
    owner = _probe(path)
    if owner is not None:
        raise _in_use(path, f"a live server answers there{owner}")
    return info


def _probe(path: str) -> str | None:
    """Return None if nobody answers, else who does, in the form of ``port_owner``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        except (TimeoutError, BlockingIOError):
            return ""  # alive, and its backlog is full
        return _peer_process(probe, path)


def _peer_process(probe: socket.socket, path: str) -> str:
    if sys.platform != "linux":
        return ""
    pid, _uid, _gid = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return port_owner.describe_path(path, pid) if pid > 0 else ""


def _in_use(path: str, detail: str) -> StartupError:
    code = errno.EADDRINUSE
    return StartupError(
        f"[Errno {code}] error while attempting to bind on address {path!r}: {os.strerror(code).lower()}, {detail}"
    )


def _failure(path: str, error: OSError | ValueError) -> StartupError:
    if not isinstance(error, OSError):
        return StartupError(f"error while attempting to bind on address {path!r}: {error}")
    # A path that is too long has no errno, only words.
    code = f"[Errno {error.errno}] " if error.errno is not None else ""
    reason = (error.strerror or str(error)).lower()
    return StartupError(f"{code}error while attempting to bind on address {path!r}: {reason}")


@contextlib.contextmanager
def _locked_directory(path: str) -> Iterator[None]:
    """Keep other servers that lock from touching the socket files of a directory; best effort, and bounded."""
    try:
        import fcntl

        descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    except (ImportError, OSError, ValueError):
        yield  # bind says what is wrong with the directory
        return
    try:
        deadline = time.monotonic() + _LOCK_S
        while time.monotonic() < deadline:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_LOCK_RETRY_S)
            except OSError:
                break  # this file system knows no locks
        yield
    finally:
        os.close(descriptor)
