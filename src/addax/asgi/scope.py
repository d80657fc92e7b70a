"""Scopes, made from what a connection knows once and what a request says.

Implements: ASGI HTTP & WebSocket message format 2.5, "HTTP Connection scope", "Websocket Connection scope".
"""

from __future__ import annotations

from typing import Any

from addax.asgi.state import ShutdownNotice
from addax.core.target import Target
from addax.core.types import Headers
from addax.core.wire import Peer

#: Of the HTTP and WebSocket message format that is spoken.
SPEC_VERSION = "2.5"
_GET = "GET"
#: Addresses of this host that have a template each.
_TEMPLATES_MAX = 64


class ScopeFactory:
    """Makes the scopes of one worker.

    Args:
        root_path: put before every path (``--root-path``).
        lifespan_state: each scope gets a shallow copy.
        shutdown: offered to the application as extension ``addax.shutdown``.
    """

    __slots__ = (
        "_extensions",
        "_lifespan_state",
        "_raw_root_path",
        "_root_path",
        "_templates",
        "_websocket_extensions",
    )

    def __init__(self, root_path: str, lifespan_state: dict[str, Any], shutdown: ShutdownNotice) -> None:
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
        self._websocket_extensions: dict[str, Any] = {
            "websocket.http.response": {},
            "addax.websocket.shutdown_code": {},
            "addax.shutdown": shutdown,
        }
        self._templates: dict[tuple[Any, str], dict[str, Any]] = {}

    def template(self, peer: Peer) -> dict[str, Any]:
        """What the scopes of a connection are copied from: cheaper than as many items put into a new dict.

        Connections that came in at the same address share one.
        """
        key = (peer.server, peer.scheme)
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= _TEMPLATES_MAX:
                self._templates.clear()
            template = self._templates[key] = {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
                "http_version": "1.1",
                "server": peer.server,
                "client": None,
                "scheme": peer.scheme,
                "method": "GET",
                "root_path": self._root_path,
                "path": "/",
                "raw_path": b"/",
                "query_string": b"",
                "headers": [],
                "state": self._lifespan_state,
                "extensions": self._extensions,
            }
        return template

    def http(
        self,
        template: dict[str, Any],
        client: tuple[str, int] | None,
        method: str,
        target: Target,
        minor: int,
        headers: Headers,
    ) -> dict[str, Any]:
        """The scope of one request; the application may change all of it but ``asgi``.

        Args:
            template: of this connection.
            client: the peer's host and port.
            method: of the request.
            target: taken apart.
            minor: 0 or 1, of HTTP/1.x.
            headers: become part of the scope.
        """
        path, raw_path, query, _ = target
        if self._root_path and path != "*":
            path = self._root_path + path
            raw_path = self._raw_root_path + raw_path
        scope = template.copy()
        scope["client"] = client
        if not minor:
            scope["http_version"] = "1.0"
        # Not by "!=": what is equal and another object is set again, which is right too.
        if method is not _GET:
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

    def websocket(self, scope: dict[str, Any], subprotocols: list[str]) -> None:
        """Make the scope of a request that of a WebSocket.

        Args:
            scope: of ``http``; it is changed, as long as nobody else has it.
            subprotocols: that the client offers.
        """
        del scope["method"]
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
        scope["subprotocols"] = subprotocols
        tls = scope["extensions"].get("tls")
        scope["extensions"] = self._websocket_extensions.copy()
        if tls is not None:
            scope["extensions"]["tls"] = tls
