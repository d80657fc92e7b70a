"""What clients are told that speak HTTP where it ought to be HTTPS."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from addax.asgi.redirect import redirect_clear, refuse_clear


async def inner(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "inner"})


def answer(app: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
    """What the application sends."""
    sent: list[dict[str, Any]] = []
    received: list[bool] = []

    async def receive() -> dict[str, Any]:
        received.append(True)
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert not received
    return sent


def http(host: bytes | None = b"h", raw_path: bytes = b"/", query: bytes = b"", **more: Any) -> dict[str, Any]:
    headers = [(b"accept", b"*/*")] + ([] if host is None else [(b"host", host)])
    scope = {
        "type": "http",
        "scheme": "http",
        "path": "/",
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
    }
    return {**scope, "headers": headers, **more}


def check_400(sent: list[dict[str, Any]], kind: str = "http.response") -> None:
    start, body = sent
    assert (start["type"], body["type"]) == (f"{kind}.start", f"{kind}.body")
    assert start["status"] == 400
    fields = dict(start["headers"])
    assert fields[b"connection"] == b"close"
    assert fields[b"content-length"] == b"%d" % len(body["body"])
    assert b"This port speaks HTTPS" in body["body"]


@pytest.mark.parametrize(
    ("port", "host", "raw_path", "query", "location"),
    [
        (443, b"h", b"/", b"", b"https://h/"),
        (443, b"h:80", b"/a%2Fb", b"c=d&e", b"https://h/a%2Fb?c=d&e"),
        (8443, b"h:80", b"/", b"?", b"https://h:8443/??"),
        (8443, b"[::1]", b"/", b"", b"https://[::1]:8443/"),
        (443, b"[::1]:80", b"/", b"", b"https://[::1]/"),
        (443, b"h:", b"/", b"", b"https://h/"),
    ],
)
def test_location(port: int, host: bytes, raw_path: bytes, query: bytes, location: bytes) -> None:
    start, body = answer(redirect_clear(inner, port), http(host, raw_path, query))
    assert start["status"] == 308
    assert dict(start["headers"])[b"location"] == location
    assert dict(start["headers"])[b"content-length"] == b"0"
    assert body["body"] == b""


@pytest.mark.parametrize(
    ("host", "place"),
    [
        (b"h:9443", b"h:9443"),
        (b"[::1]:9443", b"[::1]:9443"),
        (b"h", b"h:8443"),
        (b"h:", b"h:8443"),
        (b"[::1]", b"[::1]:8443"),
    ],
)
def test_port_that_the_client_has_asked_is_kept_where_it_speaks_https(host: bytes, place: bytes) -> None:
    start, _ = answer(redirect_clear(inner, 8443, keeps_port=True), http(host))
    assert dict(start["headers"])[b"location"] == b"https://" + place + b"/"


@pytest.mark.parametrize(
    ("root_path", "raw_path", "location"),
    [
        ("/api", b"/api/x", b"https://h/x"),
        ("/\xfc", b"/\xc3\xbc/x", b"https://h/x"),
        ("/api", b"/x", b"https://h/x"),
        ("", b"/api/x", b"https://h/api/x"),
    ],
)
def test_root_path_was_not_written_by_the_client(root_path: str, raw_path: bytes, location: bytes) -> None:
    start, _ = answer(redirect_clear(inner, 443), http(raw_path=raw_path, root_path=root_path))
    assert dict(start["headers"])[b"location"] == location


@pytest.mark.parametrize("host", [None, b"", b":80"])
def test_without_a_host(host: bytes | None) -> None:
    check_400(answer(redirect_clear(inner, 443), http(host)))


def test_asterisk() -> None:
    check_400(answer(redirect_clear(inner, 443), http(path="*", raw_path=b"*", method="OPTIONS")))


@pytest.mark.parametrize(
    "scope", [http(scheme="https"), {"type": "websocket", "scheme": "wss"}, {"type": "lifespan"}, {"type": "other"}]
)
def test_others_get_to_the_application(scope: dict[str, Any]) -> None:
    assert answer(redirect_clear(inner, 443), scope) == [{"type": "inner"}]


@pytest.mark.parametrize("app", [redirect_clear(inner, 443), refuse_clear()])
def test_websocket_is_refused(app: Any) -> None:
    check_400(answer(app, {"type": "websocket", "scheme": "ws"}), "websocket.http.response")


def test_refusal() -> None:
    check_400(answer(refuse_clear(), http()))
    check_400(answer(refuse_clear(), http(None)))
