"""What ``uvicorn.main`` offers, as a module: programs import ``Server``, ``run`` or ``STARTUP_FAILURE`` from there.

Loaded together with ``uvicorn`` (``finder``), hence empty until a name is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_FROM_CONFIG = (
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
    "create_ssl_context",
)
_WHERE = dict.fromkeys(_FROM_CONFIG, "uvicorn.config") | {
    "ChangeReload": "addax.supervisors",
    "Multiprocess": "addax.supervisors",
    "Server": "addax.server",
    "ServerState": "addax.server",
    "main": "addax",
    "run": "addax",
}


def __getattr__(name: str) -> Any:
    if name == "logger":
        import logging

        return logging.getLogger("addax.error")
    if name not in _WHERE:
        raise AttributeError(f"module 'uvicorn.main' (addax stands in for it) has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE, "logger"})
