"""TLS: ciphertext in, ciphertext out, with OpenSSL as the client; what is inside is HTTP as ever."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from addax import testing
from addax.asgi.proxy_headers import ProxyRules
from addax.core.settings import Http1Settings, ProxySettings, TlsSettings
from addax.http1.connection import Http1Connection
from addax.http1.parser import Parser
from addax.net.proxy_connection import ProxyProtocolConnection
from addax.net.tls_layer import TlsLayer, TlsPort
from addax.net.tls_material import TlsMaterial, load
from tests.certificates import Authority, Files
from tests.parsers import USABLE_PARSERS
from tests.proxy_headers import v1, v2, v2_block
from tests.tls_client import ALERT, APPLICATION_DATA, HANDSHAKE, TlsClient, make_port, split_records

from .apps import HELLO, START, body, echo, hello, path_echo, start
from .conftest import GET, FakeClock

CLIENT, SERVER = ("192.0.2.1", 56324), ("198.51.100.2", 443)
ASK = b"GET /%b HTTP/1.1\r\nHost: h\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(params=USABLE_PARSERS)
def parser(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def context(request: pytest.FixtureRequest, authority: Authority) -> ssl.SSLContext:
    """A client's, of each version of TLS."""
    context = authority.client_context()
    context.minimum_version = context.maximum_version = request.param
    return context


@pytest.fixture
def either(authority: Authority) -> ssl.SSLContext:
    """A client's, of any version: TLS 1.3 then."""
    return authority.client_context()


@pytest.fixture
def material(authority: Authority) -> TlsMaterial:
    return load(settings_of(authority.server("a.example")))


def settings_of(files: Files, **more: Any) -> TlsSettings:
    return TlsSettings(str(files.certfile), str(files.keyfile), files.password, **more)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.DEBUG, "addax.error")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "addax.error"]


@pytest.fixture
def buffers(monkeypatch: pytest.MonkeyPatch) -> list[ssl.MemoryBIO]:
    """All that are made: a client's two come first, and the layer's, what comes in and what goes out, last."""
    made: list[ssl.MemoryBIO] = []
    real = ssl.MemoryBIO

    def make() -> ssl.MemoryBIO:
        made.append(real())
        return made[-1]

    monkeypatch.setattr(ssl, "MemoryBIO", make)
    return made


class Listening:
    """Stands before what is inside, and notes what it is told.

    Args:
        port: gets it.
    """

    def __init__(self, port: TlsPort) -> None:
        self.told: list[str] = []
        self._inner: Any = port.make_connection()
        port.make_connection = lambda: self

    def __getattr__(self, name: str) -> Any:
        self.told.append(name)
        return getattr(self._inner, name)


def statuses(client: TlsClient) -> list[int]:
    return [response.status for response in client.responses()]


