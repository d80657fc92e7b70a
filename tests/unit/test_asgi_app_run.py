"""What a task runs for a request, as a coroutine: the same in plain Python and compiled."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Generator
from typing import Any

import pytest

from addax.asgi.http_cycle import HttpCycle
from addax.asgi.run_app import run_http
from addax.asgi.state import ServerState
from tests.unit.test_asgi_http_cycle import BODY, START, Sink

Started = tuple[Any, Sink, ServerState, HttpCycle]


def start(app: Any) -> Started:
    """The coroutine of a request, before its first step."""
    sink, state = Sink(), ServerState()
    cycle = HttpCycle({"type": "http"}, sink, False, None)
    sink.cycle = cycle
    state.active_requests = 1
    return run_http(app, cycle, sink, state), sink, state, cycle


async def answering(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)


async def waiting(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.get_running_loop().create_future()


def run(test: Callable[[], Any]) -> None:
    asyncio.run(test())


def test_an_application_that_never_waits_ends_with_the_first_step():
    run_, _, state, cycle = start(answering)
    with pytest.raises(StopIteration) as ended:
        run_.send(None)
    assert ended.value.value is None
    assert cycle.is_returned
    assert state.active_requests == 0
    with pytest.raises(RuntimeError, match="cannot reuse"):
        run_.send(None)


def test_it_is_a_coroutine_for_asyncio():
    async def test() -> None:
        run_, sink, state, cycle = start(answering)
        assert asyncio.iscoroutine(run_)
        assert await asyncio.wait_for(run_, 5) is None
        assert [call[0] for call in sink.calls] == ["head", "body"]
        assert (state.active_requests, cycle.is_returned) == (0, True)

    run(test)


def test_another_awaitable_than_a_coroutine_is_awaited():
    class Answer:
        def __init__(self, send: Any) -> None:
            self.send = send

        def __await__(self) -> Generator[Any, Any, None]:
            yield from self.send(START).__await__()
            yield from asyncio.sleep(0).__await__()
            yield from self.send(BODY).__await__()

    async def test() -> None:
        run_, sink, state, _ = start(lambda scope, receive, send: Answer(send))
        await run_
        assert [call[0] for call in sink.calls] == ["head", "body"]
        assert state.active_requests == 0

    run(test)


def test_what_cannot_be_awaited_is_the_applications_mistake(caplog: pytest.LogCaptureFixture):
    async def test() -> None:
        run_, sink, state, _ = start(lambda scope, receive, send: 5)
        await run_
        assert sink.calls == ["fail"]
        assert state.active_requests == 0

    run(test)
    assert "can't be used in 'await' expression" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), ValueError("no")])
@pytest.mark.parametrize("is_late", [False, True])
def test_nothing_that_it_raises_goes_further(error: BaseException, is_late: bool, caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if is_late:
            await asyncio.sleep(0)
        raise error

    async def test() -> None:
        run_, sink, state, cycle = start(app)
        task = asyncio.get_running_loop().create_task(run_)
        cycle.task = task
        state.tasks.add(task)
        await task
        assert sink.calls == ["fail"]
        assert (state.active_requests, state.tasks, cycle.is_returned) == (0, set(), True)

    run(test)
    assert "Exception in ASGI application" in caplog.text


def test_a_cancelled_task_is_cancelled_and_its_response_broken_off():
    async def test() -> None:
        run_, sink, state, cycle = start(waiting)
        task = asyncio.get_running_loop().create_task(run_)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert sink.calls == ["fail"]
        assert (state.active_requests, cycle.is_returned) == (0, True)

    run(test)


def test_an_application_can_survive_a_cancellation():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            await answering(scope, receive, send)

    async def test() -> None:
        run_, sink, state, _ = start(app)
        task = asyncio.get_running_loop().create_task(run_)
        await asyncio.sleep(0)
        task.cancel()
        await task
        assert [call[0] for call in sink.calls] == ["head", "body"]
        assert state.active_requests == 0

    run(test)


def test_an_application_that_ends_when_it_is_cancelled_has_ended():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await answering(scope, receive, send)

    async def test() -> None:
        run_, _, state, cycle = start(app)
        task = asyncio.get_running_loop().create_task(run_)
        await asyncio.sleep(0)
        task.cancel()
        await task
        assert (state.active_requests, cycle.is_returned) == (0, True)

    run(test)


def test_an_error_while_it_is_cancelled_is_the_applications(caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise ValueError("while leaving") from None

    async def test() -> None:
        run_, sink, state, _ = start(app)
        task = asyncio.get_running_loop().create_task(run_)
        await asyncio.sleep(0)
        task.cancel()
        await task
        assert sink.calls == ["fail"]
        assert state.active_requests == 0

    run(test)
    assert "while leaving" in caplog.text


def test_closing_gives_the_application_its_exit():
    left: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            left.append("left")

    async def test() -> None:
        run_, sink, state, _ = start(app)
        run_.send(None)
        run_.close()
        assert left == ["left"]
        assert sink.calls == ["fail"]
        assert state.active_requests == 0
        run_.close()
        assert state.active_requests == 0

    run(test)


@pytest.mark.parametrize("is_waiting", [False, True])
def test_a_request_that_is_over_is_freed_without_the_collector(is_waiting: bool):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if is_waiting:
            await asyncio.sleep(0)
        await answering(scope, receive, send)

    def living() -> set[int]:
        return {id(one) for one in gc.get_objects() if type(one) is HttpCycle}

    async def test() -> None:
        # Errors of other tests keep some alive.
        before = living()
        run_, sink, state, cycle = start(app)
        task = asyncio.get_running_loop().create_task(run_)
        cycle.task = task
        state.tasks.add(task)
        await task
        assert living() - before == {id(cycle)}
        del run_, task, cycle
        # The double of a connection knows its cycle; a connection forgets it.
        del sink.cycle
        assert living() - before == set()

    gc.collect()
    gc.disable()
    try:
        run(test)
    finally:
        gc.enable()


def test_a_debugger_sees_what_the_application_waits_for():
    async def test() -> None:
        run_, _, _, _ = start(waiting)
        task = asyncio.get_running_loop().create_task(run_)
        await asyncio.sleep(0)
        inner = run_.cr_await
        assert inner is not None
        assert inner.cr_code is waiting.__code__
        assert not run_.cr_running
        assert task.get_stack() != []
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(test)
