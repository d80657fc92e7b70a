"""Shows what passes between server and application: the middleware of log level ``trace``.

``server.build`` wraps the application in a ``MessageLog`` when ``LogSettings.trace`` is set, and only then: nothing of
this is on the way of a request otherwise. Bodies and field lines are never shown, neither is the application's state.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from addax.core.types import ASGIApp, Message, Receive, Scope, Send

#: Below ``logging.DEBUG``.
TRACE_LOG_LEVEL = 5

logger = logging.getLogger("addax.asgi")

#: Keys whose value is counted rather than shown, and in which unit.
_COUNTED = {"body": "bytes", "bytes": "bytes", "text": "chars"}
#: Keys whose value is not shown at all.
_HIDDEN = frozenset({"headers", "state"})


class MessageLog:
    """ASGI middleware that logs the scope and every event at level 5 of the logger ``addax.asgi``.

    Args:
        app: the ASGI 3 application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application; log what it gets, what it sends, and how it ended."""
        if not logger.isEnabledFor(TRACE_LOG_LEVEL):
            await self.app(scope, receive, send)
            return
        self._count += 1
        conversation = _Conversation(f"{_name(scope)} [{self._count}]", receive, send)
        conversation.log(f"Started scope={_show(scope)}")
        ending = "Raised exception"
        try:
            await self.app(scope, conversation.receive, conversation.send)
            ending = "Completed"
        finally:
            conversation.log(ending)


class _Conversation:
    """The ``receive`` and ``send`` of one call, with a log line for each event."""

    def __init__(self, name: str, receive: Receive, send: Send) -> None:
        self._name = name
        self._receive = receive
        self._send = send

    def log(self, what: str) -> None:
        logger.log(TRACE_LOG_LEVEL, "%s %s", self._name, what)

    async def receive(self) -> Message:
        message = await self._receive()
        self.log(f"Receive {_show(message)}")
        return message

    async def send(self, message: Message) -> None:
        self.log(f"Send {_show(message)}")
        await self._send(message)


def _name(scope: Scope) -> str:
    client = scope.get("client")
    return _escape(f"{client[0]}:{client[1]} - ASGI") if client else "ASGI"


def _show(event: object) -> str:
    """One line for a scope or an event; a wrong one is shown too, because that is what one looks for here."""
    if isinstance(event, Mapping):
        event = {key: _placeholder(key, value) for key, value in event.items()}
    return _escape(repr(event))


def _placeholder(key: object, value: object) -> object:
    if key in _HIDDEN:
        return "<...>"
    if key in _COUNTED and isinstance(value, (bytes, bytearray, memoryview, str)):
        return f"<{len(value)} {_COUNTED[str(key)]}>"
    return value


def _escape(text: str) -> str:
    """Keep control characters out of the log: ``repr`` of the built-in types does, an application's may not."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
