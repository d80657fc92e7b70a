"""Start a process that is nobody's child here: the service manager adopts it at once. Used by ``upgrade``.

systemd asks whether a process is its own child when it is named as the main process of a service, and never again. Of
one that is not it does not wait for the end: at ``systemctl stop`` it would kill it the moment after it has asked it to
stop, where the unit has ``KillMode=mixed``. A successor is therefore adopted before it is named.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

#: In an interpreter of its own, which has no threads and no loop: there a fork is harmless.
_FORK = """
import os, sys
fd = int(sys.argv[1])
pid = os.fork()
if pid:
    os.write(fd, b"%d" % pid)
    os._exit(0)
os.set_inheritable(fd, False)
os.execv(sys.argv[2], sys.argv[2:])
"""
#: How long that may take, in seconds; nothing else happens meanwhile.
_FORK_S = 10.0
_PID_MAX_BYTES = 20


def start_orphan(command: Sequence[str], directory: str, environment: Mapping[str, str], fds: Sequence[int]) -> int:
    """Start it.

    Args:
        command: with the path of the program first.
        directory: where.
        environment: its variables.
        fds: that it inherits.

    Returns:
        Its process id. Nobody here will hear of its end.

    Raises:
        OSError: it could not be started.
    """
    reading, writing = os.pipe()
    try:
        between = [sys.executable, "-I", "-S", "-c", _FORK, str(writing), *command]
        subprocess.run(between, cwd=directory, env=environment, pass_fds=[writing, *fds], timeout=_FORK_S, check=True)
        # It was written before that process ended, or never.
        os.set_blocking(reading, False)
        return int(os.read(reading, _PID_MAX_BYTES))
    except (subprocess.SubprocessError, ValueError) as error:
        raise OSError(str(error)) from error
    finally:
        os.close(reading)
        os.close(writing)
