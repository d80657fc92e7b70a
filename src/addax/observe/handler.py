"""The handlers of the built-in logging configuration, which calls them ``addax.logging.AccessHandler`` and so on.

Both are ``logging.StreamHandler``. One collects access lines, the other sees to it that they come before the server's
own lines where both go to the same place. Standard library only.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from addax.observe.batch import BatchWriter

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[Any]
else:
    _StreamHandler = logging.StreamHandler


class AccessHandler(_StreamHandler):
    """Writes to a stream, as its base class does, and takes access lines that are to be written together.

    A record that it gets in the usual way is written at once, after the lines that wait.

    Args:
        stream: what to write to; None: standard error.
    """

    def __init__(self, stream: Any = None) -> None:
        super().__init__(stream)
        #: Filled by ``observe.access.AccessLog``.
        self.batch = BatchWriter(self)
        self._is_terminal: tuple[Any, bool] = (None, False)
        _access_handlers.add(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Called by ``logging`` with this handler's lock held."""
        try:
            self.batch.add(self.format(record) + self.terminator)
            self.batch.flush()
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Write what waits. ``logging`` does that too, at the end of the process."""
        self.batch.flush()
        try:
            super().flush()
        except ValueError:
            # At the end of the process the stream may have been closed already; nothing waits any more.
            pass

    def close(self) -> None:
        """Write what waits. The stream stays open, whose it is."""
        self.batch.flush()
        super().close()

    def is_terminal(self) -> bool:
        """Whether the stream is a terminal."""
        stream, answer = self._is_terminal
        if stream is not self.stream:
            try:
                answer = bool(self.stream.isatty())
            except (AttributeError, ValueError):
                answer = False
            self._is_terminal = (self.stream, answer)
        return answer

    def setStream(self, stream: Any) -> Any:
        """Write what waits to the old stream, then take the new one; returns the old one, or None if it is the same."""
        self.batch.flush()
        return super().setStream(stream)


class ServerHandler(_StreamHandler):
    """For the server's own lines: writes what waits in every ``AccessHandler`` first.

    So the lines are in order where both go to the same terminal or file: a request that was answered before an error
    is above it.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        """Called by ``logging``."""
        # Here and not in emit: that runs with this handler's lock held, and the others have locks of their own.
        flush_access_lines()
        return super().handle(record)


_access_handlers: WeakSet[AccessHandler] = WeakSet()


def flush_access_lines() -> None:
    """Write all access lines that wait in this process."""
    for handler in list(_access_handlers):
        handler.batch.flush()


def _forget_in_child() -> None:
    for handler in list(_access_handlers):
        handler.batch.forget()


if hasattr(os, "register_at_fork"):
    # What waits at a fork is the parent's to write.
    os.register_at_fork(after_in_child=_forget_in_child)
