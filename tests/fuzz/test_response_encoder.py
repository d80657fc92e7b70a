"""Whatever an application sends, the wire has exactly one head for a request, and no field that nobody sent.

The bytes are read twice, by the strict reader of ``addax.testing`` and by h11 as a client, and both must understand the
same. What the application may not send is an error in the application, and nothing of it reaches the wire.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from hypothesis import example, given
from hypothesis import strategies as st

from addax import testing
from addax.core.settings import Http1Settings
from addax.core.types import Headers

from .profile import fuzz

#: Fields that are the server's: it leaves out what the application says there, or takes it as a wish.
OWN = {b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection"}
ADDED = {b"date", b"server", b"content-length", b"transfer-encoding", b"connection"}
#: The server's own answer to an application's error has these and no others.
ERROR_NAMES = [b"date", b"server", b"content-type", b"content-length", b"connection"]
#: Tells the application's response from the server's.
MARK = (b"x-from-app", b"1")

NAMES = b"X-A x-b Set-Cookie set-cookie ETag Content-Type Vary x!#$%&'*+-.^_`|~9".split()
SPECIAL_NAMES = b"Content-Length Transfer-Encoding Connection Keep-Alive Date Server content-length date".split()
ODD_NAMES: list[Any] = [b"", b"a b", b"a:", b"a\r\nb", b"\xff", b"a\x00", b" a", b"\ta", b"a\n", "text", None]
VALUES = [b"", b"1", b"a b", b"a\tb", b"text/plain", b"close", b"keep-alive", b"chunked", b"5", b"\x80\xff", b"\x85"]
ODD_VALUES: list[Any] = [
    *[b"a\r\nX-Evil: 1", b"a\nX-Evil: 1", b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", b"a\rb", b"a\x00", b"\x7f", b"\x1b"],
    *[b"\x0b", "text", None, 5],
]
STATUSES = [200, 200, 200, 201, 204, 206, 304, 404, 500, 599, 299]
ODD_STATUSES: list[Any] = [100, 101, 103, 199, 600, 0, -1, 1000, "200", None, 200.5]

_FIELD = st.tuples(st.sampled_from(NAMES * 3 + SPECIAL_NAMES), st.sampled_from(VALUES))
_ODD_FIELD = st.one_of(
    st.tuples(st.sampled_from(ODD_NAMES), st.sampled_from(VALUES)),
    st.tuples(st.sampled_from(NAMES + SPECIAL_NAMES), st.sampled_from(ODD_VALUES)),
    st.tuples(st.binary(max_size=4), st.binary(max_size=6).map(lambda value: value.strip(b" \t"))),
)
_ANY_FIELD = st.integers(0, 11).flatmap(lambda number: _FIELD if number else _ODD_FIELD)
FIELDS = st.lists(_ANY_FIELD, max_size=5)
BODIES = st.lists(st.sampled_from([b"", b"a", b"HTTP/1.1 200 OK\r\n\r\n", b"0\r\n\r\n", b"x" * 20000]), max_size=3)
REQUESTS = st.sampled_from([("GET", "1.1"), ("GET", "1.1"), ("HEAD", "1.1"), ("GET", "1.0"), ("HEAD", "1.0")])

#: Fields that ``Response`` and every client want once at the most, and that an application could send twice.
_SINGLE = {b"date", b"server", b"content-type"}


class Sender:
    """Sends a response and keeps what was refused.

    Attributes:
        refused: what ``send`` raised first.
        sent: body bytes that were taken.
        is_complete: whether everything was taken.
    """

    def __init__(self, messages: list[dict[str, Any]], pauses: bool) -> None:
        self.messages = messages
        self.pauses = pauses
        self.refused: Exception | None = None
        self.hints_count = 0
        self.sent = b""
        self.is_complete = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for message in self.messages:
            if self.pauses:
                # A head that is held for its body goes out.
                await asyncio.sleep(0)
            try:
                await send(message)
            except RuntimeError as error:
                self.refused = error
                raise
            self.hints_count += message["type"] == "http.response.early_hint"
            self.sent += message.get("body", b"")
        self.is_complete = True


@st.composite
def responses(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The messages of one response: mostly right fields, any framing."""
    status = draw(st.sampled_from(STATUSES * 4 + ODD_STATUSES))
    headers = _without_repeats(draw(FIELDS))
    parts = draw(BODIES) or [b""]
    has_trailers = draw(st.integers(0, 5)) == 0
    if draw(st.integers(0, 3)) == 0:
        headers = [field for field in headers if _lower(field[0]) != b"content-length"]
        wrong = draw(st.sampled_from([0, 1, -1]))
        headers.append((b"content-length", b"%d" % max(0, sum(map(len, parts)) + wrong)))
    messages: list[dict[str, Any]] = []
    if draw(st.integers(0, 5)) == 0:
        links = draw(st.lists(st.sampled_from([b"</a>; rel=preload", b"", b"a\r\nX-Evil: 1", "text"]), max_size=2))
        messages.append({"type": "http.response.early_hint", "links": links})
    start = {"type": "http.response.start", "status": status, "headers": [MARK, *headers]}
    messages.append({**start, "trailers": True} if has_trailers else start)
    for number, part in enumerate(parts):
        messages.append({"type": "http.response.body", "body": part, "more_body": number < len(parts) - 1})
    if has_trailers:
        messages.append({"type": "http.response.trailers", "headers": draw(FIELDS)})
    return messages


