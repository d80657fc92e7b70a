"""An event loop that knows when it is idle, so that tests wait for nothing and sleep never."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")

#: Turns after which ``settle`` gives up: only callbacks that call for each other without end need so many.
SETTLE_MAX_TURNS = 100_000


class SettlingLoop(asyncio.SelectorEventLoop):
    """The asyncio loop, counting what it is asked to run."""

    def __init__(self) -> None:
        super().__init__()
        #: Calls of ``call_soon`` so far; every step of a task is one.
        self.scheduled_count = 0
        #: What the loop's exception handler was called with: failures that nobody else would see.
        self.failures: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.failures.append(context))

    # The base class says it with a TypeVarTuple, which Python 3.10 does not have.
    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As in asyncio."""
        self.scheduled_count += 1
        return super().call_soon(callback, *args, context=context)


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario to its end in a new ``SettlingLoop``, as ``asyncio.run`` would.

    Returns:
        What the scenario returns.

    Raises:
        AssertionError: a callback or a forgotten task failed behind the scenario's back.
    """
    loop = SettlingLoop()
    try:
        asyncio.set_event_loop(loop)
        result = loop.run_until_complete(scenario)
    finally:
        _cancel_leftovers(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
    if loop.failures:
        first = loop.failures[0]
        raise AssertionError(f"failed in the background: {first}") from first.get("exception")
    return result


def _cancel_leftovers(loop: asyncio.AbstractEventLoop) -> None:
    leftovers = asyncio.all_tasks(loop)
    for task in leftovers:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*leftovers, return_exceptions=True))


async def settle() -> None:
    """Let everything run that can run now, and return as soon as nothing is left that could.

    Timers that are not due and work in other threads are not waited for.

    Raises:
        RuntimeError: the running loop is not one of ``run``, or it never comes to rest.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SettlingLoop):
        raise RuntimeError("settle() needs the loop of addax.testing.run()")
    for _ in range(SETTLE_MAX_TURNS):
        before = loop.scheduled_count
        await asyncio.sleep(0)
        # Our own return from sleep is one call. Whatever was ready has run before it, and has called for nothing new.
        if loop.scheduled_count == before + 1:
            return
    raise RuntimeError(f"the loop did not come to rest within {SETTLE_MAX_TURNS} turns")