class Held:
    """Answers when it is told to, and notes how it goes."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.send: Any = None
        self._told = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.send = send
        self.received.append(await receive())
        while self.received[-1].get("more_body"):
            self.received.append(await receive())
        await self._told.wait()
        await send(START)
        await send(HELLO)

    async def answer(self) -> None:
        self._told.set()
        await testing.settle()


# ---- requests


@pytest.mark.parametrize("step", [None, 1, 7])
def test_requests_on_one_connection(
    parser: str, context: ssl.SSLContext, material: TlsMaterial, step: int | None
) -> None:
    async def scenario() -> None:
        client = await TlsClient(make_port(path_echo, material, parser=parser), context).handshake(step)
        assert client.tls.version() == ("TLSv1.2" if context.maximum_version == VERSIONS[0] else "TLSv1.3")
        assert client.tls.selected_alpn_protocol() is None
        for path in (b"1", b"22"):
            await client.send(ASK % path, step)
        await client.send(ASK % b"3" + ASK % b"4" + ASK % b"5", step)
        assert [response.body for response in client.responses()] == [b"/1", b"/22", b"/3", b"/4", b"/5"]
        assert client.is_open

    testing.run(scenario())


def test_request_in_the_flight_that_ends_the_handshake(
    parser: str, either: ssl.SSLContext, material: TlsMaterial
) -> None:
    async def scenario() -> None:
        client = TlsClient(make_port(path_echo, material, parser=parser), either)
        await client.fake.send(client.hello())
        flight = client.finish()
        await client.fake.send(flight + client.encrypt(ASK % b"1") + client.encrypt(ASK % b"2")[:-1])
        assert [response.body for response in client.responses()] == [b"/1"]

    testing.run(scenario())


@pytest.mark.parametrize("record", [1, 5, 64])
def test_request_in_many_records_in_one_piece(
    parser: str, context: ssl.SSLContext, material: TlsMaterial, record: int
) -> None:
    async def scenario() -> None:
        client = await TlsClient(make_port(path_echo, material, parser=parser), context).handshake()
        await client.send(ASK % b"1" + ASK % b"2", record=record)
        assert [response.body for response in client.responses()] == [b"/1", b"/2"]

    testing.run(scenario())


def test_record_and_a_half(context: ssl.SSLContext, material: TlsMaterial) -> None:
    async def scenario() -> None:
        client = await TlsClient(make_port(path_echo, material), context).handshake()
        data = client.encrypt(ASK % b"1") + client.encrypt(ASK % b"2")
        for cut in (len(data) // 2 + 1, len(data) // 2 + 6, len(data) - 1):
            await client.fake.send(data[:cut])
            assert [response.body for response in client.responses()] == [b"/1"]
            await client.fake.send(data[cut:])
            assert [response.body for response in client.responses()] == [b"/1", b"/2"]
            client.plain.clear()
            data = client.encrypt(ASK % b"1") + client.encrypt(ASK % b"2")

    testing.run(scenario())


@pytest.mark.parametrize("record", [16384, 4000])
@pytest.mark.parametrize("step", [None, 1000, 16406, 262144])
def test_large_bodies(context: ssl.SSLContext, material: TlsMaterial, step: int | None, record: int) -> None:
    content = bytes(range(256)) * 5000

    async def scenario() -> None:
        client = await TlsClient(make_port(echo, material), context).handshake()
        for size in (len(content), 1, 32768, 16384, 32769):
            head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size
            await client.send(head + content[:size], step, record)
            (response,) = client.responses()
            assert response.body == content[:size]
            client.plain.clear()
        assert set(client.records) <= {APPLICATION_DATA, HANDSHAKE, 20}

    testing.run(scenario())


def test_large_response_is_handed_on_in_pieces(either: ssl.SSLContext, material: TlsMaterial) -> None:
    content = b"x" * 3_000_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(content))
        await send({"type": "http.response.body"})

    async def scenario() -> None:
        client = await TlsClient(make_port(app, material), either).handshake()
        before = client.fake.host.write_count
        await client.send(GET)
        assert 10 < client.fake.host.write_count - before < 16
        assert client.responses()[0].body == content

    testing.run(scenario())


def test_two_connections_do_not_mix(either: ssl.SSLContext, material: TlsMaterial) -> None:
    async def scenario() -> None:
        port = make_port(path_echo, material)
        one, two = await TlsClient(port, either).handshake(), await TlsClient(port, either).handshake()
        await two.send(ASK % b"two")
        await one.send(ASK % b"one")
        assert [client.responses()[0].body for client in (one, two)] == [b"/one", b"/two"]

    testing.run(scenario())


def test_session_is_resumed_and_the_request_is_served(context: ssl.SSLContext, material: TlsMaterial) -> None:
    async def scenario() -> None:
        port = make_port(hello, material)
        first = await TlsClient(port, context).handshake()
        await first.send(GET)
        second = await TlsClient(port, context, session=first.tls.session).handshake()
        await second.send(GET)
        assert second.tls.session_reused
        assert statuses(second) == [200]

    testing.run(scenario())


# ---- the end, by the server


def test_close_notify_is_the_last_that_is_sent(parser: str, context: ssl.SSLContext, material: TlsMaterial) -> None:
    async def scenario() -> None:
        client = await TlsClient(make_port(hello, material, parser=parser), context).handshake()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert statuses(client) == [200]
        assert client.fake.host.ending == "close"
        assert client.is_closed
        assert client.fault is None
        written = len(client.fake.host.written)
        client.layer.receive_data(b"anything")
        assert client.fake.host.discarded_count == 1
        assert len(client.fake.host.written) == written

    testing.run(scenario())


def test_linger_says_close_notify_and_discards(parser: str, context: ssl.SSLContext, material: TlsMaterial) -> None:
    async def scenario() -> None:
        client = await TlsClient(make_port(hello, material, parser=parser), context).handshake()
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert statuses(client) == [400]
        assert client.fake.host.ending == "linger"
        assert client.is_closed
        for data in (client.encrypt(GET), b"no TLS at all"):
            client.layer.receive_data(data)
        assert client.fake.host.discarded_count == 2
        assert statuses(client) == [400]

    testing.run(scenario())


def test_close_while_half_a_record_is_here(context: ssl.SSLContext, material: TlsMaterial) -> None:
    async def scenario() -> None:
        client = await TlsClient(make_port(hello, material), context).handshake()
        bad, next_one = client.encrypt(b"GET / HTTP/1.1\r\n\r\n"), client.encrypt(GET)
        await client.fake.send(bad + next_one[:20])
        assert statuses(client) == [400]
        assert client.is_closed
        assert client.fault is None

    testing.run(scenario())


def test_abort_sends_nothing_more(parser: str, either: ssl.SSLContext, material: TlsMaterial) -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-length", b"10")))
        await send(body(b"half", True))
        raise ConnectionError

    async def scenario() -> None:
        client = await TlsClient(make_port(fails, material, parser=parser), either).handshake()
        await client.send(GET)
        assert client.fake.host.ending == "abort"
        assert not client.is_closed, "what was cut off must not look like an end"

    testing.run(scenario())


# ---- the end, by the client


def test_client_says_farewell(parser: str, context: ssl.SSLContext, material: TlsMaterial) -> None:
    async def scenario() -> None:
        for requests in (b"", GET):
            client = await TlsClient(make_port(hello, material, parser=parser), context).handshake()
            await client.fake.send((client.encrypt(requests) if requests else b"") + client.farewell())
            assert statuses(client) == [200] * bool(requests)
            assert client.fake.host.ending == "close"
            assert client.is_closed

    testing.run(scenario())


def test_farewell_in_the_middle_of_a_head(parser: str, context: ssl.SSLContext, material: TlsMaterial) -> None:
    async def scenario() -> None:
        client = await TlsClient(make_port(hello, material, parser=parser), context).handshake()
        await client.fake.send(client.encrypt(GET[:9]) + client.farewell())
        assert client.plain == b""
        assert statuses(client) == [400]
        assert client.is_closed

    testing.run(scenario())


@pytest.mark.parametrize("has_farewell", [True, False])
def test_answer_on_its_way_is_sent_after_the_clients_end(
    parser: str, context: ssl.SSLContext, material: TlsMaterial, has_farewell: bool
) -> None:
    app = Held()

    async def scenario() -> None:
        client = await TlsClient(make_port(app, material, parser=parser), context).handshake()
        await client.send(GET)
        if has_farewell:
            await client.fake.send(client.farewell())
        else:
            await client.fake.send_eof()
        assert client.is_open
        await app.answer()
        assert statuses(client) == [200]
        assert client.fake.host.ending == "close"
        assert client.is_closed

    testing.run(scenario())


def test_end_is_told_once_and_what_follows_it_is_not_kept(
    context: ssl.SSLContext, material: TlsMaterial, buffers: list[ssl.MemoryBIO]
) -> None:
    app = Held()

    async def scenario() -> None:
        port = make_port(app, material)
        inner = Listening(port)
        client = await TlsClient(port, context).handshake()
        await client.send(GET)
        await client.fake.send(client.farewell())
        for _ in range(3):
            await client.fake.send(b"x" * 1000)
        assert client.fake.host.discarded_count == 3
        assert buffers[-2].pending == 0
        await client.fake.send_eof()
        assert client.is_open
        assert inner.told.count("receive_eof") == 1
        await app.answer()
        assert statuses(client) == [200]

    testing.run(scenario())


def test_half_a_body_and_the_end(parser: str, context: ssl.SSLContext, material: TlsMaterial) -> None:
    app = Held()

    async def scenario() -> None:
        client = await TlsClient(make_port(app, material, parser=parser), context).handshake()
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
        await client.fake.send(client.farewell())
        assert app.received[-1] == {"type": "http.disconnect"}
        assert client.fake.host.ending == "abort"

    testing.run(scenario())


@pytest.mark.parametrize("before", [0, 10, None])
def test_client_goes_during_the_handshake(either: ssl.SSLContext, material: TlsMaterial, before: int | None) -> None:
    async def scenario() -> None:
        port = make_port(hello, material)
        client, lost = TlsClient(port, either), TlsClient(port, either)
        await client.fake.send(client.hello()[:before])
        await lost.fake.send(lost.hello()[:before])
        await client.fake.send_eof()
        assert client.fake.host.ending == "close"
        await lost.fake.lose(ConnectionResetError())
        assert not port._handshakes

    testing.run(scenario())


# ---- what does not work


@pytest.mark.parametrize("position", [0, 1, 8, -1])
def test_corrupted_record_ends_it_with_an_alert(
    context: ssl.SSLContext, material: TlsMaterial, lines: Any, position: int
) -> None:
    app = Scopes()

    async def scenario() -> None:
        client = await TlsClient(make_port(app, material), context).handshake()
        await client.send(ASK % b"0")
        assert statuses(client) == [200]
        client.plain.clear()
        first, second, third = (bytearray(client.encrypt(ASK % path)) for path in (b"1", b"2", b"3"))
        second[position] ^= 0x40
        await client.fake.send(bytes(first + second + third))
        await client.fake.send(bytes(third))
        client.pull()
        assert client.plain == b""
        assert [scope["path"] for scope in app.seen] == ["/0"], "what came with it could not be answered"
        assert client.fake.host.ending == "linger"
        assert client.records[-1] == (ALERT if context.maximum_version == VERSIONS[0] else APPLICATION_DATA)
        assert client.fault is not None
        assert client.fault.reason is not None
        assert "ALERT" in client.fault.reason
        if position in (8, -1):
            assert client.fault.reason == "SSLV3_ALERT_BAD_RECORD_MAC"

    testing.run(scenario())
    assert lines()[-1].startswith("127.0.0.1:50000 - TLS connection failed: ")


def test_corrupted_record_among_large_ones(context: ssl.SSLContext, material: TlsMaterial) -> None:
    async def scenario() -> None:
        client = await TlsClient(make_port(echo, material), context).handshake()
        data = bytearray(
            client.encrypt(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200000)
        )
        data[100_000] ^= 1
        await client.fake.send(bytes(data))
        assert statuses(client) == []
        assert client.fake.host.ending == "linger"
        assert client.fault is not None

    testing.run(scenario())


class Noting:
    """Says what it has begun to wait for, and how that has ended."""

    def __init__(self, wait_for: str) -> None:
        self.heard: list[str] = []
        self._wait_for = wait_for

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        elif self._wait_for == "send":
            await send(START)
        self.heard.append("waits")
        try:
            while self._wait_for == "send":
                await send(body(b"x" * 40000, True))
            message = await receive()
            if message.get("more_body"):
                message = await receive()
            self.heard.append(message["type"])
        except OSError as error:
            self.heard.append(type(error).__name__)


@pytest.mark.parametrize(
    ("request_head", "wait_for", "expected"),
    [
        (GET, "receive", "http.disconnect"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf", "receive", "http.disconnect"),
        (GET, "send", "ClientDisconnected"),
        (UPGRADE, "receive", "websocket.disconnect"),
    ],
    ids=["request", "body", "answer", "websocket"],
)
@pytest.mark.parametrize("is_lost_at_once", [True, False])
def test_application_hears_at_once_of_a_record_that_is_not_genuine(
    parser: str,
    context: ssl.SSLContext,
    material: TlsMaterial,
    request_head: bytes,
    wait_for: str,
    expected: str,
    is_lost_at_once: bool,
) -> None:
    app = Noting(wait_for)

    async def scenario() -> None:
        port = make_port(app, material, parser=parser)
        client = await TlsClient(port, context).handshake()
        client.fake.host.is_client_taking = False
        await client.send(request_head)
        assert app.heard == ["waits"]
        if is_lost_at_once:
            client.layer.receive_data(b"no record at all")
            client.fake.host.lose()
            await testing.settle()
        else:
            await client.fake.send(b"no record at all")
        assert app.heard == ["waits", expected], "the transport is still there, for the alert"
        assert client.fake.host.ending == "linger"
        assert client.layer.in_progress() is None
        # Whatever is asked of it until it goes.
        client.layer.receive_data(b"more")
        client.layer.write_paused()
        client.layer.write_resumed()
        client.layer.start_draining()
        client.layer.notify_disconnect()
        client.layer.deadline_reached()
        assert client.fake.host.ending == "linger"
        if not is_lost_at_once:
            client.fake.host.lose()
        await testing.settle()
        assert app.heard == ["waits", expected]

    testing.run(scenario())


@pytest.mark.parametrize("version", [0x0301, 0x0302])
def test_old_versions_are_refused(
    either: ssl.SSLContext, material: TlsMaterial, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    # The hello of TLS 1.2 with another number: this OpenSSL may not know how to say an old one.
    either.maximum_version = ssl.TLSVersion.TLSv1_2

    async def scenario() -> None:
        client = TlsClient(make_port(hello, material), either)
        data = bytearray(client.hello())
        data[9:11] = version.to_bytes(2, "big")
        await client.fake.send(bytes(data))
        # fatal, protocol_version
        assert bytes(client.fake.host.written)[-2:] == b"\x02\x46"
        assert [record[0] for record in split_records(bytes(client.fake.host.written))] == [ALERT]
        assert client.fake.host.ending == "linger"

    testing.run(scenario())


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\xff\xff" + b"x" * 40, b"\x16" * 100])
def test_what_only_begins_like_tls(material: TlsMaterial, data: bytes) -> None:
    async def scenario() -> None:
        port = make_port(hello, material)
        client = TlsClient(port)
        await client.fake.send(data)
        await client.fake.send(data)
        assert client.fake.host.ending == "linger"
        assert not port._handshakes

    testing.run(scenario())


@pytest.mark.parametrize("data", [b"\0", b"\x80\x2e\x01\x03\x01", b"\xff" * 9, b"\r\n", b"1", b"\x15\x03\x03\0\2\1\0"])
def test_neither_tls_nor_http_is_closed_without_a_word(material: TlsMaterial, lines: Any, data: bytes) -> None:
    async def scenario() -> None:
        port = make_port(hello, material)
        client = TlsClient(port)
        await client.fake.send(data)
        assert client.fake.host.ending == "close"
        assert not client.fake.host.written
        assert not port._handshakes

    testing.run(scenario())
    assert lines() == ["127.0.0.1:50000 - TLS connection closed: what came is neither TLS nor HTTP"]


# ---- no TLS


@pytest.mark.parametrize("step", [None, 1])
def test_clear_http_is_told_so(parser: str, material: TlsMaterial, step: int | None) -> None:
    async def scenario() -> None:
        port = make_port(hello, material, parser=parser)
        client = TlsClient(port)
        assert len(port._handshakes) == 1
        await client.fake.send(GET, step)
        (response,) = client.fake.responses()
        assert (response.status, response.is_last) == (400, True)
        assert b"This port speaks HTTPS" in response.body
        assert client.fake.host.ending == "close"
        assert not port._handshakes

    testing.run(scenario())


def test_clear_websocket_is_refused(parser: str, material: TlsMaterial) -> None:
    async def scenario() -> None:
        for redirect_to in (None, 443):
            client = TlsClient(make_port(hello, material, parser=parser, redirect_to=redirect_to))
            await client.fake.send(UPGRADE)
            (response,) = client.fake.responses()
            assert (response.status, response.is_last) == (400, True)
            assert b"This port speaks HTTPS" in response.body

    testing.run(scenario())


@pytest.mark.parametrize(
    ("port", "request_head", "location"),
    [
        (443, b"GET /a?b=c HTTP/1.1\r\nHost: a.example\r\n\r\n", b"https://a.example/a?b=c"),
        (443, b"GET / HTTP/1.1\r\nHost: a.example:8000\r\n\r\n", b"https://a.example:8000/"),
        (8443, b"GET /%20%C3%BC HTTP/1.1\r\nHost: a.example\r\n\r\n", b"https://a.example:8443/%20%C3%BC"),
        (8443, b"GET /x HTTP/1.1\r\nHost: [2001:db8::1]:9443\r\n\r\n", b"https://[2001:db8::1]:9443/x"),
        (443, b"GET /x HTTP/1.1\r\nHost: [::1]\r\n\r\n", b"https://[::1]/x"),
        (8443, b"GET http://b.example:1/y?z HTTP/1.1\r\nHost: a\r\n\r\n", b"https://b.example:1/y?z"),
        (443, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", b"https://h/"),
        (443, b"GET / HTTP/1.0\r\nHost: h\r\n\r\n", b"https://h/"),
        (443, b"GET //x/.. HTTP/1.1\r\nHost: h\r\n\r\n", b"https://h//x/.."),
    ],
)
def test_redirect(parser: str, material: TlsMaterial, port: int, request_head: bytes, location: bytes) -> None:
    async def scenario() -> None:
        client = TlsClient(make_port(hello, material, parser=parser, redirect_to=port))
        await client.fake.send(request_head)
        (response,) = client.fake.responses()
        assert (response.status, response.header(b"location"), response.is_last) == (308, location, True)

    testing.run(scenario())


@pytest.mark.parametrize(
    "request_head",
    [b"GET / HTTP/1.0\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", b"GET / HTTP/1.1\r\nHost:\r\n\r\n"],
)
def test_what_cannot_be_redirected(parser: str, material: TlsMaterial, request_head: bytes) -> None:
    async def scenario() -> None:
        client = TlsClient(make_port(hello, material, parser=parser, redirect_to=443))
        await client.fake.send(request_head)
        assert [response.status for response in client.fake.responses()] == [400]

    testing.run(scenario())


# ---- WebSocket


async def talk(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


@pytest.mark.parametrize("step", [None, 1])
def test_websocket(parser: str, context: ssl.SSLContext, material: TlsMaterial, step: int | None) -> None:
    async def scenario() -> None:
        client = await TlsClient(make_port(talk, material, parser=parser), context).handshake()
        await client.send(UPGRADE + b"\x81\x82\0\0\0\0hi", step)
        head, _, frames = bytes(client.plain).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert frames == b"\x81\x02hi"
        for record in (1, 100):
            await client.send(b"\x81\x83\0\0\0\0you", step, record)
            assert client.plain.endswith(b"\x81\x03you")
        await client.send(b"\x88\x82\0\0\0\0\x03\xe8", step)
        assert client.plain.endswith(b"\x88\x02\x03\xe8")
        assert client.is_closed
        assert client.fake.host.ending is not None

    testing.run(scenario())


def test_websocket_client_says_farewell(context: ssl.SSLContext, material: TlsMaterial) -> None:
    async def scenario() -> None:
        client = await TlsClient(make_port(talk, material), context).handshake()
        await client.send(UPGRADE)
        await client.fake.send(client.farewell())
        assert client.fake.host.ending is not None

    testing.run(scenario())


def test_websocket_waits_for_a_client_that_takes_nothing(context: ssl.SSLContext, material: TlsMaterial) -> None:
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for number in range(10):
            await send({"type": "websocket.send", "bytes": b"x" * 40000})
            sent.append(number)

    async def scenario() -> None:
        client = await TlsClient(make_port(app, material), context).handshake()
        client.fake.host.is_client_taking = False
        await client.send(UPGRADE)
        assert 0 < len(sent) < 4
        client.fake.host.take()
        await testing.settle()
        assert len(sent) == 10
        client.pull()
        assert client.plain.count(b"x" * 40000) == 10

    testing.run(scenario())


def test_stop_closes_a_websocket_and_says_so(
    context: ssl.SSLContext, material: TlsMaterial, fake_clock: FakeClock
) -> None:
    async def scenario() -> None:
        client = await TlsClient(make_port(talk, material), context).handshake()
        await client.send(UPGRADE)
        client.plain.clear()
        client.layer.start_draining(0.0)
        await testing.settle()
        while not client.plain:
            # Spread over a moment, so that clients do not all come back at once.
            await fake_clock.advance(client.fake, 1)
            client.pull()
        assert client.plain == b"\x88\x02" + (1012).to_bytes(2, "big")
        await client.send(b"\x88\x82\0\0\0\0\x03\xf4")
        assert client.is_closed
        assert client.fake.host.ending is not None

    testing.run(scenario())


# ---- back-pressure


def test_application_waits_for_a_client_that_takes_nothing(context: ssl.SSLContext, material: TlsMaterial) -> None:
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for _ in range(10):
            await send(body(b"x" * 40000, True))
            sent.append(40000)
        await send(body())

    async def scenario() -> None:
        client = await TlsClient(make_port(app, material), context).handshake()
        client.fake.host.is_client_taking = False
        await client.send(GET)
        assert 0 < len(sent) < 4
        client.fake.host.take()
        await testing.settle()
        assert len(sent) == 10
        assert len(client.responses()[0].body) == 400000

    testing.run(scenario())


def test_reading_pauses_while_the_application_does_not_take_the_body(
    context: ssl.SSLContext, material: TlsMaterial
) -> None:
    async def scenario() -> None:
        settings = Http1Settings()
        size = settings.body_buffer_bytes * 2
        go_on = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await go_on.wait()
            await echo(scope, receive, send)

        client = await TlsClient(make_port(app, material, settings=settings), context).handshake()
        head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size
        await client.send(head + b"x" * size, 4096)
        assert not client.fake.host.is_reading
        assert client.fake.waiting
        go_on.set()
        await testing.settle()
        assert client.fake.host.is_reading
        assert len(client.responses()[0].body) == size

    testing.run(scenario())


def test_client_that_has_not_taken_the_handshake_yet(context: ssl.SSLContext, material: TlsMaterial) -> None:
    sent: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"x", True))
        sent.append(True)
        await send(body())

    async def scenario() -> None:
        client = TlsClient(make_port(app, material), context)
        await client.fake.send(client.hello())
        client.layer.write_paused()
        await client.handshake()
        await client.send(GET)
        assert not sent
        client.layer.write_resumed()
        await testing.settle()
        assert sent
        assert statuses(client) == [200]

    testing.run(scenario())


def test_client_that_makes_tls_speak_and_takes_nothing_is_cut_off(
    either: ssl.SSLContext, material: TlsMaterial, buffers: list[ssl.MemoryBIO], lines: Any
) -> None:
    async def scenario() -> None:
        client = await TlsClient(make_port(hello, material), either).handshake()
        layer: Any = client.layer
        layer.write_paused()
        before = len(client.fake.host.written)
        # As an answer to KeyUpdate, which Python cannot ask for.
        buffers[-1].write(b"x" * 100)
        layer.receive_data(client.encrypt(GET[:5]))
        assert len(client.fake.host.written) == before
        layer.write_resumed()
        assert len(client.fake.host.written) == before + 100
        layer.write_paused()
        buffers[-1].write(b"x" * 5000)
        layer.receive_data(client.encrypt(GET[5:]))
        assert client.fake.host.ending == "abort"

    testing.run(scenario())
    assert lines()[-1] == "127.0.0.1:50000 - TLS connection closed: the client takes no answer"


def test_host_that_is_full_again_at_once(
    either: ssl.SSLContext, material: TlsMaterial, buffers: list[ssl.MemoryBIO]
) -> None:
    async def scenario() -> None:
        port = make_port(hello, material)
        inner = Listening(port)
        client = await TlsClient(port, either).handshake()
        client.fake.host.is_client_taking, client.fake.host.write_buffer_bytes = False, 50
        client.layer.write_paused()
        buffers[-1].write(b"x" * 100)
        client.layer.write_resumed()
        assert inner.told[-3:] == ["write_paused", "write_resumed", "write_paused"]

    testing.run(scenario())


def test_files_are_read_for_the_kernel_cannot_encrypt(
    context: ssl.SSLContext, material: TlsMaterial, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content" * 20000)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "http.response.pathsend" in scope["extensions"]
        await send(START)
        await send({"type": "http.response.pathsend", "path": str(path)})

    async def scenario() -> None:
        client = TlsClient(make_port(app, material), context, host=testing.FakeHost(sends_files=True))
        await client.handshake()
        await client.send(GET)
        while not (client.responses() and client.responses()[0].is_complete):
            await client.fake.wait_for_event()
        assert client.responses()[0].body == path.read_bytes()
        assert not client.fake.host.sent_files

    testing.run(scenario())


def test_openssl_that_does_not_encrypt(either: ssl.SSLContext, material: TlsMaterial, lines: Any) -> None:
    class Failing(ssl.SSLObject):
        def write(self, data: Any) -> int:
            raise ssl.SSLError(1, "no")

    material.context.sslobject_class = Failing

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"x" * 100_000))

    async def scenario() -> None:
        for app in (hello, large):
            client = await TlsClient(make_port(app, material), either).handshake()
            await client.send(GET)
            assert client.fake.host.ending == "linger"
            assert not client.plain

    testing.run(scenario())
    assert lines() == ["127.0.0.1:50000 - TLS connection failed: no"] * 2


def test_what_is_asked_of_a_layer_that_is_over_changes_nothing(either: ssl.SSLContext, material: TlsMaterial) -> None:
    async def scenario() -> None:
        client = await TlsClient(make_port(hello, material), either).handshake()
        layer: Any = client.layer
        before = len(client.fake.host.written)
        layer.write(b"")
        assert len(client.fake.host.written) == before
        layer.close()
        written = len(client.fake.host.written)
        for change in (layer.close, layer.linger, layer.give_way, layer.pause_reading, layer.resume_reading):
            change()
        layer.write(b"more")
        assert layer.write_buffer_size() == 0
        assert len(client.fake.host.written) == written
        assert client.fake.host.ending == "close"
        client.pull()
        assert client.is_closed

    testing.run(scenario())


# ---- bounds


def test_handshake_that_is_late(
    either: ssl.SSLContext, material: TlsMaterial, fake_clock: FakeClock, lines: Any
) -> None:
    async def scenario() -> None:
        port = make_port(hello, material, handshake_timeout_s=5.0)
        silent, slow = TlsClient(port, either), TlsClient(port, either)
        assert silent.fake.host.deadline == 1005.0
        await slow.fake.send(slow.hello()[:20])
        assert slow.fake.host.deadline == 1005.0
        fake_clock.time += 4
        for client in (silent, slow):
            await fake_clock.advance(client.fake, 1)
            assert client.fake.host.ending == "close"
            assert not client.fake.host.written
        assert not port._handshakes

    testing.run(scenario())
    assert lines() == ["127.0.0.1:50000 - TLS connection closed: the handshake did not end in time"] * 2


def test_request_has_its_own_time_after_the_handshake(
    context: ssl.SSLContext, material: TlsMaterial, fake_clock: FakeClock
) -> None:
    async def scenario() -> None:
        client = TlsClient(make_port(hello, material), context)
        fake_clock.time += 9
        await client.handshake()
        assert client.fake.host.deadline == 1009.0 + Http1Settings().head_timeout_s
        await client.send(GET[:9])
        await fake_clock.advance(client.fake, 31)
        assert statuses(client) == [408]
        assert client.is_closed

    testing.run(scenario())


def test_oldest_handshake_gives_way(either: ssl.SSLContext, material: TlsMaterial, lines: Any) -> None:
    async def scenario() -> None:
        port = make_port(hello, material, handshakes_max_count=3)
        done = await TlsClient(port, either).handshake()
        clients = [TlsClient(port, either) for _ in range(3)]
        await clients[1].fake.send(clients[1].hello())
        more = [TlsClient(port, either) for _ in range(2)]
        assert [client.fake.host.ending for client in clients] == ["close", "close", None]
        assert all(client.is_open for client in [done, *more])
        assert len(port._handshakes) == 3
        await more[0].handshake()
        await more[0].send(GET)
        assert statuses(more[0]) == [200]
        assert len(port._handshakes) == 2
        await done.send(GET)
        assert statuses(done) == [200]

    testing.run(scenario())
    assert lines() == ["127.0.0.1:50000 - TLS connection closed: too many handshakes are in progress"] * 2


def test_silent_connection_costs_no_openssl(material: TlsMaterial, buffers: list[ssl.MemoryBIO]) -> None:
    async def scenario() -> None:
        client = TlsClient(make_port(hello, material))
        assert len(buffers) == 2, "the client's"
        await client.fake.send(b"\x16")
        assert len(buffers) == 4

    testing.run(scenario())


@pytest.mark.parametrize("ending", ["lost", "close", "fail", "late"])
def test_openssls_memory_is_not_left_to_the_garbage_collector(
    either: ssl.SSLContext, material: TlsMaterial, ending: str
) -> None:
    def count() -> int:
        return sum(type(one) is ssl.SSLObject for one in gc.get_objects())

    async def scenario() -> None:
        port = make_port(hello, material)
        client = TlsClient(port, either)
        if ending == "late":
            await client.fake.send(client.hello())
        else:
            await client.handshake()
            await client.send(GET)
        before = count()
        if ending == "lost":
            await client.fake.lose()
        elif ending == "close":
            await client.send(b"GET / HTTP/1.1\r\n\r\n")
            assert client.fake.host.ending == "linger"
        elif ending == "fail":
            await client.fake.send(b"?" * 100)
            assert client.fake.host.ending == "linger"
        else:
            await client.fake.reach_deadline()
        assert count() == before - 1

    gc.collect()
    gc.disable()
    try:
        testing.run(scenario())
    finally:
        gc.enable()


@pytest.mark.parametrize("is_closed", [False, True], ids=["lost", "closed"])
def test_what_was_inside_is_not_left_to_the_garbage_collector(
    either: ssl.SSLContext, material: TlsMaterial, is_closed: bool
) -> None:
    def count() -> int:
        return sum(isinstance(one, Http1Connection | Parser) for one in gc.get_objects())

    async def scenario() -> None:
        client = await TlsClient(make_port(hello, material), either).handshake()
        before = count()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" if is_closed else GET)
        await client.fake.lose()
        assert count() == before - 2

    gc.collect()
    gc.disable()
    try:
        testing.run(scenario())
    finally:
        gc.enable()


def test_buffers_do_not_stay_as_large_as_the_largest_body(
    context: ssl.SSLContext, material: TlsMaterial, buffers: list[ssl.MemoryBIO]
) -> None:
    seen: list[int] = []

    class Watched(ssl.SSLObject):
        """Notes how much is in the buffers at once."""

        def read(self, len: int = 1024, buffer: Any = None) -> Any:
            seen.append(buffers[-2].pending)
            return super().read(len)

        def write(self, data: Any) -> int:
            count = super().write(data)
            seen.append(buffers[-1].pending)
            return count

    material.context.sslobject_class = Watched

    async def scenario() -> None:
        client = await TlsClient(make_port(echo, material), context).handshake()
        size = 1_000_000
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size, 262144)
        assert len(client.responses()[0].body) == size
        # A piece of the least size, the rest of a record before it, and what records have besides.
        assert 16384 < max(seen) < 60000

    testing.run(scenario())


# ---- the worker stops


@pytest.mark.parametrize("rest_s", [None, 0.0, float("inf")])
def test_stop_before_the_first_byte(material: TlsMaterial, fake_clock: FakeClock, rest_s: float | None) -> None:
    async def scenario() -> None:
        port = make_port(hello, material)
        client = TlsClient(port)
        client.layer.start_draining(rest_s)
        if rest_s == 0.0:
            assert client.fake.host.ending == "close"
        else:
            assert client.fake.host.deadline == (1001.0 if rest_s is None else 1010.0)
            await fake_clock.advance(client.fake, 11)
            assert client.fake.host.ending == "close"
        assert not port._handshakes

    testing.run(scenario())


def test_stop_leaves_time_to_a_handshake_that_begins_after_it(
    context: ssl.SSLContext, material: TlsMaterial, fake_clock: FakeClock
) -> None:
    async def scenario() -> None:
        client = TlsClient(make_port(hello, material), context)
        client.layer.start_draining()
        fake_clock.time += 0.9
        await client.fake.send(client.hello())
        assert client.fake.host.deadline == 1010.0
        fake_clock.time += 2
        await client.handshake()
        await client.send(GET)
        (response,) = client.responses()
        assert (response.status, response.is_last) == (200, True)
        assert client.is_closed

    testing.run(scenario())


@pytest.mark.parametrize("rest_s", [None, 0.0, 5.0])
def test_stop_in_the_middle_of_a_handshake(
    either: ssl.SSLContext, material: TlsMaterial, fake_clock: FakeClock, rest_s: float | None
) -> None:
    async def scenario() -> None:
        port = make_port(hello, material)
        with_request, without = TlsClient(port, either), TlsClient(port, either)
        for client in (with_request, without):
            await client.fake.send(client.hello())
            client.layer.start_draining(rest_s)
            assert client.fake.host.deadline == 1010.0
        await with_request.fake.send(with_request.finish() + with_request.encrypt(GET))
        (response,) = with_request.responses()
        assert (response.status, response.is_last) == (200, True)
        await without.fake.send(without.finish())
        if rest_s == 0.0:
            assert not without.is_open
        else:
            assert without.fake.host.deadline == 1000.0 + (1.0 if rest_s is None else rest_s)
            await fake_clock.advance(without.fake, 6)
        without.pull()
        assert without.is_closed

    testing.run(scenario())


def test_stop_when_idle_and_when_busy(context: ssl.SSLContext, material: TlsMaterial, fake_clock: FakeClock) -> None:
    app = Held()

    async def scenario() -> None:
        idle = await TlsClient(make_port(hello, material), context).handshake()
        await idle.send(GET)
        fake_clock.time += 3
        idle.layer.start_draining()
        idle.pull()
        assert idle.is_closed

        busy = await TlsClient(make_port(app, material), context).handshake()
        await busy.send(GET)
        running = busy.layer.in_progress()
        assert running is not None
        busy.layer.start_draining()
        busy.layer.notify_disconnect()
        assert busy.is_open
        await app.answer()
        assert statuses(busy) == [200]
        assert busy.is_closed

    testing.run(scenario())


def test_stop_and_clear_http(material: TlsMaterial) -> None:
    async def scenario() -> None:
        client = TlsClient(make_port(hello, material))
        client.layer.start_draining()
        await client.fake.send(GET)
        assert [response.status for response in client.fake.responses()] == [400]

    testing.run(scenario())


def test_stop_after_the_end_changes_nothing(either: ssl.SSLContext, material: TlsMaterial) -> None:
    async def scenario() -> None:
        port = make_port(hello, material)
        silent = TlsClient(port)
        silent.fake.host.connection.receive_eof()  # type: ignore[union-attr]
        silent.layer.start_draining()
        refused = TlsClient(port)
        await refused.fake.send(b"\0")
        refused.layer.start_draining()
        for client in (silent, refused):
            client.layer.deadline_reached()
            client.layer.notify_disconnect()
            client.layer.write_paused()
            client.layer.write_resumed()
            assert client.layer.in_progress() is None
            assert not client.fake.host.written

    testing.run(scenario())


# ---- after a PROXY header


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize("header", [v1(CLIENT, SERVER), v2(v2_block(CLIENT, SERVER))])
def test_proxy_header_before_tls(
    parser: str, context: ssl.SSLContext, material: TlsMaterial, header: bytes, step: int | None
) -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await hello(scope, receive, send)

    async def scenario() -> None:
        port = make_port(app, material, parser=parser)
        client = TlsClient(port, context, first=_proxied(port))
        await client.handshake(step, before=header)
        await client.send(GET, step)
        assert statuses(client) == [200]

    testing.run(scenario())
    (scope,) = scopes
    assert (scope["client"], scope["server"], scope["scheme"]) == (CLIENT, SERVER, "https")
    assert scope["extensions"]["tls"]["tls_version"] in (0x0303, 0x0304)


def test_proxy_header_before_tls_at_a_stop(either: ssl.SSLContext, material: TlsMaterial) -> None:
    async def scenario() -> None:
        port = make_port(hello, material)
        client = TlsClient(port, either, first=_proxied(port))
        header = v1(CLIENT, SERVER)
        await client.fake.send(header[:9])
        client.fake.connection.start_draining()
        await client.fake.send(header[9:] + client.hello())
        await client.fake.send(client.finish() + client.encrypt(GET))
        assert statuses(client) == [200]
        assert client.is_closed

    testing.run(scenario())


def _proxied(port: TlsPort) -> ProxyProtocolConnection:
    return ProxyProtocolConnection(port.service, ProxyRules(ProxySettings()), lambda: TlsLayer(port))


# ---- what the application is told


class Scopes:
    """Notes the scopes."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        if scope["type"] == "websocket":
            await talk(scope, receive, send)
        else:
            await hello(scope, receive, send)

    @property
    def tls(self) -> list[Any]:
        return [scope["extensions"].get("tls") for scope in self.seen]