def _lower(name: Any) -> Any:
    return name.lower() if isinstance(name, bytes) else name


def _without_repeats(fields: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    kept: list[tuple[Any, Any]] = []
    for name, value in fields:
        if _lower(name) not in _SINGLE or _lower(name) not in [_lower(other) for other, _ in kept]:
            # A wrong date would be the application's, and the strict reader's to refuse.
            kept.append(
                (name, b"Sun, 06 Nov 1994 08:49:37 GMT" if _lower(name) == b"date" and value in VALUES else value)
            )
    return kept


def by_h11(data: bytes, method: str, closed: bool) -> tuple[list[tuple[int, Headers]], bytes, bool]:
    """All heads, the body, and whether the response is complete, as a client understands them."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    if closed:
        connection.receive_data(b"")
    heads: list[tuple[int, Headers]] = []
    body = b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            assert closed, "h11 refuses what was sent"
            return heads, body, False
        if isinstance(event, h11.InformationalResponse | h11.Response):
            heads.append((event.status_code, [(bytes(name), bytes(value)) for name, value in event.headers]))
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert connection.trailing_data[0] == b"", "bytes after the response"
            return heads, body, True
        else:
            return heads, body, False


async def answer(sender: Sender, request: tuple[str, str], gathered: bool) -> testing.FakeClient:
    client = testing.FakeClient(testing.make_service(sender, settings=Http1Settings(write_buffer_bytes=10**6)))
    head = f"{request[0]} / HTTP/{request[1]}\r\nHost: h\r\n"
    if gathered:
        await client.send(head.encode() + b"\r\n")
    else:
        # With a body that comes later, the application runs outside of the connection's own call.
        await client.send(head.encode() + b"Content-Length: 1\r\n\r\n")
        await client.send(b"b")
    return client


@fuzz(400)
@example(
    [{"type": "http.response.start", "status": 200, "headers": [MARK, (b"a", b"\r\n\r\nHTTP/1.1 200 OK")]}],
    ("GET", "1.1"),
    False,
    True,
)
@given(responses(), REQUESTS, st.booleans(), st.booleans())
def test_wire_has_one_head_and_only_what_was_sent(
    messages: list[dict[str, Any]], request: tuple[str, str], pauses: bool, gathered: bool
) -> None:
    async def scenario() -> None:
        sender = Sender(messages, pauses)
        client = await answer(sender, request, gathered)
        wire = bytes(client.host.written)
        found = client.responses(request[0])
        heads, body, is_complete = by_h11(wire, request[0], client.host.ending is not None)

        if client.host.ending == "abort" and not found:
            assert wire == b""
            return
        (response,) = found
        assert [status for status, _ in heads] == [*[one.status for one in response.interim], response.status]
        assert heads[-1][1] == response.headers
        assert (body, is_complete) == (response.body, response.is_complete)
        assert len(response.interim) == (sender.hints_count if request[1] == "1.1" else 0)
        if response.header(MARK[0]) is None:
            assert sender.refused is not None
            assert (response.status, response.is_last) == (500, True)
            assert [name for name, _ in response.headers] == ERROR_NAMES
        else:
            check_sent(sender, response, request[0])
            assert sender.is_complete or client.host.ending == "abort"
        await client.close()
        assert client.service.state.active_requests == 0

    testing.run(scenario())


def check_sent(sender: Sender, response: testing.Response, method: str) -> None:
    """The response has the application's fields in their order, and the server's own."""
    start = next(message for message in sender.messages if message["type"] == "http.response.start")
    assert response.status == start["status"]
    own = [(name.lower(), value) for name, value in start["headers"] if name.lower() not in OWN]
    rest = list(response.headers)
    for field in own:
        rest.remove(field)
    assert [field for field in response.headers if field in own] == own
    names = [name for name, _ in rest]
    assert len(names) == len(set(names))
    assert set(names) <= ADDED - {name for name, _ in own}
    if method == "HEAD" or response.status in (204, 304):
        assert response.body == b""
        return
    if sender.is_complete:
        assert response.is_complete
    elif response.is_complete:
        # All bytes that were announced had been sent when the application made its mistake; or the connection's end
        # ends the body, and it was broken off.
        assert response.header(b"transfer-encoding") is None
    assert sender.sent.startswith(response.body)
    if response.is_complete:
        assert response.body == sender.sent
    for trailer in response.trailers:
        assert trailer in [(name.lower(), value) for name, value in sender.messages[-1]["headers"]]
