"""How a response is framed, which fields the server adds, and what it does not let through."""

from __future__ import annotations

from typing import Any

import pytest

from addax import testing
from addax.core.errors import LocalProtocolError

from .apps import HELLO, START, Sends, body, start
from .conftest import GET, GET_10, HEAD, Connect, ErrorLog

LENGTH_5 = (b"content-length", b"5")


def exchange(connect: Connect, app: Any, data: bytes = GET, *methods: str, **settings: Any) -> testing.Response:
    """One request, one complete response."""

    async def scenario() -> testing.Response:
        client = connect(app, **settings)
        await client.send(data)
        (response,) = client.responses(*methods)
        assert response.is_complete
        assert response.is_last == (not client.is_open)
        await client.close()
        return response

    return testing.run(scenario())


# ---- framing


def test_whole_body_without_length_gets_one(connect: Connect) -> None:
    response = exchange(connect, Sends(START, HELLO))
    assert response.header(b"content-length") == b"5"
    assert response.chunks == []


def test_streamed_body_without_length_is_chunked(connect: Connect) -> None:
    response = exchange(connect, Sends(START, body(b"he", True), body(b"", True), body(b"llo", True), body()))
    assert response.chunks == [2, 3]
    assert response.body == b"hello"
    assert response.header(b"transfer-encoding") == b"chunked"


def test_streamed_body_with_length_is_not_chunked(connect: Connect) -> None:
    response = exchange(connect, Sends(start(200, LENGTH_5), body(b"he", True), body(b"llo")))
    assert response.body == b"hello"
    assert response.header(b"transfer-encoding") is None


def test_large_body_is_whole(connect: Connect) -> None:
    data = bytes(range(256)) * 2000
    assert exchange(connect, Sends(START, body(data))).body == data
    assert exchange(connect, Sends(START, body(data, True), body(data))).body == data * 2


