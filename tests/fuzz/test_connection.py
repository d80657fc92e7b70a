"""A connection never raises, gives at most one error answer, serves nothing after it, and leaves nothing behind.

Whatever bytes come, in whatever pieces, and whatever else happens in between: the client closes its half, goes away, or
takes nothing; time runs out; the worker stops. Every answer is exact HTTP/1.1, answers are in the order of the
requests, and an application that does nothing wrong sees no error but that its client has gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from addax import testing
from addax.core.settings import Http1Settings
from tests.parsers import USABLE_PARSERS

from .profile import fuzz
from .wire import Cut, Messages, cut_up, cuts, streams

#: In every answer of the application, so that the server's own can be told apart.
MARK = (b"x-from-app", b"1")
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
WHOLE: Cut = ([], False, False)


class Failure(Exception):
    """What an application raises on purpose."""


class Application:
    """Does with each request what comes next in its plan.

    Attributes:
        methods: of the requests, in the order of the calls.
        surprises: errors of ``send`` and ``receive`` that a blameless application must not see.
    """

    def __init__(self, plan: list[str]) -> None:
        self.plan = plan
        self.methods: list[str] = []
        self.surprises: list[Exception] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        what = self.plan[len(self.methods) % len(self.plan)]
        self.methods.append(scope["method"])
        try:
            await getattr(self, what)(receive, send)
        except OSError:
            # The client has gone, and that is all there may be to say.
            pass
        except Failure:
            raise
        except Exception as error:
            self.surprises.append(error)
            raise

    async def echo(self, receive: Any, send: Any) -> None:
        content = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            content += message["body"]
            more = message["more_body"]
        await self.answer(send, content)

    async def answer(self, send: Any, content: bytes = b"early", *fields: tuple[bytes, bytes]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [MARK, *fields]})
        await send({"type": "http.response.body", "body": content})

    async def early(self, receive: Any, send: Any) -> None:
        await self.answer(send)

    async def closing(self, receive: Any, send: Any) -> None:
        await self.answer(send, b"bye", (b"connection", b"close"))

    async def late(self, receive: Any, send: Any) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await self.answer(send, b"late")

    async def streaming(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [MARK]})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"%d" % number * 100, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body"})

    async def peeking(self, receive: Any, send: Any) -> None:
        await receive()
        await self.answer(send, b"peeked")

    async def patient(self, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await self.answer(send, b"patient")

    async def raising(self, receive: Any, send: Any) -> None:
        raise Failure

    async def raising_late(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [MARK]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise Failure

    async def silent(self, receive: Any, send: Any) -> None:
        return

    async def halting(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [MARK]})


BLAMELESS = ["echo", "echo", "echo", "early", "early", "closing", "late", "streaming", "peeking", "patient"]
FAILING = ["raising", "raising_late", "silent", "halting"]
PLANS = st.lists(st.sampled_from(BLAMELESS + FAILING), min_size=1, max_size=4)


async def _deadline(client: testing.FakeClient) -> None:
    if client.host.deadline is not None:
        await client.reach_deadline()


async def _drain(client: testing.FakeClient) -> None:
    client.connection.start_draining()


async def _notify(client: testing.FakeClient) -> None:
    client.connection.notify_disconnect()


async def _stall(client: testing.FakeClient) -> None:
    client.host.is_client_taking = False


async def _take(client: testing.FakeClient) -> None:
    client.host.take()


EVENTS: dict[str, Callable[[testing.FakeClient], Awaitable[None]]] = {
    "eof": testing.FakeClient.send_eof,
    "lose": testing.FakeClient.lose,
    "deadline": _deadline,
    "drain": _drain,
    "notify": _notify,
    "stall": _stall,
    "take": _take,
}
#: Before which piece something happens besides.
HAPPENINGS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(sorted(EVENTS))), max_size=3)

SETTINGS = [
    Http1Settings(),
    Http1Settings(head_max_bytes=120, request_line_max_bytes=60, header_max_count=5, body_max_bytes=30),
    Http1Settings(body_buffer_bytes=8, pipeline_max_bytes=16, write_buffer_bytes=64),
]


@fuzz(400)
@example([GET, GET], WHOLE, ["early"], [(1, "drain")], Http1Settings(), "h11")
@given(streams(), cuts(), PLANS, HAPPENINGS, st.sampled_from(SETTINGS), st.sampled_from(sorted(USABLE_PARSERS)))
def test_connection_survives(
    messages: Messages,
    cut: Cut,
    plan: list[str],
    happenings: list[tuple[int, str]],
    settings: Http1Settings,
    parser: str,
) -> None:
    testing.run(play(cut_up(messages, cut), Application(plan), happenings, settings, parser))


async def play(
    pieces: list[bytes], app: Application, happenings: list[tuple[int, str]], settings: Http1Settings, parser: str
) -> None:
    client = testing.FakeClient(testing.make_service(app, parser=parser, settings=settings))
    for number, piece in enumerate([*pieces, b""]):
        for place, event in happenings:
            if place % (len(pieces) + 1) == number and client.is_open:
                await EVENTS[event](client)
                await testing.settle()
        if piece:
            await client.send(piece)
    check_answers(client, app)
    await check_end(client, app)


def answers(client: testing.FakeClient, app: Application) -> list[testing.Response]:
    responses = client.responses(*app.methods)
    if len(responses) > len(app.methods) and not responses[-1].body:
        # Refused before the application was called. If its head had been accepted, HEAD is answered without a body.
        responses = client.responses(*app.methods, "HEAD")
    return responses


def check_answers(client: testing.FakeClient, app: Application) -> None:
    responses = answers(client, app)
    own = [response for response in responses if response.header(MARK[0]) is None and response.status >= 200]
    if own:
        assert own == responses[-1:], "more than one error answer, or something after it"
        assert own[0].status >= 400
        assert own[0].is_last
        assert own[0].is_complete
        assert not client.is_open
    # Nothing is skipped and nothing is answered twice: only the last call can be without an answer.
    answered = [response for response in responses if response.header(MARK[0]) is not None]
    assert len(app.methods) - 1 <= len(responses)
    assert len(answered) <= len(app.methods)
    assert all(response.is_complete for response in responses[:-1])
    assert not any(response.is_last for response in responses[:-1])
    assert app.surprises == []


async def check_end(client: testing.FakeClient, app: Application) -> None:
    """After its end a connection looks at nothing any more; and when all is over, nothing is left."""
    calls_count, written = len(app.methods), bytes(client.host.written)
    if not client.is_open:
        if not client.host.is_lost:
            client.connection.receive_data(GET)
            await testing.settle()
        assert (len(app.methods), bytes(client.host.written)) == (calls_count, written)
    await client.close()
    assert client.service.state.active_requests == 0
    assert client.service.state.tasks == set()
    assert app.surprises == []