def test_extension(parser: str, context: ssl.SSLContext, authority: Authority) -> None:
    app = Scopes()
    server = authority.server("a.example")

    async def scenario() -> None:
        port = make_port(app, load(settings_of(server)), parser=parser)
        client = await TlsClient(port, context).handshake()
        await client.send(GET)
        await client.send(UPGRADE)
        cipher = client.tls.cipher()
        assert cipher is not None
        ids = {one["name"]: one["id"] & 0xFFFF for one in context.get_ciphers()}
        for tls in app.tls:
            assert tls == {
                "server_cert": server.pem,
                "client_cert_chain": [],
                "client_cert_name": None,
                "client_cert_error": None,
                "tls_version": 0x0303 if client.tls.version() == "TLSv1.2" else 0x0304,
                "cipher_suite": ids[cipher[0]],
            }

    testing.run(scenario())
    assert [scope["scheme"] for scope in app.seen] == ["https", "wss"]


def test_extension_is_of_each_connection_alone(authority: Authority) -> None:
    app = Scopes()
    first, second = authority.client("/C=DE/O=A/CN=one"), authority.client("/CN=two")
    settings = settings_of(authority.server("a.example"), cert_reqs=1, ca_certs=str(authority.file))

    async def scenario() -> None:
        port = make_port(app, load(settings))
        for files in (first, second, None):
            client = await TlsClient(port, authority.client_context(files)).handshake()
            await client.send(GET)
        clear = testing.FakeClient(port.service)
        await clear.send(GET)

    testing.run(scenario())
    assert [tls and tls["client_cert_name"] for tls in app.tls] == ["CN=one,O=A,C=DE", "CN=two", None, None]
    # A client's OpenSSL may send its authority's certificate too.
    assert [tls["client_cert_chain"][:1] for tls in app.tls[:3]] == [[first.pem], [second.pem], []]
    assert app.tls[3] is None


