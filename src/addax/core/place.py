"""Where a process stands among those of a supervisor, as its command line tells it.

Made by ``supervise.spawning``, read by ``server.worker`` and ``server.forking``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Place:
    """One process.

    Attributes:
        number: from 1 on; who replaces a worker gets its number. 0: not a worker.
        generation: from 1 on; one more with each restart.
        boot_fd: a file with what all processes of a supervisor begin with (``server.boot``).
        link_fd: this end of the link to the supervisor (``core.link``).
        board_fd: shared memory (``core.board``); -1: none, as for who does not serve.
        table_fd: shared memory (``core.load_table``); -1: the sockets are this worker's alone.
        socket_fds: what to accept from.
        socket_counts: how many of them each bind has, in their order; empty if they are not those of the binds.
        is_checked: whether a blocked event loop is looked for; not where somebody may hold it with a debugger.
    """

    number: int
    generation: int
    boot_fd: int
    link_fd: int
    board_fd: int = -1
    table_fd: int = -1
    socket_fds: tuple[int, ...] = ()
    is_checked: bool = True
    socket_counts: tuple[int, ...] = ()

    @property
    def fds(self) -> list[int]:
        """All descriptors."""
        return [fd for fd in (self.boot_fd, self.link_fd, self.board_fd, self.table_fd, *self.socket_fds) if fd >= 0]

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read what ``str`` has made."""
        fields = json.loads(text)
        for name in ("socket_fds", "socket_counts"):
            fields[name] = tuple(fields[name])
        return cls(**fields)

    def __str__(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))
