"""``addax.testing`` itself: it must refuse what is not HTTP, or no other test here means anything."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from addax import testing
from addax.core.clock import NEVER
from addax.core.wire import Peer
from addax.testing import MalformedResponse, parse_responses

from .apps import HELLO, START, Stepped, body, hello
from .conftest import GET, Connect

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

# ---- parse_responses


def test_responses_one_after_another() -> None:
    first, second = parse_responses(OK + OK.replace(b"200 OK", b"404 Not Found"))
    assert (first.status, first.reason, first.body) == (200, "OK", b"ab")
    assert (second.status, second.reason) == (404, "Not Found")
    assert first.header(b"content-length") == b"2"
    assert first.header(b"x-missing") is None
    assert first.is_complete


def test_interim_responses_belong_to_the_next_one() -> None:
    (response,) = parse_responses(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nlink: </a>\r\n\r\n" + OK)
    assert [(one.status, one.headers) for one in response.interim] == [(100, []), (103, [(b"link", b"</a>")])]


def test_interim_responses_alone_are_an_incomplete_one() -> None:
    (response,) = parse_responses(b"HTTP/1.1 103 \r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
    assert (response.status, response.is_complete) == (100, False)
    assert [one.status for one in response.interim] == [103]


def test_chunks_and_trailers() -> None:
    (response,) = parse_responses(CHUNKED + b"2\r\nab\r\nA\r\n0123456789\r\n0\r\nX-A: 1\r\n\r\n")
    assert response.body == b"ab0123456789"
    assert response.chunks == [2, 10]
    assert response.trailers == [(b"x-a", b"1")]


@pytest.mark.parametrize("rest", [b"", b"5\r\n", b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r", b"5\r\nhello\r\n"])
def test_chunked_body_that_does_not_end_is_incomplete(rest: bytes) -> None:
    (response,) = parse_responses(CHUNKED + rest)
    assert not response.is_complete
    assert b"hello".startswith(response.body)


def test_body_shorter_than_its_length_is_incomplete() -> None:
    (response,) = parse_responses(OK[:-1])
    assert (response.body, response.is_complete) == (b"a", False)


@pytest.mark.parametrize("closed", [False, True])
def test_body_without_length_ends_with_the_connection(closed: bool) -> None:
    (response,) = parse_responses(b"HTTP/1.1 200 OK\r\nConnection: foo, Close\r\n\r\nab", closed=closed)
    assert (response.body, response.is_complete) == (b"ab", closed)
    assert response.connection_options == [b"foo", b"close"]


def test_answers_to_head_have_no_body() -> None:
    head = OK[:-2]
    assert [one.body for one in parse_responses(head + OK + head, ("HEAD", "GET", "HEAD"))] == [b"", b"ab", b""]


@pytest.mark.parametrize("status", [b"204", b"304"])
def test_statuses_without_body(status: bytes) -> None:
    assert len(parse_responses(b"HTTP/1.1 %b \r\n\r\n" % status + OK)) == 2


MALFORMED = {
    "nothing-but-text": b"hello",
    "no-line-end": b"HTTP/1.1 200 OK",
    "head-without-end": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n",
    "lf": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "version": b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "status-600": b"HTTP/1.1 600 OK\r\ncontent-length: 0\r\n\r\n",
    "status-text": b"HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n",
    "no-space-after-status": b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
    "control-in-reason": b"HTTP/1.1 200 O\x00\r\ncontent-length: 0\r\n\r\n",
    "no-colon": b"HTTP/1.1 200 OK\r\ncontent-length\r\n\r\n",
    "name-with-space": b"HTTP/1.1 200 OK\r\ncontent length: 0\r\n\r\n",
    "space-before-colon": b"HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
    "fold": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n x\r\n\r\n",
    "control-in-value": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: \x01\r\n\r\n",
    "cr-in-value": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: a\rb\r\n\r\n",
    "length-twice": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
    "length-text": b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
    "length-leading-zero": b"HTTP/1.1 200 OK\r\ncontent-length: 00\r\n\r\n",
    "length-and-chunked": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
    "no-framing": b"HTTP/1.1 200 OK\r\n\r\n",
    "length-in-204": b"HTTP/1.1 204 \r\ncontent-length: 0\r\n\r\n",
    "chunked-204": b"HTTP/1.1 204 \r\ntransfer-encoding: chunked\r\n\r\n",
    "length-in-interim": b"HTTP/1.1 103 \r\ncontent-length: 0\r\n\r\n",
    "date": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ndate: today\r\n\r\n",
    "date-twice": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"
    + b"date: Mon, 23 Nov 2026 03:24:04 GMT\r\n" * 2
    + b"\r\n",
    "server-twice": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nserver: a\r\nserver: a\r\n\r\n",
    "bytes-after-body": OK + b"x",
    "bytes-after-close": b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" + OK,
    "body-of-204": b"HTTP/1.1 204 \r\n\r\nab",
    "chunk-size": CHUNKED + b"x\r\n",
    "chunk-size-empty": CHUNKED + b"\r\n",
    "chunk-extension": CHUNKED + b"1;a\r\na\r\n0\r\n\r\n",
    "chunk-size-leading-zero": CHUNKED + b"01\r\na\r\n0\r\n\r\n",
    "chunk-too-long": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    "chunk-end": CHUNKED + b"1\r\na\n0\r\n\r\n",
    "trailer": CHUNKED + b"0\r\nx\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_whatever_is_not_exact_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedResponse):
        parse_responses(data, closed=True)


# ---- run and settle


def test_run_returns_the_result_and_cancels_what_is_left() -> None:
    cancelled: list[bool] = []

    async def forgotten() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    async def scenario() -> int:
        task = asyncio.create_task(forgotten())
        await testing.settle()
        assert not task.done()
        return 5

    assert testing.run(scenario()) == 5
    assert cancelled == [True]


def test_run_raises_what_failed_in_the_background() -> None:
    async def scenario() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await testing.settle()

    with pytest.raises(AssertionError, match="in the background") as caught:
        testing.run(scenario())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_run_raises_the_scenarios_own_error_first() -> None:
    async def scenario() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        raise KeyError

    with pytest.raises(KeyError):
        testing.run(scenario())


def test_settle_waits_for_chains_of_callbacks_and_tasks() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        done: list[int] = []

        def step(left: int) -> None:
            if left:
                loop.call_soon(step, left - 1)
            else:
                done.append(1)

        async def steps() -> None:
            for _ in range(500):
                await asyncio.sleep(0)
            done.append(2)

        step(300)
        task = asyncio.create_task(steps())
        await testing.settle()
        assert sorted(done) == [1, 2]
        assert task.done()

    testing.run(scenario())


def test_settle_does_not_wait_for_timers() -> None:
    async def scenario() -> None:
        task = asyncio.create_task(asyncio.sleep(1000))
        await testing.settle()
        assert not task.done()

    testing.run(scenario())


def test_settle_needs_its_own_loop() -> None:
    with pytest.raises(RuntimeError, match=r"addax\.testing\.run"):
        asyncio.run(testing.settle())


def test_settle_gives_up_on_what_never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addax.testing.settling.SETTLE_MAX_TURNS", 100)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        def again() -> None:
            loop.call_soon(again)

        again()
        with pytest.raises(RuntimeError, match="100 turns"):
            await testing.settle()

    testing.run(scenario())


# ---- FakeHost and FakeClient


class Recording:
    """A connection that only takes down what the host tells it."""

    def __init__(self, keeps_open: bool = True) -> None:
        self.calls: list[Any] = []
        self.keeps_open = keeps_open

    def connected(self, host: Any, peer: Peer) -> None:
        self.calls.append(("connected", peer))

    def receive_data(self, data: bytes) -> None:
        self.calls.append(data)

    def receive_eof(self) -> bool:
        self.calls.append("eof")
        return self.keeps_open

    def write_paused(self) -> None:
        self.calls.append("paused")

    def write_resumed(self) -> None:
        self.calls.append("resumed")

    def deadline_reached(self) -> None:
        self.calls.append("deadline")

    def start_draining(self) -> None:
        self.calls.append("draining")

    def lost(self, error: Exception | None) -> None:
        self.calls.append(("lost", error))


def _host(**options: Any) -> tuple[testing.FakeHost, Recording]:
    host, connection = testing.FakeHost(**options), Recording()
    host.attach(connection)
    assert connection.calls.pop() == ("connected", testing.PEER)
    return host, connection


def test_host_pauses_writing_above_its_buffer() -> None:
    host, connection = _host(write_buffer_bytes=10)
    host.write(b"x" * 100)
    assert host.write_buffer_size() == 0
    host.is_client_taking = False
    host.write(b"x" * 10)
    assert connection.calls == []
    host.write(b"x")
    host.write(b"x")
    assert connection.calls == ["paused"]
    assert host.write_buffer_size() == 12
    host.take()
    assert connection.calls == ["paused", "resumed"]
    assert host.write_buffer_size() == 0
    host.take()
    assert connection.calls == ["paused", "resumed"]


@pytest.mark.parametrize("how", ["close", "abort", "linger"])
def test_host_ends_once_and_writes_nothing_after_it(how: str) -> None:
    async def scenario() -> None:
        host, connection = _host()
        host.set_deadline(5.0)
        getattr(host, how)()
        host.close()
        host.write(b"late")
        host.set_deadline(6.0)
        await testing.settle()
        assert host.ending == how
        assert host.written == b""
        assert host.deadline is None
        host.lose()
        assert connection.calls == [("lost", None)]

    testing.run(scenario())


def test_host_closes_after_the_client_has_taken_everything() -> None:
    async def scenario() -> None:
        host, connection = _host()
        host.is_client_taking = False
        host.write(b"x")
        host.close()
        await testing.settle()
        assert connection.calls == []
        host.take()
        await testing.settle()
        assert connection.calls == [("lost", None)]

    testing.run(scenario())


def test_host_sends_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    async def scenario() -> None:
        with path.open("rb") as file:
            host, _ = _host()
            assert not await host.send_file(file, 0, 5)
            host, _ = _host(sends_files=True)
            assert await host.send_file(file, 2, 5)
            assert host.written == b"23456"
            assert host.sent_files == [(2, 5)]
            sending = asyncio.create_task(host.send_file(file, 0, 5))
            await asyncio.sleep(0)
            host.write(b"x")
            assert await sending
            assert host.faults
            sending = asyncio.create_task(host.send_file(file, 0, 5))
            await asyncio.sleep(0)
            host.abort()
            with pytest.raises(ConnectionResetError):
                await sending
            # The file is the caller's.
            os.fstat(file.fileno())

    testing.run(scenario())


def test_host_hands_over_to_another_connection() -> None:
    host, first = _host()
    for leftover, expected in ((b"", []), (b"rest", [b"rest"])):
        second = Recording()
        host.replace(second, leftover)
        assert second.calls == [("connected", testing.PEER), *expected]
    assert first.calls == []


def test_client_holds_back_what_a_paused_server_does_not_read(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello)
        client.host.pause_reading()
        client.host.pause_reading()
        await client.send(GET)
        await client.send_eof()
        assert client.responses() == []
        assert list(client.waiting) == [GET, None]
        client.host.resume_reading()
        client.host.resume_reading()
        await testing.settle()
        assert len(client.responses()) == 1
        assert not client.is_open

    testing.run(scenario())


def test_client_shows_breaches_of_the_host_contract(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello)
        client.host.faults.append("something")
        with pytest.raises(AssertionError, match="something"):
            client.responses()

    testing.run(scenario())


def test_client_needs_a_deadline_to_reach(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello)
        client.host.set_deadline(NEVER)
        with pytest.raises(AssertionError, match="no deadline"):
            await client.reach_deadline()

    testing.run(scenario())


def test_client_closes_when_the_server_wants_no_half_close(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello)
        recording = client.host.connection = Recording(keeps_open=False)
        await client.send_eof()
        assert client.host.ending == "close"
        await testing.settle()
        assert recording.calls == ["eof", ("lost", None)]

    testing.run(scenario())


def test_client_that_ends_a_lingering_connection_loses_it(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(hello)
        await client.send(b"BAD\r\n\r\n")
        assert client.host.ending == "linger"
        await client.send(GET)
        assert not client.host.is_lost
        await client.send_eof()
        assert client.host.is_lost
        assert len(client.responses()) == 1

    testing.run(scenario())


def test_client_waits_for_an_application_that_uses_timers_and_threads(connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await asyncio.sleep(0.001)
        await send(body(b"a", more=True))
        await asyncio.get_running_loop().run_in_executor(None, int)
        await send(HELLO)

    async def scenario() -> None:
        client = connect(app)
        await client.send(GET)
        (response,) = await client.wait_for_responses(1)
        assert response.body == b"ahello"

    testing.run(scenario())


def test_client_does_not_wait_for_a_server_that_has_ended(connect: Connect) -> None:
    async def scenario() -> None:
        client = connect(Stepped())
        await client.send(GET)
        waiting = asyncio.create_task(client.wait_for_responses(1))
        await testing.settle()
        await client.lose()
        with pytest.raises(AssertionError, match="0 complete responses"):
            await waiting

    testing.run(scenario())
