"""One coarse timer wheel for all deadlines of a worker.

A deadline changes with every request, and almost none is ever reached. So setting one is storing a number; a stream
sits in the slot of the earliest moment at which it has to be looked at, and is moved on when the wheel gets there and
its number says later. No timer of the loop is made or cancelled for a request.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from addax.core import clock
from addax.core.clock import NEVER

#: Seconds a slot covers, and so how late a deadline may be noticed.
SLOT_S = 0.25


class Timed(Protocol):
    """What can sit in the wheel."""

    #: When to be called, on ``core.clock.now``, or NEVER.
    deadline: float
    #: When the wheel will look at it, or NEVER. The wheel's own note, but for one use: a deadline that is not earlier
    #: than this may be set without telling the wheel.
    looked_at: float

    def deadline_reached(self) -> None:
        """The deadline has passed."""


class Wheel:
    """Calls ``deadline_reached`` of what was put in, up to ``SLOT_S`` seconds after its deadline.

    Args:
        loop: where the wheel's own single timer runs, while anything is in it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        #: By the moment at which a slot ends.
        self._slots: dict[float, set[Timed]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def put(self, timed: Timed, deadline: float) -> None:
        """Set a deadline. Cheap when it is not earlier than the one before."""
        timed.deadline = deadline
        if deadline >= timed.looked_at:
            return
        self._discard(timed)
        end = (int(deadline / SLOT_S) + 1) * SLOT_S
        timed.looked_at = end
        self._slots.setdefault(end, set()).add(timed)
        if self._timer is None:
            self._turn_later()

    def remove(self, timed: Timed) -> None:
        """Forget it."""
        timed.deadline = NEVER
        self._discard(timed)
        timed.looked_at = NEVER

    def close(self) -> None:
        """Forget everything."""
        self._slots.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _discard(self, timed: Timed) -> None:
        members = self._slots.get(timed.looked_at)
        if members is not None:
            members.discard(timed)
            if not members:
                del self._slots[timed.looked_at]

    def _turn_later(self) -> None:
        self._timer = self._loop.call_later(SLOT_S, self._turn)

    def _turn(self) -> None:
        self._timer = None
        self.turn(clock.now())
        if self._slots and self._timer is None:
            self._turn_later()

    def turn(self, now: float) -> None:
        """Look at every slot that has ended at ``now``."""
        for end in [end for end in self._slots if end <= now]:
            for timed in self._slots.pop(end):
                timed.looked_at = NEVER
                if timed.deadline == NEVER:
                    continue
                if timed.deadline > now:
                    self.put(timed, timed.deadline)
                else:
                    timed.deadline = NEVER
                    timed.deadline_reached()
