"""Public names for logging configurations, under the name that uvicorn has for them: ``addax.logging.…``."""

from __future__ import annotations

from addax.config.formatters import (
    TRACE_LOG_LEVEL,
    AccessFormatter,
    ColourizedFormatter,
    DefaultFormatter,
    JsonFormatter,
    TemplateAccessFormatter,
)
from addax.observe.handler import AccessHandler, ServerHandler

__all__ = [
    "TRACE_LOG_LEVEL",
    "AccessFormatter",
    "AccessHandler",
    "ColourizedFormatter",
    "DefaultFormatter",
    "JsonFormatter",
    "ServerHandler",
    "TemplateAccessFormatter",
]
