"""Gives addax's loggers uvicorn's names while the stand-in is installed.

Applications attach handlers and filters to uvicorn's loggers by name, name them in logging configurations, and look at
``record.name``. So each pair of names means one logger object, addax's, and its own name is uvicorn's meanwhile.
"""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Callable, Collection
from typing import Any

NAMES = {
    "uvicorn": "addax",
    "uvicorn.error": "addax.error",
    "uvicorn.access": "addax.access",
    "uvicorn.asgi": "addax.asgi",
}
_TWINS = NAMES | {ours: theirs for theirs, ours in NAMES.items()}
_HOOK = "_handle_existing_loggers"

#: Loggers that had uvicorn's names before.
_earlier: dict[str, logging.Logger] = {}
#: What was taken over from them: what to call, and with what, to be without it again.
_adopted: list[tuple[Callable[[Any], None], Any]] = []
_original_hook: Callable[..., None] | None = getattr(logging.config, _HOOK, None)


def share() -> None:
    """Let both names mean addax's loggers, and take over what is attached to earlier loggers of uvicorn's names."""
    known = logging.Logger.manager.loggerDict
    for theirs, ours in NAMES.items():
        logger = logging.getLogger(ours)
        earlier = known.get(theirs)
        if isinstance(earlier, logging.Logger):
            _earlier[theirs] = earlier
            _adopt(logger, earlier)
        known[theirs] = logger
        logger.name = theirs
    _reparent()
    if _original_hook is not None:
        setattr(logging.config, _HOOK, _handle_existing_loggers)


def unshare() -> None:
    """Undo ``share``; a logging configuration that was applied meanwhile stays applied to addax's loggers."""
    known = logging.Logger.manager.loggerDict
    while _adopted:
        undo, argument = _adopted.pop()
        undo(argument)
    for theirs, ours in NAMES.items():
        logging.getLogger(ours).name = ours
        del known[theirs]
    known.update(_earlier)
    _earlier.clear()
    for theirs in NAMES:
        logging.getLogger(theirs)
    _reparent()
    rename_logging_config(undo=True)
    if _original_hook is not None:
        setattr(logging.config, _HOOK, _original_hook)


def _adopt(logger: logging.Logger, earlier: logging.Logger) -> None:
    for handler in earlier.handlers:
        if handler not in logger.handlers:
            logger.addHandler(handler)
            _adopted.append((logger.removeHandler, handler))
    for item in earlier.filters:
        if item not in logger.filters:
            logger.addFilter(item)
            _adopted.append((logger.removeFilter, item))
    if logger.level == logging.NOTSET:
        logger.setLevel(earlier.level)
        _adopted.append((logger.setLevel, logging.NOTSET))


def _reparent() -> None:
    """Hang loggers below uvicorn's (``uvicorn.custom``) under the loggers that have those names now."""
    known = logging.Logger.manager.loggerDict
    for name, logger in known.items():
        if name.startswith("uvicorn.") and name not in NAMES and isinstance(logger, logging.Logger):
            logger.parent = _nearest(name)
            # Forgets, in all loggers, which levels are enabled: the parent has a say in it.
            logger.setLevel(logger.level)


def _nearest(name: str) -> logging.Logger:
    known = logging.Logger.manager.loggerDict
    while "." in name:
        name = name.rpartition(".")[0]
        found = known.get(name)
        if isinstance(found, logging.Logger):
            return found
    return logging.root


def _handle_existing_loggers(existing: list[str], child_loggers: Collection[str], disable_existing: bool) -> None:
    """Keep ``dictConfig`` and ``fileConfig`` from disabling under one name what they have configured under the other.

    They reset or disable the loggers that a configuration does not name, and know those by name only.
    """
    assert _original_hook is not None
    left = [name for name in existing if not _is_spoken_for(name, existing, child_loggers)]
    _original_hook(left, child_loggers, disable_existing)


def _is_spoken_for(name: str, existing: list[str], child_loggers: Collection[str]) -> bool:
    """Whether it was configured under its other name, or is a child of one that was under its other name only."""
    twin = _TWINS.get(name)
    if twin is None:
        return False
    return twin not in existing or (twin in child_loggers and name not in child_loggers)


def rename_logging_config(undo: bool = False) -> None:
    """Let ``LOGGING_CONFIG`` name the loggers as uvicorn's does: programs change entries of it before they pass it on.

    Args:
        undo: let it name them as addax's does again.
    """
    from addax.config.log_setup import LOGGING_CONFIG

    names = NAMES if undo else {ours: theirs for theirs, ours in NAMES.items()}
    loggers = LOGGING_CONFIG["loggers"]
    # In place, and in the old order: what holds the dict sees it too.
    renamed = {names.get(name, name): entry for name, entry in loggers.items()}
    loggers.clear()
    loggers.update(renamed)
