"""Public name of the adapter for ASGI 2 applications; the server does the same with ``--interface asgi2``."""

from __future__ import annotations

from addax.asgi.adapters.asgi2 import Asgi2Adapter as ASGI2Middleware

__all__ = ["ASGI2Middleware"]
