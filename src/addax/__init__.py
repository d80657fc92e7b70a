"""Addax: an ASGI server.

``addax.run("main:app")`` serves an application; ``Config`` and ``Server`` are for programs that embed one; ``main`` is
the command line; ``is_compiled`` says which variant of addax this is. All of it is imported on first use, so
``import addax`` costs next to nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from addax._version import __version__

if os.environ.get("ADDAX_PURE", "0") not in ("", "0"):
    # Before anything that may be compiled: plain Python is wanted, even where machine code lies beside it.
    import_module("addax._pure").force_pure()

if TYPE_CHECKING:
    from addax._pure import is_compiled as is_compiled
    from addax._run import run as run
    from addax.cli import main as main
    from addax.config.config import Config as Config
    from addax.server.server import Server as Server

__all__ = ["Config", "Server", "__version__", "is_compiled", "main", "run"]

_WHERE = {
    "Config": "addax.config.config",
    "Server": "addax.server.server",
    "is_compiled": "addax._pure",
    "main": "addax.cli",
    "run": "addax._run",
}


def __getattr__(name: str) -> Any:
    """Import a public name, or a submodule (``addax.config``), when it is first asked for."""
    if name in _WHERE:
        value = getattr(import_module(_WHERE[name]), name)
        globals()[name] = value
        return value
    if not name.startswith("_"):
        try:
            return import_module(f"addax.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"addax.{name}":
                raise
    raise AttributeError(f"module 'addax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
