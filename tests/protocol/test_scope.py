"""What every scope holds besides the request itself."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest

from addax import testing
from addax.core.wire import Peer

from .apps import hello, turn
from .conftest import GET, Connect


def scopes(connect: Connect, data: bytes = GET, **more: Any) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope))
        scope["state"]["mark"] = len(seen)
        scope["extensions"]["mark"] = {}
        scope["headers"].append((b"mark", b""))
        scope["path"] = "/changed"
        await hello(scope, receive, send)

    async def scenario() -> None:
        client = connect(app, **more)
        await client.send(data)
        assert all(response.status == 200 for response in client.responses())

    testing.run(scenario())
    return seen


def test_scope_is_that_of_the_specification(connect: Connect) -> None:
    (scope,) = scopes(connect, b"GET /a%20b?c HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\n")
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert scope["http_version"] == "1.1"
    assert scope["method"] == "GET"
    assert scope["scheme"] == "http"
    assert scope["path"] == "/a b"
    assert scope["raw_path"] == b"/a%20b"
    assert scope["query_string"] == b"c"
    assert scope["root_path"] == ""
    assert scope["client"] == ("127.0.0.1", 50000)
    assert scope["server"] == ("127.0.0.1", 8000)
    assert [tuple(field) for field in scope["headers"][:2]] == [(b"host", b"h"), (b"x-a", b"1")]
    assert set(scope["extensions"]) >= {
        "http.response.early_hint",
        "http.response.trailers",
        "http.response.pathsend",
        "http.response.zerocopysend",
        "addax.shutdown",
    }


def test_peer_on_a_unix_socket(connect: Connect) -> None:
    (scope,) = scopes(connect, peer=Peer(None, ("/run/addax.sock", None), "http"))
    assert scope["client"] is None
    assert scope["server"] == ("/run/addax.sock", None)


def test_scheme_is_that_of_the_connection(connect: Connect) -> None:
    peer = Peer(("192.0.2.1", 1), ("192.0.2.2", 443), "https")
    (scope,) = scopes(connect, b"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", peer=peer)
    assert scope["scheme"] == "https"


def test_requests_share_nothing(connect: Connect) -> None:
    first, second = scopes(connect, GET + GET, lifespan_state={"db": 1})
    assert first["state"] == {"db": 1, "mark": 1}
    assert second["state"] == {"db": 1, "mark": 2}
    assert first["state"] is not second["state"]
    assert first["headers"] is not second["headers"]
    assert first["extensions"] is not second["extensions"]
    assert second["path"] == "/"
    assert second["asgi"] == {"version": "3.0", "spec_version": "2.5"}


def test_lifespan_state_itself_is_not_changed(connect: Connect) -> None:
    state = {"db": [1]}
    (scope,) = scopes(connect, lifespan_state=state)
    assert state == {"db": [1]}
    assert scope["state"]["db"] is state["db"]


@pytest.mark.parametrize("path", ["/a", "/"])
def test_root_path_is_put_before_the_path(connect: Connect, path: str) -> None:
    (scope,) = scopes(connect, b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % path.encode(), root_path="/root")
    assert scope["root_path"] == "/root"
    assert scope["path"] == "/root" + path
    assert scope["raw_path"] == b"/root" + path.encode()


@pytest.mark.parametrize("suspends", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_context_of_a_request(connect: Connect, reset: bool, suspends: bool) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="empty")
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(variable.get())
        variable.set("changed")
        if suspends:
            await turn()
        await hello(scope, receive, send)

    async def scenario() -> None:
        variable.set("outer")
        client = connect(app, reset_contextvars=reset)
        await client.send(GET + GET)
        await client.send(GET)
        assert variable.get() == "outer"

    testing.run(scenario())
    assert seen == (["empty"] * 3 if reset else ["outer"] * 3)
