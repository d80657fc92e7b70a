"""Scopes, made from what a connection knows once and what a request says.

Implements: ASGI HTTP & WebSocket message format 2.5, "HTTP Connection scope".
"""

from __future__ import annotations

from typing import Any

from addax.asgi.state import ShutdownNotice
from addax.core.target import Target
from addax.core.types import Headers
from addax.core.wire import Peer

#: Of the HTTP and WebSocket message format that is spoken.
SPEC_VERSION = "2.5"


class ScopeFactory:
    """Makes the scopes of one connection.

    Args:
        peer: both addresses and the scheme.
        root_path: put before every path (``--root-path``).
        lifespan_state: each scope gets a shallow copy.
        shutdown: offered to the application as extension ``addax.shutdown``.
    """

    __slots__ = ("_extensions", "_lifespan_state", "_raw_root_path", "_root_path", "_template")

    def __init__(self, peer: Peer, root_path: str, lifespan_state: dict[str, Any], shutdown: ShutdownNotice) -> None:
        self._root_path = root_path
        self._raw_root_path = root_path.encode("utf-8")
        self._lifespan_state = lifespan_state
        self._extensions: dict[str, Any] = {
            "http.response.early_hint": {},
            "http.response.trailers": {},
            "http.response.pathsend": {},
            "http.response.zerocopysend": {},
            "addax.shutdown": shutdown,
        }
        # Copied for each request: cheaper than as many items put into a new dict.
        self._template: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
            "http_version": "1.1",
            "server": peer.server,
            "client": peer.client,
            "scheme": peer.scheme,
            "method": "GET",
            "root_path": root_path,
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": [],
            "state": lifespan_state,
            "extensions": self._extensions,
        }

    def http(self, method: str, target: Target, minor: int, headers: Headers) -> dict[str, Any]:
        """The scope of one request; the application may change all of it but ``asgi``."""
        path, raw_path, query, _ = target
        if self._root_path and path != "*":
            path = self._root_path + path
            raw_path = self._raw_root_path + raw_path
        scope = self._template.copy()
        if not minor:
            scope["http_version"] = "1.0"
        scope["method"] = method
        scope["path"] = path
        scope["raw_path"] = raw_path
        if query:
            scope["query_string"] = query
        scope["headers"] = headers
        state = self._lifespan_state
        scope["state"] = state.copy() if state else {}
        scope["extensions"] = self._extensions.copy()
        return scope
