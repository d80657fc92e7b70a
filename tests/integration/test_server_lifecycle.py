"""``server.server`` in this process: start, serve, drain and stop, in every loop."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import selectors
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from harness import GET, App, begin, connect, logged, make_config, make_server, read_all, read_answer, soon

from addax.core.errors import ConfigError, StartupError
from addax.loops import running
from addax.net import listen
from addax.server import accepting, drain
from addax.server.server import TICK_S, Server

Run = Callable[[Coroutine[Any, Any, None]], None]
Log = Callable[[], list[str]]

PID = os.getpid()
FIRST_LINES = [
    f"Started server process [{PID}]",
    "Waiting for application startup.",
    "Application startup complete.",
]
LAST_LINES = [
    "Waiting for application shutdown.",
    "Application shutdown complete.",
    f"Finished server process [{PID}]",
]


async def stopped(serving: asyncio.Task[None]) -> None:
    await asyncio.wait_for(serving, 15)


async def started(server: Server) -> asyncio.Task[None]:
    serving = asyncio.create_task(server.serve())
    await server.wait_started()
    return serving


# ---- start and stop


def test_serve_answers_and_logs_what_uvicorns_users_know(run: Run, log: Log) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app)
        serving = await started(server)
        assert server.started
        assert len(server.servers) == 1
        ((host, port),) = server.addresses
        reader, writer = await begin(server, "/")
        assert await read_answer(reader) == b"ok"
        assert log() == [*FIRST_LINES, f"Addax running on http://{host}:{port} (Press CTRL+C to quit)"]
        server.should_exit = True
        await stopped(serving)
        assert await read_all(reader, writer) == b""
        assert app.events == ["startup", "/", "shutdown"]
        assert log()[4:] == ["Shutting down", *LAST_LINES]
        assert server.server_state.connections == set()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(str(host), int(port))

    run(main())


def test_serve_colours_its_lines_for_terminals(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with make_server(App(), port=0):
            pass

    caplog.set_level(logging.INFO, "addax.error")
    run(main())
    coloured = {r.getMessage()[:12]: r.color_message % r.args for r in caplog.records if hasattr(r, "color_message")}
    assert coloured["Started serv"] == f"Started server process [\x1b[36m{PID}\x1b[0m]"
    assert coloured["Finished ser"] == f"Finished server process [\x1b[36m{PID}\x1b[0m]"
    assert coloured["Addax runnin"].startswith("Addax running on \x1b[1mhttp://127.0.0.1:")


def test_serve_again_with_the_same_server(run: Run) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app)
        for _ in range(2):
            server.should_exit = False
            serving = await started(server)
            reader, writer = await begin(server, "/")
            assert await read_answer(reader) == b"ok"
            await server.stop()
            await stopped(serving)
            await read_all(reader, writer)
        assert app.events == ["startup", "/", "shutdown"] * 2

    run(main())


def test_should_exit_before_the_start_never_listens(run: Run, log: Log) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app)
        server.should_exit = True
        await server.serve()
        assert app.events == ["startup", "shutdown"]
        assert not server.started
        assert server.startup_error is None
        assert server.addresses == []
        assert not [line for line in log() if "running" in line]
        with pytest.raises(RuntimeError, match="stopped before it had started"):
            await server.wait_started()

    run(main())


def test_given_sockets_are_served_without_a_banner_and_closed(run: Run, log: Log) -> None:
    async def main() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        server = make_server(App())
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        await server.wait_started()
        assert server.addresses == [sock.getsockname()]
        reader, writer = await begin(server, "/")
        assert await read_answer(reader) == b"ok"
        server.should_exit = True
        await stopped(serving)
        await read_all(reader, writer)
        assert sock.fileno() == -1
        assert log() == [*FIRST_LINES, "Shutting down", *LAST_LINES]

    run(main())


@pytest.mark.parametrize("kind", ["uds", "fd"])
def test_unix_socket_files_are_removed_only_where_they_are_ours(
    run: Run, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        parent = socket.socket(socket.AF_UNIX)
        if kind == "fd":
            parent.bind("s")
        server = make_server(App(), uds="s") if kind == "uds" else make_server(App(), fd=parent.fileno())
        serving = await started(server)
        assert server.addresses == ["s"]
        what = "unix socket s" if kind == "uds" else "socket s"
        assert log()[-1] == f"Addax running on {what} (Press CTRL+C to quit)"
        reader, writer = await begin(server, "/")
        assert await read_answer(reader) == b"ok"
        server.should_exit = True
        await stopped(serving)
        await read_all(reader, writer)
        parent.close()
        assert (tmp_path / "s").exists() == (kind == "fd")
        (tmp_path / "s").unlink(missing_ok=True)

    run(main())


def test_all_addresses_are_served_on_one_free_port(run: Run, log: Log) -> None:
    async def main() -> None:
        async with make_server(App(), host=None) as server:
            port = server.addresses[0][1]
            assert all(address[1] == port for address in server.addresses)
            assert log()[-1] == f"Addax running on http://0.0.0.0:{port} (Press CTRL+C to quit)"
            for host, _ in server.addresses:
                loopback = "::1" if ":" in str(host) else "127.0.0.1"
                reader, writer = await asyncio.open_connection(loopback, int(port))
                writer.write(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
                assert (await read_all(reader, writer)).endswith(b"\r\n\r\nok")

    run(main())


def test_host_names_are_looked_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = listen.resolve

    def resolve(settings: Any) -> Any:
        asked.append(settings.binds[0].host)
        return real(settings)

    monkeypatch.setattr(listen, "resolve", resolve)

    async def main() -> None:
        async with make_server(App(), host="localhost") as server:
            reader, writer = await begin(server, "/")
            assert await read_answer(reader) == b"ok"
        await read_all(reader, writer)

    run(main())
    assert asked == ["localhost"]


# ---- failures


def test_a_taken_port_is_noticed_before_the_application_is_started(run: Run, log: Log) -> None:
    async def main() -> None:
        app = App()
        with socket.create_server(("127.0.0.1", 0)) as holder:
            server = make_server(app, port=holder.getsockname()[1])
            await server.serve()
        assert not server.started
        assert isinstance(server.startup_error, StartupError)
        assert app.events == []
        assert log()[1].startswith(
            f"[Errno {errno.EADDRINUSE}] error while attempting to bind on address ('127.0.0.1',"
        )
        assert len(log()) == 2
        with pytest.raises(StartupError, match="already in use"):
            await server.wait_started()

    run(main())


def test_a_port_taken_during_startup_shuts_the_application_down(run: Run, log: Log) -> None:
    async def main() -> None:
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))

            class Thief(App):
                async def __call__(self, *args: Any) -> None:
                    holder.listen()
                    await super().__call__(*args)

            app = Thief()
            server = make_server(app, port=holder.getsockname()[1])
            await server.serve()
        assert not server.started
        assert app.events == ["startup", "shutdown"]
        assert "address already in use" in log()[3]
        assert log()[4:] == LAST_LINES[:2]

    run(main())


def test_a_failed_lifespan_startup_is_logged_once(run: Run, log: Log) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def main() -> None:
        server = make_server(failing)
        await server.serve()
        assert not server.started
        assert isinstance(server.startup_error, StartupError)
        assert log() == [*FIRST_LINES[:2], "no database", "Application startup failed. Exiting."]

    run(main())


def test_an_application_that_cannot_be_loaded_is_logged_once(run: Run, log: Log) -> None:
    async def main() -> None:
        server = make_server("no_such_module_anywhere:app")
        await server.serve()
        assert isinstance(server.startup_error, StartupError)
        assert len(log()) == 1
        assert log()[0].startswith('Error loading ASGI app. Could not import module "no_such_module_anywhere".')

    run(main())


def test_a_parser_that_does_not_exist_is_the_callers_mistake(run: Run) -> None:
    async def main() -> None:
        server = make_server(App(), http="no_such_module_anywhere:Parser")
        with pytest.raises(ConfigError):
            await server.serve()
        with pytest.raises(ConfigError):
            await server.wait_started()

    run(main())


def test_an_error_in_the_main_loop_still_shuts_down(run: Run, log: Log) -> None:
    class Broken(Server):
        async def on_tick(self, counter: int) -> bool:
            raise ZeroDivisionError

    async def main() -> None:
        app = App()
        with pytest.raises(ZeroDivisionError):
            await make_server(app, Broken).serve()
        assert app.events == ["startup", "shutdown"]
        assert log()[-len(LAST_LINES) :] == LAST_LINES

    run(main())


def test_a_start_that_fails_half_way_closes_what_it_opened(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app)

        async def fail(*args: Any, **kwargs: Any) -> Any:
            raise OSError("no more of these")

        monkeypatch.setattr(asyncio.get_running_loop().__class__, "create_server", fail)
        real, opened = listen.open_listener, list[socket.socket]()

        def note(*args: Any) -> listen.Listener:
            listener = real(*args)
            opened.extend(listener.sockets)
            return listener

        monkeypatch.setattr(listen, "open_listener", note)
        with pytest.raises(OSError, match="no more of these"):
            await server.serve()
        assert app.events == ["startup", "shutdown"]
        assert [sock.fileno() for sock in opened] == [-1]

    monkeypatch.setattr("addax.server.accepting.open_server", _fail_to_open)
    run(main())


async def _fail_to_open(*args: Any) -> Any:
    raise OSError("no more of these")


def test_cancelling_serve_shuts_down_within_seconds(run: Run, log: Log) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app, timeout_graceful_shutdown=None)
        serving = await started(server)
        reader, writer = await begin(server, "/disconnect")
        await soon(app.waiting)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopped(serving)
        assert b"begin" in await read_all(reader, writer)
        assert app.events == ["startup", "/disconnect", "http.disconnect", "shutdown"]

    run(main())


def test_cancelling_serve_again_and_again_still_shuts_down(run: Run) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app, timeout_graceful_shutdown=None)
        serving = await started(server)
        reader, writer = await begin(server, "/forever")
        await soon(app.waiting)
        for _ in range(3):
            serving.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await stopped(serving)
        await read_all(reader, writer)
        assert app.events == ["startup", "/forever", "cancelled: Task cancelled, stop was forced", "shutdown"]

    run(main())


def test_cancelling_serve_during_startup_cancels_the_startup(run: Run) -> None:
    cancelled = []

    async def hanging(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main() -> None:
        global begun  # noqa: PLW0603
        begun = asyncio.Event()
        serving = asyncio.create_task(make_server(hanging).serve())
        await soon(begun)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopped(serving)
        assert cancelled == [True]

    run(main())


begun: asyncio.Event


def test_a_server_that_is_thrown_away_with_its_loop_raises_nothing(run: Run) -> None:
    async def main() -> None:
        server = make_server(App())
        serving = server.serve()
        # Up to where it waits for the first time.
        serving.send(None)
        serving.close()
        assert isinstance(server.startup_error, GeneratorExit)
        left = {task for task in asyncio.all_tasks() if task.get_name().startswith("addax ")}
        assert left
        for task in left:
            task.cancel()
        await asyncio.wait(left)

    run(main())


# ---- the main loop


def test_an_idle_server_does_not_wake_up(log: Log) -> None:
    class CountingSelector(selectors.DefaultSelector):
        count = 0

        def select(self, timeout: float | None = None) -> Any:
            CountingSelector.count += 1
            return super().select(timeout)

    async def main() -> None:
        async with make_server(App()):
            before = CountingSelector.count
            await asyncio.sleep(5 * TICK_S)
            # One turn falls asleep, one wakes this test up.
            assert CountingSelector.count - before <= 2

    running.run(main(), lambda: asyncio.SelectorEventLoop(CountingSelector()))


def test_an_overridden_on_tick_is_called_until_it_says_stop(run: Run) -> None:
    class Ticking(Server):
        counters: list[int]

        async def on_tick(self, counter: int) -> bool:
            self.counters.append(counter)
            return await super().on_tick(counter) or counter == 2

    async def main() -> None:
        server = make_server(App(), Ticking)
        server.counters = []
        await asyncio.wait_for(server.serve(), 15)
        assert server.counters == [0, 1, 2]

    run(main())


def test_should_exit_does_not_wait_for_the_next_tick(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addax.server.server.TICK_S", 60.0)

    async def main() -> None:
        server = make_server(App())
        ticks = []

        async def on_tick(counter: int) -> bool:
            ticks.append(counter)
            return server.should_exit

        server.on_tick = on_tick  # type: ignore[method-assign]
        serving = await started(server)
        await server.stop()
        await stopped(serving)
        assert ticks == [0, 1]

    run(main())


def test_callback_notify_is_called_when_it_is_due(run: Run) -> None:
    async def main() -> None:
        notified = asyncio.Event()
        calls = []

        async def notify() -> None:
            calls.append(True)
            notified.set()

        server = make_server(App(), callback_notify=notify, timeout_notify=3600)
        serving = await started(server)
        await soon(notified)
        assert await server.on_tick(10) is False
        assert await server.on_tick(11) is False
        server.last_notified -= 3601
        assert await server.on_tick(11) is False
        assert len(calls) == 1
        assert await server.on_tick(20) is False
        assert len(calls) == 2
        await server.stop()
        await stopped(serving)

    run(main())


def test_limit_max_requests_stops_after_so_many(run: Run, log: Log) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app, limit_max_requests=2)
        serving = await started(server)
        reader, writer = await connect(server)
        for _ in range(2):
            assert not serving.done()
            writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            assert await read_answer(reader) == b"ok"
        await stopped(serving)
        await read_all(reader, writer)
        assert app.events == ["startup", "/", "/", "shutdown"]
        assert log()[4:6] == ["Maximum request limit of 2 exceeded. Terminating process.", "Shutting down"]
        assert server.started

    run(main())


def test_limit_max_requests_has_its_jitter_decided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def randint(low: int, high: int) -> int:
        asked.append((low, high))
        return 3

    monkeypatch.setattr("random.randint", randint)
    server = make_server(App(), limit_max_requests=10, limit_max_requests_jitter=5)
    assert [server.limit_max_requests, server.limit_max_requests] == [13, 13]
    assert asked == [(0, 5)]
    assert make_server(App()).limit_max_requests is None


# ---- the drain


def test_a_request_in_progress_gets_its_whole_answer(run: Run, log: Log) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app)
        serving = await started(server)
        idle = await connect(server)
        reader, writer = await begin(server, "/released")
        await soon(app.waiting)
        server.should_exit = True
        assert await read_all(*idle) == b""
        app.release.set()
        answer = await read_all(reader, writer)
        assert answer.endswith(b"\r\n\r\nreleased")
        assert b"\r\nconnection: close\r\n" in answer
        await stopped(serving)
        assert app.events == ["startup", "/released", "shutdown"]

    run(main())


def test_a_long_wait_is_announced(run: Run, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_SAY_REQUESTS_S", 0.0)

    async def main() -> None:
        app = App()
        server = make_server(app)
        serving = await started(server)
        reader, writer = await begin(server, "/released")
        await soon(app.waiting)
        server.should_exit = True
        await logged(log, "connections")
        app.release.set()
        await read_all(reader, writer)
        await stopped(serving)
        assert log()[4:6] == ["Shutting down", "Waiting for connections to close. (CTRL+C to force quit)"]

    run(main())


def test_background_work_after_the_answer_is_waited_for(run: Run, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_SAY_REQUESTS_S", 0.0)

    async def main() -> None:
        app = App()
        server = make_server(app)
        serving = await started(server)
        assert (await read_all(*await begin(server, "/background"))).endswith(b"ok")
        await soon(app.waiting)
        server.should_exit = True
        await logged(log, "background")
        app.release.set()
        await stopped(serving)
        assert app.events == ["startup", "/background", "background done", "shutdown"]
        assert "Waiting for background tasks to complete. (CTRL+C to force quit)" in log()

    run(main())


def test_streams_are_told_at_once(run: Run) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app)
        serving = await started(server)
        reader, writer = await begin(server, "/notice")
        await soon(app.waiting)
        server.should_exit = True
        assert (await read_all(reader, writer)).endswith(b"told")
        await stopped(serving)

    run(main())


def test_requests_get_a_disconnect_at_the_notice_timeout_and_may_still_send(run: Run) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app, timeout_shutdown_notice=0.01)
        serving = await started(server)
        reader, writer = await begin(server, "/disconnect")
        await soon(app.waiting)
        server.should_exit = True
        answer = await read_all(reader, writer)
        assert b"begin " in answer
        assert b"end" in answer
        await stopped(serving)
        assert app.events == ["startup", "/disconnect", "http.disconnect", "shutdown"]

    run(main())


def test_shutdown_delay_accepts_and_ends_each_connection_with_its_answer(run: Run, log: Log) -> None:
    async def main() -> None:
        server = make_server(App(), timeout_shutdown_delay=3600)
        serving = await started(server)
        reader, writer = await begin(server, "/")
        assert await read_answer(reader) == b"ok"
        server.should_exit = True
        await logged(log, "Accepting connections for another 3600 seconds. (CTRL+C to stop now)")
        # Kept from before; the application knows.
        writer.write(GET % b"/notice")
        for data in (await read_all(reader, writer), await read_all(*await begin(server, "/notice"))):
            assert b"\r\nconnection: close\r\n" in data.lower()
            assert data.endswith(b"told")
        # The next step of a stop is not to wait for it.
        server.hurry()
        await stopped(serving)
        with pytest.raises(ConnectionRefusedError):
            await connect(server)

    run(main())


def test_shutdown_delay_ends_by_itself(run: Run, log: Log) -> None:
    async def main() -> None:
        server = make_server(App(), timeout_shutdown_delay=0.05)
        serving = await started(server)
        server.should_exit = True
        await stopped(serving)
        assert log()[-5:] == [
            "Shutting down",
            "Accepting connections for another 0.05 seconds. (CTRL+C to stop now)",
            *LAST_LINES,
        ]
        # In a second life it keeps connections again.
        server.should_exit = False
        serving = await started(server)
        reader, writer = await begin(server, "/")
        assert await read_answer(reader) == b"ok"
        writer.write(GET % b"/")
        assert await read_answer(reader) == b"ok"
        server.should_exit = True
        await stopped(serving)
        await read_all(reader, writer)

    run(main())


def test_shutdown_delay_is_not_for_who_hands_over(run: Run, log: Log) -> None:
    async def main() -> None:
        server = make_server(App(), timeout_shutdown_delay=3600)
        serving = await started(server)
        server.hand_over()
        await stopped(serving)
        assert not any("Accepting connections for another" in line for line in log())

    run(main())


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_requests_are_cancelled_at_the_graceful_timeout(run: Run, log: Log, timeout: float) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app, timeout_graceful_shutdown=timeout)
        serving = await started(server)
        reader, writer = await begin(server, "/forever")
        await soon(app.waiting)
        server.should_exit = True
        await read_all(reader, writer)
        await stopped(serving)
        cancelled = "cancelled: Task cancelled, timeout graceful shutdown exceeded"
        assert app.events == ["startup", "/forever", cancelled, "shutdown"]
        assert "Cancel 1 running task(s), timeout graceful shutdown exceeded" in log()
        assert log()[-3:] == LAST_LINES

    run(main())


def test_the_graceful_timeout_may_be_none(run: Run, log: Log) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app, timeout_graceful_shutdown=None)
        serving = await started(server)
        reader, writer = await begin(server, "/released")
        await soon(app.waiting)
        server.should_exit = True
        await asyncio.sleep(0.3)
        assert not serving.done()
        app.release.set()
        assert (await read_all(reader, writer)).endswith(b"released")
        await stopped(serving)

    run(main())


def test_an_urgent_stop_gives_notice_at_once_and_cancels_soon(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "URGENT_S", 0.05)

    async def main() -> None:
        app = App()
        server = make_server(app, timeout_graceful_shutdown=None)
        serving = await started(server)
        told = await begin(server, "/disconnect")
        await soon(app.waiting)
        app.waiting.clear()
        stuck = await begin(server, "/forever")
        await soon(app.waiting)
        server.handle_exit(15, None)
        server.handle_exit(15, None)
        assert b"end" in await read_all(*told)
        await read_all(*stuck)
        await stopped(serving)
        assert "Cancel 1 running task(s), stop was forced" in log()
        assert app.events[-1] == "shutdown"
        server._captured_signals.clear()

    run(main())


def test_a_forced_stop_cancels_at_once(run: Run, log: Log) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app, timeout_graceful_shutdown=None)
        serving = await started(server)
        reader, writer = await begin(server, "/forever")
        await soon(app.waiting)
        for _ in range(3):
            server.handle_exit(2, None)
        assert server.should_exit
        assert server.force_exit
        await read_all(reader, writer)
        await stopped(serving)
        assert app.events[-2:] == ["cancelled: Task cancelled, stop was forced", "shutdown"]
        assert "Cancel 1 running task(s), stop was forced" in log()
        server._captured_signals.clear()

    run(main())


def test_a_task_that_ignores_its_cancellation_does_not_hold_the_stop_up(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "CANCEL_S", 0.05)

    async def main() -> None:
        app = App()
        server = make_server(app, timeout_graceful_shutdown=0)
        serving = await started(server)
        reader, writer = await begin(server, "/stubborn")
        await soon(app.waiting)
        server.should_exit = True
        await read_all(reader, writer)
        await stopped(serving)
        assert app.events == ["startup", "/stubborn", "ignored a cancellation", "shutdown"]
        assert "Break off 1 connection(s), timeout graceful shutdown exceeded" in log()
        assert "1 task(s) go on in spite of their cancellation" in log()
        (task,) = server.server_state.tasks
        app.release.set()
        await asyncio.wait_for(task, 15)

    run(main())


def test_a_client_that_does_not_read_does_not_hold_the_stop_up(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "CANCEL_S", 0.05)

    async def main() -> None:
        app = App()
        server = make_server(app, timeout_graceful_shutdown=0.05)
        serving = await started(server)
        with socket.create_connection(tuple(server.addresses[0])) as client:
            client.sendall(b"GET /flood HTTP/1.1\r\nHost: test\r\n\r\n")
            await soon(app.waiting)
            server.should_exit = True
            await stopped(serving)
        assert app.events[-1] == "shutdown"
        assert server.server_state.connections == set()

    run(main())


def test_connections_that_wait_in_the_accept_queue_are_served(run: Run) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app)
        serving = await started(server)
        address = server.addresses[0]
        clients = []
        # The loop has no turn in here, so that all of them are still with the kernel when the stop is asked for.
        for _ in range(50):
            client = socket.create_connection((str(address[0]), int(address[1])))
            client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            clients.append(client)
        server.should_exit = True
        await stopped(serving)
        for client in clients:
            client.settimeout(5)
            answer = b""
            while chunk := client.recv(4096):
                answer += chunk
            client.close()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"ok")

    run(main())


def test_a_flood_of_waiting_connections_does_not_hold_the_stop_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "_TAKE_MAX_COUNT", 1)
    taken = []

    async def main() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        clients = [socket.create_connection(sock.getsockname()) for _ in range(3)]
        taken.extend(accepting._accept_waiting(sock))
        for each in (sock, *clients, *taken):
            each.close()

    run(main())
    assert len(taken) == 1


def test_requests_are_recorded_where_somebody_reads_the_access_log(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "addax.access")

    async def main() -> None:
        async with make_server(App(), access_log=True) as server:
            reader, writer = await begin(server, "/")
            assert await read_answer(reader) == b"ok"
        await read_all(reader, writer)

    run(main())
    (record,) = [record for record in caplog.records if record.name == "addax.access"]
    assert record.getMessage().endswith('- "GET / HTTP/1.1" 200')


def test_state_shows_what_is_going_on(run: Run) -> None:
    async def main() -> None:
        app = App()
        async with make_server(app, headers=[("X-A", "1")]) as server:
            state = server.server_state
            assert state.default_headers == [(b"server", b"addax"), (b"x-a", b"1")]
            reader, writer = await begin(server, "/released")
            await soon(app.waiting)
            assert (len(state.connections), len(state.tasks), state.active_requests, state.total_requests) == (
                1,
                1,
                1,
                0,
            )
            app.release.set()
            assert await read_answer(reader) == b"released"
            assert (len(state.connections), len(state.tasks), state.active_requests, state.total_requests) == (
                1,
                0,
                0,
                1,
            )
        await read_all(reader, writer)

    run(main())


# ---- the loop


def test_run_uses_the_loop_of_the_config() -> None:
    seen = []

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        seen.append(type(asyncio.get_running_loop()).__module__.partition(".")[0])
        server.should_exit = True

    for loop in ("asyncio", "uvloop"):
        server = Server(make_config(noting, loop=loop), handle_signals=False)
        server.run()
    assert seen == ["asyncio", "uvloop"]


def test_run_on_a_python_without_runner_cleans_up_as_well() -> None:
    seen: list[str] = []
    problems: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def fail() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise ZeroDivisionError from None

    async def main(expected: asyncio.AbstractEventLoop | None) -> None:
        loop = asyncio.get_running_loop()
        assert expected is None or loop is expected
        loop.set_exception_handler(lambda _, context: problems.append(context["message"]))
        kept.extend([asyncio.create_task(hang()), asyncio.create_task(fail())])
        await asyncio.sleep(0)

    kept: list[Any] = []
    loop = asyncio.new_event_loop()
    running._run(main(loop), lambda: loop)
    assert loop.is_closed()
    assert seen == ["cancelled"]
    assert problems == ["a task raised while the loop was closing"]
    running._run(main(None), None)
    assert seen == ["cancelled"] * 2
