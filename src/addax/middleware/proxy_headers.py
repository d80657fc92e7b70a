"""Public name of the middleware that believes trusted proxies; the server does the same with ``--proxy-headers``."""

from __future__ import annotations

from addax.asgi.proxy_headers import ProxyHeadersMiddleware

__all__ = ["ProxyHeadersMiddleware"]
