"""``--loop uvloop``: libuv under asyncio's interface.

0.23 or later: before it a descriptor could be closed twice, and an answer reach another client.
"""

from __future__ import annotations

import asyncio

import uvloop


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A new loop, not set as the current one."""
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
