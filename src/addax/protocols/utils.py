"""Facts about transports and scopes, under the names that uvicorn has for them: ``addax.protocols.utils.…``.

For applications and their middleware, which mostly want the client's address or the target for a log line. Addax does
not use this module itself.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from addax.core.errors import ClientDisconnected
from addax.core.types import Scope
from addax.observe.escape import escape_url

__all__ = [
    "ClientDisconnected",
    "get_client_addr",
    "get_local_addr",
    "get_path_with_query_string",
    "get_remote_addr",
    "is_ssl",
]


def get_remote_addr(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """The peer's host and port; None on a Unix socket, or if the peer has gone."""
    address = _address(transport, "getpeername", "peername")
    return None if address is None or address[1] is None else (address[0], address[1])


def get_local_addr(transport: asyncio.BaseTransport) -> tuple[str, int | None] | None:
    """Our own host and port; ``(path, None)`` on a Unix socket; None if that cannot be told."""
    return _address(transport, "getsockname", "sockname")


def _address(transport: asyncio.BaseTransport, method: str, name: str) -> tuple[str, int | None] | None:
    """Ask the socket, and only without one the transport, which may be a test's or a proxy's."""
    sock = transport.get_extra_info("socket")
    try:
        found: Any = transport.get_extra_info(name) if sock is None else getattr(sock, method)()
    except OSError:
        return None
    if isinstance(found, (tuple, list)) and len(found) >= 2:
        return str(found[0]), int(found[1])
    return (found, None) if found and isinstance(found, str) else None


def is_ssl(transport: asyncio.BaseTransport) -> bool:
    """Whether the connection is encrypted."""
    return bool(transport.get_extra_info("sslcontext"))


def get_client_addr(scope: Scope) -> str:
    """``host:port`` of a scope's client; empty if it has none, as on a Unix socket."""
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else ""


def get_path_with_query_string(scope: Scope) -> str:
    """Path and query of a scope, percent-encoded so that they are fit for a log line."""
    path = quote(scope["path"])
    query = scope["query_string"]
    return f"{path}?{escape_url(query)}" if query else path
