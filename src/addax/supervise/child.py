"""One worker process, as its supervisor sees it: what it says, how it is told to end, and whether it is alive.

``supervisor`` and ``reloader`` make these and are told what happens; this module decides nothing about others.
Every wait has a deadline of its own, a timer in the supervisor's loop; none keeps another one waiting.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from addax.core import link as words
from addax.core.board import Board, Counters, ServedRequest, create_board
from addax.core.link import Link, Message
from addax.core.place import Place
from addax.core.settings import WorkerSettings
from addax.supervise.spawning import Process, Spawner

logger = logging.getLogger("addax.error")

#: How long a worker whose loop is blocked may take to follow a request to end, and then to show its stacks, in seconds.
ASK_S = 1.0
DUMP_S = 0.5
#: Beyond the bounds of a graceful stop, how long the end of a process may take, in seconds.
_JOIN_MARGIN_S = 3.0
#: How long a worker in a hurry may take: a second for what is in progress, one for its cancellation, and the
#: application's shutdown.
HURRY_S = 5.0
#: If the supervisor itself looks later than this, in seconds, the machine slept or was overloaded: nobody is judged
#: then.
_OWN_DELAY_MAX_S = 1.0


class Phase(enum.Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    #: It has imported the application.
    LOADED = "loaded"
    #: It accepts connections.
    READY = "ready"
    #: It was told to end, or said that it does.
    LEAVING = "leaving"
    #: The process is gone.
    GONE = "gone"


@dataclass(frozen=True)
class Bounds:
    """How long a worker may take, in seconds; None: for ever.

    Attributes:
        startup_s: until it accepts connections.
        health_s: its event loop between two signs of life; None: not looked at.
        join_s: from the request to end to the end.
    """

    startup_s: float | None
    health_s: float | None
    join_s: float | None

    @classmethod
    def of_stop(cls, startup_s: float | None, health_s: float | None, worker: WorkerSettings) -> Bounds:
        """Make the bound of an end from those of its parts."""
        graceful_s, shutdown_s = worker.graceful_timeout_s, worker.lifespan_shutdown_timeout_s
        join_s = None
        if graceful_s is not None and shutdown_s is not None:
            join_s = worker.shutdown_delay_s + graceful_s + shutdown_s + _JOIN_MARGIN_S
        return cls(startup_s, health_s, join_s)


class Observer:
    """Is told what happens to a child, in the supervisor's loop. All do nothing here."""

    def child_loaded(self, child: Child) -> None:
        """It has imported the application."""

    def child_ready(self, child: Child) -> None:
        """It accepts connections."""

    def child_retires(self, child: Child, reason: str) -> None:
        """It wants to be replaced, and serves until then."""

    def child_leaves(self, child: Child, reason: str) -> None:
        """Somebody else has asked it to end; it waits to be told to."""

    def child_stalled(self, child: Child, silence_s: float) -> None:
        """Its event loop has given no sign of life for too long."""

    def child_gone(self, child: Child) -> None:
        """The process has ended; ``child.code`` says how."""