def test_name_of_a_client_is_written_as_a_text(context: ssl.SSLContext, authority: Authority) -> None:
    app = Scopes()
    subject = '/DC=org/DC=example/O=M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller, "x" <y>;z/OU=a+UID=b/CN= #c\\\\ '
    files = authority.client(subject)
    settings = settings_of(authority.server("a.example"), cert_reqs=2, ca_certs=str(authority.file))

    async def scenario() -> None:
        context.load_cert_chain(files.certfile, files.keyfile)
        client = await TlsClient(make_port(app, load(settings)), context).handshake()
        await client.send(GET)
        assert statuses(client) == [200]

    testing.run(scenario())
    (tls,) = app.tls
    expected = 'CN=\\ #c\\\\\\ ,OU=a+UID=b,O=M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller\\, \\"x\\" \\<y\\>\\;z'
    assert tls["client_cert_name"] == expected + ",DC=example,DC=org"


def test_chain_of_a_client(context: ssl.SSLContext, authority: Authority) -> None:
    app = Scopes()
    between = authority.intermediate()
    files = between.client("/CN=far")
    settings = settings_of(authority.server("a.example"), cert_reqs=2, ca_certs=str(authority.file))

    async def scenario() -> None:
        context.load_cert_chain(files.certfile, files.keyfile)
        client = await TlsClient(make_port(app, load(settings)), context).handshake()
        await client.send(GET)

    testing.run(scenario())
    (tls,) = app.tls
    chain = [files.pem, between.file.read_text()]
    assert tls["client_cert_chain"][:2] == (chain if hasattr(ssl.SSLObject, "get_unverified_chain") else chain[:1])


