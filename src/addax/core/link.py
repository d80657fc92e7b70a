"""What a supervisor and its workers say to each other, over a pair of connected sockets.

One JSON object a line, with its kind under ``kind``. Both sides use this module (``server.worker``,
``supervise.child``, and the fork server between them), so the words stand here, in one place.

=============  ===========================================================================================
kind           meaning
=============  ===========================================================================================
to a worker
``stop``       end gracefully; ``handover``: other processes accept from the same sockets; ``rest_s``: how long an idle
               connection must have been idle before it is closed
``hurry``      end soon: what is in progress gets a second
``reopen``     open the log files anew
from a worker
``loaded``     the application is imported
``ready``      connections are accepted
``leaving``    somebody has asked it to end, by ``reason``: it waits for ``stop``, which says whether others go on
``retire``     it wants to be replaced, for ``reason``, and serves until it is told to stop
``failed``     it could not start, for ``reason``; its exit follows
=============  ===========================================================================================

That the other side is gone shows as the end of the stream, whatever way it went.
"""

from __future__ import annotations

import json
import socket
from typing import Any, TypeAlias

STOP, HURRY, REOPEN = "stop", "hurry", "reopen"
LOADED, READY, LEAVING, RETIRE, FAILED = "loaded", "ready", "leaving", "retire", "failed"

Message: TypeAlias = dict[str, Any]

_RECEIVE_BYTES = 65536
#: Longest line that is kept while its end has not come; reasons are cut to much less.
_LINE_MAX_BYTES = 1 << 20


class Link:
    """One end of the pair. Neither side ever waits for the other.

    Args:
        sock: a connected stream socket; it belongs to this object from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.set_inheritable(False)
        self._sock = sock
        self._rest = b""

    def fileno(self) -> int:
        """The descriptor, to be watched for reading; -1 after ``close``."""
        return self._sock.fileno()

    def send(self, kind: str, **fields: object) -> bool:
        """Say something.

        Returns:
            Whether it is on its way. False: the other side is gone, or has read nothing for very long.
        """
        line = json.dumps({"kind": kind, **fields}).encode() + b"\n"
        try:
            return self._sock.send(line) == len(line)
        except OSError:
            return False

    def receive(self) -> tuple[list[Message], bool]:
        """Take what has come.

        Returns:
            The messages, and whether the other side is gone.
        """
        is_over = False
        while True:
            try:
                data = self._sock.recv(_RECEIVE_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                is_over = True
                break
            if not data or len(self._rest) > _LINE_MAX_BYTES:
                is_over = True
                break
            self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        return [message for message in map(_decode, lines) if message is not None], is_over

    def close(self) -> None:
        """Close this end; the other side sees it."""
        self._sock.close()


def _decode(line: bytes) -> Message | None:
    # A worker runs the application's code, which could write anything: what is no message is not one.
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and isinstance(message.get("kind"), str) else None