class Child:
    """A worker process.

    Args:
        number: of the worker.
        generation: of the worker.
        bounds: of its life.
        observer: is told what happens.

    Attributes:
        phase: where it is.
        code: its return code, when it is gone.
        failure: why it could not start, if it said so.
        is_killed: whether the supervisor has killed it.
        was_asked: whether it was told to end.
        ready_at: when it was ready, ``time.monotonic``; None: it was not.
    """

    def __init__(self, number: int, generation: int, bounds: Bounds, observer: Observer) -> None:
        self.number = number
        self.generation = generation
        self.phase = Phase.STARTING
        self.code: int | None = None
        self.failure: str | None = None
        self.is_killed = False
        self.was_asked = False
        self.ready_at: float | None = None
        #: What it was doing when it ended.
        self.last_requests: list[ServedRequest] = []
        self._last_counters = Counters()
        self._bounds = bounds
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._process: Process | None = None
        self._board: Board | None = None
        self._link: Link | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        #: Its last sign of life when it was asked to end because there were no more.
        self._last_beat_at = 0.0

    # ---- start

    async def start(
        self,
        spawner: Spawner,
        boot_fd: int,
        sockets: Sequence[socket.socket],
        socket_counts: tuple[int, ...] = (),
        table_fd: int = -1,
    ) -> None:
        """Make the process.

        Args:
            spawner: makes it.
            boot_fd: what it begins with.
            sockets: what it accepts from.
            socket_counts: how many of them each bind has.
            table_fd: the table of who has how many connections; -1: the sockets are its alone.

        Raises:
            OSError: it cannot be made.
        """
        ours, theirs = socket.socketpair()
        board_fd = create_board()
        try:
            fds = tuple(sock.fileno() for sock in sockets)
            is_checked = self._bounds.health_s is not None
            place = Place(
                self.number,
                self.generation,
                boot_fd,
                theirs.fileno(),
                board_fd,
                table_fd,
                fds,
                is_checked,
                socket_counts,
            )
            self._process = await spawner.spawn(place)
            self._board = Board(board_fd)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(board_fd)
        self._link = Link(ours)
        self._loop.add_reader(ours.fileno(), self._listen)
        self._process.exited.add_done_callback(self._exited)
        if self._bounds.startup_s is not None:
            self._set_timer("startup", self._bounds.startup_s, self._start_too_slow)

    @property
    def pid(self) -> int:
        """The process id; 0 before there is one."""
        return 0 if self._process is None else self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self.phase is not Phase.GONE

    @property
    def is_serving(self) -> bool:
        """Whether it accepts connections and nobody has told it to end."""
        return self.phase is Phase.READY

    @property
    def is_healthy(self) -> bool:
        """Whether it is serving, and its event loop has given a sign of life lately, if anybody looks for one."""
        if not self.is_serving or self._board is None:
            return False
        bound_s = self._bounds.health_s
        return bound_s is None or time.monotonic() - self._board.heartbeat_at < bound_s

    @property
    def age_s(self) -> float:
        """How long ago it became ready; 0: it never was."""
        return 0.0 if self.ready_at is None else time.monotonic() - self.ready_at

    @property
    def board(self) -> Board | None:
        """Its heartbeat, its counters and its requests."""
        return self._board

    @property
    def counters(self) -> Counters:
        """What it counts, as of its last heartbeat."""
        return self._last_counters if self._board is None else self._board.counters()

    # ---- end

    def stop(self, is_handover: bool, rest_s: float | None = None) -> None:
        """Ask it to end gracefully; it is killed if that takes longer than it may.

        Args:
            is_handover: others go on accepting from the same sockets.
            rest_s: how long an idle connection must have been idle before it is closed, in seconds; None: as the
                worker finds right.
        """
        if self.phase in (Phase.LEAVING, Phase.GONE):
            return
        self.was_asked = True
        was_loaded = self.phase is not Phase.STARTING
        self.phase = Phase.LEAVING
        self._drop_timer("startup")
        self._drop_timer("health")
        if not was_loaded:
            # It is busy with the import, and serves nobody.
            self._signal(signal.SIGTERM)
        self._say(words.STOP, handover=is_handover, rest_s=rest_s)
        if self._bounds.join_s is not None:
            self._set_timer("join", self._bounds.join_s, self._end_too_slow)

    def hurry(self, bound_s: float = HURRY_S) -> None:
        """Ask it to end soon; it is killed if it has not after ``bound_s``, in seconds."""
        self.stop(False)
        if self.phase is not Phase.GONE:
            self._say(words.HURRY)
            self._set_timer("join", bound_s, self._end_too_slow)

    def kill(self) -> None:
        """End it at once."""
        if self.phase is not Phase.GONE:
            self.is_killed = True
            self._signal(signal.SIGKILL)

    def reopen_logs(self) -> None:
        """Ask it to open its log files anew."""
        self._say(words.REOPEN)

    # ---- what it says

    def _say(self, kind: str, **fields: object) -> None:
        if self._link is not None:
            self._link.send(kind, **fields)

    def _listen(self) -> None:
        assert self._link is not None
        messages, is_over = self._link.receive()
        for message in messages:
            self._take(message)
        if is_over:
            # Its exit follows; or, where it does not, its deadlines.
            self._loop.remove_reader(self._link.fileno())

    def _take(self, message: Message) -> None:
        kind, reason = message["kind"], str(message.get("reason", ""))
        if kind == words.LOADED and self.phase is Phase.STARTING:
            self.phase = Phase.LOADED
            self._observer.child_loaded(self)
        elif kind == words.READY and self.phase in (Phase.STARTING, Phase.LOADED):
            self._ready()
        elif kind == words.RETIRE and self.phase is Phase.READY:
            self._observer.child_retires(self, reason)
        elif kind == words.LEAVING and self.phase is not Phase.LEAVING:
            self._observer.child_leaves(self, reason)
        elif kind == words.FAILED:
            self.failure = reason

    def _ready(self) -> None:
        self.phase = Phase.READY
        self.ready_at = time.monotonic()
        self._drop_timer("startup")
        if self._bounds.health_s is not None:
            self._set_timer("health", self._bounds.health_s, self._look_at_heart)
        self._observer.child_ready(self)

    def _exited(self, exited: asyncio.Future[int]) -> None:
        assert self._link is not None
        assert self._board is not None
        # What it said last comes before the news of its end.
        self._listen_once_more()
        self.phase = Phase.GONE
        self.code = exited.result()
        for name in list(self._timers):
            self._drop_timer(name)
        self.last_requests = self._board.requests(time.monotonic())
        self._last_counters = self._board.counters()
        self._board.close()
        self._board = None
        self._observer.child_gone(self)

    def _listen_once_more(self) -> None:
        assert self._link is not None
        messages, _ = self._link.receive()
        for message in messages:
            if message["kind"] == words.FAILED:
                self._take(message)
        self._loop.remove_reader(self._link.fileno())
        self._link.close()

    # ---- deadlines

    def _set_timer(self, name: str, delay_s: float, callback: Callable[[float], None]) -> None:
        self._drop_timer(name)
        when = self._loop.time() + delay_s
        self._timers[name] = self._loop.call_at(when, callback, when)

    def _drop_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _start_too_slow(self, _: float) -> None:
        self.failure = f"was not ready within {self._bounds.startup_s:g} seconds (--timeout-worker-startup)"
        logger.error("Child process [%d] %s; it shows where it is, and is killed.", self.pid, self.failure)
        self._show_and_kill()

    def _end_too_slow(self, _: float) -> None:
        logger.error("Child process [%d] did not end in time; it is killed.", self.pid)
        self.kill()

    def _look_at_heart(self, due: float) -> None:
        assert self._board is not None
        assert self._bounds.health_s is not None
        bound_s, late_s = self._bounds.health_s, self._loop.time() - due
        silence_s = time.monotonic() - self._board.heartbeat_at
        if late_s > _OWN_DELAY_MAX_S:
            self._set_timer("health", bound_s, self._look_at_heart)
        elif silence_s < bound_s:
            self._set_timer("health", bound_s - silence_s, self._look_at_heart)
        else:
            self.stop(True)
            self._last_beat_at = self._board.heartbeat_at
            self._set_timer("ask", ASK_S, self._asked_in_vain)
            self._observer.child_stalled(self, silence_s)

    def _asked_in_vain(self, _: float) -> None:
        assert self._board is not None
        if self._board.heartbeat_at > self._last_beat_at:
            return  # The loop goes on: it ends as every other one.
        logger.error("Child process [%d] does not react; it is killed.", self.pid)
        if self._board.is_dumped:
            self.kill()
        else:
            # Its own watchdog could not, because something holds the interpreter's lock.
            self._show_and_kill()

    def _show_and_kill(self) -> None:
        self.is_killed = True
        # ``faulthandler`` writes the stacks without the interpreter's help, and the process ends by the signal.
        self._signal(signal.SIGABRT)
        self._set_timer("kill", DUMP_S, lambda _: self.kill())
