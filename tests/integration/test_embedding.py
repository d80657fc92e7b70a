"""``Server`` inside another program: ``async with``, ``wait_started``, ``stop``, threads, overrides, signals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any

import pytest
from harness import (
    GET,
    PATIENCE_S,
    App,
    begin,
    drain_socket,
    make_config,
    make_server,
    read_all,
    read_answer,
    request,
    soon,
)

import addax
from addax.core.errors import ConfigError, StartupError
from addax.server.server import Server

Run = Callable[[Coroutine[Any, Any, None]], None]

HANDLED = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def outer() -> Iterator[list[int]]:
    """What the handlers of the program around the server have got."""
    got: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: got.append(number)) for number in HANDLED}
    yield got
    for number, handler in before.items():
        signal.signal(number, handler)


async def failing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "lifespan.startup.failed", "message": "no database"})


def test_server_is_a_public_name() -> None:
    assert addax.Server is Server


# ---- async with


def test_async_with_serves_for_the_block(run: Run) -> None:
    async def main() -> None:
        app = App()
        async with make_server(app) as server:
            assert server.started
            reader, writer = await begin(server, "/")
            assert await read_answer(reader) == b"ok"
        assert await read_all(reader, writer) == b""
        assert app.events == ["startup", "/", "shutdown"]

    run(main())


def test_async_with_raises_the_startup_error(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(StartupError, match="startup failed"):
            async with make_server(failing):
                raise AssertionError("the block must not begin")

    run(main())


def test_async_with_raises_what_else_the_start_fails_with(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ConfigError):
            async with make_server(App(), http="no_such_module_anywhere:Parser"):
                raise AssertionError("the block must not begin")

    run(main())


def test_async_with_that_is_cancelled_while_starting_leaves_nothing_behind(run: Run) -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def hanging(scope: Any, receive: Any, send: Any) -> None:
            begun.set()
            await asyncio.get_running_loop().create_future()

        async def block() -> None:
            async with make_server(hanging):
                raise AssertionError("the block must not begin")

        task = asyncio.create_task(block())
        await soon(begun)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 15)

    run(main())


def test_async_with_stops_when_the_block_raises(run: Run) -> None:
    async def main() -> None:
        app = App()
        with pytest.raises(ZeroDivisionError):
            async with make_server(app):
                raise ZeroDivisionError
        assert app.events == ["startup", "shutdown"]

    run(main())


def test_async_with_raises_what_the_server_failed_with_meanwhile(run: Run) -> None:
    class Broken(Server):
        async def main_loop(self) -> None:
            raise ZeroDivisionError

    async def main() -> None:
        app = App()
        with pytest.raises(ZeroDivisionError):
            async with make_server(app, Broken) as server:
                await server.wait_stopped()
        assert app.events == ["startup", "shutdown"]

    run(main())


# ---- waiting and stopping


def test_wait_started_waits_for_serve_to_be_called(run: Run) -> None:
    async def main() -> None:
        server = make_server(App())
        waiting = asyncio.create_task(server.wait_started())
        await asyncio.sleep(0)
        assert not waiting.done()
        serving = asyncio.create_task(server.serve())
        await asyncio.wait_for(waiting, 15)
        assert server.started
        await server.stop()
        await serving

    run(main())


def test_wait_started_that_is_cancelled_leaves_others_waiting(run: Run) -> None:
    async def main() -> None:
        server = make_server(App())
        cancelled, waiting = (asyncio.create_task(server.wait_started()) for _ in range(2))
        await asyncio.sleep(0)
        cancelled.cancel()
        serving = asyncio.create_task(server.serve())
        await asyncio.wait_for(waiting, 15)
        assert cancelled.cancelled()
        await server.stop()
        await serving

    run(main())


def test_wait_started_includes_what_a_subclass_does_after_the_start(run: Run) -> None:
    class Registering(Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            await asyncio.sleep(0)
            done.append(self.started)

    done: list[bool] = []

    async def main() -> None:
        async with make_server(App(), Registering):
            assert done == [True]

    run(main())


def test_stop_without_timeout_waits_for_requests(run: Run) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app)
        serving = asyncio.create_task(server.serve())
        await server.wait_started()
        reader, writer = await begin(server, "/released")
        await soon(app.waiting)
        stopping = asyncio.create_task(server.stop())
        await soon_set(server)
        app.release.set()
        assert (await read_all(reader, writer)).endswith(b"released")
        await asyncio.wait_for(stopping, 15)
        await serving
        assert app.events == ["startup", "/released", "shutdown"]

    run(main())


async def soon_set(server: Server) -> None:
    """Wait until applications can see that the server stops."""
    await asyncio.wait_for(server.server_state.shutdown.wait(), 15)


def test_stop_with_timeout_cancels_what_takes_longer(run: Run) -> None:
    async def main() -> None:
        app = App()
        server = make_server(app, timeout_graceful_shutdown=None)
        serving = asyncio.create_task(server.serve())
        await server.wait_started()
        reader, writer = await begin(server, "/forever")
        await soon(app.waiting)
        await asyncio.wait_for(server.stop(timeout=0.05), 15)
        await read_all(reader, writer)
        await serving
        assert app.events == ["startup", "/forever", "cancelled: Task cancelled, stop was forced", "shutdown"]

    run(main())


def test_stop_of_a_server_that_does_not_run_returns(run: Run) -> None:
    async def main() -> None:
        server = make_server(App())
        await asyncio.wait_for(server.stop(), 15)
        assert server.should_exit
        async with make_server(App()) as stopped_twice:
            await stopped_twice.stop()
            await stopped_twice.stop()
            await stopped_twice.wait_stopped()

    run(main())


def test_should_exit_from_inside_a_request_answers_it_first(run: Run) -> None:
    async def main() -> None:
        class Suicidal(App):
            async def index(self, scope: Any, receive: Any, send: Any) -> None:
                server.should_exit = True
                await super().index(scope, receive, send)

        server = make_server(Suicidal())
        serving = asyncio.create_task(server.serve())
        await server.wait_started()
        assert (await read_all(*await begin(server, "/"))).endswith(b"ok")
        await asyncio.wait_for(serving, 15)

    run(main())


# ---- threads


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_run_in_thread_serves_for_the_block(loop: str) -> None:
    app = App()
    server = Server(make_config(app, loop=loop))
    with server.run_in_thread() as same:
        assert same is server
        assert server.started
        with request(server.addresses[0], "/") as client:
            assert client.recv(65536).endswith(b"ok")
    assert app.events == ["startup", "/", "shutdown"]
    assert not any(thread.name == "addax server" for thread in threading.enumerate())


def test_run_in_thread_raises_the_startup_error() -> None:
    with pytest.raises(StartupError, match="startup failed"), make_server(failing).run_in_thread():
        raise AssertionError("the block must not begin")


def test_run_in_thread_raises_what_keeps_the_loop_from_existing() -> None:
    server = make_server(App(), loop="no_such_module_anywhere:new_event_loop")
    with pytest.raises(ConfigError), server.run_in_thread():
        raise AssertionError("the block must not begin")


def test_run_in_thread_raises_what_the_server_failed_with_meanwhile() -> None:
    class Broken(Server):
        async def main_loop(self) -> None:
            raise ZeroDivisionError

    app = App()
    with pytest.raises(ZeroDivisionError), make_server(app, Broken).run_in_thread():
        pass
    assert app.events == ["startup", "shutdown"]


def test_run_in_thread_stops_when_the_block_raises() -> None:
    app = App()
    with pytest.raises(ZeroDivisionError), make_server(app).run_in_thread():
        raise ZeroDivisionError
    assert app.events == ["startup", "shutdown"]


def test_flags_take_effect_from_another_thread_at_once() -> None:
    app = App()
    server = make_server(app, timeout_graceful_shutdown=None)
    with server.run_in_thread(), request(server.addresses[0], "/forever") as client:
        deadline = time.monotonic() + PATIENCE_S
        while "/forever" not in app.events:
            assert time.monotonic() < deadline
        server.should_exit = True
        server.force_exit = True
        drain_socket(client)
    assert app.events[-2:] == ["cancelled: Task cancelled, stop was forced", "shutdown"]
    server.should_exit = True  # the loop is gone; nobody is woken, and nothing fails


def test_waiting_works_from_another_event_loop() -> None:
    async def main() -> None:
        await server.wait_started()
        await server.stop()
        await server.wait_stopped()

    server = make_server(App())
    with server.run_in_thread():
        asyncio.run(main())
        assert server.addresses


# ---- overrides and signals


def test_handle_signals_false_leaves_the_handlers_alone(run: Run, outer: list[int]) -> None:
    async def main() -> None:
        before = [signal.getsignal(number) for number in HANDLED]
        async with make_server(App()) as server:
            assert [signal.getsignal(number) for number in HANDLED] == before
            signal.raise_signal(signal.SIGTERM)
            assert outer == [signal.SIGTERM]
            assert not server.should_exit

    run(main())


def test_a_signal_stops_the_server_first_and_the_program_then(run: Run, outer: list[int]) -> None:
    async def main() -> None:
        app = App()
        server = Server(make_config(app))
        serving = asyncio.create_task(server.serve())
        await server.wait_started()
        signal.raise_signal(signal.SIGTERM)
        assert server.should_exit
        assert outer == []
        await asyncio.wait_for(serving, 15)
        assert app.events == ["startup", "shutdown"]
        assert outer == [signal.SIGTERM]

    run(main())


def test_signals_are_left_alone_outside_the_main_thread(outer: list[int]) -> None:
    before = [signal.getsignal(number) for number in HANDLED]
    with Server(make_config(App())).run_in_thread():
        assert [signal.getsignal(number) for number in HANDLED] == before


@pytest.mark.parametrize("where", ["class", "instance"])
def test_install_signal_handlers_is_called_instead(run: Run, outer: list[int], where: str) -> None:
    class Quiet(Server):
        def install_signal_handlers(self) -> None:
            calls.append("class")

    calls: list[str] = []

    async def main() -> None:
        before = [signal.getsignal(number) for number in HANDLED]
        server = (Quiet if where == "class" else Server)(make_config(App()))
        if where == "instance":
            server.install_signal_handlers = lambda: calls.append("instance")  # type: ignore[attr-defined]
        async with server:
            assert [signal.getsignal(number) for number in HANDLED] == before

    run(main())
    assert calls == [where]


def test_capture_signals_may_be_overridden(run: Run, outer: list[int]) -> None:
    class Quiet(Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            calls.append("enter")
            yield
            calls.append("exit")

    calls: list[str] = []

    async def main() -> None:
        before = [signal.getsignal(number) for number in HANDLED]
        async with Quiet(make_config(App())):
            assert [signal.getsignal(number) for number in HANDLED] == before

    run(main())
    assert calls == ["enter", "exit"]


def test_handle_exit_may_be_overridden_and_replaced(
    run: Run, outer: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    class Telling(Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            calls.append("subclass")
            super().handle_exit(sig, frame)

    original = Server.handle_exit

    def patched(self: Server, sig: int, frame: FrameType | None) -> None:
        # What sse-starlette does to learn that the server stops.
        calls.append("patched")
        original(self, sig, frame)

    monkeypatch.setattr(Server, "handle_exit", patched)

    async def main() -> None:
        serving = asyncio.create_task((server := Telling(make_config(App()))).serve())
        await server.wait_started()
        signal.raise_signal(signal.SIGINT)
        await asyncio.wait_for(serving, 15)

    run(main())
    assert calls == ["subclass", "patched"]
    assert outer == [signal.SIGINT]


def test_shutdown_may_be_overridden_and_even_left_out(run: Run) -> None:
    class Forgetful(Server):
        async def shutdown(self, sockets: Any = None) -> None:
            calls.append("shutdown")

    calls: list[str] = []

    async def main() -> None:
        app = App()
        async with make_server(app, Forgetful) as server:
            address = server.addresses[0]
        assert app.events == ["startup", "shutdown"]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((str(address[0]), int(address[1])))

    run(main())
    assert calls == ["shutdown"]


def test_startup_and_main_loop_may_be_overridden(run: Run) -> None:
    class Own(Server):
        async def startup(self, sockets: Any = None) -> None:
            calls.append("startup")
            await super().startup(sockets=sockets)

        async def main_loop(self) -> None:
            calls.append("main_loop")
            with socket.socket() as client:
                client.connect(tuple(self.addresses[0]))
                client.setblocking(False)
                client.send(GET % b"/")
                loop = asyncio.get_running_loop()
                calls.append((await asyncio.wait_for(loop.sock_recv(client, 65536), 15))[-2:].decode())

    calls: list[str] = []

    async def main() -> None:
        app = App()
        await make_server(app, Own).serve()
        assert app.events == ["startup", "/", "shutdown"]

    run(main())
    assert calls == ["startup", "main_loop", "ok"]
