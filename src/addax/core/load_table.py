"""How many connections each worker of a supervisor has, in memory that all of them share.

Workers that accept from one socket read here whether somebody has room (``server.balancing``). The supervisor makes the
table and forgets workers that are gone.
"""

from __future__ import annotations

import mmap

from addax.core.shared_memory import create_shared_memory

#: Workers with a higher number are not in the table: they take what they get.
NUMBER_MAX = 1023
TABLE_BYTES = 4 * (NUMBER_MAX + 1)


def create_table() -> int:
    """Make shared memory for a table in which nobody is.

    Returns:
        Its descriptor.
    """
    return create_shared_memory("addax-load", TABLE_BYTES)


class LoadTable:
    """The table.

    Args:
        fd: of the memory; may be closed afterwards.
    """

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, TABLE_BYTES)
        # The first number is the highest worker that was noted; the others are counts plus one, or 0: it accepts
        # nothing.
        self._counts = memoryview(self._memory).cast("I")

    def note(self, number: int, count: int) -> None:
        """A worker accepts connections and has so many."""
        if number <= NUMBER_MAX:
            counts = self._counts
            counts[number] = count + 1
            if counts[0] < number:
                counts[0] = number

    def forget(self, number: int) -> None:
        """A worker accepts nothing more."""
        if number <= NUMBER_MAX:
            self._counts[number] = 0

    def others(self, number: int) -> list[int]:
        """The counts of the other workers that accept."""
        counts = self._counts[1 : min(self._counts[0], NUMBER_MAX) + 1]
        return [count - 1 for other, count in enumerate(counts, 1) if count and other != number]

    def close(self) -> None:
        """Give the mapping back."""
        self._counts.release()
        self._memory.close()
