"""The opening handshake: what is taken, what is refused and how, and what is answered."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.typing import Subprotocol
from websockets.uri import parse_uri
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection
from wsproto.events import Request as WsprotoRequest
from wsproto.extensions import PerMessageDeflate

from addax.core.errors import LocalProtocolError, RemoteProtocolError
from addax.core.settings import WebSocketSettings
from addax.core.types import Headers
from addax.websocket import handshake
from addax.websocket.handshake import (
    Opening,
    accept_value,
    is_origin_pattern,
    read_opening,
    response_fields,
    share_fields,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
FIELDS: Headers = [
    (b"host", b"example.org"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-version", b"13"),
]
DEFAULTS = WebSocketSettings()


def opened(*more: tuple[bytes, bytes], settings: WebSocketSettings = DEFAULTS) -> Opening:
    return read_opening("GET", [*FIELDS, *more], settings)


def refused(headers: Headers, settings: WebSocketSettings = DEFAULTS, method: str = "GET") -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        read_opening(method, headers, settings)
    return caught.value


def without(name: bytes) -> Headers:
    return [field for field in FIELDS if field[0] != name]


# ---- reading


def test_plain_handshake():
    opening = opened()
    assert opening.key == KEY
    assert opening.subprotocols == []
    assert opening.deflate is None


@pytest.mark.parametrize("method", ["POST", "HEAD", "CONNECT", "get"])
def test_method_is_get(method: str):
    assert refused(FIELDS, method=method).status == 400


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"x",
        KEY[:-1],
        KEY[:-2],
        KEY + b"=",
        KEY + b"\n",
        b" " + KEY,
        KEY[:10] + b" " + KEY[11:],
        KEY[:10] + b"-" + KEY[11:],
        KEY[:10] + b"\xe4" + KEY[11:],
        # 15 and 17 bytes.
        b"dGhlIHNhbXBsZSBub25j",
        b"dGhlIHNhbXBsZSBub25jZWU=",
        # Bits that stand for nothing are set: the same 16 bytes could be said in another way.
        b"dGhlIHNhbXBsZSBub25jZR==",
        KEY + b", " + KEY,
    ],
)
def test_key_is_16_bytes_as_base64(key: bytes):
    assert refused([*without(b"sec-websocket-key"), (b"sec-websocket-key", key)]).status == 400


@pytest.mark.parametrize("last", b"AQgw")
def test_key_of_each_ending(last: int):
    key = b"a" * 21 + bytes([last]) + b"=="
    assert read_opening("GET", [*without(b"sec-websocket-key"), (b"sec-websocket-key", key)], DEFAULTS).key == key


def test_one_key():
    assert refused(without(b"sec-websocket-key")).status == 400
    assert refused([*FIELDS, (b"sec-websocket-key", KEY)]).status == 400


@pytest.mark.parametrize(
    "versions", [[], [b""], [b"8"], [b"14"], [b"013"], [b"13, 8"], [b"8", b"13"], [b"13", b"13"], [b"\xff"]]
)
def test_version_is_13(versions: list[bytes]):
    fields = [(b"sec-websocket-version", version) for version in versions]
    assert refused([*without(b"sec-websocket-version"), *fields]).status == 426


def test_another_version_is_told_before_all_else():
    fields = [(b"sec-websocket-version", b"25"), (b"sec-websocket-key", b"of another kind")]
    assert refused(fields).status == 426


@pytest.mark.parametrize(
    ("lines", "subprotocols"),
    [
        ([b"chat"], ["chat"]),
        ([b"chat, superchat"], ["chat", "superchat"]),
        ([b"chat,superchat\t,", b"v2.bearer"], ["chat", "superchat", "v2.bearer"]),
        ([b"a", b"b", b"A"], ["a", "b", "A"]),
        ([b""], []),
        ([b" , ,"], []),
        ([b"!#$%&'*+-.^_`|~09azAZ"], ["!#$%&'*+-.^_`|~09azAZ"]),
    ],
)
def test_subprotocols(lines: list[bytes], subprotocols: list[str]):
    assert opened(*[(b"sec-websocket-protocol", line) for line in lines]).subprotocols == subprotocols


@pytest.mark.parametrize(
    "lines",
    [
        [b"caf\xc3\xa9"],
        [b"\xff"],
        [b"chat", b"\x80"],
        [b"a b"],
        [b"a;b"],
        [b'"a"'],
        [b"a=b"],
        [b"a/b"],
        [b"\x00"],
        [b"chat, chat"],
        [b"chat", b"x", b"chat"],
    ],
)
def test_malformed_subprotocols(lines: list[bytes]):
    assert refused([*FIELDS, *[(b"sec-websocket-protocol", line) for line in lines]]).status == 400


def test_extensions_of_several_lines_are_one_list():
    lines = [b"permessage-deflate; server_max_window_bits=8", b"x", b"permessage-deflate; client_max_window_bits=10"]
    opening = opened(*[(b"sec-websocket-extensions", line) for line in lines])
    assert opening.deflate is not None
    assert opening.deflate.client_window_bits == 10


def test_line_of_extensions_cannot_be_completed_by_the_next():
    lines = [(b"sec-websocket-extensions", b'permessage-deflate; a="'), (b"sec-websocket-extensions", b'"')]
    assert refused([*FIELDS, *lines]).status == 400


def test_compression_switched_off():
    settings = WebSocketSettings(deflate=False)
    assert opened((b"sec-websocket-extensions", b"permessage-deflate"), settings=settings).deflate is None
    # It is checked all the same: what is refused does not depend on an option.
    assert refused([*FIELDS, (b"sec-websocket-extensions", b"permessage-deflate;")], settings).status == 400


# ---- origins


def connects(origin: bytes, *allowed: str) -> bool:
    settings = WebSocketSettings(allowed_origins=allowed)
    try:
        opened((b"origin", origin), settings=settings)
    except RemoteProtocolError as error:
        if error.status != 403:
            raise
        return False
    return True


@pytest.mark.parametrize(
    ("origin", "allowed", "connects_"),
    [
        (b"https://example.com", ["https://example.com"], True),
        (b"HTTPS://Example.COM", ["https://example.com"], True),
        (b"https://example.com", ["https://Example.com:443"], True),
        (b"https://example.com:443", ["https://example.com"], True),
        (b"http://example.com:80", ["http://example.com"], True),
        (b"http://example.com:443", ["http://example.com"], False),
        (b"http://example.com", ["https://example.com"], False),
        (b"https://example.com:8443", ["https://example.com"], False),
        (b"https://example.com:8443", ["https://example.com:8443"], True),
        (b"https://example.com:8443", ["https://*.com:8443"], True),
        (b"https://example.com", ["https://*.com:8443"], False),
        (b"http://localhost:3000", ["https://a.example", "http://localhost:3000"], True),
        (b"http://[::1]:3000", ["http://[::1]:3000"], True),
        (b"http://127.0.0.1", ["http://127.0.0.1"], True),
        (b"https://evil.example", ["https://example.com"], False),
        (b"https://example.com.evil.example", ["https://example.com"], False),
        (b"https://notexample.com", ["https://example.com", "https://*.example.com"], False),
        # Subdomains of any depth, and not the domain itself.
        (b"https://a.example.com", ["https://*.example.com"], True),
        (b"https://a.b.c.example.com", ["https://*.example.com"], True),
        (b"https://A.EXAMPLE.com:443", ["https://*.Example.com"], True),
        (b"https://example.com", ["https://*.example.com"], False),
        (b"https://.example.com", ["https://*.example.com"], False),
        (b"http://a.example.com", ["https://*.example.com"], False),
        (b"https://a.example.com:8443", ["https://*.example.com"], False),
        (b"https://a.example.com:8443", ["https://*.example.com:8443"], True),
        (b"https://a.example.com.evil.example", ["https://*.example.com"], False),
        (b"https://evil.example/.example.com", ["https://*.example.com"], False),
        (b"https://evil.example#.example.com", ["https://*.example.com"], False),
        (b"https://evil.example?.example.com", ["https://*.example.com"], False),
        (b"https://user@a.example.com", ["https://*.example.com"], False),
        (b"https://evil.example:1.example.com", ["https://*.example.com"], False),
        (b"https://*.example.com", ["https://*.example.com"], False),
        (b"null", ["https://example.com"], False),
        (b"null", ["https://example.com", "null"], True),
        (b"null", ["*"], True),
        (b"Null", ["null"], False),
        (b"https://anything.example", ["*"], True),
        (b"not an origin", ["*"], True),
        (b"*", ["https://example.com"], False),
        (b"", ["https://example.com"], False),
        (b"\xff\x00", ["https://example.com"], False),
        (b"https://ex\xe4mple.com", ["https://exämple.com"], False),
        (b"https://example.com/", ["https://example.com"], False),
        (b"https://example.com https://example.com", ["https://example.com"], False),
        (b"chrome-extension://abcdefghijklmnop", ["chrome-extension://abcdefghijklmnop"], True),
        (b"https://example.com", ["what is no origin"], False),
        (b"what is no origin", ["what is no origin"], False),
    ],
)
def test_origin(origin: bytes, allowed: list[str], connects_: bool):
    assert connects(origin, *allowed) is connects_
    # Each for itself.
    assert connects(origin, "https://other.example", *allowed, "https://*.more.example") is connects_
    assert connects(origin)


def test_what_is_no_browser_has_no_origin():
    assert opened(settings=WebSocketSettings(allowed_origins=("https://example.com",))).key == KEY


@pytest.mark.parametrize("allowed", [(), ("*",), ("https://example.com",)])
def test_one_origin(allowed: tuple[str, ...]):
    fields = [(b"origin", b"https://example.com")] * 2
    assert refused([*FIELDS, *fields], WebSocketSettings(allowed_origins=allowed)).status == 400


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("*", True),
        ("null", True),
        ("https://example.com", True),
        ("https://*.example.com:8443", True),
        ("http://[::1]:3000", True),
        ("", False),
        ("example.com", False),
        ("https://", False),
        ("https://*", False),
        ("https://*example.com", False),
        ("https://a.*.com", False),
        ("https://example.com/", False),
        ("https://example.com:", False),
        ("https://example.com:123456", False),
        ("https://exämple.com", False),
    ],
)
def test_origin_pattern(text: str, is_one: bool):
    assert is_origin_pattern(text) is is_one


# ---- answering


def test_accept_value_of_the_rfc():
    assert accept_value(KEY) == ACCEPT


def test_plain_answer():
    assert response_fields(opened(), None, []) == (
        b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: " + ACCEPT + b"\r\n"
    )


def test_answer_with_everything():
    opening = opened(
        (b"sec-websocket-protocol", b"chat, superchat"),
        (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
    )
    headers = iter([(b"X-Own", b"a b"), (b"set-cookie", b"a=b"), (b"set-cookie", b"c=d"), (b"server", b"mine")])
    assert response_fields(opening, "superchat", headers) == (
        b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: " + ACCEPT + b"\r\n"
        b"sec-websocket-protocol: superchat\r\n"
        b"sec-websocket-extensions: permessage-deflate; server_max_window_bits=12; client_max_window_bits=12\r\n"
        b"x-own: a b\r\nset-cookie: a=b\r\nset-cookie: c=d\r\nserver: mine\r\n"
    )


@pytest.mark.parametrize("subprotocol", ["chat", "SUPERCHAT", "superchat\r\nx: y", "süper", " superchat"])
def test_subprotocol_that_was_not_offered(subprotocol: str):
    opening = opened((b"sec-websocket-protocol", b"superchat, other"))
    with pytest.raises(LocalProtocolError, match="not offered") as caught:
        response_fields(opening, subprotocol, [])
    assert repr(subprotocol) in str(caught.value)
    assert "['superchat', 'other']" in str(caught.value)
    with pytest.raises(LocalProtocolError, match="not offered"):
        response_fields(opened(), subprotocol, [])


def test_no_subprotocol():
    opening = opened((b"sec-websocket-protocol", b"chat"))
    for subprotocol in (None, ""):
        assert b"protocol" not in response_fields(opening, subprotocol, [])


def test_subprotocol_among_the_headers():
    opening = opened((b"sec-websocket-protocol", b"chat, other"))
    headers = [(b"x", b"y"), (b"Sec-WebSocket-Protocol", b"chat")]
    expected = response_fields(opening, "chat", [(b"x", b"y")])
    assert response_fields(opening, None, headers) == expected
    assert response_fields(opening, "chat", headers) == expected
    assert expected.count(b"sec-websocket-protocol: chat\r\n") == 1
    with pytest.raises(LocalProtocolError, match=r"'other'.*'chat'"):
        response_fields(opening, "other", headers)
    with pytest.raises(LocalProtocolError, match=r"'chat'.*'other'"):
        response_fields(opening, None, [*headers, (b"sec-websocket-protocol", b"other")])
    for value in (b"more", b"chat, other", b"chat\r\nx: y", b"\xff"):
        with pytest.raises(LocalProtocolError, match="not offered"):
            response_fields(opening, None, [(b"sec-websocket-protocol", value)])


@pytest.mark.parametrize(
    "name",
    [
        b"upgrade",
        b"Connection",
        b"sec-websocket-accept",
        b"Sec-WebSocket-Extensions",
        b"transfer-encoding",
        b"content-length",
    ],
)
def test_fields_of_the_handshake_are_not_the_applications(name: bytes):
    with pytest.raises(LocalProtocolError, match=name.decode()):
        response_fields(opened(), None, [(b"x", b"y"), (name, b"5")])


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x", b"a\r\nset-cookie: b")],
        [(b"x", b"\n")],
        [(b"x", b"\x00")],
        [(b"x\r\ny", b"a")],
        [(b"", b"a")],
        [(b"x y", b"a")],
        [("x", b"a")],
        [(b"x", "a")],
        [(b"sec-websocket-protocol", 5)],
    ],
)
def test_headers_are_checked(headers: Iterable[tuple[bytes, bytes]]):
    with pytest.raises(LocalProtocolError):
        response_fields(opened(), None, headers)


# ---- independent clients


@pytest.mark.parametrize("subprotocol", [None, "chat"])
def test_websockets_takes_the_answer(subprotocol: str | None):
    client = ClientProtocol(
        parse_uri("ws://example.org/"),
        subprotocols=[Subprotocol("other"), Subprotocol("chat")],
        extensions=[ClientPerMessageDeflateFactory()],
    )
    request = client.connect()
    opening = read_opening("GET", fields_of(request), DEFAULTS)
    assert opening.deflate is not None
    client.send_request(request)
    answer = response_fields(opening, subprotocol, [(b"x", b"y")])
    client.receive_data(b"HTTP/1.1 101 Switching Protocols\r\n" + answer + b"\r\n")
    client.events_received()
    assert client.handshake_exc is None
    assert client.subprotocol == subprotocol
    assert [extension.name for extension in client.extensions] == ["permessage-deflate"]


def fields_of(request: Request) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in request.headers.raw_items()]


@pytest.mark.parametrize("subprotocol", [None, "chat"])
def test_wsproto_takes_the_answer(subprotocol: str | None):
    client = WSConnection(ConnectionType.CLIENT)
    extension = PerMessageDeflate()
    data = client.send(
        WsprotoRequest(host="example.org", target="/", subprotocols=["chat", "other"], extensions=[extension])
    )
    _, *lines = data.split(b"\r\n\r\n")[0].split(b"\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    opening = read_opening("GET", headers, DEFAULTS)
    assert opening.deflate is not None
    answer = response_fields(opening, subprotocol, [])
    client.receive_data(b"HTTP/1.1 101 Switching Protocols\r\n" + answer + b"\r\n")
    accepted = next(client.events())
    assert isinstance(accepted, AcceptConnection)
    assert accepted.subprotocol == subprotocol
    assert extension.enabled()


NAMES = ("key", "version", "protocol", "extensions", "accept")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*(b"sec-websocket-" + n.encode() for n in NAMES), b"origin"]), st.binary())))
def test_any_handshake_is_taken_or_refused(fields: Headers):
    allowed = WebSocketSettings(allowed_origins=("https://*.example.com",))
    for headers in (fields, [*FIELDS, *fields]):
        try:
            opening = read_opening("GET", headers, allowed)
        except RemoteProtocolError as error:
            status = error.status
        else:
            status = 101
            assert response_fields(opening, None, []).endswith(b"\r\n")
        assert status in (101, 400, 403, 426)


# ---- fields that many have


def test_field_lines_that_others_have_too_are_one_object():
    def fields() -> Headers:
        # Built anew: what the parser makes of another client's bytes is another object.
        return [
            (bytes(bytearray(b"user-agent")), bytes(bytearray(b"test"))),
            (bytes(bytearray(b"cookie")), bytes(bytearray(b"a=b"))),
            (bytes(bytearray(b"x-long")), b"x" * 1000),
        ]

    first, second = fields(), fields()
    share_fields(first)
    share_fields(second)
    assert first == second == fields()
    assert first[0] is second[0]
    assert first[1] is not second[1]
    assert first[2] is not second[2]


def test_shared_field_lines_are_bounded():
    for number in range(2000):
        share_fields([(b"x-number", b"%d" % number)])
    assert len(handshake._shared_fields) <= handshake._SHARED_MAX_COUNT
