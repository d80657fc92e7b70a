"""asgi.lifespan: what startup and shutdown do, and say, for every way in which an application can behave."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from addax.asgi import lifespan as module
from addax.asgi.lifespan import Lifespan
from addax.core.errors import ConfigError, LocalProtocolError, StartupError

WAITING = ("INFO", "Waiting for application startup.")
READY = ("INFO", "Application startup complete.")
UNSUPPORTED = ("INFO", "ASGI 'lifespan' protocol appears unsupported.")
FAILED = ("ERROR", "Application startup failed. Exiting.")
STOPPING = ("INFO", "Waiting for application shutdown.")
STOPPED = ("INFO", "Application shutdown complete.")
STOP_FAILED = ("ERROR", "Application shutdown failed. Exiting.")


class Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=1)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def lines(self) -> list[tuple[str, str]]:
        return [(record.levelname, record.getMessage()) for record in self.records]

    def traceback(self) -> str:
        """The one traceback that was logged."""
        (record,) = [record for record in self.records if record.exc_info]
        return logging.Formatter().format(record)


@pytest.fixture
def log() -> Iterator[Log]:
    handler = Log()
    level = module.logger.level
    module.logger.addHandler(handler)
    module.logger.setLevel(logging.DEBUG)
    yield handler
    module.logger.removeHandler(handler)
    module.logger.setLevel(level)


async def good_app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan"
    assert await receive() == {"type": "lifespan.startup"}
    scope["state"]["pool"] = "ready"
    await send({"type": "lifespan.startup.complete"})
    assert await receive() == {"type": "lifespan.shutdown"}
    scope["state"]["pool"] = "closed"
    await send({"type": "lifespan.shutdown.complete"})


def lifespan_of(body: Callable[[Any, Any], Awaitable[Any]], **kwargs: Any) -> Lifespan:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await body(receive, send)

    return Lifespan(app, **kwargs)


async def start_and_stop(lifespan: Lifespan) -> bool:
    await lifespan.startup()
    return await lifespan.shutdown()


async def fail_to_start(lifespan: Lifespan) -> StartupError:
    with pytest.raises(StartupError) as caught:
        await lifespan.startup()
    assert lifespan.should_exit
    assert lifespan.startup_failed
    assert await lifespan.shutdown() is True
    return caught.value


async def started(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})


# The good ways.


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_startup_and_shutdown_of_a_good_app_log_the_four_lines(mode: str, log: Log) -> None:
    async def main() -> None:
        lifespan = Lifespan(good_app, mode)
        await lifespan.startup()
        assert lifespan.state == {"pool": "ready"}
        assert await lifespan.shutdown() is True
        assert lifespan.state == {"pool": "closed"}
        assert (lifespan.should_exit, lifespan.startup_failed, lifespan.shutdown_failed) == (False, False, False)
        assert (lifespan.error_occurred, lifespan.error_occured) == (False, False)

    asyncio.run(main())
    assert log.lines == [WAITING, READY, STOPPING, STOPPED]


def test_mode_off_never_calls_the_app(log: Log) -> None:
    def app(scope: Any, receive: Any, send: Any) -> Any:
        raise AssertionError("called")

    assert asyncio.run(start_and_stop(Lifespan(app, "off"))) is True
    assert log.lines == []


def test_mode_unknown_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"--lifespan: 'maybe' is not one of auto, on, off"):
        Lifespan(good_app, "maybe")


def test_scope_has_versions_and_the_state_object() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await started(receive, send)

    lifespan = Lifespan(app)
    asyncio.run(start_and_stop(lifespan))
    assert seen == [{"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}]
    assert seen[0]["state"] is lifespan.state


def test_context_of_the_app_is_a_copy() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    seen: list[str] = []

    async def body(receive: Any, send: Any) -> None:
        seen.append(variable.get())
        variable.set("by the app")
        await started(receive, send)

    async def main() -> None:
        variable.set("by the server")
        await start_and_stop(lifespan_of(body))
        seen.append(variable.get())

    asyncio.run(main())
    assert seen == ["by the server", "by the server"]


def test_complete_without_receiving_startup_is_taken(log: Log) -> None:
    async def body(receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})

    assert asyncio.run(start_and_stop(lifespan_of(body, mode="on"))) is True
    assert log.lines == [WAITING, READY, STOPPING, STOPPED]


def test_app_that_returns_after_startup_shuts_down_well(log: Log) -> None:
    async def main() -> None:
        lifespan = lifespan_of(started)
        await lifespan.startup()
        await asyncio.wait({lifespan._task})  # type: ignore[type-var]
        assert await lifespan.shutdown() is True

    asyncio.run(main())
    assert log.lines == [WAITING, READY, STOPPING, STOPPED]


def test_shutdown_waits_for_what_the_app_does_after_its_last_message() -> None:
    done: list[str] = []

    async def body(receive: Any, send: Any) -> None:
        await started(receive, send)
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        await asyncio.sleep(0)
        done.append("cleaned up")

    assert asyncio.run(start_and_stop(lifespan_of(body, shutdown_timeout_s=None))) is True
    assert done == ["cleaned up"]


def test_app_in_an_endless_receive_loop_is_ended(log: Log) -> None:
    async def body(receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})

    async def main() -> None:
        lifespan = lifespan_of(body)
        assert await start_and_stop(lifespan) is True
        assert lifespan._task is not None
        assert lifespan._task.cancelled()

    asyncio.run(main())
    assert log.lines == [WAITING, READY, STOPPING, STOPPED]


def test_receive_in_the_background_during_shutdown_just_waits(log: Log) -> None:
    async def body(receive: Any, send: Any) -> None:
        await started(receive, send)
        await receive()
        extra = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not extra.done()
        extra.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    assert asyncio.run(start_and_stop(lifespan_of(body))) is True
    assert log.lines[-1] == STOPPED


def test_shutdown_twice_asks_once(log: Log) -> None:
    async def main() -> None:
        lifespan = Lifespan(good_app)
        assert await start_and_stop(lifespan) is True
        assert await lifespan.shutdown() is True

    asyncio.run(main())
    assert log.lines.count(STOPPING) == 1


def test_shutdown_without_startup_does_nothing(log: Log) -> None:
    assert asyncio.run(Lifespan(good_app).shutdown()) is True
    assert log.lines == []


# Applications that know nothing of lifespan.


async def raises_at_once(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"


async def looks_for_a_path(scope: Any, receive: Any, send: Any) -> None:
    scope["path"].encode()


async def answers_http(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})


def not_even_a_coroutine(scope: Any, receive: Any, send: Any) -> Any:
    raise ValueError("no lifespan here")


@pytest.mark.parametrize("app", [raises_at_once, looks_for_a_path, answers_http, not_even_a_coroutine])
def test_auto_takes_an_app_without_lifespan_for_what_it_is(app: Any, log: Log) -> None:
    lifespan = Lifespan(app)
    assert asyncio.run(start_and_stop(lifespan)) is True
    assert log.lines == [WAITING, UNSUPPORTED, READY]
    assert lifespan.error_occurred
    assert not lifespan.should_exit


@pytest.mark.parametrize("app", [raises_at_once, looks_for_a_path, answers_http, not_even_a_coroutine])
def test_on_fails_for_an_app_without_lifespan(app: Any, log: Log) -> None:
    error = asyncio.run(fail_to_start(Lifespan(app, "on")))
    assert str(error).startswith("the application raised ")
    assert [level for level, _ in log.lines] == ["INFO", "ERROR", "ERROR"]
    assert log.lines[-1] == FAILED
    assert "Traceback" in log.traceback()


@pytest.mark.parametrize("takes_startup", [False, True])
def test_auto_goes_on_when_the_app_returns_without_an_answer(takes_startup: bool, log: Log) -> None:
    async def body(receive: Any, send: Any) -> None:
        if takes_startup:
            await receive()

    assert asyncio.run(start_and_stop(lifespan_of(body))) is True
    text = "The application's lifespan returned without sending 'lifespan.startup.complete'; it gets no shutdown."
    assert log.lines == [WAITING, ("WARNING", text) if takes_startup else UNSUPPORTED, READY]


def test_on_fails_when_the_app_returns_without_an_answer(log: Log) -> None:
    async def body(receive: Any, send: Any) -> None:
        await receive()

    error = asyncio.run(fail_to_start(lifespan_of(body, mode="on")))
    assert "returned without sending 'lifespan.startup.complete'" in str(error)
    assert log.lines[-1] == FAILED


# Startups that fail.


async def crashing(receive: Any, send: Any) -> None:
    await receive()
    raise RuntimeError("database is down")


def test_auto_shows_a_crashed_startup_and_goes_on(log: Log) -> None:
    lifespan = lifespan_of(crashing)
    assert asyncio.run(start_and_stop(lifespan)) is True
    assert lifespan.error_occurred
    assert not lifespan.startup_failed
    assert [level for level, _ in log.lines] == ["INFO", "ERROR", "INFO"]
    assert "because of --lifespan auto" in log.lines[1][1]
    assert log.lines[2] == READY
    text = log.traceback()
    assert "RuntimeError: database is down" in text
    assert "in crashing" in text
    assert "lifespan.py" not in text.replace("test_lifespan.py", ""), "the server's own frames are dropped"


def test_on_stops_for_a_crashed_startup(log: Log) -> None:
    error = asyncio.run(fail_to_start(lifespan_of(crashing, mode="on")))
    assert str(error) == "the application raised RuntimeError in its lifespan"
    assert log.lines == [WAITING, ("ERROR", "Exception in 'lifespan' protocol\n"), FAILED]


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("code", [1, None, "no database"])
def test_sys_exit_in_startup_fails_in_both_modes(mode: str, code: Any, log: Log) -> None:
    async def body(receive: Any, send: Any) -> None:
        await receive()
        sys.exit(code)

    error = asyncio.run(fail_to_start(lifespan_of(body, mode=mode)))
    assert f"sys.exit({code})" in str(error)
    assert log.lines == [WAITING, ("ERROR", f"The application called sys.exit({code}) during startup."), FAILED]


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("text", ["", "cannot migrate:\nTraceback …"])
@pytest.mark.parametrize("raises", [False, True])
def test_startup_failed_is_logged_with_its_message(mode: str, text: str, raises: bool, log: Log) -> None:
    async def body(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": text})
        if raises:
            raise RuntimeError("frameworks raise it again")

    error = asyncio.run(fail_to_start(lifespan_of(body, mode=mode)))
    assert str(error) == "the application's startup failed"
    if raises and not text:
        assert log.lines == [WAITING, ("ERROR", "Exception in 'lifespan' protocol\n"), FAILED]
    else:
        assert log.lines == [WAITING, *([("ERROR", text)] if text else []), FAILED]


def test_startup_cancelled_from_inside_is_a_crash(log: Log) -> None:
    async def body(receive: Any, send: Any) -> None:
        await receive()
        raise asyncio.CancelledError

    asyncio.run(start_and_stop(lifespan_of(body)))
    assert "CancelledError" in log.traceback()
    assert log.lines[-1] == READY


def test_startup_timeout_names_the_option_and_cancels_the_app(log: Log) -> None:
    ends: list[str] = []

    async def body(receive: Any, send: Any) -> None:
        await receive()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise ValueError("an error of the clean-up is nobody's business any more") from None

    error = asyncio.run(fail_to_start(lifespan_of(body, startup_timeout_s=0.01)))
    assert str(error) == "the application's startup took longer than 0.01 seconds (--timeout-lifespan-startup)"
    assert ends == ["cancelled"]
    assert log.lines == [
        WAITING,
        ("ERROR", "The startup took longer than 0.01 seconds (--timeout-lifespan-startup)."),
        FAILED,
    ]


def test_answer_after_the_timeout_is_refused() -> None:
    errors: list[str] = []

    async def body(receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                await send({"type": "lifespan.startup.complete"})
            except LocalProtocolError as error:
                errors.append(str(error))

    asyncio.run(fail_to_start(lifespan_of(body, startup_timeout_s=0.01)))
    assert errors == ["'lifespan.startup.complete' was sent after the server had cancelled the lifespan"]


def test_startup_that_is_cancelled_cancels_the_app(log: Log) -> None:
    ends: list[str] = []

    async def main() -> None:
        taken = asyncio.Event()

        async def body(receive: Any, send: Any) -> None:
            await receive()
            taken.set()
            try:
                await asyncio.Event().wait()
            finally:
                ends.append("ended")

        task = asyncio.ensure_future(lifespan_of(body).startup())
        await taken.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ends == ["ended"]
    assert log.lines == [WAITING]


# While the server serves.


def test_crash_while_serving_is_logged_at_once_and_shutdown_is_not_asked(log: Log) -> None:
    async def main() -> None:
        crash = asyncio.Event()

        async def body(receive: Any, send: Any) -> None:
            await started(receive, send)
            await crash.wait()
            raise KeyError("background job")

        lifespan = lifespan_of(body)
        await lifespan.startup()
        crash.set()
        await asyncio.wait({lifespan._task})  # type: ignore[type-var]
        assert lifespan.error_occurred
        assert log.lines[2:] == [("ERROR", "Exception in 'lifespan' protocol\n")]
        assert await lifespan.shutdown() is False

    asyncio.run(main())
    assert len(log.lines) == 3


def test_loop_closed_without_shutdown_gives_one_warning(log: Log) -> None:
    asyncio.run(Lifespan(good_app).startup())
    assert log.lines == [WAITING, READY, ("WARNING", "The application's lifespan was cancelled.")]


# Shutdowns that fail.


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("raises", [False, True])
def test_shutdown_failed_is_logged_with_its_message(mode: str, raises: bool, log: Log) -> None:
    async def body(receive: Any, send: Any) -> None:
        await started(receive, send)
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "queue is not empty"})
        if raises:
            raise RuntimeError("again")

    async def main() -> None:
        lifespan = lifespan_of(body, mode=mode)
        assert await start_and_stop(lifespan) is False
        assert lifespan.shutdown_failed
        assert lifespan.should_exit
        assert await lifespan.shutdown() is False

    asyncio.run(main())
    assert log.lines == [WAITING, READY, STOPPING, ("ERROR", "queue is not empty"), STOP_FAILED]


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_shutdown_that_crashes_is_an_error_in_both_modes(mode: str, log: Log) -> None:
    async def body(receive: Any, send: Any) -> None:
        await started(receive, send)
        await receive()
        raise RuntimeError("cannot flush")

    assert asyncio.run(start_and_stop(lifespan_of(body, mode=mode))) is False
    assert log.lines[2:] == [STOPPING, ("ERROR", "Exception in 'lifespan' protocol\n"), STOP_FAILED]
    assert "cannot flush" in log.traceback()


def test_crash_after_shutdown_complete_is_logged_but_the_shutdown_was_good(log: Log) -> None:
    async def body(receive: Any, send: Any) -> None:
        await started(receive, send)
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        raise RuntimeError("late")

    assert asyncio.run(start_and_stop(lifespan_of(body))) is True
    assert log.lines[-2:] == [
        ("ERROR", "Exception in 'lifespan' protocol after the shutdown was complete\n"),
        STOPPED,
    ]


def test_shutdown_timeout_names_the_option_and_cancels_the_app(log: Log) -> None:
    async def body(receive: Any, send: Any) -> None:
        await started(receive, send)
        await receive()
        await asyncio.Event().wait()

    async def main() -> None:
        lifespan = lifespan_of(body, shutdown_timeout_s=0.01)
        assert await start_and_stop(lifespan) is False
        assert lifespan._task is not None
        assert lifespan._task.cancelled()

    asyncio.run(main())
    text = "The shutdown took longer than 0.01 seconds (--timeout-lifespan-shutdown)."
    assert log.lines[2:] == [STOPPING, ("ERROR", text), STOP_FAILED]


def test_app_that_resists_cancellation_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CANCEL_TIMEOUT_S", 0.01)

    async def main() -> None:
        release = asyncio.Event()

        async def body(receive: Any, send: Any) -> None:
            await started(receive, send)
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        lifespan = lifespan_of(body, shutdown_timeout_s=0.01)
        assert await start_and_stop(lifespan) is False
        assert lifespan._task is not None
        assert not lifespan._task.done()
        release.set()
        await asyncio.wait({lifespan._task})

    asyncio.run(main())


# Messages that ASGI does not allow.


@pytest.mark.parametrize(
    ("messages", "mistake"),
    [
        ([{"type": "lifespan.ready"}], "'lifespan.ready' was sent in a lifespan scope, which takes only lifespan"),
        ([{"type": "http.response.start"}], "'http.response.start' was sent in a lifespan scope"),
        ([{"status": 200}], "a message without a type was sent in a lifespan scope"),
        ([None], "a NoneType was sent in a lifespan scope"),
        ([{"type": ["x"]}], r"\['x'\] was sent in a lifespan scope"),
        (
            [{"type": "lifespan.startup.complete"}, {"type": "lifespan.startup.complete"}],
            "'lifespan.startup.complete' was sent when the startup had been answered already",
        ),
        (
            [{"type": "lifespan.startup.complete"}, {"type": "lifespan.startup.failed"}],
            "'lifespan.startup.failed' was sent when the startup had been answered already",
        ),
        (
            [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}],
            "'lifespan.shutdown.complete' was sent before 'lifespan.shutdown' was received",
        ),
        ([{"type": "lifespan.shutdown.failed"}], "before 'lifespan.shutdown' was received"),
    ],
)
def test_wrong_message_is_raised_into_the_app_with_the_mistake(messages: list[Any], mistake: str) -> None:
    caught: list[LocalProtocolError] = []

    async def body(receive: Any, send: Any) -> None:
        await receive()
        for message in messages[:-1]:
            await send(message)
        with pytest.raises(LocalProtocolError, match=mistake) as error:
            await send(messages[-1])
        caught.append(error.value)

    asyncio.run(start_and_stop(lifespan_of(body)))
    assert len(caught) == 1


def test_second_answer_to_shutdown_is_a_mistake(log: Log) -> None:
    async def body(receive: Any, send: Any) -> None:
        await started(receive, send)
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    assert asyncio.run(start_and_stop(lifespan_of(body))) is True
    assert "was sent when the shutdown had been answered already" in log.traceback()
