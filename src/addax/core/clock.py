"""Time for the hot path: a monotonic clock for deadlines, and the Date field rendered once a second."""

from __future__ import annotations

import time

#: Seconds on a clock that never goes back; deadlines and durations are numbers on it.
now = time.monotonic

#: A moment on it that does not come.
NEVER = float("inf")

# Not the standard library's: its modules for dates would be a thirtieth of the time that the server needs to start.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_wall_clock = time.time
_rendered_second: int = -1
_rendered_line: bytes = b""


def imf_fixdate(second: int) -> str:
    """A moment as HTTP writes it: ``Sun, 06 Nov 1994 08:49:37 GMT`` (RFC 9110 §5.6.7), whatever the locale is.

    Args:
        second: since the epoch.
    """
    moment = time.gmtime(second)
    day, month = _DAYS[moment.tm_wday], _MONTHS[moment.tm_mon]
    return (
        f"{day}, {moment.tm_mday:02d} {month} {moment.tm_year:04d} "
        f"{moment.tm_hour:02d}:{moment.tm_min:02d}:{moment.tm_sec:02d} GMT"
    )


def date_line() -> bytes:
    """The field line ``date: ...\\r\\n`` for this second.

    Implements: RFC 9110 §6.6.1 (Date), §5.6.7 (IMF-fixdate).
    """
    global _rendered_second, _rendered_line  # noqa: PLW0603  # one cache for the process, as there is one wall clock
    second = int(_wall_clock())
    if second != _rendered_second:
        _rendered_line = b"date: %b\r\n" % imf_fixdate(second).encode("ascii")
        _rendered_second = second
    return _rendered_line
