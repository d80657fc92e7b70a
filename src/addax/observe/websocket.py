"""The log lines of a WebSocket: how its handshake was answered, and that it has ended."""

from __future__ import annotations

import logging
from typing import Any

from addax.observe.escape import escape_path, escape_url
from addax.observe.line import client_text

_logger = logging.getLogger("addax.error")


def log_handshake(scope: dict[str, Any], status: int) -> None:
    """Log the answer to a handshake.

    Args:
        scope: of the WebSocket; proxy headers were applied.
        status: 101 for one that was accepted, else that of the response.
    """
    if _logger.isEnabledFor(logging.INFO):
        path = escape_path(scope["path"])
        query = scope["query_string"]
        target = f"{path}?{escape_url(query)}" if query else path
        answer = "[accepted]" if status == 101 else str(status)
        _logger.info('%s - "WebSocket %s" %s', client_text(scope["client"]), target, answer)


def log_open() -> None:
    """Log that messages can flow."""
    _logger.info("connection open")


def log_closed() -> None:
    """Log that a WebSocket that was open is gone."""
    _logger.info("connection closed")
