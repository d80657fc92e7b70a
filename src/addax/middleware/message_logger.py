"""Public name of the middleware that logs every ASGI message; the server does the same with ``--log-level trace``."""

from __future__ import annotations

from addax.asgi.message_log import MessageLog as MessageLoggerMiddleware

__all__ = ["MessageLoggerMiddleware"]
