"""Environment variables for the application from a file. The one place that imports python-dotenv.

Called by ``config.config`` for ``--env-file``.
"""

from __future__ import annotations

import logging

from addax.core.errors import ConfigError

logger = logging.getLogger("addax.error")


def load_env_file(path: str) -> None:
    """Put a file's variables into ``os.environ``; those that are set already keep their value.

    Raises:
        ConfigError: python-dotenv is not installed, or the file cannot be read.
    """
    try:
        from dotenv import load_dotenv
    except ImportError:
        raise ConfigError("env_file", 'needs python-dotenv (try: pip install "addax[standard]")') from None
    logger.info("Loading environment from '%s'", path)
    try:
        load_dotenv(dotenv_path=path)
    except (OSError, ValueError) as error:
        raise ConfigError("env_file", f"{path!r} cannot be read: {error}") from error
