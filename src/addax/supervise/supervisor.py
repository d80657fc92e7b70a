"""Keep a number of workers serving: start, replace, count up and down, stop. ``addax._run`` makes one and runs it.

It never imports the application and serves nobody: whatever is wrong there, this process goes on. All news (signals,
exits, words of workers, deadlines) change what is wanted or what is there; ``_reconcile`` then does what brings the two
together. It looks at the state alone and never waits, so a worker that hangs delays nobody but itself.

One worker is replaced at a time, and the replacement is ready before the old one is told to end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from addax.core.errors import StartupError
from addax.core.load_table import LoadTable, create_table
from addax.core.settings import Settings
from addax.supervise.backoff import STABLE_S, Backoff
from addax.supervise.child import Bounds, Child, Observer, Phase
from addax.supervise.forensics import OomWatch
from addax.supervise.obituary import describe_end
from addax.supervise.slot import Restart, Slot
from addax.supervise.sockets import WorkerSockets
from addax.supervise.spawning import Spawner
from addax.supervise.witness import Witness

logger = logging.getLogger("addax.error")

#: How long the next replacement waits for the worker before it to be gone, in seconds; then the two overlap.
DRAIN_WAIT_S = 10.0
#: How long a worker that was signalled waits for the answer whether it is the only one, in seconds.
LEAVE_WAIT_S = 0.1
#: How long a replacement that could not start, for other reasons than a restart, is not tried again, in seconds.
RETRY_S = 10.0
#: The exit codes of a server that could not start, and of one whose workers die again and again.
STARTUP_FAILURE, CRASH_LOOP = 3, 1


class Supervisor(Observer):
    """Keeps workers serving.

    Args:
        settings: of workers and supervisor.
        sockets: what workers accept from.
        boot_fd: what workers begin with.
        make_spawner: makes what starts the workers of a generation.
        prepare: awaited before the first worker is made; may raise StartupError.
        on_started: called when all workers of the first generation are ready.
    """

    def __init__(
        self,
        settings: Settings,
        sockets: WorkerSockets,
        boot_fd: int,
        make_spawner: Callable[[int], Spawner],
        prepare: Callable[[], Awaitable[None]],
        on_started: Callable[[], None],
    ) -> None:
        supervisor, worker = settings.supervisor, settings.worker
        #: How many workers are wanted.
        self.count = supervisor.workers_count
        #: Of a worker that is started now: it has the code of what starts it.
        self.generation = 1
        self._generations_count = 1
        self.slots: dict[int, Slot] = {}
        #: Workers that have been told to end, or said that they do.
        self.leaving: set[Child] = set()
        #: Why workers were replaced, and how often.
        self.restarts: Counter[str] = Counter()
        self.killed_count = 0
        self.is_started = False
        #: Is told what happens; who wants to know puts another one here.
        self.witness = Witness()
        self.bounds = Bounds.of_stop(supervisor.startup_timeout_s, supervisor.health_timeout_s, worker)
        self._shutdown_delay_s = worker.shutdown_delay_s
        self._closing: asyncio.TimerHandle | None = None
        self._sockets = sockets
        self._boot_fd = boot_fd
        self._make_spawner = make_spawner
        self._prepare_server = prepare
        self._on_started = on_started
        self._loop = asyncio.get_running_loop()
        self._spawner = make_spawner(self.generation)
        self._table_fd = create_table()
        self._table = LoadTable(self._table_fd)
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._oom = OomWatch()
        self._restart: Restart | None = None
        self._is_restart_asked = False
        self._draining: Child | None = None
        self._drain_until = 0.0
        self._paused_count: int | None = None
        self._exit_code: int | None = None
        self._urgency = 0

    # ---- the whole life

    async def run(self) -> int:
        """Serve until something asks for a stop, or nothing can be served.

        Returns:
            The exit code.
        """
        self._start_task(self._prepare_first())
        while not self._is_over():
            self._wake.clear()
            self._reconcile()
            await self._wake.wait()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._spawner.close()
        self._table.close()
        os.close(self._table_fd)
        if self.killed_count:
            logger.warning("%d worker processes did not end by themselves and were killed.", self.killed_count)
        if self.restarts:
            text = ", ".join(f"{reason}: {count}" for reason, count in sorted(self.restarts.items()))
            logger.info("Workers replaced: %s.", text)
        return self._exit_code or 0

    @property
    def is_stopping(self) -> bool:
        """Whether all workers were told to end."""
        return self._exit_code is not None

    def _is_over(self) -> bool:
        return self._exit_code is not None and not self.children() and not self._is_spawning()

    def _is_spawning(self) -> bool:
        return any(slot.is_spawning for slot in self.slots.values())

    def children(self) -> list[Child]:
        """All worker processes."""
        return [child for slot in self.slots.values() for child in slot.children] + list(self.leaving)

    def wake(self) -> None:
        """Look again at what is wanted and what is there."""
        self._wake.set()

    async def _prepare_first(self) -> None:
        try:
            await self._prepare_server()
            await self._spawner.prepare()
        except StartupError as error:
            self._fail(f"Cannot start workers: {error}", error.exit_code)
            return
        self.slots = {number: Slot(number) for number in range(1, self.count + 1)}
        self.wake()

    # ---- what is asked

    def restart(self) -> None:
        """Replace every worker by one with the code as it is now, one at a time."""
        self._is_restart_asked = True
        self._resume()
        self.wake()

    def add_worker(self) -> None:
        """One more."""
        if self._paused_count is None:
            self.count += 1
        self._resume()
        self.wake()

    def remove_worker(self) -> None:
        """One less, but not none."""
        if self.count <= 1:
            logger.info("Already reached one process, cannot decrease the number of processes anymore.")
            return
        self.count -= 1
        self.wake()

    def pause(self) -> None:
        """End all workers and keep the sockets, until a restart or one more worker is asked for."""
        if self._paused_count is None:
            self._paused_count, self.count = self.count, 0
            self.wake()

    def _resume(self) -> None:
        if self._paused_count is not None:
            self.count, self._paused_count = self._paused_count, None

    def reopen_logs(self) -> None:
        """Have all workers open their log files anew."""
        for child in self.children():
            child.reopen_logs()

    def stop(self, exit_code: int = 0, is_handover: bool = False) -> None:
        """End all workers, and then this.

        Args:
            exit_code: of this process.
            is_handover: another supervisor's workers accept from the same sockets.
        """
        if self._exit_code is None:
            self._exit_code = exit_code
            self.witness.stop_begins()
            if self._restart is not None and self._restart.preparing is not None:
                self._restart.preparing.cancel()
            if not is_handover:
                self._close_sockets()
            for child in self.children():
                logger.info("Waiting for child process [%d]", child.pid)
                child.stop(is_handover)
            for slot in self.slots.values():
                self._let_go(slot)
        self.wake()

    def hurry(self) -> None:
        """Stop soon; asked again, at once."""
        self.stop()
        if self._closing is not None:
            self._closing.cancel()
            self._sockets.close()
        self._urgency += 1
        for child in self.children():
            if self._urgency == 1:
                child.hurry()
            else:
                child.kill()

    def _close_sockets(self) -> None:
        # The last worker to close its side is to find nobody behind it in the queue.
        if self._shutdown_delay_s:
            self._closing = self._loop.call_later(self._shutdown_delay_s, self._sockets.close)
        else:
            self._sockets.close()

    # ---- bring together what is wanted and what is there

    def _reconcile(self) -> None:
        if self._exit_code is not None or not self.slots:
            return
        if self._is_restart_asked:
            self._begin_restart()
        self._remove_slots()
        self._fill_slots()
        self._replace_one()
        self._see_what_is_done()

    def _remove_slots(self) -> None:
        for number in [number for number in self.slots if number > self.count]:
            slot = self.slots[number]
            if slot.is_spawning:
                continue
            for child in slot.children:
                # Others go on, but nobody will accept from what is this number's alone.
                child.stop(is_handover=not self._sockets.are_separate)
            self._let_go(slot)
            self._sockets.forget(number)
            if number > 1 or self.count > 0:
                del self.slots[number]

    def _let_go(self, slot: Slot) -> None:
        self._table.forget(slot.number)
        self.leaving.update(slot.children)
        slot.current = slot.replacement = slot.reason = None

    def _fill_slots(self) -> None:
        now = time.monotonic()
        for number in range(1, self.count + 1):
            slot = self.slots.setdefault(number, Slot(number))
            if slot.children or slot.is_spawning:
                continue
            if slot.not_before > now:
                self._look_again_in(slot.not_before - now)
            elif self._may_start(number):
                self._start_task(self._spawn(slot, is_replacement=False))

    def _may_start(self, number: int) -> bool:
        """Whether the first worker has got far enough: what is wrong with the application is to be told once."""
        first = self.slots[min(self.slots)]
        return (
            self.is_started
            or number == first.number
            or (first.current is not None and first.current.phase is not Phase.STARTING)
        )

    def _replace_one(self) -> None:
        now = time.monotonic()
        if self._draining is not None and now < self._drain_until:
            return
        if any(slot.replacement is not None or slot.is_spawning for slot in self.slots.values()):
            return
        for slot in self.slots.values():
            if slot.current is None or not slot.current.is_serving or self._why_replace(slot) is None:
                continue
            if slot.not_before > now:
                self._look_again_in(slot.not_before - now)
                continue
            self._start_task(self._spawn(slot, is_replacement=True))
            return

    def _why_replace(self, slot: Slot) -> str | None:
        if self._is_outdated(slot.current):
            return "restart"
        return slot.reason

    def _is_outdated(self, child: Child | None) -> bool:
        restart = self._restart
        return (
            restart is not None and restart.is_prepared and child is not None and child.generation < restart.generation
        )

    def _is_of_restart(self, child: Child) -> bool:
        return self._restart is not None and child.generation == self._restart.generation

    def _see_what_is_done(self) -> None:
        serving = [slot for slot in self.slots.values() if slot.current is not None and slot.current.is_serving]
        if len(serving) < self.count:
            return
        if not self.is_started:
            self.is_started = True
            self._on_started()
        restart = self._restart
        if restart is None or not restart.is_prepared or any(self._is_outdated(slot.current) for slot in serving):
            return
        if self._draining is None or time.monotonic() >= self._drain_until:
            self._end_restart(restart)

    def _look_again_in(self, delay_s: float) -> None:
        self._loop.call_later(delay_s, self.wake)

    # ---- start workers

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _spawn(self, slot: Slot, is_replacement: bool) -> None:
        slot.is_spawning = True
        child = Child(slot.number, self.generation, self.bounds, self)
        try:
            sockets = self._sockets.for_worker(slot.number)
            table_fd = -1 if self._sockets.are_separate else self._table_fd
            await child.start(self._spawner, self._boot_fd, sockets, self._sockets.counts, table_fd)
        except (OSError, StartupError) as error:
            child.failure = f"could not be made: {error}"
            self._lost(slot, child, is_replacement)
        else:
            if is_replacement:
                slot.replacement = child
            else:
                slot.current = child
            if self._exit_code is not None:
                child.stop(is_handover=False)
                self._let_go(slot)
        finally:
            slot.is_spawning = False
            self.wake()

    # ---- what children say

    def child_loaded(self, child: Child) -> None:
        """See ``Observer``."""
        self.wake()

    def child_ready(self, child: Child) -> None:
        """See ``Observer``."""
        slot = self.slots.get(child.number)
        if slot is not None and slot.replacement is child:
            old, slot.current, slot.replacement = slot.current, child, None
            reason, slot.reason = slot.reason, None
            if old is not None:
                if old.age_s >= STABLE_S:
                    slot.backoff = Backoff()
                self._replaced(old, child, reason)
        self.wake()

    def _replaced(self, old: Child, new: Child, reason: str | None) -> None:
        if reason is None or old.generation < new.generation:
            reason = "restart"
        self.restarts[_kind(reason)] += 1
        if self._restart is not None and self._is_of_restart(new) and old.generation < new.generation:
            self._restart.replaced_count += 1
        logger.info("Worker %d: process [%d] takes over from [%d] (%s).", new.number, new.pid, old.pid, reason)
        self._retire(old)

    def _retire(self, old: Child) -> None:
        old.stop(is_handover=True)
        self.leaving.add(old)
        self._draining, self._drain_until = old, time.monotonic() + DRAIN_WAIT_S
        self._look_again_in(DRAIN_WAIT_S)

    def child_retires(self, child: Child, reason: str) -> None:
        """See ``Observer``."""
        slot = self.slots.get(child.number)
        if slot is not None and slot.current is child:
            logger.info("%s in child process [%d]. Replacing it.", reason, child.pid)
            slot.reason = reason
            self.wake()

    def child_leaves(self, child: Child, reason: str) -> None:
        """See ``Observer``."""
        # Who signals all processes of a group has this one's signal on the way: then there is nobody to replace it.
        self._loop.call_later(LEAVE_WAIT_S, self._let_leave, child, reason)

    def _let_leave(self, child: Child, reason: str) -> None:
        if self._exit_code is None and child.phase not in (Phase.LEAVING, Phase.GONE):
            logger.info("Child process [%d] leaves (%s). Replacing it.", child.pid, reason)
            child.stop(is_handover=True)
            self._gave_up(child, reason)

    def child_stalled(self, child: Child, silence_s: float) -> None:
        """See ``Observer``."""
        logger.error(
            "Child process [%d]: its event loop has given no sign of life for %.1f s. Replacing it.",
            child.pid,
            silence_s,
        )
        for line in self._describe_work(child):
            logger.error("Child process [%d] was serving %s", child.pid, line)
        self._gave_up(child, "no sign of life")

    @staticmethod
    def _describe_work(child: Child) -> list[str]:
        board = child.board
        return [] if board is None else [str(request) for request in board.requests(time.monotonic())]

    def _gave_up(self, child: Child, reason: str) -> None:
        """A worker ends before its replacement is ready: one is started at once."""
        self.restarts[_kind(reason)] += 1
        slot = self.slots.get(child.number)
        self.leaving.add(child)
        if slot is not None:
            if slot.current is child:
                self._table.forget(slot.number)
                slot.current, slot.replacement = slot.replacement, None
                slot.reason = None
            elif slot.replacement is child:
                slot.replacement = None
        self.wake()

    def child_gone(self, child: Child) -> None:
        """See ``Observer``."""
        self.killed_count += child.is_killed
        if child is self._draining:
            self._draining = None
        slot = self.slots.get(child.number)
        if child in self.leaving:
            self.leaving.discard(child)
            logger.info("Terminated child process [%d]%s", child.pid, " (killed)" if child.is_killed else "")
        elif slot is not None and child in slot.children:
            self._lost(slot, child, is_replacement=slot.replacement is child)
        self.wake()

    def _lost(self, slot: Slot, child: Child, is_replacement: bool) -> None:
        """A worker is gone that was to serve."""
        text = describe_end(child, self._oom.has_killed())
        if is_replacement:
            slot.replacement = None
            if slot.current is not None:
                self._not_replaced(slot, child, text)
                return
            # The one that it was to replace is gone already.
        slot.current = None
        self._table.forget(slot.number)
        if not self.is_started:
            code = child.code if child.code in (2, STARTUP_FAILURE) else STARTUP_FAILURE
            logger.error("Child process [%d] failed to start, stopping the parent process: it %s", child.pid, text)
            self._fail("", code)
            return
        if child.ready_at is None and self._is_of_restart(child):
            self._abandon_restart(f"child process [{child.pid}] {text}")
        delay_s = slot.backoff.died(child.age_s, bool(child.last_requests))
        slot.not_before = time.monotonic() + delay_s
        self.restarts["died"] += 1
        again = f"starting another one in {delay_s:g} s" if delay_s else "starting another one"
        logger.error("Child process [%d] died: it %s; %s.", child.pid, text, again)
        if slot.backoff.is_looping and not self._has_stable_worker():
            self._fail(
                f"Workers die again and again: {slot.backoff.idle_deaths_count} in a row; the last one {text}.",
                CRASH_LOOP,
            )

    def _has_stable_worker(self) -> bool:
        return any(
            slot.current is not None and slot.current.is_serving and not slot.backoff.is_looping
            for slot in self.slots.values()
        )

    def _not_replaced(self, slot: Slot, child: Child, text: str) -> None:
        if self._is_of_restart(child) and self._is_outdated(slot.current):
            self._abandon_restart(f"child process [{child.pid}] {text}")
            return
        slot.not_before = time.monotonic() + RETRY_S
        logger.error(
            "Child process [%d] was to replace worker %d: it %s; the old one goes on serving.",
            child.pid,
            slot.number,
            text,
        )

    def _fail(self, reason: str, exit_code: int) -> None:
        if reason:
            logger.error("%s", reason)
        self.stop(exit_code)

    # ---- rolling restart

    def _begin_restart(self) -> None:
        """Begin, or, if one is in progress, begin again: what was replaced already may have older code, too."""
        self._is_restart_asked = False
        old = self._restart
        if old is not None and old.preparing is not None:
            old.preparing.cancel()
        for slot in self.slots.values():
            slot.not_before = 0.0
            if slot.replacement is not None:
                slot.replacement.stop(is_handover=True)
                self.leaving.add(slot.replacement)
                slot.replacement = None
        self._generations_count += 1
        if old is not None and old.is_prepared:
            self._dismiss(old.old_spawner)
        self._restart = Restart(time.monotonic(), self._generations_count, self._spawner, self.generation)
        spawner = self._make_spawner(self._generations_count)
        self._restart.preparing = asyncio.ensure_future(self._prepare(self._restart, spawner))
        self.witness.restart_begins()

    async def _prepare(self, restart: Restart, spawner: Spawner) -> None:
        try:
            await spawner.prepare()
        except StartupError as error:
            if self._restart is restart:
                self._abandon_restart(str(error))
            return
        restart.is_prepared = True
        self._spawner, self.generation = spawner, restart.generation
        self.wake()

    def _end_restart(self, restart: Restart) -> None:
        self._restart = None
        self._dismiss(restart.old_spawner)
        seconds = time.monotonic() - restart.began_at
        text = f"Restart complete: {restart.replaced_count} of {self.count} workers replaced in {seconds:.1f} s."
        logger.info("%s", text)
        self.witness.restart_ends(text, has_failed=False)

    def _dismiss(self, spawner: Spawner) -> None:
        """It ends when its last worker has."""
        self._start_task(spawner.close())

    def _abandon_restart(self, reason: str) -> None:
        restart, self._restart = self._restart, None
        assert restart is not None
        if restart.is_prepared:
            self._dismiss(self._spawner)
            self._spawner, self.generation = restart.old_spawner, restart.old_generation
        done = f" ({restart.replaced_count} of {self.count} workers were replaced)" if restart.replaced_count else ""
        text = f"Restart failed: {reason}; the old workers go on serving.{done}"
        logger.error("%s", text)
        self.witness.restart_ends(text, has_failed=True)
        self.wake()


def _kind(reason: str) -> str:
    """A reason without its numbers, to be counted."""
    for kind in ("request limit", "Memory limit", "Lifetime limit"):
        if kind in reason:
            return kind.lower()
    return reason
