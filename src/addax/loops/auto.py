"""What ``--loop auto`` takes, under the name that uvicorn has for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from addax.core.registry import LOOPS, resolve

__all__ = ["auto_loop_factory"]


def auto_loop_factory(use_subprocess: bool = False) -> Callable[[], asyncio.AbstractEventLoop]:
    """Find what makes the best event loop that is installed.

    Args:
        use_subprocess: makes no difference; there because callers of uvicorn's function pass it.
    """
    factory: Callable[[], asyncio.AbstractEventLoop] = resolve("--loop", "auto", LOOPS)[1]
    return factory
