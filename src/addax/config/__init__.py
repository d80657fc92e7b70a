"""Options, and what is made of them: the table, ``Config``, logging set-up, and finding the application.

The names here are those that embedders import from ``uvicorn.config``: mostly to offer the same choices themselves.
"""

from __future__ import annotations

from addax.config.config import SSL_PROTOCOL_VERSION, STARTUP_FAILURE, Config
from addax.config.log_setup import LOG_LEVELS, LOGGING_CONFIG
from addax.core.registry import LOOPS, PARSERS, WEBSOCKETS

#: Values of ``interface``.
INTERFACES = ("auto", "asgi3", "asgi2", "wsgi")
#: Values of ``lifespan``, ``http``, ``ws`` and ``loop``, and what they stand for; ``auto`` is the first one installed.
LIFESPAN: dict[str, str] = dict.fromkeys(("auto", "on", "off"), "addax.asgi.lifespan:Lifespan")
HTTP_PROTOCOLS: dict[str, str] = {"auto": next(iter(PARSERS.values())), **PARSERS}
WS_PROTOCOLS: dict[str, str | None] = {"none": None, "auto": next(iter(WEBSOCKETS.values())), **WEBSOCKETS}
LOOP_FACTORIES: dict[str, str | None] = {"none": None, "auto": next(iter(LOOPS.values())), **LOOPS}

__all__ = [
    "HTTP_PROTOCOLS",
    "INTERFACES",
    "LIFESPAN",
    "LOGGING_CONFIG",
    "LOG_LEVELS",
    "LOOP_FACTORIES",
    "SSL_PROTOCOL_VERSION",
    "STARTUP_FAILURE",
    "WS_PROTOCOLS",
    "Config",
]
