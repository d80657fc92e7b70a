"""``--proxy-protocol``: what a proxy says first is who the client is, and everything after it is HTTP as ever."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from addax import testing
from addax.asgi.proxy_headers import ProxyRules
from addax.core.settings import Http1Settings, ProxySettings
from addax.core.wire import Peer
from addax.http1.connection import Http1Connection
from addax.http1.encode import DefaultFields
from addax.net.proxy_connection import ProxyProtocolConnection
from tests.parsers import USABLE_PARSERS
from tests.proxy_headers import LOCAL, TCP6, UNIX, v1, v2, v2_block

from .conftest import FakeClock

CLIENT, SERVER = ("192.0.2.1", 56324), ("198.51.100.2", 443)
CLIENT6, SERVER6 = ("2001:db8::1", 56324), ("2001:db8::2", 443)
V1, V2 = v1(CLIENT, SERVER), v2(v2_block(CLIENT, SERVER))
GET = b"GET /%d HTTP/1.1\r\nHost: h\r\n%b\r\n"
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
PROXY_PEER = testing.PEER


class Served:
    """A client of a server with the option, over one parser."""

    def __init__(self, parser: str) -> None:
        self.parser = parser
        self.scopes: list[Any] = []

    def connect(self, peer: Peer = PROXY_PEER, **proxy: Any) -> testing.FakeClient:
        settings = ProxySettings(protocol=True, **proxy)
        service = testing.make_service(
            self._app,
            parser=self.parser,
            settings=Http1Settings(),
            proxy=ProxyRules(settings) if settings.enabled else None,
        )
        client = testing.FakeClient(service, peer=peer)
        rules = ProxyRules(ProxySettings(trusted=settings.trusted))
        defaults = DefaultFields(service.settings)
        first = ProxyProtocolConnection(service, rules, lambda: Http1Connection(service, defaults))
        client.host.attach(first, peer)
        return client

    @property
    def addresses(self) -> list[Any]:
        return [(scope["client"], scope["server"]) for scope in self.scopes]

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            message = await receive()
            await send({"type": "websocket.send", "text": message["text"]})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(params=USABLE_PARSERS)
def served(request: pytest.FixtureRequest) -> Served:
    return Served(request.param)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.DEBUG, "addax.error")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def refusal(reason: str, client: str = "127.0.0.1:50000") -> list[tuple[str, str]]:
    return [("INFO", f"{client} - Connection closed, because of --proxy-protocol: {reason}")]


@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize(
    ("header", "client", "server"),
    [
        (V1, CLIENT, SERVER),
        (V2, CLIENT, SERVER),
        (v1(CLIENT6, SERVER6), CLIENT6, SERVER6),
        (v2(v2_block(CLIENT6, SERVER6), TCP6), CLIENT6, SERVER6),
        (v2(b"".ljust(108, b"\0") + b"/run/app".ljust(108, b"\0"), UNIX), None, ("/run/app", None)),
        (v2(b"", 0, LOCAL), PROXY_PEER.client, PROXY_PEER.server),
        (b"PROXY UNKNOWN\r\n", PROXY_PEER.client, PROXY_PEER.server),
    ],
)
def test_requests_are_the_clients(served: Served, header: bytes, client: Any, server: Any, step: int | None) -> None:
    async def scenario() -> None:
        connection = served.connect()
        await connection.send(header + GET % (1, b"") + GET % (2, b"") + GET % (3, b""), step)
        assert [response.status for response in connection.responses()] == [200, 200, 200]
        assert connection.is_open

    testing.run(scenario())
    assert [scope["path"] for scope in served.scopes] == ["/1", "/2", "/3"]
    assert served.addresses == [(client, server)] * 3


@pytest.mark.parametrize("step", [None, 1])
def test_websocket(served: Served, step: int | None) -> None:
    async def scenario() -> None:
        connection = served.connect()
        await connection.send(V2 + HANDSHAKE + b"\x81\x82\0\0\0\0hi", step)
        head, _, frames = bytes(connection.host.written).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert frames.startswith(b"\x81\x02hi")
        await connection.close()

    testing.run(scenario())
    assert served.addresses == [(CLIENT, SERVER)]


def test_only_one_header_is_read(served: Served) -> None:
    async def scenario() -> None:
        connection = served.connect()
        await connection.send(V1 + V1 + GET % (1, b""))
        assert [response.status for response in connection.responses()] == [400]

    testing.run(scenario())
    assert not served.scopes


def test_log_lines_name_the_client(served: Served, lines: Any) -> None:
    async def scenario() -> None:
        connection = served.connect()
        await connection.send(V2 + b"GET / HTTP/1.1\r\n\r\n")
        assert [response.status for response in connection.responses()] == [400]

    testing.run(scenario())
    assert lines()[0][1].startswith("192.0.2.1:56324 - Invalid HTTP request received: ")


@pytest.mark.parametrize("data", [V1 + GET % (1, b""), V2 + GET % (1, b""), GET % (1, b"")])
def test_peer_that_is_not_trusted_is_closed_before_it_speaks(served: Served, lines: Any, data: bytes) -> None:
    async def scenario() -> None:
        connection = served.connect(Peer(("192.0.2.9", 1), ("127.0.0.1", 8000)))
        assert connection.host.ending == "close"
        assert connection.host.deadline is None
        assert not connection.connection.receive_data(data)
        assert connection.host.discarded_count == 1
        await testing.settle()
        assert not connection.host.written

    testing.run(scenario())
    assert not served.scopes
    assert lines() == refusal("the peer is not among --forwarded-allow-ips", "192.0.2.9:1")


def test_unix_socket_is_trusted_by_its_name(served: Served, lines: Any) -> None:
    async def scenario() -> None:
        peer = Peer(None, ("/run/app", None))
        assert not served.connect(peer).is_open
        connection = served.connect(peer, trusted=("unix:",))
        await connection.send(V1 + GET % (1, b""))
        assert [response.status for response in connection.responses()] == [200]

    testing.run(scenario())
    assert served.addresses == [(CLIENT, SERVER)]
    assert lines() == refusal("the peer is not among --forwarded-allow-ips", "")


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (GET % (1, b""), "it does not begin with a PROXY protocol header"),
        (b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n" + GET % (1, b""), "the PROXY line has a malformed address"),
        (v2(v2_block(CLIENT, SERVER), TCP6) + GET % (1, b""), "the PROXY header is too short for its addresses"),
    ],
)
def test_other_beginnings_are_refused_without_an_answer(
    served: Served, lines: Any, data: bytes, reason: str, step: int | None
) -> None:
    async def scenario() -> None:
        connection = served.connect()
        await connection.send(data, step)
        assert connection.host.ending == "close"
        assert not connection.host.written

    testing.run(scenario())
    assert not served.scopes
    assert lines() == refusal(reason)


# ---- time and ends


def test_header_has_the_time_of_a_head_and_the_request_has_its_own(served: Served, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        connection = served.connect()
        assert connection.host.deadline == 1030.0
        fake_clock.time += 20
        await connection.send(V1[:10])
        assert connection.host.deadline == 1030.0, "a piece gives no more time"
        await connection.send(V1[10:])
        assert connection.host.deadline == 1050.0
        await connection.send(b"GET")
        await fake_clock.advance(connection, 31)
        assert [response.status for response in connection.responses()] == [408]

    testing.run(scenario())


def test_header_that_is_late(served: Served, fake_clock: FakeClock, lines: Any) -> None:
    async def scenario() -> None:
        silent, slow = served.connect(), served.connect()
        await slow.send(V1[:10])
        for connection in (silent, slow):
            await fake_clock.advance(connection, 30)
            assert connection.host.ending == "close"
            assert not connection.host.written

    testing.run(scenario())
    assert lines() == refusal("the PROXY header did not arrive in time")


def test_peer_that_goes_before_its_header_is_complete(served: Served, lines: Any) -> None:
    async def scenario() -> None:
        silent, slow, lost = served.connect(), served.connect(), served.connect()
        await slow.send(V2[:20])
        for connection in (silent, slow):
            await connection.send_eof()
            assert connection.host.ending == "close"
        await lost.send(V2[:20])
        await lost.lose(ConnectionResetError())

    testing.run(scenario())
    assert lines() == refusal("the PROXY header ended in the middle")


def test_stop_closes_a_connection_without_header_when_it_has_rested(served: Served, fake_clock: FakeClock) -> None:
    async def scenario() -> None:
        at_once, soon, later = served.connect(), served.connect(), served.connect()
        at_once.connection.start_draining(0.0)
        assert at_once.host.ending == "close"
        soon.connection.start_draining()
        assert soon.host.deadline == 1001.0
        await fake_clock.advance(soon, 1)
        assert soon.host.ending == "close"
        later.connection.start_draining(float("inf"))
        assert later.host.deadline == 1030.0

    testing.run(scenario())


@pytest.mark.parametrize("rest_s", [None, 0.0, 5.0])
@pytest.mark.parametrize("before", [0, 10])
def test_stop_answers_the_request_that_is_on_the_way(served: Served, before: int, rest_s: float | None) -> None:
    async def scenario() -> None:
        connection = served.connect()
        await connection.send(V1[:before])
        if before or rest_s != 0.0:
            connection.connection.start_draining(rest_s)
            await connection.send(V1[before:] + GET % (1, b"") + GET % (2, b""))
            (response,) = connection.responses()
            assert (response.status, response.is_last) == (200, True)
            assert not connection.is_open

    testing.run(scenario())


def test_stop_between_header_and_request(served: Served) -> None:
    async def scenario() -> None:
        connection = served.connect()
        await connection.send(V1[:10])
        connection.connection.start_draining(0.0)
        await connection.send(V1[10:])
        assert connection.host.ending == "close"

    testing.run(scenario())


def test_there_is_no_request_before_the_header(served: Served) -> None:
    async def scenario() -> None:
        connection = served.connect()
        connection.connection.notify_disconnect()
        connection.connection.write_paused()
        connection.connection.write_resumed()
        assert connection.connection.in_progress() is None
        await connection.send(V1 + GET % (1, b""))
        assert [response.status for response in connection.responses()] == [200]

    testing.run(scenario())


# ---- together with forwarded fields

FORWARDED = b"X-Forwarded-For: 203.0.113.5\r\nX-Forwarded-Proto: https\r\n"


@pytest.mark.parametrize("header", [V1, V2, v2(b"", 0, LOCAL)])
def test_fields_are_believed_of_who_the_header_says_that_the_peer_is(served: Served, header: bytes) -> None:
    # A proxy that hands bytes on has not written these fields: the client has.
    is_local = header[12:13] == b"\x20"

    async def scenario() -> None:
        connection = served.connect()
        await connection.send(header + GET % (1, FORWARDED) + GET % (2, b""))
        assert [response.status for response in connection.responses()] == [200, 200]

    testing.run(scenario())
    first, second = served.scopes
    assert first["client"] == (("203.0.113.5", 0) if is_local else CLIENT)
    assert first["scheme"] == ("https" if is_local else "http")
    assert second["client"] == (PROXY_PEER.client if is_local else CLIENT)
    assert second["scheme"] == "http"


@pytest.mark.parametrize(
    ("trusted", "header", "is_believed"),
    [
        (("*",), v2(b"", 0, LOCAL), True),
        (("*",), V1, False),
        (("*", "192.0.2.0/24"), V1, True),
        (("127.0.0.1", "192.0.2.1"), V2, True),
        (("*",), v2(bytes(216), UNIX), False),
        (("*", "unix:"), v2(bytes(216), UNIX), True),
        (("*",), b"PROXY UNKNOWN\r\n", False),
        (("127.0.0.1",), b"PROXY UNKNOWN 127.0.0.1 127.0.0.1 1 2\r\n", False),
        (("127.0.0.1",), v2(b"", 0), False),
    ],
)
def test_fields_are_believed_of_nobody_whom_only_a_header_has_named(
    served: Served, trusted: tuple[str, ...], header: bytes, is_believed: bool
) -> None:
    async def scenario() -> None:
        connection = served.connect(trusted=trusted)
        await connection.send(header + GET % (1, FORWARDED))
        assert [response.status for response in connection.responses()] == [200]

    testing.run(scenario())
    assert (served.scopes[0]["scheme"] == "https") == is_believed
    assert (served.scopes[0]["client"] == ("203.0.113.5", 0)) == is_believed


def test_no_proxy_headers_is_for_fields_only(served: Served) -> None:
    async def scenario() -> None:
        connection = served.connect(enabled=False)
        await connection.send(V1 + GET % (1, FORWARDED))
        assert [response.status for response in connection.responses()] == [200]

    testing.run(scenario())
    assert served.addresses == [(CLIENT, SERVER)]
    assert served.scopes[0]["scheme"] == "http"
