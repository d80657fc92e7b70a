"""Time for the hot path: a monotonic clock for deadlines, and the Date field rendered once a second."""

from __future__ import annotations

import time
from email.utils import formatdate

#: Seconds on a clock that never goes back; deadlines and durations are numbers on it.
now = time.monotonic

#: A moment on it that does not come.
NEVER = float("inf")

_wall_clock = time.time
_rendered_second: int = -1
_rendered_line: bytes = b""


def date_line() -> bytes:
    """The field line ``date: ...\\r\\n`` for this second.

    Implements: RFC 9110 §6.6.1 (Date), §5.6.7 (IMF-fixdate).
    """
    global _rendered_second, _rendered_line  # noqa: PLW0603  # one cache for the process, as there is one wall clock
    second = int(_wall_clock())
    if second != _rendered_second:
        _rendered_line = b"date: %b\r\n" % formatdate(second, usegmt=True).encode("ascii")
        _rendered_second = second
    return _rendered_line