@pytest.mark.parametrize("kind", ["none", "other", "expired", "server"])
def test_client_without_a_good_certificate_is_refused(
    context: ssl.SSLContext, authority: Authority, other_authority: Authority, lines: Any, kind: str
) -> None:
    files = {
        "none": lambda: None,
        "other": other_authority.client,
        "expired": lambda: authority.client("/CN=late", ends_in_s=-60.0),
        "server": lambda: authority.server("b.example"),
    }[kind]()
    settings = settings_of(authority.server("a.example"), cert_reqs=2, ca_certs=str(authority.file))

    async def scenario() -> None:
        if files is not None:
            context.load_cert_chain(files.certfile, files.keyfile)
        client = TlsClient(make_port(Scopes(), load(settings)), context)
        try:
            await client.handshake()
        except ssl.SSLError as error:
            client.fault = error
        assert client.fault is not None
        assert client.fault.reason is not None
        assert "ALERT" in client.fault.reason
        assert client.fake.host.ending == "linger"
        assert not client.plain

    testing.run(scenario())
    assert "TLS connection failed" in lines()[0]


def test_authorities_are_looked_up_in_a_directory(
    context: ssl.SSLContext, authority: Authority, other_authority: Authority, tmp_path: Path
) -> None:
    app = Scopes()
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(authority.file)]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / f"{name}.0").symlink_to(authority.file)
    settings = settings_of(authority.server("a.example"), cert_reqs=2, ca_certs=str(tmp_path))

    async def scenario() -> None:
        port = make_port(app, load(settings))
        stranger = TlsClient(port, authority.client_context(other_authority.client()))
        with contextlib.suppress(OSError):
            await stranger.handshake()
        assert stranger.fake.host.ending == "linger"
        friend = authority.client("/CN=friend")
        context.load_cert_chain(friend.certfile, friend.keyfile)
        client = await TlsClient(port, context).handshake()
        await client.send(GET)
        assert statuses(client) == [200]

    testing.run(scenario())
    assert [tls["client_cert_name"] for tls in app.tls] == ["CN=friend"]


