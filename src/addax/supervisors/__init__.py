"""Public names of what keeps other processes serving, as uvicorn has them. None of it can be used in this version.

The names are here so that programs which import them, and use them only for reload or several workers, can be started.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from addax._version import __version__
from addax.core.errors import ConfigError

__all__ = ["BaseReload", "ChangeReload", "Multiprocess"]


class _NotYet:
    """Cannot be made."""

    _option: ClassVar[str]

    def __init__(self, *_: Any, **__: Any) -> None:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        self._refuse()

    @classmethod
    def _refuse(cls) -> NoReturn:
        raise ConfigError(cls._option, f"not available in addax {__version__} yet")


class BaseReload(_NotYet):
    """Restart a server when files change."""

    _option = "--reload"


class ChangeReload(BaseReload):
    """Restart a server when files change, with the best means that is installed."""


class Multiprocess(_NotYet):
    """Serve with several processes."""

    _option = "--workers"
