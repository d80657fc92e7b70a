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
from collections.abc import Sequence
from dataclasses import replace

from addax.core.errors import StartupError
from addax.core.settings import ListenSettings
from addax.net import listen
from addax.net.listen import Listener, Target
from addax.net.unix_socket import SocketFile

_SHARED = 0


class WorkerSockets:
    """Listening sockets for workers.

    Args:
        settings: where to listen.
        inherited: sets of descriptors by worker number (0: for all), from a supervisor that this one takes over from.
        workers_count: how many workers there will be at first.

    Raises:
        StartupError: the address cannot be had, or what was inherited does not listen.
    """

    def __init__(
        self, settings: ListenSettings, inherited: dict[int, list[int]] | None = None, workers_count: int = 1
    ) -> None:
        self._settings = settings
        self._workers_count = workers_count
        self._sets: dict[int, Listener] = {}
        self._targets: list[Target] | None = None
        if inherited:
            self._adopt(inherited)
        else:
            self._sets[self._first] = listen.open_listener(settings)

    @classmethod
    def given(cls, settings: ListenSettings, sockets: Sequence[socket.socket]) -> WorkerSockets:
        """Take sockets that somebody else has bound."""
        return cls(settings, {_SHARED: [os.dup(sock.fileno()) for sock in sockets]})

    @property
    def _first(self) -> int:
        return 1 if self._settings.reuse_port else _SHARED

    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """What is bound: ``(host, port)``, or the path of a Unix socket."""
        return list(dict.fromkeys(next(iter(self._sets.values())).addresses))

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
            self._sets[number] = listen.open_listener(self._settings, self._same_targets())
        return self._sets[number].sockets

    def forget(self, number: int) -> None:
        """There will be no worker of this number: its own sockets, if it has some, are its alone from now on."""
        if number != self._first and number in self._sets:
            self._sets.pop(number).close()

    def describe(self) -> tuple[str, list[int]]:
        """What a successor needs: text for ``read_sockets``, and the descriptors that it must inherit."""
        numbers = {number: [sock.fileno() for sock in found.sockets] for number, found in self._sets.items()}
        return json.dumps(numbers), [fd for fds in numbers.values() for fd in fds]

    def leave_file(self) -> None:
        """A successor uses the same Unix socket: its file stays."""
        for found in self._sets.values():
            found.leave_file()

    def chown(self, uid: int, gid: int) -> None:
        """Give the Unix socket's file to the user that the process is going to be."""
        for found in self._sets.values():
            found.chown(uid, gid)

    def close(self) -> None:
        """Close this process's side. Connections in the queue stay there while a worker listens. Twice is harmless."""
        for found in self._sets.values():
            found.close()

    # ---- inside

    def _same_targets(self) -> list[Target]:
        """The addresses of the first set, with the port that the kernel chose."""
        bound = dict.fromkeys((sock.family, sock.getsockname()) for sock in self._sets[self._first].sockets)
        return [Target(family, address, False) for family, address in bound]

    def _adopt(self, inherited: dict[int, list[int]]) -> None:
        found: dict[int, list[socket.socket]] = {}
        for number, fds in inherited.items():
            if number > self._workers_count:
                # The old supervisor had more workers. Clients are in that queue, too: somebody has to take them.
                number = 1 + (number - 1) % self._workers_count
            for fd in fds:
                found.setdefault(number, []).append(listen.adopt(fd, self._settings.backlog))
                os.close(fd)
        for number, sockets in found.items():
            self._sets[number] = Listener(sockets, self._existing_file())
        if _SHARED in self._sets and self._settings.reuse_port:
            # They were bound for all: nobody else can bind beside them.
            self._settings = replace(self._settings, reuse_port=False)

    def _existing_file(self) -> SocketFile | None:
        path = self._settings.uds
        return SocketFile(path) if path is not None and os.path.lexists(path) else None


def read_sockets(text: str) -> dict[int, list[int]]:
    """Read what ``WorkerSockets.describe`` has made.

    Raises:
        StartupError: it is nothing of the kind.
    """
    try:
        found = json.loads(text)
        return {int(number): [int(fd) for fd in fds] for number, fds in found.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise StartupError(f"cannot take over sockets: {text!r} does not name any") from error