def test_name_that_cannot_be_read_ends_the_connection(
    either: ssl.SSLContext, material: TlsMaterial, monkeypatch: pytest.MonkeyPatch, lines: Any
) -> None:
    def describe(connection: ssl.SSLObject) -> Any:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    async def scenario() -> None:
        monkeypatch.setattr(material, "describe", describe)
        client = TlsClient(make_port(hello, material), either)
        await client.fake.send(client.hello())
        await client.fake.send(client.finish() + client.encrypt(GET))
        assert client.fake.host.ending == "linger"
        client.pull()
        assert not client.plain

    testing.run(scenario())
    assert "invalid start byte" in lines()[0]


# ---- which certificate


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("common.example", 0),
        ("COMMON.example", 0),
        ("b.example", 1),
        ("B.Example", 1),
        ("b.example.", 1),
        ("x.wild.example", 2),
        ("x.y.wild.example", 0),
        ("wild.example", 0),
        ("own.wild.example", 0),
        ("exact.wild.example", 1),
        ("unknown.example", 0),
        ("localhost", 0),
        (None, 0),
    ],
)
def test_certificate_is_chosen_by_name(
    context: ssl.SSLContext, authority: Authority, name: str | None, expected: int
) -> None:
    app = Scopes()
    files = [
        authority.server("common.example", "own.wild.example"),
        authority.server("b.example", "exact.wild.example", "common.example"),
        authority.server("*.wild.example"),
    ]
    extra = tuple((str(one.certfile), str(one.keyfile)) for one in files[1:])
    context.check_hostname = False

    async def scenario() -> None:
        port = make_port(app, load(settings_of(files[0], extra_certs=extra)))
        client = await TlsClient(port, context, name).handshake()
        await client.send(GET)
        shown = client.tls.getpeercert(binary_form=True)
        assert shown is not None
        assert ssl.DER_cert_to_PEM_cert(shown) == files[expected].pem

    testing.run(scenario())
    assert app.tls[0]["server_cert"] == files[expected].pem


