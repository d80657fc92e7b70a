"""HttpCycle against a sink that only notes: message order, body queue, disconnects."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from addax.asgi.exchange import HttpExchange
from addax.asgi.http_cycle import HttpCycle
from addax.asgi.phases import ENDED
from addax.asgi.sinks import ResponseSink
from addax.core.errors import ClientDisconnected, LocalProtocolError

START = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}
BODY = {"type": "http.response.body", "body": b"x"}


class Sink(ResponseSink):
    """Notes calls, and ends the cycle as a connection does."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.is_writable = True
        self.cycle: HttpCycle

    def send_head(self, status: int, headers: Any, trailers: bool) -> None:
        self.calls.append(("head", status, list(headers), trailers))

    def send_informational(self, status: int, headers: Any) -> None:
        self.calls.append(("informational", status, list(headers)))

    def send_body(self, data: bytes, more: bool) -> None:
        self.calls.append(("body", data, more))
        if not more:
            self.cycle.end("completed")

    async def send_file(self, file: BinaryIO, offset: int, count: int, more: bool) -> None:
        file.seek(offset)
        self.calls.append(("file", file.read(count), more))
        if not more:
            self.cycle.end("completed")

    def send_trailers(self, headers: Any, more: bool) -> None:
        self.calls.append(("trailers", list(headers), more))
        if not more:
            self.cycle.end("completed")

    def send_continue(self) -> None:
        self.calls.append("continue")

    def body_consumed(self) -> None:
        self.calls.append("consumed")

    def fail(self, cycle: HttpCycle) -> None:
        self.calls.append("fail")

    async def drain(self) -> None:
        self.calls.append("drain")


def with_cycle(test: Callable[[HttpCycle, Sink], Awaitable[None]], is_recorded: bool = True) -> None:
    async def run() -> None:
        sink = Sink()
        scope = {"type": "http"}
        cycle = HttpCycle(scope, sink, True, HttpExchange(scope) if is_recorded else None)
        sink.cycle = cycle
        await test(cycle, sink)

    asyncio.run(run())


def test_a_request_without_a_body_then_the_end():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        cycle.body_ended()
        assert await cycle.receive() == {"type": "http.request", "body": b"", "more_body": False}
        await cycle.send(START)
        await cycle.send(BODY)
        assert await cycle.receive() == {"type": "http.disconnect"}
        assert await cycle.receive() == {"type": "http.disconnect"}
        assert sink.calls == [("head", 200, [(b"a", b"b")], False), ("body", b"x", False)]

    with_cycle(test)


def test_body_chunks_that_wait_are_given_as_one():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        cycle.body_arrived(b"a")
        cycle.body_arrived(b"b")
        assert cycle.body_size == 2
        assert await cycle.receive() == {"type": "http.request", "body": b"ab", "more_body": True}
        assert (cycle.body_size, sink.calls) == (0, ["consumed"])
        cycle.body_arrived(b"c")
        cycle.body_ended()
        assert await cycle.receive() == {"type": "http.request", "body": b"c", "more_body": False}
        assert cycle.exchange is not None
        assert cycle.exchange.bytes_received == 3

    with_cycle(test)


def test_receive_waits_for_the_body_and_asks_for_it():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        waiting = [asyncio.ensure_future(cycle.receive()) for _ in range(2)]
        await asyncio.sleep(0)
        assert sink.calls == ["continue", "continue"]
        cycle.body_arrived(b"a")
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        cycle.body_ended()
        messages = [await one for one in waiting]
        assert [message["body"] for message in messages] == [b"a", b""]

    with_cycle(test)


def test_a_receive_that_was_cancelled_does_not_take_the_message():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        first, second = asyncio.ensure_future(cycle.receive()), asyncio.ensure_future(cycle.receive())
        await asyncio.sleep(0)
        first.cancel()
        cycle.body_arrived(b"a")
        assert (await second)["body"] == b"a"
        with pytest.raises(asyncio.CancelledError):
            await first

    with_cycle(test)