def test_small_response_is_one_write(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(Sends(START, HELLO))
        await client.send(GET)
        assert client.host.write_count == 1

    testing.run(scenario())


def test_head_is_sent_when_no_body_comes(connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await receive()
        await receive()

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        (response,) = client.responses()
        assert not response.is_complete
        assert response.header(b"transfer-encoding") == b"chunked"
        await client.close()

    testing.run(scenario())


def test_streamed_body_to_http10_ends_with_the_connection(connect: Connect) -> None:
    response = exchange(connect, Sends(START, body(b"he", True), body(b"llo")), GET_10)
    assert response.body == b"hello"
    assert response.is_last
    assert response.header(b"content-length") is None


def test_whole_body_to_http10_keeps_the_connection(connect: Connect) -> None:
    response = exchange(connect, Sends(START, HELLO), GET_10)
    assert response.header(b"content-length") == b"5"
    assert response.connection_options == [b"keep-alive"]


@pytest.mark.parametrize("headers", [(), (LENGTH_5,)], ids=["no-length", "length"])
@pytest.mark.parametrize(
    "messages", [(HELLO,), (body(b"he", True), body(b"llo")), (body(),)], ids=["whole", "streamed", "empty"]
)
def test_head_has_no_body(connect: Connect, error_log: ErrorLog, headers: Any, messages: Any) -> None:
    response = exchange(connect, Sends(start(200, *headers), *messages), HEAD, "HEAD")
    assert response.body == b""
    assert response.header(b"transfer-encoding") is None
    if headers:
        assert response.header(b"content-length") == b"5"
    assert error_log.records == []


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_body_has_none(connect: Connect, status: int) -> None:
    response = exchange(connect, Sends(start(status), body(b"he", True), body(b"llo")))
    assert response.status == status
    assert response.header(b"transfer-encoding") is None
    assert response.body == b""


def test_204_never_has_a_length(connect: Connect) -> None:
    for length in (b"0", b"5"):
        response = exchange(connect, Sends(start(204, (b"content-length", length)), body()))
        assert response.header(b"content-length") is None


def test_304_keeps_its_length(connect: Connect) -> None:
    assert exchange(connect, Sends(start(304, LENGTH_5), body())).header(b"content-length") == b"5"


@pytest.mark.parametrize("status", [200, 201, 205, 299, 301, 404, 418, 451, 500, 511, 599])
def test_any_final_status_is_sent(connect: Connect, status: int) -> None:
    response = exchange(connect, Sends(start(status), body()))
    assert response.status == status


# ---- lengths that are not true


def _played(connect: Connect, app: Sends) -> testing.FakeClient:
    async def scenario() -> testing.FakeClient:
        client = connect(app)
        await client.send(GET + GET)
        return client

    return testing.run(scenario())


@pytest.mark.parametrize("data", [b"hello!", b"hell", b""])
def test_wrong_length_of_a_whole_body_is_answered_500(connect: Connect, data: bytes) -> None:
    app = Sends(start(200, LENGTH_5), body(data))
    client = _played(connect, app)
    (response,) = client.responses()
    assert response.status == 500
    assert isinstance(app.errors[0], LocalProtocolError)
    assert "content-length" in str(app.errors[0])


@pytest.mark.parametrize(
    "messages",
    [
        (body(b"hel", True), body(b"lo!")),
        (body(b"hello", True), body(b"!", True)),
        (body(b"hello", True), body(b"!")),
        (body(b"hel", True), body(b"l")),
        (body(b"hel", True), body()),
    ],
    ids=["too-long", "too-long-more", "too-long-at-the-end", "too-short", "too-short-empty"],
)
def test_wrong_length_of_a_streamed_body_breaks_the_connection_off(connect: Connect, messages: Any) -> None:
    app = Sends(start(200, LENGTH_5), *messages, yields=True)
    client = _played(connect, app)
    assert isinstance(app.errors[0], LocalProtocolError)
    assert client.host.ending == "abort"
    (response,) = client.responses()
    assert response.status == 200
    # Not one byte more than the length, or the client would take it for the beginning of the next response.
    assert len(response.body) <= 5
    assert b"!" not in client.host.written


def test_body_that_is_too_long_can_be_mended(connect: Connect) -> None:
    app = Sends(start(200, LENGTH_5), body(b"he", True), body(b"llo!", True), body(b"llo"), catch=True)
    response = exchange(connect, app)
    assert response.body == b"hello"
    assert len(app.errors) == 1


def test_equal_lengths_are_one(connect: Connect) -> None:
    response = exchange(connect, Sends(start(200, LENGTH_5, (b"Content-Length", b"5")), HELLO))
    assert response.header(b"content-length") == b"5"


# ---- fields that are the server's


def test_default_fields_stand_once(connect: Connect) -> None:
    response = exchange(connect, Sends(START, HELLO))
    assert response.header(b"server") == b"addax"
    assert response.header(b"date") is not None


def test_application_says_date_and_server_itself(connect: Connect) -> None:
    date = b"Mon, 23 Nov 2026 03:24:04 GMT"
    response = exchange(connect, Sends(start(200, (b"Date", date), (b"SERVER", b"mine")), HELLO))
    assert response.header(b"date") == date
    assert response.header(b"server") == b"mine"


def test_default_fields_can_be_switched_off(connect: Connect) -> None:
    response = exchange(connect, Sends(START, HELLO), server_header=False, date_header=False)
    assert response.values(b"server") == response.values(b"date") == []


def test_extra_fields_are_on_every_response(connect: Connect) -> None:
    extra = ((b"x-extra", b"1"), (b"server", b"theirs"))
    assert exchange(connect, Sends(START, HELLO), extra_headers=extra).values(b"x-extra") == [b"1"]
    error = exchange(connect, Sends(START, HELLO), b"BAD\r\n\r\n", extra_headers=extra)
    assert error.status == 400
    assert error.values(b"x-extra") == [b"1"]
    assert error.header(b"server") == b"theirs"


def test_transfer_encoding_of_the_application_is_ignored(connect: Connect) -> None:
    response = exchange(connect, Sends(start(200, (b"transfer-encoding", b"chunked")), HELLO))
    assert (response.body, response.header(b"content-length")) == (b"hello", b"5")
    response = exchange(connect, Sends(start(200, (b"Transfer-Encoding", b"gzip"), LENGTH_5), HELLO))
    assert (response.body, response.header(b"transfer-encoding")) == (b"hello", None)


@pytest.mark.parametrize("value", [b"close", b"Close", b"foo, close", b"close, keep-alive"])
def test_application_can_close_the_connection(connect: Connect, value: bytes) -> None:
    assert exchange(connect, Sends(start(200, (b"Connection", value)), HELLO)).is_last


def test_application_cannot_keep_a_connection_that_ends(connect: Connect) -> None:
    app = Sends(start(200, (b"connection", b"keep-alive")), HELLO)
    response = exchange(connect, app, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert response.connection_options == [b"close"]


def test_fields_keep_their_order_and_are_lower_case(connect: Connect) -> None:
    fields = [(b"X-B", b"2"), (b"set-cookie", b"a=1"), (b"x-a", b""), (b"Set-Cookie", b"b=2"), (b"x-c", b"\xe9 \t x")]
    response = exchange(connect, Sends(start(200, *fields), HELLO))
    expected = [(name.lower(), value) for name, value in fields]
    assert [field for field in response.headers if field in expected] == expected


# ---- response splitting

INJECTED = b"x-injected"
BAD_NAMES = {
    "cr-lf": b"x: 1\r\nx-injected",
    "lf": b"x: 1\nx-injected",
    "cr": b"x: 1\rx-injected",
    "nul": b"x-injected\x00",
    "space": b"x injected",
    "trailing-space": b"x-injected ",
    "colon": b"x-injected:",
    "empty": b"",
    "tab": b"x-injected\t",
    "del": b"x-injected\x7f",
    "obs-text": b"x-inject\xe9d",
    "trailing-lf": b"x-injected\n",
    "parenthesis": b"x-injected()",
}
BAD_VALUES = {
    "cr-lf": b"1\r\nx-injected: 2",
    "lf": b"1\nx-injected: 2",
    "cr": b"1\rx-injected: 2",
    "whole-response": b"1\r\n\r\nHTTP/1.1 200 OK\r\nx-injected: 2\r\n\r\n",
    "nul": b"x-injected\x00",
    "vertical-tab": b"x-injected\x0b",
    "escape": b"\x1bx-injected",
    "del": b"x-injected\x7f",
    "trailing-lf": b"x-injected\n",
    "trailing-cr-lf": b"x-injected\r\n",
    "leading-lf": b"\nx-injected",
}
SPLITS = [pytest.param((name, b"1"), id=f"name-{what}") for what, name in BAD_NAMES.items()] + [
    pytest.param((b"x-a", value), id=f"value-{what}") for what, value in BAD_VALUES.items()
]


@pytest.mark.parametrize("field", SPLITS)
def test_field_that_would_split_the_response_is_refused(connect: Connect, field: tuple[bytes, bytes]) -> None:
    app = Sends(start(200, (b"x-b", b"1"), field), HELLO)
    client = _played(connect, app)
    (response,) = client.responses()
    assert response.status == 500
    assert isinstance(app.errors[0], LocalProtocolError)
    assert INJECTED not in client.host.written


@pytest.mark.parametrize("value", BAD_VALUES.values(), ids=BAD_VALUES)
def test_hint_that_would_split_the_response_is_refused(connect: Connect, value: bytes) -> None:
    app = Sends({"type": "http.response.early_hint", "links": [b"</a>", value]}, START, HELLO)
    client = _played(connect, app)
    (response,) = client.responses()
    assert response.status == 500
    assert response.interim == []
    assert INJECTED not in client.host.written


@pytest.mark.parametrize("field", SPLITS)
def test_trailer_that_would_split_the_response_is_refused(connect: Connect, field: tuple[bytes, bytes]) -> None:
    trailers = {"type": "http.response.trailers", "headers": [(b"x-b", b"1"), field]}
    app = Sends(start(200, trailers=True), body(b"hello"), trailers, yields=True)
    client = _played(connect, app)
    (response,) = client.responses()
    assert not response.is_complete
    assert client.host.ending == "abort"
    assert isinstance(app.errors[0], LocalProtocolError)
    assert INJECTED not in client.host.written


@pytest.mark.parametrize("value", BAD_VALUES.values(), ids=BAD_VALUES)
@pytest.mark.parametrize("name", [b"content-length", b"date", b"server"])
def test_fields_of_the_server_cannot_split_either(connect: Connect, name: bytes, value: bytes) -> None:
    client = _played(connect, Sends(start(200, (name, value)), HELLO))
    assert [response.status for response in client.responses()] == [500]
    assert INJECTED not in client.host.written


@pytest.mark.parametrize("value", BAD_VALUES.values(), ids=BAD_VALUES)
@pytest.mark.parametrize("name", [b"connection", b"transfer-encoding", b"keep-alive", b"proxy-connection"])
def test_fields_that_are_left_out_cannot_split_either(connect: Connect, name: bytes, value: bytes) -> None:
    client = _played(connect, Sends(start(200, (name, value)), HELLO))
    assert {response.status for response in client.responses()} <= {200, 500}
    assert INJECTED not in client.host.written
