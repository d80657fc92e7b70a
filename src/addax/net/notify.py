"""What a service manager such as systemd is told: ready, reloading, stopping, status, and that it is still alive.

The protocol of ``sd_notify(3)``: one datagram of ``NAME=value`` lines to the socket that ``$NOTIFY_SOCKET`` names.
``addax._run`` makes a ``Notifier`` for a process that serves alone, ``supervise.running`` one for a supervisor. When
something is said is known by ``commentary``.

The variables are taken out of the environment as they are read. What the process starts has nothing to say in its name:
systemd hears the main process alone (``NotifyAccess=main``), and a worker that beats the watchdog would defeat it. The
successor of a supervisor is the exception: it gets them from ``Notifier.successor_variables``. It is silent until its
predecessor has named it as the main process; from then on the predecessor is silent.

Nothing here raises, or waits before the end: whether anybody listens makes no difference to serving.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import MutableMapping

logger = logging.getLogger("addax.error")

SOCKET_VARIABLE = "NOTIFY_SOCKET"
WATCHDOG_VARIABLE, WATCHDOG_PID_VARIABLE = "WATCHDOG_USEC", "WATCHDOG_PID"
_USEC_PER_S = 1_000_000
#: Messages that wait while the manager's queue is full; it is read again soon, or never.
_UNSENT_MAX_COUNT = 32
#: How long the last of them may wait, in seconds.
_CLOSE_S = 1.0


class Notifier:
    """Speaks to the service manager; without one it does nothing.

    Args:
        address: of its socket: a path, or ``@`` and a name in the abstract namespace; None: there is none.
        watchdog_s: how long it may hear no beat before it takes the service for dead, in seconds; None: for ever.

    Attributes:
        is_main: whether this is the main process of the service. While it is not, nothing is sent: systemd would only
            log that it does not listen.
        watchdog_interval_s: how often ``watchdog`` is to be called, in seconds; None: nobody waits for it.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self.is_main = True
        self._address = _plain_address(address)
        self._variables: dict[str, str] = {}
        self._socket: socket.socket | None = None
        self._unsent: deque[bytes] = deque(maxlen=_UNSENT_MAX_COUNT)
        if self._address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._variables[SOCKET_VARIABLE] = str(address)
            if watchdog_s is not None:
                self._variables[WATCHDOG_VARIABLE] = str(round(watchdog_s * _USEC_PER_S))
        # Half of it, as sd_watchdog_enabled(3) recommends: one beat may be late.
        self.watchdog_interval_s = None if watchdog_s is None or self._socket is None else watchdog_s / 2

    @classmethod
    def take(cls, environment: MutableMapping[str, str] | None = None) -> Notifier:
        """Make one of what the environment says, and remove it from there.

        Args:
            environment: None: that of this process.
        """
        variables = os.environ if environment is None else environment
        names = (SOCKET_VARIABLE, WATCHDOG_VARIABLE, WATCHDOG_PID_VARIABLE)
        address, usec, pid = (variables.pop(name, None) for name in names)
        return cls(address or None, _watchdog_s(usec, pid))

    @property
    def has_listener(self) -> bool:
        """Whether there is a service manager."""
        return self._socket is not None

    def successor_variables(self) -> dict[str, str]:
        """What the environment of a process needs that is going to be the main process; without this one's id."""
        return dict(self._variables)

    # ---- what is said

    def ready(self, status: str = "") -> None:
        """The service serves: after its start, or again after ``reloading``.

        Args:
            status: for people.
        """
        self._send("READY=1", _status(status))

    def reloading(self, status: str = "") -> None:
        """A reload begins; ``ready`` ends it. ``Type=notify-reload`` tells by the time which reload is meant."""
        # CLOCK_MONOTONIC, as systemd has it; it belongs into the same message.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", _status(status))

    def stopping(self, status: str = "") -> None:
        """The service begins to end."""
        self._send("STOPPING=1", _status(status))

    def status(self, status: str) -> None:
        """What the service does, in one line, for people."""
        self._send(_status(status))

    def mainpid(self, pid: int) -> None:
        """Another process is the main one from now on; it has the word, and this one says nothing more."""
        self._send(f"MAINPID={pid}")
        self.is_main = False

    def watchdog(self) -> None:
        """The service is alive."""
        # Not kept: one that comes late would say what is not known.
        self._send("WATCHDOG=1", is_kept=False)

    def extend_timeout(self, seconds: float) -> None:
        """Ask for more time in a start, a reload or a stop that goes on.

        Args:
            seconds: from now; until then it is asked again, or done.
        """
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * _USEC_PER_S)}", is_kept=False)

    def close(self) -> None:
        """Give the socket back; nothing is sent any more. Waits, a second at the most, while the queue is full."""
        if self._socket is not None:
            self._socket.settimeout(_CLOSE_S)
            self._flush(self._socket)
            self._socket.close()
            self._socket = None

    # ---- inside

    def _send(self, *lines: str, is_kept: bool = True) -> None:
        if self._socket is None or not self.is_main:
            return
        self._unsent.append("\n".join(line for line in lines if line).encode("utf-8", "replace"))
        self._flush(self._socket)
        if not is_kept and self._unsent:
            self._unsent.pop()

    def _flush(self, sock: socket.socket) -> None:
        assert self._address is not None
        while self._unsent:
            try:
                sock.sendto(self._unsent[0], self._address)
            except (BlockingIOError, TimeoutError):
                return  # its queue is full
            except OSError as error:
                logger.debug("The service manager cannot be told: %s", error)
            self._unsent.popleft()


def _status(text: str) -> str:
    # A line is a field: what follows a line break would be read as another one.
    return f"STATUS={' '.join(text.split())}" if text else ""


def _plain_address(address: str | None) -> str | None:
    """The address as ``sendto`` takes it; None for none, and for a kind that this machine or this module lacks."""
    if address is None or not hasattr(socket, "AF_UNIX"):
        return None
    if address.startswith("@"):
        return "\0" + address[1:]
    if address.startswith("/"):
        return address
    logger.warning("%s=%s is neither a path nor an abstract socket: nobody is told.", SOCKET_VARIABLE, address)
    return None


def _watchdog_s(usec: str | None, pid: str | None) -> float | None:
    """How long the manager waits for a beat; None if it does not, or not for one of this process."""
    if usec is None or not usec.isdecimal() or int(usec) == 0:
        return None
    return int(usec) / _USEC_PER_S if pid is None or pid == str(os.getpid()) else None
