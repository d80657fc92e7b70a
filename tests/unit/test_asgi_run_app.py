from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from addax.asgi.http_cycle import HttpCycle
from addax.asgi.outcome import is_disconnect
from addax.asgi.run_app import run_http
from addax.asgi.state import ServerState
from addax.core.errors import ClientDisconnected
from tests.unit.test_asgi_http_cycle import BODY, START, Sink


def run(app: Any, disconnect: bool = False) -> tuple[Sink, ServerState]:
    async def main() -> tuple[Sink, ServerState]:
        sink, state = Sink(), ServerState()
        cycle = sink.cycle = HttpCycle({"type": "http"}, sink, True, None)
        cycle.body_ended()
        if disconnect:
            cycle.disconnected("disconnected")
        state.active_requests = 1
        try:
            await run_http(app, cycle, sink, state)
        except asyncio.CancelledError:
            sink.calls.append("cancelled")
        return sink, state

    return asyncio.run(main())


async def good(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)


def test_a_good_application(caplog: pytest.LogCaptureFixture):
    sink, state = run(good)
    assert "fail" not in sink.calls
    assert state.active_requests == 0
    assert caplog.records == []


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), BaseException("x")])
def test_whatever_the_application_raises_is_logged_and_answered(error: BaseException, caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    sink, state = run(app)
    assert sink.calls == ["fail"]
    assert state.active_requests == 0
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("addax.error", logging.ERROR)
    assert record.getMessage() == "Exception in ASGI application\n"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_a_cancelled_application_is_not_logged(caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    sink, state = run(app)
    assert sink.calls == ["fail", "cancelled"]
    assert state.active_requests == 0
    assert caplog.records == []


@pytest.mark.parametrize(
    ("messages", "result", "line"),
    [
        ([], None, "ASGI callable returned without starting response."),
        ([START], None, "ASGI callable returned without completing response."),
        ([START, BODY], "done", "ASGI callable should return None, but returned 'done'."),
    ],
)
def test_returning_wrongly_is_logged(messages: Any, result: Any, line: str, caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> Any:
        for message in messages:
            await send(message)
        return result

    sink, _ = run(app)
    assert sink.calls[-1] == "fail"
    assert [record.getMessage() for record in caplog.records] == [line]


def test_a_client_that_left_is_nobodys_fault(caplog: pytest.LogCaptureFixture):
    async def returns(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.disconnect"

    class OfAFramework(Exception):
        pass

    async def wraps(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(START)
        except OSError as error:
            raise OfAFramework from error

    for app in (good, returns, wraps):
        sink, _ = run(app, disconnect=True)
        assert "fail" not in sink.calls
    assert caplog.records == []


def test_another_error_after_the_client_left_is_still_told(caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("mine")

    run(app, disconnect=True)
    assert len(caplog.records) == 1


def test_a_disconnect_is_found_in_causes_contexts_and_groups():
    class Group(Exception):
        def __init__(self, *exceptions: BaseException) -> None:
            self.exceptions = exceptions

    gone = ClientDisconnected("gone")
    assert is_disconnect(gone)
    assert is_disconnect(Group(ValueError(), Group(gone)))
    outer, inner = ValueError(), KeyError()
    inner.__context__ = gone
    outer.__cause__ = inner
    assert is_disconnect(outer)
    loop = ValueError()
    loop.__context__ = KeyError()
    loop.__context__.__context__ = loop
    assert not is_disconnect(loop)