def test_a_disconnect_wakes_receive_and_forbids_send():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        cycle.body_ended()
        await cycle.receive()
        waiting = asyncio.ensure_future(cycle.receive())
        await asyncio.sleep(0)
        cycle.disconnected("disconnected")
        assert await waiting == {"type": "http.disconnect"}
        with pytest.raises(OSError, match="disconnected") as caught:
            await cycle.send(START)
        assert isinstance(caught.value, ClientDisconnected)
        assert cycle.is_client_gone()
        assert cycle.exchange is not None
        assert cycle.exchange.outcome == "disconnected"

    with_cycle(test)


def test_a_body_that_nobody_will_read_any_more_is_dropped():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        cycle.body_arrived(b"abc")
        cycle.disconnected("disconnected")
        assert cycle.body_size == 0
        cycle.body_arrived(b"def")
        assert cycle.body_size == 0
        assert await cycle.receive() == {"type": "http.disconnect"}

    with_cycle(test)


def test_a_notice_gives_the_body_first_and_lets_send_go_on():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        cycle.body_arrived(b"abc")
        cycle.body_ended()
        cycle.notify()
        assert (await cycle.receive())["body"] == b"abc"
        assert await cycle.receive() == {"type": "http.disconnect"}
        await cycle.send(START)
        await cycle.send(BODY)
        assert cycle.exchange is not None
        assert cycle.exchange.outcome == "completed"

    with_cycle(test)


def test_a_notice_wakes_a_waiting_receive():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        cycle.body_ended()
        await cycle.receive()
        waiting = asyncio.ensure_future(cycle.receive())
        await asyncio.sleep(0)
        cycle.notify()
        assert await waiting == {"type": "http.disconnect"}

    with_cycle(test)


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([BODY], "unexpected message 'http.response.body', expected http.response.start"),
        ([START, START], "unexpected message 'http.response.start', expected http.response.body"),
        ([START, BODY, BODY], "the response is complete"),
        ([START, {"type": "http.response.early_hint"}], "unexpected message 'http.response.early_hint'"),
        ([START, {"type": "http.response.trailers"}], "unexpected message 'http.response.trailers'"),
        ([{"type": "http.response.pathsend"}], "unexpected message 'http.response.pathsend'"),
        ([{"type": "http.response.zerocopysend"}], "unexpected message"),
        ([{"type": "websocket.accept"}], "unexpected message 'websocket.accept'"),
        ([{}], "the key 'type', not {}"),
        (["text"], "the key 'type', not 'text'"),
        ([{"type": "http.response.start"}], "without 'status'"),
        ([START, {"type": "http.response.body", "body": "text"}], "'body' of str, not bytes"),
        ([START, {"type": "http.response.pathsend", "path": 1}], "'path' 1, not a str"),
        ([START, {"type": "http.response.zerocopysend", "file": None}], "neither a descriptor nor a file"),
    ],
)
def test_mistakes_of_the_application_are_quoted(messages: list[Any], error: str):
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        for message in messages[:-1]:
            await cycle.send(message)
        with pytest.raises(LocalProtocolError, match=error.replace("{}", r"\{\}")):
            await cycle.send(messages[-1])

    with_cycle(test)


def test_every_kind_of_bytes_is_a_body():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        await cycle.send(START)
        for body in (bytearray(b"a"), memoryview(b"b")):
            await cycle.send({"type": "http.response.body", "body": body, "more_body": True})
        await cycle.send({"type": "http.response.body"})
        assert sink.calls[1:] == [("body", b"a", True), ("body", b"b", True), ("body", b"", False)]
        assert cycle.exchange is not None
        assert cycle.exchange.bytes_sent == 2

    with_cycle(test)


def test_send_waits_while_the_client_is_slow_but_not_after_the_last_byte():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        sink.is_writable = False
        await cycle.send(START)
        await cycle.send({**BODY, "more_body": True})
        await cycle.send(BODY)
        assert [call for call in sink.calls if isinstance(call, str)] == ["drain"]

    with_cycle(test)


