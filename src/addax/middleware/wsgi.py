"""Public name of the adapter for WSGI applications; the server does the same with ``--interface wsgi``."""

from __future__ import annotations

from addax.asgi.adapters.wsgi import WSGIApp, wsgi_adapter
from addax.core.errors import ConfigError
from addax.core.types import Receive, Scope, Send

__all__ = ["WSGIMiddleware"]

_THREAD_COUNT = 10


class WSGIMiddleware:
    """An ASGI 3 application made of a WSGI one, with uvicorn's signature.

    Args:
        app: the WSGI application.
        workers: how many threads run it; only 10, the default, can be had.

    Raises:
        ConfigError: another number of threads, or ``a2wsgi`` is not installed (the extra ``addax[wsgi]``).
    """

    def __init__(self, app: WSGIApp, workers: int = _THREAD_COUNT) -> None:
        if workers != _THREAD_COUNT:
            raise ConfigError("workers", f"{workers} threads cannot be had: WSGI applications run in {_THREAD_COUNT}")
        self.app = app
        self._adapter = wsgi_adapter(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        await self._adapter(scope, receive, send)
