"""Stands in for systemd: a notify socket that hears the main process alone, as ``NotifyAccess=main`` does."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from harness import PATIENCE_S
from processes import look_at

_CREDENTIALS = struct.Struct("3i")


class Word(NamedTuple):
    """One message that was heard."""

    pid: int
    fields: dict[str, str]
    at: float

    def __contains__(self, text: object) -> bool:
        name, _, value = str(text).partition("=")
        return self.fields.get(name) == value


class ServiceManager:
    """Hears messages in a thread of its own.

    Args:
        folder: for the socket.

    Attributes:
        main_pid: of the service; None: whoever speaks first.
        words: what it has said.
        refused: messages of others.
        is_alien: whether the main process was another one's child when it was named: systemd does not wait for those.
    """

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self.main_pid: int | None = None
        self.words: list[Word] = []
        self.refused: list[Word] = []
        self.is_alien = False
        self._news = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(self.path)
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> ServiceManager:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", self.path)
        self._thread.join()
        self._socket.close()

    def environment(self, watchdog_s: float | None = None) -> dict[str, str]:
        """The variables of a service; without WATCHDOG_PID, which is known when the process is there."""
        usec = {} if watchdog_s is None else {"WATCHDOG_USEC": str(round(watchdog_s * 1e6))}
        return {"NOTIFY_SOCKET": self.path, **usec}

    # ---- what was said

    def wait_for(self, *texts: str, count: int = 1, patience_s: float = PATIENCE_S) -> Word:
        """Wait for the ``count``-th message with all of these lines."""
        return self.wait_until(lambda word: all(text in word for text in texts), count, patience_s, str(texts))

    def wait_until(
        self, holds: Callable[[Word], bool], count: int = 1, patience_s: float = PATIENCE_S, what: str = "it"
    ) -> Word:
        """Wait for the ``count``-th message of which something holds."""

        def found() -> list[Word]:
            return [word for word in self.words if holds(word)]

        with self._news:
            is_there = self._news.wait_for(lambda: len(found()) >= count, patience_s)
            assert is_there, f"no {what} in:\n" + "\n".join(map(str, self.words))
            return found()[count - 1]

    def sequence(self) -> list[str]:
        """What changed the state of the service, in order."""
        states = ("READY", "RELOADING", "STOPPING", "MAINPID")
        return [name for word in list(self.words) for name in states if name in word.fields]

    def count(self, text: str) -> int:
        """How many messages have this line."""
        return sum(text in word for word in list(self.words))

    # ---- inside

    def _listen(self) -> None:
        while True:
            data, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
            pid = _CREDENTIALS.unpack(ancillary[0][2])[0]
            if not data and pid == os.getpid():
                return
            fields = dict(line.split("=", 1) for line in data.decode().split("\n"))
            with self._news:
                self._take(Word(pid, fields, time.monotonic()))
                self._news.notify_all()

    def _take(self, word: Word) -> None:
        if self.main_pid is None:
            self.main_pid = word.pid
        if word.pid != self.main_pid:
            self.refused.append(word)
            return
        self.words.append(word)
        if "MAINPID" in word.fields:
            self.main_pid = int(word.fields["MAINPID"])
            named = look_at(self.main_pid)
            self.is_alien = named is None or named.parent != os.getpid()