@pytest.mark.parametrize(("ciphers", "kind"), [("ECDHE+aRSA", "rsa"), ("ECDHE+aECDSA", "ec")])
def test_two_kinds_of_keys_for_the_same_names(authority: Authority, ciphers: str, kind: str) -> None:
    app = Scopes()
    files = {key: authority.server("a.example", key=key) for key in ("ec", "rsa")}
    settings = settings_of(files["ec"], extra_certs=((str(files["rsa"].combined), None),))
    context = authority.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)

    async def scenario() -> None:
        client = await TlsClient(make_port(app, load(settings)), context).handshake()
        await client.send(GET)
        shown = client.tls.getpeercert(binary_form=True)
        assert shown is not None
        assert ssl.DER_cert_to_PEM_cert(shown) == files[kind].pem

    testing.run(scenario())
    assert app.tls[0]["server_cert"] is None, "Python does not know which it was, and a wrong one is worse than none"


@pytest.mark.parametrize(("ciphers", "kind"), [("ECDHE+aRSA", "rsa"), ("ECDHE+aECDSA", "ec")])
def test_two_kinds_of_keys_for_a_host_of_its_own(authority: Authority, ciphers: str, kind: str) -> None:
    app = Scopes()
    files = {key: authority.server("b.example", key=key) for key in ("ec", "rsa")}
    extra = tuple((str(one.combined), None) for one in files.values())
    context = authority.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)

    async def scenario() -> None:
        port = make_port(app, load(settings_of(authority.server("a.example"), extra_certs=extra)))
        client = await TlsClient(port, context, "b.example").handshake()
        await client.send(GET)
        shown = client.tls.getpeercert(binary_form=True)
        assert shown is not None
        assert ssl.DER_cert_to_PEM_cert(shown) == files[kind].pem

    testing.run(scenario())
    assert app.tls[0]["server_cert"] is None