def test_early_hints_come_before_the_head():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        await cycle.send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"b"]})
        await cycle.send(START)
        assert sink.calls[0] == ("informational", 103, [(b"link", b"</a.css>; rel=preload"), (b"link", b"b")])

    with_cycle(test)


def test_trailers_follow_the_body():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        await cycle.send({**START, "trailers": True})
        await cycle.send(BODY)
        assert cycle.phase != ENDED
        trailers = {"type": "http.response.trailers", "headers": [(b"x", b"y")]}
        await cycle.send({**trailers, "more_trailers": True})
        await cycle.send(trailers)
        assert cycle.phase == ENDED
        assert sink.calls[1:] == [
            ("body", b"x", True),
            ("trailers", [(b"x", b"y")], True),
            ("trailers", [(b"x", b"y")], False),
        ]

    with_cycle(test)


def test_a_path_is_sent_as_the_whole_body(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    async def test(cycle: HttpCycle, sink: Sink) -> None:
        await cycle.send(START)
        await cycle.send({"type": "http.response.pathsend", "path": str(path)})
        assert sink.calls[1:] == [("file", b"0123456789", False)]
        assert cycle.exchange is not None
        assert (cycle.exchange.bytes_sent, cycle.phase) == (10, ENDED)

    with_cycle(test)


def test_a_path_and_trailers(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    async def test(cycle: HttpCycle, sink: Sink) -> None:
        await cycle.send({**START, "trailers": True})
        await cycle.send({"type": "http.response.pathsend", "path": str(path)})
        await cycle.send({"type": "http.response.trailers", "headers": []})
        assert sink.calls[1:] == [("file", b"0123456789", True), ("trailers", [], False)]

    with_cycle(test)


def test_zero_copy_sends_parts_and_leaves_the_applications_file_open(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    async def test(cycle: HttpCycle, sink: Sink) -> None:
        await cycle.send(START)
        with path.open("rb", buffering=0) as file:
            part: dict[str, Any] = {"type": "http.response.zerocopysend", "file": file.fileno()}
            await cycle.send({**part, "offset": 2, "count": 3, "more_body": True})
            await cycle.send({**part, "count": 4, "more_body": True})
            sink.is_writable = False
            await cycle.send({**part, "file": file, "count": 1, "more_body": True})
            await cycle.send({**part, "count": 100})
            assert os.fstat(file.fileno()).st_size == 10
        sent = [call[1] for call in sink.calls if call[0] == "file"]
        assert sent == [b"234", b"0123", b"4", b"56789"]
        assert "drain" in sink.calls
        assert cycle.phase == ENDED

    with_cycle(test)


def test_what_a_record_wants_is_noted():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        exchange = cycle.exchange
        assert exchange is not None
        await cycle.send({**START, "headers": iter([(b"a", b"b")])})
        await cycle.send(BODY)
        # In one piece: both times are that of the record.
        assert exchange.started_at > 0
        assert (exchange.first_byte_at, exchange.ended_at) == (0.0, 0.0)
        assert (exchange.status, exchange.response_headers) == (200, [(b"a", b"b")])
        assert exchange.scope is cycle.scope

    with_cycle(test)


def test_nothing_is_noted_for_nobody():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        cycle.body_arrived(b"abc")
        await cycle.send(START)
        await cycle.send(BODY)
        cycle.answered_by_server(500, 3)
        assert cycle.exchange is None

    with_cycle(test, is_recorded=False)


def test_the_first_byte_of_a_stream_is_noted():
    async def test(cycle: HttpCycle, sink: Sink) -> None:
        exchange = cycle.exchange
        assert exchange is not None
        await cycle.send(START)
        await cycle.send({**BODY, "more_body": True})
        first = exchange.first_byte_at
        assert 0 < exchange.started_at <= first
        await cycle.send(BODY)
        assert (exchange.first_byte_at, exchange.bytes_sent) == (first, 2)

    with_cycle(test)
