"""A page of shared memory on which a worker keeps what others want to know of it, also when it is stuck or dead.

Its heartbeat and its counters are written by ``server.heartbeat``, the requests that it serves by the connections as
they call the application, and flags by ``server.watchdog``. A supervisor that has mapped the same memory reads all of
that without the worker's help. So it knows whether the event loop ticks, whatever threads of the worker do, and which
requests died with a process that was killed.

What is read is taken for what it is: bytes that another process may be writing in this very moment, or that a wild
pointer has written over. Whatever they are, reading raises nothing, ends, and gives text that is fit for a log.
"""

from __future__ import annotations

import mmap

from addax.core.report import Counters as Counters
from addax.core.report import ServedRequest as ServedRequest
from addax.core.report import printable
from addax.core.shared_memory import create_shared_memory
from addax.core.slots import METHOD_BYTES, SLOT_BYTES, SLOT_COUNT, TIME_OFFSET_BYTES, free, put

#: WebSockets take a slot only while so many are free: thousands of them that idle are not to hide the requests.
_SLOTS_FOR_REQUESTS = SLOT_COUNT // 2
# Numbers have the place of one slot, before all others.
BOARD_BYTES = (1 + SLOT_COUNT) * SLOT_BYTES
#: Where the time of the first slot is, and how far it is to the next, counted in doubles.
_TIME_INDEX = (SLOT_BYTES + TIME_OFFSET_BYTES) // 8
_SLOT_NUMBERS = SLOT_BYTES // 8

#: A flag: the stacks of the stall that goes on now have been written down.
DUMPED = 1

# All numbers are doubles, which are read and written as a whole: there is no moment in which a heartbeat is half a one.
_HEARTBEAT, _FLAGS, _TOTAL, _ACTIVE, _CONNECTIONS, _WEBSOCKETS, _RSS, _LAG, _PID = range(9)
#: All whole numbers below it have a double of their own; nothing that is counted comes near.
_NUMBER_MAX = 2.0**53


def create_board() -> int:
    """Make shared memory for a board on which nothing is written yet.

    Returns:
        Its descriptor.
    """
    return create_shared_memory("addax-board", BOARD_BYTES)


class Board:
    """The board. One process writes, any number read.

    All times are seconds on ``core.clock.now``, which is the system's monotonic clock, the same for all processes.

    Args:
        fd: of the memory; may be closed afterwards.

    Raises:
        ValueError: it is too small.
    """

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, BOARD_BYTES)
        self._memory = memoryview(self._map)
        self._numbers = self._memory.cast("d")
        # Known to the worker alone: the numbers of free slots, the next one last. It is the one that was used last, so
        # that few requests at a time touch little memory.
        self._free_slots = bytearray(range(SLOT_COUNT))
        self._free_count = SLOT_COUNT

    # ---- what the worker writes

    def begin(self, method: str, target: bytes, started_at: float) -> int:
        """The application is called for a request.

        Args:
            method: of the request.
            target: as it was sent.
            started_at: when its head was complete; 0.0: just now.

        Returns:
            The number of its slot; -1 if none is free, and nothing is told of it.
        """
        count = self._free_count
        if count == 0:
            return -1
        count -= 1
        slot = self._free_slots[count]
        self._free_count = count
        put(self._memory, (1 + slot) * SLOT_BYTES, method, target, started_at)
        return slot

    def begin_websocket(self, target: bytes, started_at: float) -> int:
        """The same for a WebSocket, which is left out when there is no room to spare."""
        if self._free_count < _SLOTS_FOR_REQUESTS:
            return -1
        return self.begin("WebSocket", target, started_at)

    def end(self, slot: int) -> None:
        """The application has returned.

        Args:
            slot: as ``begin`` has said; with another one nothing happens.
        """
        if 0 <= slot < SLOT_COUNT and free(self._numbers, _TIME_INDEX + slot * _SLOT_NUMBERS):
            count = self._free_count
            self._free_slots[count] = slot
            self._free_count = count + 1

    def beat(self, now: float) -> None:
        """The event loop ticks."""
        self._numbers[_HEARTBEAT] = now

    def count(self, counters: Counters) -> None:
        """Write the counters."""
        numbers = self._numbers
        numbers[_TOTAL] = counters.total_requests
        numbers[_ACTIVE] = counters.active_requests
        numbers[_CONNECTIONS] = counters.connections
        numbers[_WEBSOCKETS] = counters.websockets_open
        numbers[_RSS] = counters.rss_bytes
        numbers[_LAG] = counters.loop_lag_s
        numbers[_PID] = counters.pid

    def set_flag(self, flag: int, is_set: bool = True) -> None:
        """Set or clear a flag. Only one thread of the worker does that, its watchdog."""
        self._numbers[_FLAGS] = self.flags | flag if is_set else self.flags & ~flag

    # ---- what anybody reads

    @property
    def heartbeat_at(self) -> float:
        """When the event loop ticked last; 0.0: never yet."""
        return self._number(_HEARTBEAT)

    @property
    def flags(self) -> int:
        """All flags that are set."""
        return int(self._number(_FLAGS))

    @property
    def is_dumped(self) -> bool:
        """Whether the worker has written down the stacks of the stall that goes on now."""
        return self.flags & DUMPED != 0

    def counters(self) -> Counters:
        """The counters as they are now; those of two heartbeats may be mixed."""
        return Counters(
            total_requests=int(self._number(_TOTAL)),
            active_requests=int(self._number(_ACTIVE)),
            connections=int(self._number(_CONNECTIONS)),
            websockets_open=int(self._number(_WEBSOCKETS)),
            rss_bytes=int(self._number(_RSS)),
            loop_lag_s=self._number(_LAG),
            pid=int(self._number(_PID)),
        )

    def requests(self, now: float) -> list[ServedRequest]:
        """The requests that are being served.

        Args:
            now: to tell their age.

        Returns:
            The oldest one first.
        """
        found = [request for slot in range(SLOT_COUNT) if (request := self._read(slot, now)) is not None]
        return sorted(found, key=_age_s, reverse=True)

    def started_at(self, slot: int) -> float | None:
        """When the request of a slot began; None if there is none."""
        if not 0 <= slot < SLOT_COUNT:
            return None
        return self._number(_TIME_INDEX + slot * _SLOT_NUMBERS) or None

    def close(self) -> None:
        """Give the mapping back. What is still written is lost then, and nothing is found."""
        old = self._numbers, self._memory
        self._memory = memoryview(bytearray(BOARD_BYTES))
        self._numbers = self._memory.cast("d")
        for view in old:
            view.release()
        self._map.close()

    # ---- inside

    def _number(self, index: int) -> float:
        number: float = self._numbers[index]
        # Nothing gets through that is infinite or not a number at all.
        return number if 0.0 < number < _NUMBER_MAX else 0.0

    def _read(self, slot: int, now: float) -> ServedRequest | None:
        started_at = self.started_at(slot)
        if started_at is None:
            return None
        at = (1 + slot) * SLOT_BYTES
        text = bytes(self._memory[at : at + TIME_OFFSET_BYTES])
        if self.started_at(slot) != started_at:
            # It was freed while it was read, and is perhaps another one's now.
            return None
        # "*" is noted as an empty one.
        target = printable(text[METHOD_BYTES:]) or "*"
        return ServedRequest(printable(text[:METHOD_BYTES]), target, max(0.0, now - started_at))


def _age_s(request: ServedRequest) -> float:
    return request.age_s
