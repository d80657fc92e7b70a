"""Gives memory back to the system after many WebSockets have freed their compression.

A compressor is 32 KiB that the C library keeps for the next one. That is right as long as there is a next one; but
after a wave of messages to thousands of clients the process would stay as large as it was in the wave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: As many are worth the look through the heap, which then comes a moment later, because others are about to follow.
_WORTH_COUNT = 64
_DELAY_S = 2.0

_trim: Callable[[], bool] | None = None

try:
    from addax.websocket import trimming
except ImportError:
    # Plain Python.
    pass
else:
    _trim = trimming.trim


class _Heap:
    """What was freed since memory was last given back."""

    def __init__(self) -> None:
        self.count = 0
        self.is_due = False

    def give_back(self) -> None:
        self.count = 0
        self.is_due = False
        if _trim is not None:
            _trim()


_heap = _Heap()


def freed(loop: asyncio.AbstractEventLoop) -> None:
    """One more WebSocket has freed its compression."""
    _heap.count += 1
    if _heap.count >= _WORTH_COUNT and not _heap.is_due and _trim is not None:
        _heap.is_due = True
        loop.call_later(_DELAY_S, _heap.give_back)
