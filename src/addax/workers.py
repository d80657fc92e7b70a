"""Gunicorn worker classes: ``gunicorn -k addax.workers.AddaxWorker``. They cannot be used in this version.

The names are here so that this is said in one line. Nothing of gunicorn is imported.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from addax._version import __version__
from addax.core.errors import ConfigError

__all__ = ["AddaxH11Worker", "AddaxWorker"]


class WorkerUnavailable(ConfigError, RuntimeError):
    """The worker class cannot be used. A ``RuntimeError`` too: gunicorn shows those in one line and exits."""


class AddaxWorker:
    """Serves ASGI applications under gunicorn.

    Raises:
        WorkerUnavailable: always, in this version.
    """

    #: Options for ``addax.Config``, to be overridden in subclasses.
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"loop": "auto", "http": "auto"}

    def __init__(self, *_: Any, **__: Any) -> None:
        self._refuse()

    @classmethod
    def setup(cls) -> None:
        """Called by gunicorn's main process before it makes any worker.

        Raises:
            WorkerUnavailable: always, in this version.
        """
        cls._refuse()

    @classmethod
    def _refuse(cls) -> NoReturn:
        name = f"{cls.__module__}.{cls.__qualname__}"
        raise WorkerUnavailable(f"--worker-class {name}", f"not available in addax {__version__} yet")


class AddaxH11Worker(AddaxWorker):
    """The same without any compiled dependency."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"loop": "asyncio", "http": "h11"}
