"""No lifespan, in the shape of one: ``addax.lifespan.off.LifespanOff``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from addax.config.config import Config

__all__ = ["LifespanOff"]


class LifespanOff:
    """Starts and stops nothing.

    Args:
        config: not looked at; there because ``LifespanOn`` takes one.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.should_exit = False
        self.state: dict[str, Any] = {}

    async def startup(self) -> None:
        """Do nothing."""

    async def shutdown(self) -> None:
        """Do nothing."""
