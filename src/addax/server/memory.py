"""How much memory this process occupies."""

from __future__ import annotations

import sys

_PAGE_BYTES = 4096
if sys.platform != "win32":
    import resource

    _PAGE_BYTES = resource.getpagesize()


def resident_bytes() -> int:
    """The resident memory of this process; where the platform tells only its peak, that. 0: it tells nothing."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return _peak_bytes()


def _peak_bytes() -> int:
    if sys.platform == "win32":
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
