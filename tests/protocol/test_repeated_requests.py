"""Requests that are like the one before on their connection, which the server remembers."""

from __future__ import annotations

from typing import Any

from addax import testing

from .conftest import Connect

SEEN = b"GET /%b HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n"


class Recorder:
    """Answers everything, notes what it was given, and then spoils it."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append((scope["method"], scope["path"], scope["query_string"], list(scope["headers"])))
        scope["headers"].clear()
        scope["extensions"].clear()
        scope["path"] = scope["raw_path"] = scope["query_string"] = None
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})


def test_each_request_has_a_scope_of_its_own(connect: Connect) -> None:
    app = Recorder()

    async def scenario() -> None:
        client = connect(app)
        for path in (b"a?q", b"a?q", b"a?q", b"b", b"a?q"):
            await client.send(SEEN % path)
        assert [response.status for response in client.responses()] == [200] * 5

    testing.run(scenario())
    fields = [(b"host", b"a"), (b"x-y", b"z")]
    a = ("GET", "/a", b"q", fields)
    assert app.seen == [a, a, a, ("GET", "/b", b"", fields), a]


def test_an_asterisk_means_nothing_without_options(connect: Connect) -> None:
    fields = b" * HTTP/1.1\r\nHost: a\r\n\r\n"

    async def scenario() -> None:
        client = connect(Recorder())
        for _ in range(2):
            await client.send(b"OPTIONS" + fields)
        await client.send(b"GET" + fields)
        assert [response.status for response in client.responses()] == [200, 200, 400]

    testing.run(scenario())


def test_a_host_that_a_target_replaced_is_replaced_each_time(connect: Connect) -> None:
    app = Recorder()

    async def scenario() -> None:
        client = connect(app)
        for target in (b"http://b/", b"http://b/", b"/", b"http://c/"):
            await client.send(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n")
        assert len(client.responses()) == 4

    testing.run(scenario())
    assert [dict(fields)[b"host"] for _, _, _, fields in app.seen] == [b"b", b"b", b"a", b"c"]


def test_what_a_body_between_them_meant_is_not_remembered(connect: Connect) -> None:
    app = Recorder()

    async def scenario() -> None:
        client = connect(app)
        for _ in range(2):
            await client.send(SEEN % b"a")
            await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            await client.send(SEEN % b"a")
            await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert [response.status for response in client.responses()] == [200] * 8

    testing.run(scenario())
    assert len(app.seen) == 8


def test_a_last_request_that_was_seen_before_still_closes(connect: Connect) -> None:
    closing = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    async def scenario() -> None:
        client = connect(Recorder())
        await client.send(SEEN % b"a")
        await client.send(closing)
        await client.send(SEEN % b"a")
        assert len(client.responses()) == 2
        assert client.host.ending == "close"

    testing.run(scenario())


def test_an_empty_line_may_come_before_each_of_them(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(Recorder())
        await client.send(SEEN % b"a")
        for _ in range(3):
            await client.send(b"\r\n")
            await client.send(SEEN % b"a")
        assert [response.status for response in client.responses()] == [200] * 4
        await client.send(b"\r\n\r\n" + SEEN % b"a")
        assert client.responses()[-1].status == 400

    testing.run(scenario())
