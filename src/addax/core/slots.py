"""Where a request is written down in shared memory: in plain Python here, and compiled in ``slotting.pyx``.

``board`` divides the memory into slots. A slot holds a method and a target, each with zero bytes behind it, and then
the time at which the request began; where that is zero, the slot is free. The time is written last and cleared first.
So another process that reads meanwhile finds a slot free or whole, unless it reads just while one request follows
another.
"""

from __future__ import annotations

from struct import Struct

from addax.core.clock import now

#: Requests that are remembered at the same time. Their numbers fit into a byte.
SLOT_COUNT = 256
METHOD_BYTES = 16
TARGET_BYTES = 168
TIME_OFFSET_BYTES = METHOD_BYTES + TARGET_BYTES
#: Three lines of a processor's cache.
SLOT_BYTES = TIME_OFFSET_BYTES + 8
#: In the place of the end of a target that is too long.
CUT = b"..."

# "s" cuts text that is too long, and fills up with zeros what is short.
_write = Struct(f"={METHOD_BYTES}s{TARGET_BYTES}sd").pack_into


def _put(memory: memoryview, at: int, method: str, target: bytes, started_at: float) -> None:
    """Write a request down.

    Args:
        memory: shared, and not released.
        at: where its slot begins, in bytes.
        method: of a request, so without surrogates; cut to ``METHOD_BYTES``.
        target: cut to ``TARGET_BYTES``, with ``CUT`` at its end.
        started_at: on ``core.clock.now``; 0.0: just now.
    """
    if len(target) > TARGET_BYTES:
        target = target[: TARGET_BYTES - len(CUT)] + CUT
    _write(memory, at, method.encode(), target, started_at or now())


def _free(numbers: memoryview[float], at: int) -> bool:
    """Forget the request of a slot.

    Args:
        numbers: the same memory, as doubles.
        at: where the slot's time is, counted in doubles.

    Returns:
        Whether there was a request.
    """
    if numbers[at] == 0.0:
        return False
    numbers[at] = 0.0
    return True


put = _put
free = _free

try:
    from addax.core import slotting
except ImportError:
    # Plain Python.
    pass
else:
    put = slotting.put
    free = slotting.free
