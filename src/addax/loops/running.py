"""``asyncio.run`` with a loop of our choice, on every Python that addax supports."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run(main: Coroutine[Any, Any, None], loop_factory: LoopFactory | None) -> None:
    """Run a coroutine in a new event loop and close the loop.

    Args:
        main: what to run.
        loop_factory: makes the loop; None: asyncio's default.
    """
    if sys.version_info >= (3, 11):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main)
    else:
        _run(main, loop_factory)


def _run(main: Coroutine[Any, Any, None], loop_factory: LoopFactory | None) -> None:
    """Python 3.10 has no ``asyncio.Runner``, and its ``asyncio.run`` takes no factory."""
    loop = asyncio.new_event_loop() if loop_factory is None else loop_factory()
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main)
    finally:
        try:
            _cancel_all(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks))
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            context = {"message": "a task raised while the loop was closing", "exception": error, "task": task}
            loop.call_exception_handler(context)
