"""The lifespan of an application, for programs that run one without a server: ``addax.lifespan.on.LifespanOn``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addax.asgi.lifespan import Lifespan
from addax.core.errors import StartupError

if TYPE_CHECKING:
    from addax.config.config import Config

__all__ = ["LifespanOn"]


class LifespanOn(Lifespan):
    """Runs the lifespan of a Config's application. A failed startup shows in ``should_exit``; it raises nothing.

    Args:
        config: whose application it is, and whether it must have a lifespan (``lifespan="on"``). It is loaded if it
            was not.

    Raises:
        AppLoadError: the application cannot be imported or built.
    """

    def __init__(self, config: Config) -> None:
        if not config.loaded:
            config.load()
        worker = config.settings().worker
        super().__init__(
            config.loaded_app,
            "auto" if config.lifespan == "off" else config.lifespan,
            worker.lifespan_startup_timeout_s,
            worker.lifespan_shutdown_timeout_s,
        )
        self.config = config

    async def startup(self) -> None:
        """Start the application and wait until it is ready, or until it has failed: look at ``should_exit``."""
        try:
            await super().startup()
        except StartupError:
            # It was logged, and the flags say it: what uvicorn's class leaves its callers to read.
            pass
