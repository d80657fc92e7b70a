"""``--allowed-host``: requests for other hosts are answered 421, and the application is not called."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from addax import testing
from addax.asgi.proxy_headers import ProxyRules
from addax.core.settings import Http1Settings, ProxySettings
from tests.parsers import USABLE_PARSERS

from .conftest import Connect, Recorder

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
ALLOWED = ("example.com", "*.example.org:8000")


def get(host: bytes, target: bytes = b"/", method: bytes = b"GET", more: bytes = b"") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method, target, host, more)


class Noting:
    """Answers, and keeps the scopes."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def app() -> Noting:
    return Noting()


@pytest.mark.parametrize("step", [None, 1])
def test_hosts_of_the_list_are_served(connect: Connect, app: Noting, step: int | None) -> None:
    async def scenario() -> None:
        client = connect(app, allowed_hosts=ALLOWED)
        stream = get(b"example.com") + get(b"Example.COM.:8000") + get(b"a.example.org:8000")
        await client.send(stream, step)
        assert [response.status for response in client.responses()] == [200, 200, 200]
        assert client.is_open

    testing.run(scenario())


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(
    "request_bytes",
    [
        get(b"evil.test"),
        get(b"example.com.evil.test"),
        get(b"a.example.org"),
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: evil.test\r\n\r\n",
        get(b"example.com", b"http://evil.test/"),
        get(b"evil.test", b"*", b"OPTIONS"),
        get(b"evil.test", method=b"POST", more=b"Content-Length: 5\r\n") + b"hello",
        get(b"evil.test", method=b"POST", more=b"Content-Length: 5\r\nExpect: 100-continue\r\n"),
        get(b"evil.test", method=b"POST", more=b"Transfer-Encoding: chunked\r\n") + b"5\r\nhello\r\n0\r\n\r\n",
        get(b"evil.test", more=b"X-Forwarded-Host: example.com\r\n"),
        HANDSHAKE % b"evil.test",
        (HANDSHAKE % b"evil.test").replace(b"13", b"12"),
    ],
)
def test_others_are_misdirected(connect: Connect, app: Noting, request_bytes: bytes, step: int | None) -> None:
    async def scenario() -> None:
        client = connect(app, allowed_hosts=ALLOWED)
        await client.send(get(b"example.com") + request_bytes + get(b"example.com"), step)
        served, refused = client.responses()
        assert (served.status, refused.status, refused.body) == (200, 421, b"this host is not served here")
        assert refused.is_last
        assert client.host.ending == "linger"
        await client.close()

    testing.run(scenario())
    assert len(app.scopes) == 1


def test_answer_to_head_has_no_body(connect: Connect, app: Noting) -> None:
    async def scenario() -> None:
        client = connect(app, allowed_hosts=ALLOWED)
        await client.send(get(b"evil.test", method=b"HEAD"))
        (response,) = client.responses("HEAD")
        assert (response.status, response.body) == (421, b"")

    testing.run(scenario())


def test_authority_of_the_target_counts_and_not_host(connect: Connect, app: Noting) -> None:
    async def scenario() -> None:
        client = connect(app, allowed_hosts=ALLOWED)
        await client.send(get(b"evil.test", b"http://example.com/"))
        assert [response.status for response in client.responses()] == [200]

    testing.run(scenario())


def test_same_request_again_is_refused_again(connect: Connect, app: Noting) -> None:
    # What the parser remembers of a head does not hold for another connection's list.
    async def scenario() -> None:
        for allowed, status in (((), 200), (("evil.test",), 200), (ALLOWED, 421), (("*",), 200)):
            client = connect(app, allowed_hosts=allowed)
            await client.send(get(b"evil.test"))
            assert [response.status for response in client.responses()] == [status]

    testing.run(scenario())


def test_websocket_of_the_list_is_opened(connect: Connect, app: Noting) -> None:
    async def scenario() -> None:
        client = connect(app, allowed_hosts=ALLOWED)
        await client.send(HANDSHAKE % b"example.com")
        assert bytes(client.host.written).startswith(b"HTTP/1.1 101 ")
        await client.close()

    testing.run(scenario())


def test_it_is_logged(connect: Connect, app: Noting, recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "addax.error")

    async def scenario() -> None:
        client = connect(app, access=recorder, allowed_hosts=ALLOWED)
        await client.send(get(b"Evil.test:8000"))
        client = connect(app, access=recorder, allowed_hosts=ALLOWED)
        await client.send(b"GET / HTTP/1.0\r\n\r\n")

    testing.run(scenario())
    start = "127.0.0.1:50000 - Invalid HTTP request received: this host is not served here (421): "
    assert [record.getMessage() for record in caplog.records] == [
        start + "'Evil.test:8000' is not among --allowed-host",
        start + "'' is not among --allowed-host",
    ]
    assert [exchange.status for exchange in recorder.exchanges] == [421, 421]


def test_log_shows_a_part_of_a_long_host(connect: Connect, app: Noting, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "addax.error")

    async def scenario() -> None:
        client = connect(app, allowed_hosts=ALLOWED)
        await client.send(get(b"x" * 5000))
        assert [response.status for response in client.responses()] == [421]

    testing.run(scenario())
    assert len(caplog.records[0].getMessage()) < 400


@pytest.mark.parametrize("parser", USABLE_PARSERS)
@pytest.mark.parametrize(
    ("fields", "request_host", "forwarded", "status"),
    [
        ({"host"}, b"inner", b"X-Forwarded-Host: example.com\r\n", 200),
        ({"host"}, b"example.com", b"X-Forwarded-Host: evil.test\r\n", 421),
        ({"host", "port"}, b"inner", b"X-Forwarded-Host: a.example.org\r\nX-Forwarded-Port: 8000\r\n", 200),
        ({"host"}, b"a.example.org:8000", b"", 200),
        (set(), b"inner", b"X-Forwarded-Host: example.com\r\n", 421),
        ({"forwarded"}, b"inner", b"Forwarded: for=1.2.3.4;host=example.com\r\n", 200),
    ],
)
def test_host_of_a_trusted_proxy_counts(
    parser: str, app: Noting, fields: set[str], request_host: bytes, forwarded: bytes, status: int
) -> None:
    async def scenario() -> None:
        service = testing.make_service(
            app,
            parser=parser,
            settings=Http1Settings(allowed_hosts=ALLOWED),
            proxy=ProxyRules(ProxySettings(fields=frozenset(fields))),
        )
        client = testing.FakeClient(service)
        await client.send(get(request_host, more=forwarded))
        assert [response.status for response in client.responses()] == [status]

    testing.run(scenario())
