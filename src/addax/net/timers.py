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

#: Seconds a slot covers, and so how late a deadline may be noticed. A power of two, so that a slot's end is an exact
#: number.
SLOT_S = 0.25
# Of this module, so that it is a number of C where it is compiled.
_SLOT_S = SLOT_S


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
        if deadline < timed.looked_at:
            timed.looked_at = self.move(timed, timed.looked_at, deadline)

    def move(self, timed: Timed, looked_at: float, deadline: float) -> float:
        """What ``put`` does if a deadline is earlier; for who has the numbers at hand, where asking for them costs.

        Args:
            timed: whose deadline it is.
            looked_at: its own.
            deadline: the new one.

        Returns:
            What its ``looked_at`` has to be from now on.
        """
        self.discard(timed, looked_at)
        end = (deadline // _SLOT_S + 1.0) * _SLOT_S
        members = self._slots.get(end)
        if members is None:
            members = self._slots[end] = set()
        members.add(timed)
        if self._timer is None:
            self._turn_later()
        return end

    def discard(self, timed: Timed, looked_at: float) -> None:
        """Forget it. Its two numbers are NEVER from now on, which is left to the caller, as by ``move``."""
        if looked_at == NEVER:
            return
        members = self._slots.get(looked_at)
        if members is not None:
            members.discard(timed)
            if not members:
                del self._slots[looked_at]

    def remove(self, timed: Timed) -> None:
        """Forget it."""
        self.discard(timed, timed.looked_at)
        timed.deadline = timed.looked_at = NEVER

    def close(self) -> None:
        """Forget everything."""
        self._slots.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

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