def test_what_a_factory_asks_of_clients_holds_for_hosts_of_their_own(
    context: ssl.SSLContext, authority: Authority
) -> None:
    app = Scopes()
    extra = ((str(authority.server("b.example").combined), None),)

    def factory(make_default: Any) -> ssl.SSLContext:
        made: ssl.SSLContext = make_default()
        made.load_verify_locations(authority.file)
        made.verify_mode = ssl.CERT_REQUIRED
        return made

    async def scenario() -> None:
        port = make_port(app, load(settings_of(authority.server("a.example"), extra_certs=extra), factory))
        for name in ("a.example", "b.example"):
            stranger = TlsClient(port, authority.client_context(), name)
            with contextlib.suppress(OSError):
                await stranger.handshake()
            assert stranger.fake.host.ending == "linger"
        context.load_cert_chain(authority.client("/CN=me").certfile, authority.client("/CN=me").keyfile)
        for name in ("a.example", "b.example"):
            client = await TlsClient(port, context, name).handshake()
            await client.send(GET)
            assert statuses(client) == [200]

    testing.run(scenario())
    assert [tls["client_cert_name"] for tls in app.tls] == ["CN=me"] * 2


def test_certificate_of_a_client_is_told_when_its_session_is_resumed(
    context: ssl.SSLContext, authority: Authority
) -> None:
    app = Scopes()
    files = authority.client("/CN=me")
    settings = settings_of(authority.server("a.example"), cert_reqs=2, ca_certs=str(authority.file))

    async def scenario() -> None:
        port = make_port(app, load(settings))
        context.load_cert_chain(files.certfile, files.keyfile)
        first = await TlsClient(port, context).handshake()
        await first.send(GET)
        second = await TlsClient(port, context, session=first.tls.session).handshake()
        await second.send(GET)
        assert second.tls.session_reused

    testing.run(scenario())
    assert [tls["client_cert_name"] for tls in app.tls] == ["CN=me"] * 2
    assert [tls["client_cert_chain"][0] for tls in app.tls] == [files.pem] * 2


@pytest.mark.parametrize("has_names", [True, False])
def test_name_that_is_no_name_is_told_to_nobody(
    context: ssl.SSLContext, authority: Authority, monkeypatch: pytest.MonkeyPatch, lines: Any, has_names: bool
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    extra = ((str(authority.server("b.example").combined), None),) if has_names else ()
    context.check_hostname = False

    async def scenario() -> None:
        port = make_port(hello, load(settings_of(authority.server("a.example"), extra_certs=extra)))
        client = TlsClient(port, context, "zzz.example")
        data = client.hello()
        assert b"zzz.example" in data
        await client.fake.send(data.replace(b"zzz.example", b"\xc3\xbc\xff.example"))
        # Without further certificates nobody looks at it. That the client has said something else is found out later.
        assert client.fake.host.ending == ("linger" if has_names else None)

    testing.run(scenario())
    assert not told
    assert len(lines()) == has_names
    assert sys.unraisablehook == told.append


def test_what_else_goes_wrong_in_a_choice_is_told(
    either: ssl.SSLContext, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    def factory(make_default: Any) -> ssl.SSLContext:
        made: ssl.SSLContext = make_default()
        made.sni_callback = choose
        return made

    def choose(*_: Any) -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        client = TlsClient(make_port(hello, load(settings_of(authority.server("a.example")), factory)), either)
        await client.fake.send(client.hello())
        assert client.fake.host.ending == "linger"

    testing.run(scenario())
    assert [one.exc_type for one in told] == [ZeroDivisionError]
    told.clear()


def test_changed_material_is_for_later_connections(either: ssl.SSLContext, authority: Authority) -> None:
    app = Scopes()
    old, new = authority.server("a.example"), authority.server("a.example", "b.example")

    async def scenario() -> None:
        port = make_port(app, load(settings_of(old)))
        first, between = await TlsClient(port, either).handshake(), TlsClient(port, either)
        port.material = load(settings_of(new))
        second = await TlsClient(port, either).handshake()
        await between.handshake()
        for client in (first, second, between, first):
            await client.send(GET)
        assert statuses(first) == [200, 200]

    testing.run(scenario())
    assert [tls["server_cert"] for tls in app.tls] == [old.pem, new.pem, new.pem, old.pem]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [([], None), (["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"), (["h2"], None)],
)
def test_alpn(context: ssl.SSLContext, material: TlsMaterial, offered: list[str], chosen: str | None) -> None:
    async def scenario() -> None:
        if offered:
            context.set_alpn_protocols(offered)
        client = await TlsClient(make_port(hello, material), context).handshake()
        assert client.tls.selected_alpn_protocol() == chosen
        await client.send(GET)
        assert statuses(client) == [200]

    testing.run(scenario())
