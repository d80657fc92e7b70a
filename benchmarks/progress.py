"""Says how far a run is, and when it has taken long enough."""

from __future__ import annotations

import sys
import time

_STARTED_AT = time.monotonic()


def say(text: str) -> None:
    """Tell it to whoever waits, on standard error."""
    print(f"[{time.monotonic() - _STARTED_AT:5.0f} s] {text}", file=sys.stderr, flush=True)


class Clock:
    """How long something may take.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self._end
