"""ASGI 2 applications: two calls, ``app(scope)`` and then ``instance(receive, send)``.

``config.load_app`` wraps the application when ``--interface`` says ``asgi2``, or when it finds one by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from addax.core.types import Receive, Scope, Send

ASGI2Instance: TypeAlias = Callable[[Receive, Send], Awaitable[None]]
ASGI2App: TypeAlias = Callable[[Scope], ASGI2Instance]


class Asgi2Adapter:
    """An ASGI 3 application made of an ASGI 2 one; every scope type is passed on, lifespan too.

    Args:
        app: the ASGI 2 application, often a class.
    """

    def __init__(self, app: ASGI2App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make an instance for this scope and run it; ``scope["asgi"]["version"]`` tells it ``2.0``."""
        # The server shares one `asgi` dict between all scopes: replace it, never change it.
        scope["asgi"] = {**scope.get("asgi", {}), "version": "2.0"}
        instance = self.app(scope)
        await instance(receive, send)
