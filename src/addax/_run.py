"""``addax.run``: serve an application, and end the process with a fitting exit code if that fails.

The command line ends here too. A module of its own, because ``import addax`` is to load nothing of this.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable
from typing import Any, ParamSpec

from addax.config.config import STARTUP_FAILURE, Config
from addax.core.errors import StartupError
from addax.server.server import Server

P = ParamSpec("P")

logger = logging.getLogger("addax.error")


def _takes_what(_: Callable[P, object]) -> Callable[[Callable[..., None]], Callable[P, None]]:
    """Give a function the parameters of another one, for editors and type checkers."""

    def same(function: Callable[..., None]) -> Callable[P, None]:
        return function

    return same


@_takes_what(Config)
def run(*args: Any, **options: Any) -> None:
    """Serve an application until a signal asks for a stop.

    Takes the arguments of ``Config``: the application, or where it is (``"main:app"``), and options by name.

    Raises:
        ConfigError: an option's value cannot be used; it is a ``ValueError`` too.
        SystemExit: with code 3, when the server could not start; the reason was logged. A stop by SIGTERM ends the
            process by that signal, once everything is done; a stop by SIGINT returns.
    """
    serve(Config(*args, **options))


run.__signature__ = inspect.signature(Config)  # type: ignore[attr-defined]  # read by inspect, unknown to typing


def serve(config: Config) -> None:
    """Serve what a Config says; otherwise as ``run``."""
    try:
        # Outside of the event loop, so that a module may run one of its own while it is imported.
        config.load_app()
    except StartupError as error:
        logger.error("%s", error)
        sys.exit(error.exit_code)
    server = Server(config)
    try:
        server.run()
    except KeyboardInterrupt:
        # The graceful stop is over; a traceback would only look like a failure.
        pass
    if server.startup_error is not None:
        sys.exit(STARTUP_FAILURE)
