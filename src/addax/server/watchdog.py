"""A thread that says what holds the event loop when it does not tick, and ends a process whose parent is gone.

The loop's sign of life is on the worker's board (``heartbeat``). The thread sleeps until that could be too old, so as
long as the loop ticks it wakes up once in ``warn_after_s``, and not at all for each beat. What it has to say is said
once for each stall.
"""

from __future__ import annotations

import asyncio
import contextvars
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from addax.asgi.diagnosis import find_request
from addax.asgi.state import ServerState
from addax.core import clock
from addax.core.board import DUMPED, Board
from addax.core.clock import NEVER
from addax.observe.escape import escape_text
from addax.server import stacks
from addax.server.sleeper import Sleeper

logger = logging.getLogger("addax.error")

#: How much too late this thread may wake up, in seconds, before it takes the whole process to have been stopped.
LATE_MAX_S = 1.0
#: How long to wait for a line to be written, in seconds. The stuck thread may hold the log's lock, or be writing a line
#: that nobody reads.
LOG_PATIENCE_S = 1.0
#: The exit code of a process that outlives its parent and does not end by itself: EX_SOFTWARE.
ORPHAN_EXIT_CODE = 70


class Watchdog:
    """Watches one event loop.

    Args:
        loop: the loop.
        state: of the worker: which requests are in progress.
        board: where the loop's heartbeat is.
        warn_after_s: without a beat: one line says what holds the loop. None: never.
        dump_after_s: without a beat: the stacks of all threads are written, and the board says so. None: never.
        orphan_fd: a socket that hangs up when the parent process is gone, however that came about. None: nobody's.
        on_orphaned: called then, once, by this thread.
        orphan_kill_after_s: when the process is ended that is still there, counted from that moment. None: it is not.
        now: the clock of the heartbeat.
        cpu_time: the processor's time that this process has used, in seconds.
        end_process: ends it at once with an exit code.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        state: ServerState,
        board: Board,
        *,
        warn_after_s: float | None,
        dump_after_s: float | None,
        orphan_fd: int | None = None,
        on_orphaned: Callable[[], None] = lambda: None,
        orphan_kill_after_s: float | None = None,
        now: Callable[[], float] = clock.now,
        cpu_time: Callable[[], float] = time.process_time,
        end_process: Callable[[int], object] = os._exit,
    ) -> None:
        self._loop = loop
        self._state = state
        self._board = board
        self._warn_after_s = warn_after_s
        self._dump_after_s = dump_after_s
        self._orphan_fd = orphan_fd
        self._on_orphaned = on_orphaned
        self._orphan_kill_after_s = orphan_kill_after_s
        self._now = now
        self._cpu_time = cpu_time
        self._end_process = end_process

        self._thread: threading.Thread | None = None
        self._sleeper: Sleeper | None = None
        self._is_stopping = False
        self._loop_thread_id = threading.get_ident()
        #: When this thread has looked last, the processor's time then, and when it wanted to look again.
        self._looked_at = 0.0
        self._cpu_s = 0.0
        self._due_at = NEVER
        #: From when on silence counts.
        self._trusted_from = 0.0
        #: Since when the loop has been blocked; None: it is not, as far as anybody knows.
        self._blocked_since: float | None = None
        #: The heartbeat of that time.
        self._last_beat_at = 0.0
        self._has_warned = False
        self._has_dumped = False
        #: When the loop went on, as it says itself.
        self._ticked_at: float | None = None
        self._kill_at = NEVER

    # ---- the thread

    def start(self) -> None:
        """Watch from now on. Called in the loop's thread, after the first heartbeat."""
        if self._warn_after_s is None and self._dump_after_s is None and self._orphan_fd is None:
            return
        self.begin(self._now())
        self._is_stopping = False
        self._sleeper = Sleeper(self._orphan_fd)
        self._thread = threading.Thread(target=self._run, args=(self._sleeper,), name="addax watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; the thread has ended when this returns."""
        thread, sleeper, self._thread = self._thread, self._sleeper, None
        if thread is None or sleeper is None:
            return
        self._is_stopping = True
        sleeper.wake()
        thread.join()
        sleeper.close()

    def _run(self, sleeper: Sleeper) -> None:
        while not self._is_stopping:
            now = self._now()
            if sleeper.sleep(self.step(now) - now):
                self.orphaned(self._now())

    # ---- what it does when it wakes up

    def begin(self, now: float) -> None:
        """Before the first step, in the loop's thread."""
        self._loop_thread_id = threading.get_ident()
        self._trusted_from = now
        self._plan(now, NEVER)

    def step(self, now: float) -> float:
        """Look at everything once.

        Returns:
            When to look again, if nothing happens before; perhaps never.
        """
        self._notice_absence(now)
        if self._blocked_since is not None:
            self._look_whether_it_ticks(self._blocked_since)
        due_at = self._look_at_loop(now)
        if now >= self._kill_at:
            self._kill()
        return self._plan(now, min(due_at, self._kill_at))

    def orphaned(self, now: float) -> None:
        """The parent process is gone."""
        if self._orphan_kill_after_s is not None:
            self._kill_at = now + self._orphan_kill_after_s
        self._on_orphaned()

    def _plan(self, now: float, due_at: float) -> float:
        self._looked_at, self._due_at, self._cpu_s = now, due_at, self._cpu_time()
        return due_at

    def _notice_absence(self, now: float) -> None:
        """See whether this process was stopped, or the machine slept: the loop could not tick then either.

        Another reason to wake up late is code that holds the interpreter's lock; that one needs the processor.
        """
        late_s = now - self._due_at
        if late_s > LATE_MAX_S and self._cpu_time() - self._cpu_s < late_s / 2:
            self._trusted_from = now
            self._kill_at += now - self._looked_at

    def _look_at_loop(self, now: float) -> float:
        """See how long the loop has been silent, and say so; returns when there could be more to say."""
        heard_at = max(self._board.heartbeat_at, self._trusted_from)
        due_at = NEVER
        for after_s, is_done, tell in (
            (self._warn_after_s, self._has_warned, self._warn),
            (self._dump_after_s, self._has_dumped, self._dump),
        ):
            if after_s is None or is_done:
                continue
            if now - heard_at < after_s:
                due_at = min(due_at, heard_at + after_s)
            elif not self._loop.is_running() or stacks.is_debugged(stacks.frame_of(self._loop_thread_id)):
                # It has ended, or somebody looks at it already.
                self._trusted_from = now
                due_at = min(due_at, now + after_s)
            else:
                self._note_stall(heard_at)
                tell(now - heard_at)
        return due_at

    # ---- a stall, from its beginning to its end

    def _note_stall(self, heard_at: float) -> None:
        if self._blocked_since is not None:
            return
        self._blocked_since = heard_at
        self._last_beat_at = self._board.heartbeat_at
        self._ticked_at = None
        try:
            # The loop says itself when it goes on, so nobody has to look for that all the time.
            self._loop.call_soon_threadsafe(self._ticked, context=contextvars.Context())
        except RuntimeError:
            # It is closed.
            pass

    def _ticked(self) -> None:
        """Called by the loop, as the first thing that it does."""
        self._ticked_at = self._now()
        if self._sleeper is not None:
            self._sleeper.wake()

    def _look_whether_it_ticks(self, blocked_since: float) -> None:
        beat_at, ticked_at = self._board.heartbeat_at, self._ticked_at
        if ticked_at is None:
            if beat_at == self._last_beat_at:
                return
            ticked_at = beat_at
        self._blocked_since = None
        # Its next beat comes soon, but it is not the first thing that it does.
        self._trusted_from = max(self._trusted_from, ticked_at)
        if self._has_dumped:
            self._board.set_flag(DUMPED, False)
        self._has_warned = self._has_dumped = False
        self._say(logging.INFO, "Event loop goes on; it was blocked for %.1f s.", ticked_at - blocked_since)

    def _warn(self, silent_s: float) -> None:
        self._has_warned = True
        place = _or_nothing(lambda: stacks.blocking_place(stacks.frame_of(self._loop_thread_id)))
        work = _or_nothing(self._describe_work)
        text = f"Event loop blocked for {silent_s:.1f} s"
        self._say(logging.WARNING, "%s", text + (f" at {place}" if place else "") + (f" ({work})" if work else ""))

    def _dump(self, silent_s: float) -> None:
        self._has_dumped = True
        threads = _or_nothing(lambda: stacks.describe_threads(self._loop_thread_id))
        tasks = _or_nothing(lambda: stacks.describe_tasks(self._loop, self._describe_request))
        text = f"Event loop blocked for {silent_s:.1f} s. What all threads and tasks do:\n{threads}{tasks}".rstrip()
        if self._say(logging.ERROR, "%s", text) or _do_in_time(_dump_to_stderr):
            self._board.set_flag(DUMPED)

    def _kill(self) -> None:
        self._kill_at = NEVER
        after_s = self._orphan_kill_after_s
        self._say(logging.ERROR, "The parent process is gone, and this one did not end within %g s: killed.", after_s)
        self._end_process(ORPHAN_EXIT_CODE)

    # ---- in words

    def _describe_work(self) -> str:
        task = asyncio.current_task(self._loop)
        if task is None:
            return ""
        request = self._describe_request(task)
        # The coroutine of a request is the server's.
        return f"{escape_text(f'task {task.get_name()}')}, {request}" if request else stacks.describe_task(task)

    def _describe_request(self, task: asyncio.Task[Any]) -> str:
        def describe() -> str:
            request = find_request(task, self._state)
            return "" if request is None else stacks.describe_request(request, self._now())

        return _or_nothing(describe)

    def _say(self, level: int, text: str, *arguments: object) -> bool:
        """Log something; returns whether that has worked."""
        return _do_in_time(lambda: logger.log(level, text, *arguments))


def _or_nothing(describe: Callable[[], str]) -> str:
    """What is described belongs to a thread that may go on meanwhile, and to an application: some of it can fail."""
    try:
        return describe()
    except Exception:
        return ""


def _do_in_time(act: Callable[[], object]) -> bool:
    """Do something that may block for ever.

    Returns:
        Whether it was done within ``LOG_PATIENCE_S``, without an error.
    """
    is_done = False

    def run() -> None:
        nonlocal is_done
        try:
            act()
        except Exception:
            return
        is_done = True

    thread = threading.Thread(target=run, name="addax watchdog's writer", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # There can be no more threads.
        return False
    thread.join(LOG_PATIENCE_S)
    return is_done


def _dump_to_stderr() -> None:
    # The real one: what stands in its place may be what has failed.
    if sys.__stderr__ is None:
        raise OSError("there is no standard error")
    faulthandler.dump_traceback(sys.__stderr__)
