"""Whether somebody sits before this process: what some signals mean depends on that."""

from __future__ import annotations

import os


def has_terminal() -> bool:
    """Whether this process has a terminal whose end or new size the system would tell it by a signal."""
    try:
        os.close(os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY))
    except (AttributeError, OSError):
        # The first where the platform knows nothing of the kind.
        return False
    return True
