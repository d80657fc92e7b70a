"""The names of ``uvicorn._types``, which programs import for their annotations.

There is a name for every scope and event of ASGI, and for the callables; the dictionaries are not told apart here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, TypeAlias

from addax.asgi.adapters.asgi2 import ASGI2App as ASGI2Application
from addax.asgi.adapters.asgi2 import ASGI2Instance as ASGI2Protocol
from addax.asgi.adapters.wsgi import Environ, WSGIApp
from addax.core.types import ASGIApp as ASGI3Application
from addax.core.types import Message, Scope
from addax.core.types import Receive as ASGIReceiveCallable
from addax.core.types import Send as ASGISendCallable

__all__ = [
    "ASGI2Application",
    "ASGI2Protocol",
    "ASGI3Application",
    "ASGIApplication",
    "ASGIReceiveCallable",
    "ASGISendCallable",
    "Environ",
    "ExcInfo",
    "Scope",
    "StartResponse",
    "WSGIApp",
]

ASGIApplication: TypeAlias = Callable[..., Awaitable[None]]
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]
StartResponse: TypeAlias = Callable[..., None]

_SCOPES = ("ASGIVersions", "HTTPScope", "LifespanScope", "WWWScope", "WebSocketScope")
_EVENTS = (
    "ASGIReceiveEvent",
    "ASGISendEvent",
    "HTTPDisconnectEvent",
    "HTTPRequestEvent",
    "HTTPResponseBodyEvent",
    "HTTPResponseDebugEvent",
    "HTTPResponseEarlyHintEvent",
    "HTTPResponseStartEvent",
    "HTTPResponseTrailersEvent",
    "HTTPServerPushEvent",
    "LifespanShutdownCompleteEvent",
    "LifespanShutdownEvent",
    "LifespanShutdownFailedEvent",
    "LifespanStartupCompleteEvent",
    "LifespanStartupEvent",
    "LifespanStartupFailedEvent",
    "WebSocketAcceptEvent",
    "WebSocketCloseEvent",
    "WebSocketConnectEvent",
    "WebSocketDisconnectEvent",
    "WebSocketEvent",
    "WebSocketReceiveEvent",
    "WebSocketResponseBodyEvent",
    "WebSocketResponseStartEvent",
    "WebSocketSendEvent",
)


def __getattr__(name: str) -> Any:
    if name in _SCOPES:
        return Scope
    if name in _EVENTS:
        return Message
    raise AttributeError(f"module 'uvicorn._types' (addax stands in for it) has no attribute {name!r}")
