"""The user's hooks in one serving process: called by ``server.Server``, made by ``server.worker`` and the edge."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from addax.config.hooks import HookInfo, load_hooks


class WorkerHooks:
    """Calls the hooks of a process at the right moments.

    Args:
        target: the module of the hooks, see ``config.hooks``.
        app: where the application is.
        number: of the worker.
        generation: of the worker.

    Raises:
        ConfigError: the module has hooks that cannot be.
        StartupError: it cannot be imported.
    """

    def __init__(self, target: str, app: str, number: int = 1, generation: int = 1) -> None:
        self._hooks = load_hooks(target)
        self._app = app
        self._number = number
        self._generation = generation
        self._addresses: tuple[str, ...] = ()
        self._ready: asyncio.Task[None] | None = None

    def host_startup(self) -> None:
        """Before the first process serves; where there is only one, in that.

        Raises:
            StartupError: the hook failed.
        """
        self._hooks.call("host_startup", self._info())

    def start(self) -> None:
        """Before the application is imported.

        Raises:
            StartupError: the hook failed.
        """
        self._hooks.call("worker_start", self._info())

    def ready(self, addresses: Sequence[tuple[str, int] | str]) -> None:
        """Connections are accepted. A coroutine goes on beside what is served, until the end at the latest."""
        self._addresses = tuple(
            address if isinstance(address, str) else f"{address[0]}:{address[1]}" for address in addresses
        )
        awaitable = self._hooks.call("worker_ready", self._info())
        if awaitable is not None:
            self._ready = asyncio.ensure_future(awaitable)

    async def exit(self) -> None:
        """The application's shutdown is over; the last thing."""
        if self._ready is not None:
            self._ready.cancel()
            await asyncio.wait({self._ready})
            self._ready = None
        self._hooks.call("worker_exit", self._info())

    def _info(self) -> HookInfo:
        return HookInfo(
            app=self._app,
            worker=self._number,
            generation=self._generation,
            pid=os.getpid(),
            addresses=self._addresses,
        )
