"""What was asked of a running server, from any thread, and how it waits without polling."""

from __future__ import annotations

import asyncio


class StopRequest:
    """The three steps of a stop, each of which may be asked for at any time by any thread or signal handler.

    ``is_asked``: stop gracefully. ``is_urgent``: shorten the wait. ``is_forced``: cancel what still runs.

    ``is_handover`` says that other processes accept from the same sockets: connections that nobody has accepted are
    left to them, and there is time for idle clients to come back or to leave.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self.is_urgent = False
        self.is_forced = False
        self.is_handover = False
        #: See ``core.wire.Connection.start_draining``.
        self.rest_s: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake this loop from now on."""
        self._loop = loop
        self._event = asyncio.Event()

    def escalate(self) -> None:
        """Ask for the next step; what every signal does."""
        if not self.is_asked:
            self.is_asked = True
        elif not self.is_urgent:
            self.is_urgent = True
        else:
            self.is_forced = True
        self.wake()

    def wake(self) -> None:
        """Let ``wait`` return, soon, so that the waiter looks at the flags again. From any thread."""
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._event.set)
            except RuntimeError:
                pass  # the loop has been closed: nobody waits any more

    async def wait(self, until: float | None = None) -> None:
        """Wait for the next ``wake``; one that came while nobody waited counts.

        Args:
            until: return then at the latest, in seconds on the loop's clock; None: no bound.
        """
        assert self._loop is not None, "attach() comes first"
        event = self._event
        timer = None if until is None else self._loop.call_at(until, event.set)
        try:
            await event.wait()
        finally:
            if timer is not None:
                timer.cancel()
        event.clear()


async def outlast_cancellation(task: asyncio.Task[None], stop: StopRequest) -> None:
    """Wait for a task even if the waiter is cancelled; each cancellation asks the server for the next step instead.

    Raises:
        asyncio.CancelledError: the waiter was cancelled; only after the task has ended.
        BaseException: what the task raised.
    """
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancellation = error
            stop.escalate()
    if cancellation is not None:
        if not task.cancelled():
            task.exception()  # read, so that it is not reported as forgotten; the cancellation goes first
        raise cancellation
    task.result()
