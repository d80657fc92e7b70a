"""Floor 4: one serving process. Start, serve, drain, stop; the only place that wires the floors below together.

The names here are those that embedders import from ``uvicorn.server``; they are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from addax.asgi.state import ServerState as ServerState
    from addax.server.server import Server as Server
    from addax.server.signals import HANDLED_SIGNALS as HANDLED_SIGNALS

__all__ = ["HANDLED_SIGNALS", "Server", "ServerState"]

_WHERE = {
    "HANDLED_SIGNALS": "addax.server.signals",
    "Server": "addax.server.server",
    "ServerState": "addax.asgi.state",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: a module in here must not load all the others."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
