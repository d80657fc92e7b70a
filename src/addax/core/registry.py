"""Names that options accept, and where each is found. Adding a parser or a loop is one line here and one file.

A value is ``module:attribute``; the module is imported only when it is chosen, so an extra that is not installed costs
nothing and is missed only by who asks for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from addax.core.errors import ConfigError

PARSERS: dict[str, str] = {
    "native": "addax.http1.native:NativeParser",
    "httptools": "addax.http1.httptools:HttptoolsParser",
    "h11": "addax.http1.h11:H11Parser",
}
WEBSOCKETS: dict[str, str] = {
    "native": "addax.websocket.frames:FrameCodec",
    "wsproto": "addax.websocket.wsproto:WsprotoCodec",
    # The names of uvicorn's two, which are built on that library: who used one of them gets ours.
    "websockets": "addax.websocket.frames:FrameCodec",
    "websockets-sansio": "addax.websocket.frames:FrameCodec",
}
LOOPS: dict[str, str] = {
    "uvloop": "addax.loops.uvloop:new_event_loop",
    "asyncio": "addax.loops.asyncio:new_event_loop",
}
WATCHERS: dict[str, str] = {
    "watchfiles": "addax.supervise.watchfiles_backend:WatchfilesWatcher",
    "stat": "addax.supervise.watching:StatWatcher",
}
#: What to do about a name whose module is missing; for the others, the extra "standard".
_HINTS: dict[str, str] = {
    "native": "; it is a part of the compiled core, which this addax lacks: install it again where a C compiler is, "
    "and without ADDAX_PURE",
    "wsproto": ' (try: pip install "addax[wsproto]")',
}


def resolve(option: str, name: str, table: dict[str, str]) -> tuple[str, Any]:
    """Find what an option's value names.

    ``auto`` takes the first entry of the table whose package is installed; a value with a colon is imported as it is.

    Args:
        option: the option's name for the error message, for example ``--http``.
        name: the value that the user gave.
        table: PARSERS, WEBSOCKETS or LOOPS.

    Returns:
        The name that was chosen, and the object.

    Raises:
        ConfigError: unknown name, or the package or attribute it needs is not there.
    """
    if name == "auto":
        for candidate in table:
            try:
                return candidate, _load(table[candidate])
            except ImportError:
                continue
        raise ConfigError(option, f"none of {', '.join(table)} is installed")
    target = table.get(name)
    if target is None:
        if ":" not in name:
            raise ConfigError(option, f"{name!r} is not one of auto, {', '.join(table)}, or module:attribute")
        target = name
    try:
        return name, _load(target)
    except (ImportError, AttributeError) as error:
        hint = _HINTS.get(name, ' (try: pip install "addax[standard]")') if name in table else ""
        raise ConfigError(option, f"{name!r} cannot be used: {error}{hint}") from error


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
