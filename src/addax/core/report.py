"""What can be told of a worker and of the requests that it serves.

``Counters`` and ``ServedRequest`` come from its board (``core.board``), which others read; ``InProgress`` from its
connections, for ``server.watchdog`` inside of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Counters(NamedTuple):
    """What a worker counts, at the time of its last heartbeat.

    Attributes:
        total_requests: responses that have ended, since the start.
        active_requests: requests in progress, WebSockets among them.
        connections: that are open.
        websockets_open: that were accepted and are not gone.
        rss_bytes: resident memory of the process.
        loop_lag_s: how late the last heartbeat was.
        pid: of the process; 0: nobody has written anything yet.
    """

    total_requests: int = 0
    active_requests: int = 0
    connections: int = 0
    websockets_open: int = 0
    rss_bytes: int = 0
    loop_lag_s: float = 0.0
    pid: int = 0


class ServedRequest(NamedTuple):
    """A request that is being served, or was when the process died.

    Attributes:
        method: printable; ``WebSocket`` for one.
        target: with its query; as it was sent, but printable. A long one is cut and ends in ``...``.
        age_s: since when, in seconds.
    """

    method: str
    target: str
    age_s: float

    def __str__(self) -> str:
        return f"{self.method} {self.target} (for {self.age_s:.1f} s)"


class InProgress(NamedTuple):
    """A request whose application runs.

    Attributes:
        kind: ``http`` or ``websocket``.
        method: of the request.
        path: decoded, so it may have any character.
        client: host and port, as the application sees them; None: on a Unix socket, or not known.
        started_at: on ``core.clock.now``; None: not known.
        task: that runs the application; None: it was called a moment ago, and has not had to wait yet.
    """

    kind: str
    method: str
    path: str
    client: tuple[str, int] | None
    started_at: float | None
    task: Any


def printable(field: bytes) -> str:
    """The text of a field, up to its first zero byte; what is not printable ASCII is escaped as ``repr`` does it."""
    text = field.partition(b"\0")[0].decode("latin-1")
    return text if text.isascii() and text.isprintable() and "\\" not in text else ascii(text)[1:-1]
