"""The sockets that workers accept from. The supervisor binds them, keeps them open, and never accepts.

While it keeps them, a connection that arrives waits in the kernel's queue for the next worker that is ready: nothing is
refused while workers come and go.

One set for all workers is the default: whoever is free takes the next connection. With ``--reuse-port`` each number of
a worker has a set of its own, which passes on to who replaces that worker.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import replace

from addax.core.errors import StartupError
from addax.core.settings import ListenSettings
from addax.net import listen
from addax.net.listen import Address, Listener
from addax.net.unix_socket import SocketFile

_SHARED = 0


class WorkerSockets:
    """Listening sockets for workers.

    Args:
        settings: where to listen.
        inherited: descriptors for each bind, by worker number (0: for all), from a supervisor that this one takes over
            from.
        workers_count: how many workers there will be at first.
        inherited_files: of the Unix sockets among them, see ``own_files``.

    Attributes:
        has_heir: another supervisor is starting on the same sockets. It may go on where this one ends, so the files of
            Unix sockets stay.

    Raises:
        StartupError: an address cannot be had, or what was inherited does not listen.
        ConfigError: two binds are the same address, or a file cannot be given to its owner.
    """

    def __init__(
        self,
        settings: ListenSettings,
        inherited: dict[int, list[list[int]]] | None = None,
        workers_count: int = 1,
        inherited_files: Iterable[SocketFile] = (),
    ) -> None:
        self._settings = settings
        self._workers_count = workers_count
        self.has_heir = False
        self._sets: dict[int, Listener] = {}
        self._inherited_files = list(inherited_files)
        if inherited:
            self._adopt(inherited)
        else:
            self._sets[self._first] = listen.open_listener(settings)

    @classmethod
    def given(cls, settings: ListenSettings, sockets: Sequence[socket.socket]) -> WorkerSockets:
        """Take sockets that somebody else has bound."""
        paths = [bind.uds for bind in settings.binds if bind.uds is not None]
        files = [SocketFile(path) for path in paths if os.path.lexists(path)]
        taken = cls(settings, {_SHARED: [[os.dup(sock.fileno())] for sock in sockets]}, inherited_files=files)
        taken.own_files()
        return taken

    @property
    def _first(self) -> int:
        return 1 if self._settings.reuse_port else _SHARED

    @property
    def bound(self) -> list[list[Address]]:
        """What is bound, for each bind."""
        return [list(dict.fromkeys(group)) for group in next(iter(self._sets.values())).bound]

    @property
    def counts(self) -> tuple[int, ...]:
        """How many sockets of a worker each bind has."""
        return tuple(map(len, next(iter(self._sets.values())).groups))

    @property
    def are_separate(self) -> bool:
        """Whether each worker number has its own."""
        return _SHARED not in self._sets

    def for_worker(self, number: int) -> list[socket.socket]:
        """The sockets of a worker.

        Raises:
            StartupError: they cannot be bound, for a worker that has none yet.
        """
        if _SHARED in self._sets:
            return self._sets[_SHARED].sockets
        if number not in self._sets:
            self._sets[number] = listen.open_beside(self._sets[self._first], self._settings.backlog)
        return self._sets[number].sockets

    def forget(self, number: int) -> None:
        """There will be no worker of this number: its own sockets, if it has some, are its alone from now on."""
        if number != self._first and number in self._sets:
            self._sets.pop(number).close()

    def describe(self) -> tuple[str, list[int]]:
        """What a successor needs: text for ``read_sockets``, and the descriptors that it must inherit."""
        numbers = {
            number: [[sock.fileno() for sock in group] for group in found.groups]
            for number, found in self._sets.items()
        }
        return json.dumps(numbers), [sock.fileno() for found in self._sets.values() for sock in found.sockets]

    @property
    def files(self) -> list[SocketFile]:
        """The files of Unix sockets that are deleted at the end."""
        return [file for found in self._sets.values() for file in found.files]

    def own_files(self) -> None:
        """Who has made the files that were inherited has left them to this one.

        Until then they are that one's, which goes on listening there if this one cannot start.
        """
        next(iter(self._sets.values())).take_files(self._inherited_files)
        self._inherited_files.clear()

    def leave_files(self) -> None:
        """A successor uses the same Unix sockets: their files stay."""
        for found in self._sets.values():
            found.leave_files()

    def chown(self, uid: int, gid: int) -> None:
        """Give the files of Unix sockets to the user that the process is going to be."""
        for found in self._sets.values():
            found.chown(uid, gid)

    def close(self) -> None:
        """Close this process's side. Connections in the queue stay there while a worker listens. Twice is harmless."""
        if self.has_heir:
            self.leave_files()
        for found in self._sets.values():
            found.close()

    # ---- inside

    def _adopt(self, inherited: dict[int, list[list[int]]]) -> None:
        found: dict[int, list[list[socket.socket]]] = {}
        for number, groups in inherited.items():
            if number > self._workers_count:
                # The old supervisor had more workers. Clients are in that queue, too: somebody has to take them.
                number = 1 + (number - 1) % self._workers_count
            taken = found.setdefault(number, [[] for _ in groups])
            for group, fds in zip(taken, groups, strict=True):
                for fd in fds:
                    group.append(listen.adopt(fd, self._settings.backlog))
                    os.close(fd)
        for number, sockets in found.items():
            self._sets[number] = Listener(sockets)
        if _SHARED in self._sets and self._settings.reuse_port:
            # They were bound for all: nobody else can bind beside them.
            self._settings = replace(self._settings, reuse_port=False)


def read_sockets(text: str) -> dict[int, list[list[int]]]:
    """Read what ``WorkerSockets.describe`` has made.

    Raises:
        StartupError: it is nothing of the kind.
    """
    try:
        found = json.loads(text)
        return {int(number): [[int(fd) for fd in fds] for fds in groups] for number, groups in found.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise StartupError(f"cannot take over sockets: {text!r} does not name any") from error
