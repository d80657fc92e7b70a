"""How a thread sleeps that has to notice when a socket's other side is gone. Used by ``watchdog``."""

from __future__ import annotations

import math
import os
import select
import socket

#: The longest sleep in one piece, in seconds; a system's calls have bounds of their own.
_PIECE_MAX_S = 3600.0


class Sleeper:
    """Sleeps until a time has come, another thread wakes it, or a socket hangs up.

    Args:
        hang_up_fd: the socket; nothing is read from it. None: only the other two.
    """

    def __init__(self, hang_up_fd: int | None = None) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._poll: select.poll | None = None
        self._hang_up_fd = -1
        # Windows has none; nothing there has a socket to watch.
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(self._reader, select.POLLIN)
            if hang_up_fd is not None:
                # Ours, so that it never becomes the number of somebody else's socket.
                self._hang_up_fd = os.dup(hang_up_fd)
                # A hang-up is told without being asked for, and what can be read is another one's business.
                self._poll.register(self._hang_up_fd, 0)

    def sleep(self, seconds: float) -> bool:
        """Sleep.

        Args:
            seconds: at the most; infinite is allowed, and what is negative is no time at all.

        Returns:
            Whether the socket has hung up; that is told once.
        """
        seconds = min(max(0.0, seconds), _PIECE_MAX_S)
        if self._poll is None:
            select.select([self._reader], [], [], seconds)
            ready = []
        else:
            # Rounded up: who wakes up too early finds nothing to do, and tries to sleep again.
            ready = [fd for fd, _ in self._poll.poll(math.ceil(seconds * 1000))]
        self._take_calls()
        if self._hang_up_fd >= 0 and self._hang_up_fd in ready:
            self._forget()
            return True
        return False

    def wake(self) -> None:
        """End the sleep, or the next one. May be called by any thread, and after ``close``."""
        try:
            self._writer.send(b"\0")
        except OSError:
            # It is closed, or many calls wait already.
            pass

    def close(self) -> None:
        """Let go of everything; nobody sleeps here any more."""
        if self._hang_up_fd >= 0:
            self._forget()
        self._reader.close()
        self._writer.close()

    def _take_calls(self) -> None:
        try:
            self._reader.recv(4096)
        except OSError:
            # There was none.
            pass

    def _forget(self) -> None:
        if self._poll is not None:
            self._poll.unregister(self._hang_up_fd)
        os.close(self._hang_up_fd)
        self._hang_up_fd = -1
