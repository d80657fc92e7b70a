"""Whatever comes, in whatever pieces: nothing raises, the end comes once, and what is served is what was asked.

A client with OpenSSL encrypts; in between, the ciphertext is cut, corrupted, or is none at all. Each example is a
connection with a handshake of its own, so there are fewer than elsewhere.
"""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addax import testing
from addax.core.settings import TlsSettings
from addax.net.tls_material import TlsMaterial, load
from tests.certificates import Authority
from tests.tls_client import TlsClient, make_port, split_records

from .profile import fuzz

VERSIONS = st.sampled_from([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
SIZES = st.lists(st.one_of(st.integers(1, 40), st.integers(41, 70000)), min_size=1, max_size=6)


class Site:
    """A server's certificate, and a client for each version of TLS; made once."""

    def __init__(self, authority: Authority) -> None:
        files = authority.server("a.example")
        self.material: TlsMaterial = load(TlsSettings(str(files.certfile), str(files.keyfile)))
        self._authority = authority

    def context(self, version: ssl.TLSVersion) -> ssl.SSLContext:
        context = self._authority.client_context()
        context.minimum_version = context.maximum_version = version
        return context


@pytest.fixture(scope="module")
def site(authority: Authority) -> Site:
    return Site(authority)


class Once(testing.FakeHost):
    """Insists that it is ended once. A lingering host may be closed, which the real one allows too."""

    def _end(self, how: str) -> None:
        assert self.ending is None, f"{how} after {self.ending}"
        super()._end(how)

    def abort(self) -> None:
        assert self.ending is None, f"abort after {self.ending}"
        super().abort()


class Echo:
    """Answers with the body, and notes what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        content = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            content += message["body"]
            if not message["more_body"]:
                break
        self.asked.append((scope["path"], content))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": content})


def in_pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut by these sizes, over and over; not into more pieces than an example is worth."""
    smallest = max(1, len(data) // 200)
    pieces, position, turn = [], 0, 0
    while position < len(data):
        size = max(smallest, sizes[turn % len(sizes)])
        pieces.append(data[position : position + size])
        position, turn = position + size, turn + 1
    return pieces


def asked(bodies: list[bytes]) -> tuple[list[tuple[str, bytes]], bytes]:
    """Requests with these bodies, and their bytes."""
    expected, data = [], b""
    for number, content in enumerate(bodies):
        data += b"POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (number, len(content)) + content
        expected.append((f"/{number}", content))
    return expected, data


BODIES = st.lists(
    st.one_of(st.binary(max_size=30), st.integers(0, 100_000).map(lambda size: b"x" * size)), min_size=1, max_size=4
)


@fuzz(150)
@given(version=VERSIONS, bodies=BODIES, records=SIZES, pieces=SIZES, has_farewell=st.booleans())
def test_records_and_pieces_make_no_difference(
    site: Site,
    version: ssl.TLSVersion,
    bodies: list[bytes],
    records: list[int],
    pieces: list[int],
    has_farewell: bool,
) -> None:
    expected, data = asked(bodies)
    app = Echo()

    async def scenario() -> None:
        port = make_port(app, site.material)
        client = TlsClient(port, site.context(version), host=Once())
        await client.handshake()
        ciphertext = b"".join(client.encrypt(piece) for piece in in_pieces(data, records))
        for piece in in_pieces(ciphertext + (client.farewell() if has_farewell else b""), pieces):
            await client.fake.send(piece)
        responses = client.responses()
        assert [response.body for response in responses] == bodies
        assert client.fault is None
        assert client.is_closed == has_farewell
        assert client.fake.host.ending == ("close" if has_farewell else None)
        client.fake.host.lose()

    testing.run(scenario())
    assert app.asked == expected


@fuzz(250)
@given(
    version=VERSIONS,
    bodies=BODIES,
    records=SIZES,
    pieces=SIZES,
    damage=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(["flip", "drop", "add", "twice", "swap"])),
        min_size=1,
        max_size=3,
    ),
)
def test_what_was_changed_on_the_way_is_not_served(
    site: Site,
    version: ssl.TLSVersion,
    bodies: list[bytes],
    records: list[int],
    pieces: list[int],
    damage: list[tuple[float, str]],
) -> None:
    expected, data = asked(bodies)
    app = Echo()

    async def scenario() -> None:
        port = make_port(app, site.material)
        client = TlsClient(port, site.context(version), host=Once())
        await client.handshake()
        genuine = b"".join(client.encrypt(piece) for piece in in_pieces(data, records))
        changed = genuine
        for where, how in damage:
            changed = damaged(changed, where, how)
        for piece in in_pieces(changed, pieces):
            await client.fake.send(piece)
        responses = client.responses()
        assert app.asked == expected[: len(app.asked)]
        assert [response.body for response in responses] == bodies[: len(responses)]
        assert len(responses) <= len(app.asked)
        if changed == genuine:
            assert len(responses) == len(bodies)
        client.fake.host.lose()
        await testing.settle()
        assert not port._handshakes

    testing.run(scenario())


def damaged(data: bytes, where: float, how: str) -> bytes:
    """The same with one fault."""
    if not data:
        return data
    position = int(where * len(data))
    if how == "flip":
        return data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :]
    if how == "drop":
        return data[:position] + data[position + 1 + position % 7 :]
    if how == "add":
        return data[:position] + b"\x17" * (1 + position % 7) + data[position:]
    try:
        records = split_records(data)
    except AssertionError:
        return data[:position]
    index = int(where * len(records))
    if how == "twice":
        return b"".join([*records[: index + 1], *records[index:]])
    return b"".join([*records[:index], *records[index:][::-1]])


