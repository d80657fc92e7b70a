"""The fork server of ``--preload``: ``python -m addax.server.forking PLACE``.

It imports the application once and then forks a worker whenever the supervisor asks for one. It serves nobody, has no
event loop and no threads of its own, so that each fork begins clean; what the application's modules hold is shared with
all workers until one of them writes to it. A restart makes a new one.

It speaks with ``supervise.spawning.ForkSpawner``, one JSON object a line: ``fork`` (with descriptors) is answered by
``forked``; ``exited`` tells how a worker has ended, and only after ``reap`` its process id is free again; ``finish``
ends this process after its last worker.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

from addax.config.config import Config
from addax.config.process_title import set_title, title
from addax.core.errors import ConfigError, StartupError
from addax.core.link import Link
from addax.core.place import Place
from addax.server.boot import Boot, read_boot
from addax.server.worker import fail, ignore_terminal, serve

logger = logging.getLogger("addax.error")

_RECEIVE_BYTES = 65536
#: A link, a board, a table, and the sockets of a worker.
_FDS_MAX_COUNT = 250


def main(arguments: Sequence[str] | None = None) -> None:
    """Fork workers until there is nothing more to do; in each of them, serve.

    Raises:
        SystemExit: always; the code is a worker's in a worker.
    """
    place = Place.parse((sys.argv[1:] if arguments is None else arguments)[0])
    sock = socket.socket(fileno=place.link_fd)
    ignore_terminal()
    try:
        boot = read_boot(place.boot_fd)
        os.close(place.boot_fd)
        config = Config(boot.app, **boot.options)
        set_title(title("fork server", boot.app, config.process_title))
        config.load()
    except (ConfigError, StartupError) as error:
        link = Link(sock)
        sys.exit(fail(link, error))
    _warn_of_threads()
    # What is alive now lives as long as the process: the collector need not look at it again, and by looking at it
    # would make every worker a copy of its own.
    gc.collect()
    gc.freeze()
    worker_place = ForkServer(sock).run()
    if worker_place is not None:
        sys.exit(_serve(worker_place, boot, config))


def _serve(place: Place, boot: Boot, config: Config) -> int:
    return serve(place, Link(socket.socket(fileno=place.link_fd)), boot, config)


def _warn_of_threads() -> None:
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        logger.warning(
            "--preload: the application has started threads while it was imported (%s); workers will not have them.",
            ", ".join(others),
        )


class ForkServer:
    """Forks when it is asked to.

    Args:
        sock: to the supervisor.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._rest = b""
        self._fds: list[int] = []
        #: Workers, and whether their end was reported.
        self._workers: dict[int, bool] = {}
        self._is_finishing = False
        self._child_ended, self._wake = os.pipe()

    def run(self) -> Place | None:
        """Work until there is nothing more to do.

        Returns:
            In a fork, the place of the worker that it is to be; None: there is nothing more to do.
        """
        os.set_blocking(self._wake, False)
        os.set_blocking(self._child_ended, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._tell({"kind": "loaded"})
        while not (self._is_finishing and not self._workers):
            readable, _, _ = select.select([self._sock.fileno(), self._child_ended], [], [])
            if self._child_ended in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._child_ended, _RECEIVE_BYTES)
                self._report_ends()
            if self._sock.fileno() in readable:
                for message in self._receive():
                    place = self._take(message)
                    if place is not None:
                        return place
        return None

    def _receive(self) -> list[dict[str, Any]]:
        data, fds, _, _ = socket.recv_fds(self._sock, _RECEIVE_BYTES, _FDS_MAX_COUNT)
        if not data:
            # The supervisor is gone; the workers see that by themselves.
            sys.exit(0)
        self._fds += fds
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._sock.sendall(json.dumps(message).encode() + b"\n")

    def _take(self, message: dict[str, Any]) -> Place | None:
        kind = message["kind"]
        if kind == "fork":
            return self._fork(Place.parse(message["place"]))
        if kind == "reap":
            pid = message["pid"]
            if self._workers.pop(pid, None) is not None and hasattr(os, "waitid"):
                os.waitpid(pid, 0)
        elif kind == "finish":
            self._is_finishing = True
        return None

    def _fork(self, place: Place) -> Place | None:
        (link_fd, board_fd, *others), self._fds = self._fds, []
        # As ``supervise.spawning`` has sent them.
        table_fd = others.pop(0) if place.table_fd >= 0 else -1
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._child_ended)
            os.close(self._wake)
            self._sock.close()
            return dataclasses.replace(
                place, link_fd=link_fd, board_fd=board_fd, table_fd=table_fd, socket_fds=tuple(others)
            )
        for fd in (link_fd, board_fd, table_fd, *others):
            if fd >= 0:
                os.close(fd)
        self._workers[pid] = False
        self._tell({"kind": "forked", "pid": pid})
        return None

    def _report_ends(self) -> None:
        for pid, is_reported in list(self._workers.items()):
            code = None if is_reported else _return_code(pid)
            if code is not None:
                self._workers[pid] = True
                self._tell({"kind": "exited", "pid": pid, "code": code})


def _return_code(pid: int) -> int | None:
    """How a child has ended, as in ``subprocess``; None: it has not."""
    if not hasattr(os, "waitid"):
        # Where the end cannot be seen without being taken (macOS before Python 3.13) the process id is free at once.
        found, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if found else None
    info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if info is None:
        return None
    return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status


if __name__ == "__main__":
    main()
