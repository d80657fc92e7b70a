"""Open log files anew, for whoever has moved them away (logrotate): SIGUSR1.

Called by ``supervise.running`` in a supervisor and by ``server.worker`` in each worker.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from addax.observe.handler import AccessHandler, ServerHandler, flush_access_lines

if TYPE_CHECKING:
    _StreamHandler: TypeAlias = logging.StreamHandler[Any]

logger = logging.getLogger("addax.error")


def reopen_log_files() -> list[str]:
    """Open anew every file that a logger of this process writes to, under the name that it had when it was opened.

    Those are the files of ``logging.FileHandler`` and its subclasses, and streams on named files that somebody gave to
    a handler of addax. What was logged before goes to the old files, nothing is truncated, and a file that has not
    been opened yet stays so. A file that cannot be opened is logged, and its handler goes on with the old one.

    Returns:
        The paths of the files that were opened, each once.
    """
    # Into the old files: the requests have been answered by now.
    flush_access_lines()
    reopened: dict[str, None] = {}
    failed: dict[str, Exception] = {}
    seen: set[int] = set()
    for handler in list(_find_handlers()):
        path = _path_of(handler)
        # Handlers that share a stream share its file.
        if path is None or id(handler.stream) in seen:
            continue
        try:
            _reopen(handler)
        except Exception as error:
            # Anything, for handlers are other people's classes too, and one must not hold up the others.
            failed[path] = error
        else:
            reopened[path] = None
        seen.add(id(handler.stream))
    # Now, and not between: the line would stand in a file that is closed a moment later.
    for path, failure in failed.items():
        reason = getattr(failure, "strerror", None) or failure
        logger.error("Log file %s could not be opened anew, the old one stays in use: %s", path, reason)
    return list(reopened)


# --- Which ------------------------------------------------------------------------------------------------------------


def _find_handlers() -> Iterator[_StreamHandler]:
    """Every handler with a stream that a logger uses, each once."""
    manager = logging.root.manager
    loggers = [
        logging.root,
        *(found for found in list(manager.loggerDict.values()) if isinstance(found, logging.Logger)),
    ]
    waiting = [handler for owner in loggers for handler in owner.handlers]
    seen: set[int] = set()
    while waiting:
        handler = waiting.pop(0)
        if id(handler) in seen:
            continue
        seen.add(id(handler))
        if isinstance(handler, logging.StreamHandler):
            yield handler
        waiting += _behind(handler)


def _behind(handler: logging.Handler) -> list[logging.Handler]:
    """The handlers that a MemoryHandler or a QueueHandler passes records on to."""
    target = getattr(handler, "target", None)
    # Of Python 3.12, where dictConfig makes both ends of a queue.
    listener = getattr(handler, "listener", None)
    behind: Iterable[object] = getattr(listener, "handlers", None) or ()
    return [found for found in (target, *behind) if isinstance(found, logging.Handler)]


def _path_of(handler: _StreamHandler) -> str | None:
    """The file that a handler has open; None if there is none, or it has no name."""
    if isinstance(handler, logging.FileHandler):
        # Without a stream it was not opened yet (delay), or was closed for good.
        stream: io.TextIOBase | None = handler.stream
        return None if stream is None or _is_regular(stream) is False else handler.baseFilename
    if not isinstance(handler, (AccessHandler, ServerHandler)) or type(handler.stream) is not io.TextIOWrapper:
        return None
    # Standard output and error have no names, wherever they are sent to: "<stdout>", or the number of a descriptor.
    name = handler.stream.name if _is_regular(handler.stream) else None
    return os.path.abspath(name) if isinstance(name, str) and not name.startswith("<") else None


def _is_regular(stream: io.TextIOBase) -> bool | None:
    """Whether a stream writes to a file, and not to a device or a pipe, which nobody moves; None: it cannot be told."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return None


# --- How --------------------------------------------------------------------------------------------------------------


def _reopen(handler: _StreamHandler) -> None:
    handler.acquire()
    try:
        # A disk that is full is a reason to go on with the new file, not to stay with the old one.
        with contextlib.suppress(OSError):
            handler.flush()
        if isinstance(handler, logging.FileHandler):
            _replace_stream(handler)
        else:
            _redirect(handler.stream)
    finally:
        handler.release()


def _replace_stream(handler: logging.FileHandler) -> None:
    mode = handler.mode
    # As it is, the mode would empty what another process has opened anew before this one, or refuse a file that exists.
    handler.mode = mode.replace("w", "a").replace("x", "a")
    try:
        new = handler._open()
    finally:
        handler.mode = mode
    old: io.TextIOBase | None = handler.stream
    handler.stream = new
    if old is not None:
        with contextlib.suppress(OSError):
            old.close()


def _redirect(stream: io.TextIOWrapper) -> None:
    """Let an open stream write to the file that has its name now. The object stays: it is somebody else's too."""
    old = stream.fileno()
    new = os.open(os.path.abspath(stream.name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.dup2(new, old, inheritable=os.get_inheritable(old))
    finally:
        os.close(new)