@fuzz(400)
@given(
    data=st.one_of(
        st.binary(min_size=1, max_size=400),
        st.binary(max_size=400).map(lambda data: b"\x16\x03\x01" + data),
        st.binary(max_size=200).map(lambda data: b"\x16\x03\x03\x00\xc8\x01\x00\x00\xc4\x03\x03" + data),
        st.binary(max_size=100).map(lambda data: b"GET / HTTP/1.1\r\nHost: h\r\n" + data),
    ),
    pieces=SIZES,
    is_draining=st.booleans(),
    ending=st.sampled_from(["eof", "lost", "deadline"]),
)
def test_first_bytes_may_be_anything(
    site: Site, data: bytes, pieces: list[int], is_draining: bool, ending: str
) -> None:
    app = Echo()

    async def scenario() -> None:
        port = make_port(app, site.material)
        client = TlsClient(port, host=Once())
        for piece in in_pieces(data, pieces):
            await client.fake.send(piece)
        if is_draining:
            client.fake.connection.start_draining()
            await testing.settle()
        if data[0] != 0x16 and not data[:1].isalpha():
            assert client.fake.host.ending == "close"
            assert not client.fake.host.written
        if client.is_open and ending == "eof":
            await client.fake.send_eof()
            assert not client.is_open
        elif client.is_open and ending == "deadline":
            await client.fake.reach_deadline()
            assert not client.is_open
        client.fake.host.lose()
        await testing.settle()
        assert not port._handshakes

    testing.run(scenario())
    assert not app.asked


@fuzz(200)
@given(
    version=VERSIONS,
    pieces=SIZES,
    position=st.floats(0, 1, exclude_max=True),
    change=st.integers(1, 255),
    flight=st.sampled_from(["first", "second"]),
)
def test_handshake_may_be_changed_anywhere(
    site: Site, version: ssl.TLSVersion, pieces: list[int], position: float, change: int, flight: str
) -> None:
    """It fails, or it is as if nothing had happened: a byte that means nothing has been changed."""
    app = Echo()

    async def scenario() -> None:
        port = make_port(app, site.material)
        client = TlsClient(port, site.context(version), host=Once())
        hello = client.hello()
        if flight == "second":
            await client.fake.send(hello)
            client._take()
            try:
                client.tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            hello = client._outgoing.read()
        changed = bytearray(hello)
        changed[int(position * len(changed))] ^= change
        for piece in in_pieces(bytes(changed), pieces):
            await client.fake.send(piece)
        try:
            await client.handshake()
            await client.send(b"GET /end HTTP/1.1\r\nHost: h\r\n\r\n")
        except OSError:
            assert not app.asked
        else:
            assert app.asked in ([], [("/end", b"")])
        client.fake.host.lose()
        await testing.settle()
        assert not port._handshakes

    testing.run(scenario())
