"""What clients are told that speak HTTP where it ought to be HTTPS: an ASGI application that is put before the user's.

Made by ``server.build`` for ports that are encrypted, and with ``--http-redirect`` for clear ones beside them.

Implements: RFC 9110 §15.4.9 (308, which keeps the method), §15.5.1.
"""

from __future__ import annotations

from addax.core.types import ASGIApp, Receive, Scope, Send

#: Where nothing has to be said of the port.
_HTTPS_PORT = 443
_REASON = b"This port speaks HTTPS, and the request came without TLS. Use https:// in the address.\n"


def refuse_clear() -> ASGIApp:
    """Answer 400 to who speaks HTTP where TLS is expected."""

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(scope, send, 400, _REASON)

    return refuse


def redirect_clear(app: ASGIApp, port: int, keeps_port: bool = False) -> ASGIApp:
    """Answer 308 to requests whose scheme is ``http``; the others, from a proxy that is trusted, get to ``app``.

    Args:
        app: the user's.
        port: where HTTPS is spoken.
        keeps_port: the request has come to such a port, so the one that it names leads there, which may have another
            number here: containers are given their ports.
    """
    suffix = b"" if port == _HTTPS_PORT else b":%d" % port

    async def redirect(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["scheme"] == "http":
            host, own_port = _host(scope)
            if host is None or scope["path"] == "*":
                await _answer(scope, send, 400, _REASON)
                return
            place = host + (own_port if keeps_port and own_port else suffix)
            query = b"?" + scope["query_string"] if scope["query_string"] else b""
            await _answer(scope, send, 308, b"", (b"location", b"https://" + place + _path(scope) + query))
        elif scope["type"] == "websocket" and scope["scheme"] == "ws":
            # Browsers follow no redirect here.
            await _answer(scope, send, 400, _REASON)
        else:
            await app(scope, receive, send)

    return redirect


def _host(scope: Scope) -> tuple[bytes | None, bytes]:
    """The host that was asked for, and its port with the colon or nothing; None: nobody has said one (HTTP/1.0)."""
    for name, value in scope["headers"]:
        if name == b"host":
            # The colon of a port stands behind the bracket of an IPv6 address.
            head, colon, tail = value.rpartition(b":")
            if not colon or tail.endswith(b"]"):
                return value or None, b""
            return head or None, colon + tail if tail else b""
    return None, b""


def _path(scope: Scope) -> bytes:
    """What the client has asked for: without ``--root-path``, which it has not written."""
    path: bytes = scope["raw_path"]
    root_path = scope["root_path"].encode("utf-8", "surrogateescape")
    return path[len(root_path) :] if root_path and path.startswith(root_path) else path


async def _answer(scope: Scope, send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Answer a request, or refuse a WebSocket (both by the same messages, but for their names)."""
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        *headers,
    ]
    await send({"type": f"{kind}.start", "status": status, "headers": fields})
    await send({"type": f"{kind}.body", "body": body})
