"""Lets programs that import uvicorn by name run on addax: ``addax.compat.install()``.

Programs call it themselves, first thing; ``python -m addax.compat -- COMMAND`` does it for a whole command, see
``addax.compat.__main__``. Nothing else of addax uses this package. It is imported at the start of every Python process
of such a command, so it imports little itself.
"""

from __future__ import annotations

import sys
from types import ModuleType

from addax.compat import loggers
from addax.compat.finder import UVICORN_VERSION, StandInFinder, is_uvicorn

__all__ = ["UVICORN_VERSION", "install", "is_installed", "uninstall"]

_finder = StandInFinder()
#: The real uvicorn's modules that were there before, for ``uninstall``.
_replaced: dict[str, ModuleType] = {}


def install() -> None:
    """Answer ``import uvicorn`` with addax in this process, from now on. Calling it again changes nothing.

    ``uvicorn`` and its documented submodules become addax's modules, whether or not the real uvicorn is installed; a
    submodule that addax has no counterpart for raises ModuleNotFoundError. ``uvicorn.__version__`` and
    ``importlib.metadata.version("uvicorn")`` are ``UVICORN_VERSION``. The loggers ``uvicorn``, ``uvicorn.error``,
    ``uvicorn.access`` and ``uvicorn.asgi`` are addax's loggers, which bear these names from now on.

    What was imported from the real uvicorn before stays what it is: call this before anything imports it.
    """
    if is_installed():
        return
    _replaced.update(_take_out_modules())
    loggers.share()
    sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Undo ``install``: the next ``import uvicorn`` finds the real one, if there is any."""
    if not is_installed():
        return
    sys.meta_path.remove(_finder)
    loggers.unshare()
    _take_out_modules()
    sys.modules.update(_replaced)
    _replaced.clear()


def is_installed() -> bool:
    """Whether ``import uvicorn`` is answered with addax."""
    return _finder in sys.meta_path


def _take_out_modules() -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if is_uvicorn(name)}
