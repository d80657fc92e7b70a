"""The file that names the process id of a server: ``--pid-file``.

Written and removed by ``supervise.running`` and ``addax._run``. The file is for others to read. To addax it says only
whether another server may be running: whoever can write to its directory can put any number into it, so the process it
names is asked whether it lives, and nothing is ever sent to it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
import tempfile

from addax.core.errors import StartupError

logger = logging.getLogger("addax.error")

#: Longer than what any pid file holds.
_READ_MAX_BYTES = 64
_PID = re.compile(rb"[1-9][0-9]{0,18}")
_MODE = 0o644

_is_windows = os.name == "nt"


class PidFile:
    """A pid file.

    Args:
        path: where it is; seen from the directory that is current now.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)

    def write(self, takeover_from: int | None = None) -> None:
        """Make the file, or replace it, so that nobody ever reads half of it.

        A file that names nobody who lives is replaced, as is a symbolic link: what it points to is not touched.

        Args:
            takeover_from: the process id of a server that this one replaces, which may be in the file.

        Raises:
            StartupError: the file names another process that lives, is no file, or cannot be written.
        """
        try:
            pid = self._read()
            if pid is not None and pid not in (os.getpid(), takeover_from) and _is_alive(pid):
                raise StartupError(f"the pid file {self.path} names process {pid}, which is running")
            self._replace(f"{os.getpid()}\n".encode())
        except OSError as error:
            raise StartupError(f"the pid file {self.path} cannot be written: {error.strerror or error}") from error

    def remove(self) -> None:
        """Remove the file if it still names this process. Never raises: it is called when all is over."""
        try:
            if self._read() == os.getpid():
                os.unlink(self.path)
        except FileNotFoundError:
            pass
        except (OSError, StartupError) as error:
            # With --user mostly: root made it, in a directory of root's. The next server will see that it is stale.
            reason = getattr(error, "strerror", None) or error
            logger.warning("The pid file %s could not be removed: %s", self.path, reason)

    def _read(self) -> int | None:
        """The process id in the file; None if there is no file, or no number in it.

        Raises:
            OSError: it cannot be read.
            StartupError: it is no file.
        """
        try:
            mode = os.lstat(self.path).st_mode
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(mode):
            return None
        if not stat.S_ISREG(mode):
            # A mistake like "--pid-file /dev/null" would cost root the device.
            raise StartupError(f"the pid file {self.path} is something else than a file")
        # The flags are for what somebody may have put there since: a link, or a pipe that would be waited for.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(self.path, flags)
        try:
            content = os.read(descriptor, _READ_MAX_BYTES).strip()
        finally:
            os.close(descriptor)
        return int(content) if _PID.fullmatch(content) else None

    def _replace(self, content: bytes) -> None:
        directory, name = os.path.split(self.path)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
            # Whatever the umask is: those who are to read it are mostly somebody else.
            os.chmod(temporary, _MODE)
            os.replace(temporary, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def _is_alive(pid: int) -> bool:
    if _is_windows:
        # Windows has no signal 0: that number is CTRL+C there.
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        # Somebody else's, but there.
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
