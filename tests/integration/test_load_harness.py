"""The load and the supervised server of the tests see what they are there to see: each fault that is made is found."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import processes
import pytest
from harness import PATIENCE_S
from load_clients import KINDS
from load_generator import LoadGenerator, LoadResult
from supervised import Supervised
from supervised_app import AppFolder

pytestmark = pytest.mark.network

#: One request of so many is answered badly; the last bad one is not the last one.
EVERY = 30
REQUESTS_COUNT = 130
BAD_COUNT = 4
FAULTS = {
    "reset": "reset",
    "close": "reset",
    "cut short": "cut short",
    "bad gateway": "status",
    "another's": "crossed",
    "no HTTP": "malformed",
}


class BadServer:
    """A server that answers as the load expects, but one request of ``EVERY`` as ``fault`` says.

    Args:
        fault: what it does wrong; "": nothing.
        every: in which requests.
    """

    def __init__(self, fault: str = "", every: int = EVERY) -> None:
        self.requests_count = 0
        self.connections_count = 0
        self._fault = fault
        self._every = every
        self._loop = asyncio.new_event_loop()
        self._held: tuple[asyncio.StreamWriter, bytes] | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.address: tuple[str, int] = self._server.sockets[0].getsockname()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_count += 1
        self._writers.add(writer)
        # A client may close in the middle, or the server is being closed.
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                await self._exchange(reader, writer)
        self._writers.discard(writer)
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
        body = await reader.readexactly(int(length[1])) if length else b""
        number = re.search(rb"[?&]n=(\d+)", head)
        assert number is not None
        body = number[1] + b" " + body
        if b"/stream" in head:
            body = b"".join(b"%b part %d\n" % (number[1], part) for part in range(3)) + body.partition(b" ")[2]
        self.requests_count += 1
        self._answer(writer, _answer(body))
        await writer.drain()

    def _answer(self, writer: asyncio.StreamWriter, whole: bytes) -> None:
        is_bad = self.requests_count % self._every == 0
        if self._held is not None:
            (other, others), self._held = self._held, None
            other.write(whole)
            writer.write(others)
        elif not is_bad or not self._fault:
            writer.write(whole)
        elif self._fault == "another's":
            self._held = writer, whole
        elif self._fault == "bad gateway":
            writer.write(whole.replace(b"200 OK", b"502 Bad Gateway"))
        elif self._fault == "reset":
            # Closed with a linger time of zero, a connection is reset.
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        elif self._fault != "nothing":
            writer.write({"close": b"", "cut short": whole[:-1], "no HTTP": b"what? " + whole}[self._fault])
            writer.close()

    def close(self) -> None:
        async def close() -> None:
            self._server.close()
            # One that was accepted just now has its task in the next turn of the loop only, and its writer after that.
            while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
                for writer in list(self._writers):
                    writer.transport.abort()
                await asyncio.wait(tasks, timeout=0.01)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nx-pid: %d\r\ncontent-length: %d\r\n\r\n%b" % (os.getpid(), len(body), body)


@contextlib.contextmanager
def bad_server(fault: str = "", every: int = EVERY) -> Iterator[BadServer]:
    server = BadServer(fault, every)
    try:
        yield server
    finally:
        server.close()


def hammer(server: BadServer, clients: dict[str, int], **options: Any) -> LoadResult:
    options = {"count_max": REQUESTS_COUNT, "pause_max_s": 0.002, **options}
    with LoadGenerator(server.address, clients=clients, **options) as load:
        return load.wait()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_client_finds_each_fault_and_repeats_nothing(kind: str, fault: str) -> None:
    with bad_server(fault) as server:
        result = hammer(server, {kind: 4})
    # Both answers of a swap are wrong.
    bad_count = BAD_COUNT * (2 if fault == "another's" else 1)
    assert result.outcomes == {"answered": REQUESTS_COUNT - bad_count, FAULTS[fault]: bad_count}, result.summary()
    assert server.requests_count == REQUESTS_COUNT
    assert result.failed_count == len(result.failures) == bad_count
    assert {failure.client for failure in result.failures} == {kind}
    assert result.pids == {os.getpid(): REQUESTS_COUNT - bad_count}


@pytest.mark.parametrize("kind", KINDS)
def test_each_client_finds_nothing_in_a_good_server(kind: str) -> None:
    with bad_server() as server:
        result = hammer(server, {kind: 4})
    assert result.outcomes == {"answered": REQUESTS_COUNT}, result.summary()
    assert result.by_client == {kind: REQUESTS_COUNT}
    assert server.requests_count == REQUESTS_COUNT
    # Kept connections are kept, and the others are not.
    assert server.connections_count == (REQUESTS_COUNT if kind == "raw single" else 4)


def test_each_client_finds_that_there_is_no_answer() -> None:
    with bad_server("nothing", every=1) as server:
        result = hammer(server, dict.fromkeys(KINDS, 1), count_max=len(KINDS), timeout_s=0.5)
    assert result.outcomes == {"timeout": len(KINDS)}, result.summary()
    assert {failure.client for failure in result.failures} == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_each_client_finds_that_nobody_listens_and_gives_up_only_where_an_end_is_expected(kind: str) -> None:
    with bad_server() as server:
        address = server.address
    with LoadGenerator(address, clients={kind: 2}, count_max=50, pause_max_s=0.002) as load:
        load.wait_for_count(4)
        assert load.failures[3].outcome == "refused"
        load.expect_end()
        result = load.wait()
    assert result.outcomes["unaccepted"] == 2
    assert result.outcomes["refused"] == result.failed_count == result.total - 2 < 50


def test_a_failure_says_where_it_was() -> None:
    with bad_server("reset") as server:
        result = hammer(server, {"raw keep-alive": 1}, count_max=40)
    (failure,) = result.failures
    assert (failure.outcome, failure.client, failure.connection_request_number) == ("reset", "raw keep-alive", EVERY)
    assert failure.pid == os.getpid()
    assert failure.request.endswith(f"n={EVERY}")
    assert failure.idle_s is not None
    assert failure.connected_at is not None
    assert failure.connected_at < failure.began_at <= failure.ended_at
    assert failure.received_bytes == 0
    assert failure.local_port > 0
    assert "ConnectionResetError" in failure.error
    assert str(failure) in result.summary()


def test_a_process_of_clients_reports_the_same_as_a_thread_and_while_it_runs() -> None:
    with bad_server("cut short") as server:
        with LoadGenerator(server.address, clients=dict.fromkeys(KINDS, 2), is_process=True, pause_max_s=0.002) as load:
            load.wait_for_count(EVERY)
            load.wait_for_more(EVERY)
            assert load.failures[0].outcome == "cut short"
        result = load.result
    assert result.failures[0] == load.failures[0]
    assert result.total == server.requests_count
    assert result.outcomes["cut short"] == result.failed_count == result.total // EVERY
    assert result.pids == {os.getpid(): result.outcomes["answered"]}
    assert result.by_client.keys() == KINDS.keys()


def test_a_process_of_clients_gives_up_when_an_end_is_expected() -> None:
    with bad_server() as server:
        load = LoadGenerator(server.address, clients={"raw single": 3}, is_process=True)
        load.wait_for_count(20)
        load.expect_end()
    with load:
        # Those that were on the way when the server ended without a word are failures all the same.
        assert load.wait().outcomes["unaccepted"] >= 1
    assert load.result.outcomes["refused"] == 0


def test_wait_for_count_fails_when_the_clients_have_ended() -> None:
    with (
        bad_server() as server,
        LoadGenerator(server.address, clients={"raw single": 1}, count_max=3) as load,
        pytest.raises(AssertionError, match="3 requests instead of 4"),
    ):
        load.wait_for_count(4)


# ---- a real server


@pytest.mark.parametrize("is_process", [False, True])
def test_a_server_in_one_process_answers_every_request(tmp_path: Path, is_process: bool) -> None:
    with Supervised(tmp_path, workers=None) as server:
        with LoadGenerator(server.address, is_process=is_process) as load:
            load.wait_for_count(500)
        assert load.result.outcomes == {"answered": load.result.total}, load.result.summary()
        assert load.result.pids == {server.pid: load.result.total}
        assert load.result.by_client.keys() == KINDS.keys()
        server.send_signal(signal.SIGTERM)
        assert server.wait() == -signal.SIGTERM


def test_a_server_that_is_killed_is_found_out(tmp_path: Path) -> None:
    with Supervised(tmp_path, workers=None) as server, LoadGenerator(server.address) as load:
        load.wait_for_count(200)
        server.send_signal(signal.SIGKILL)
        load.wait_for_more(100)
        result = load.stop()
    assert result.outcomes["refused"] > 0
    # Those that were in progress; many clients wait for an answer at any time.
    lost = [failure for failure in result.failures if failure.outcome in ("reset", "cut short")]
    assert lost
    assert {failure.pid for failure in lost} <= {server.pid, None}


# ---- processes


def test_descendants_and_what_is_left_behind_are_found_and_ended(tmp_path: Path) -> None:
    program = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    server = Supervised(tmp_path, workers=None, prefix=(sys.executable, "-c", f"{program}; time.sleep(60)"))
    try:
        (child,) = processes.until(server.all_descendants, PATIENCE_S, lambda: "no child")
        assert child in server.leftovers()
        assert server.leftovers()[child].session == server.pid
        server.process.kill()
        server.process.wait(PATIENCE_S)
        assert set(server.leftovers()) == {child}
        with pytest.raises(AssertionError, match=rf"left behind:\n\[{child}\]"):
            server.ensure_nothing_left(patience_s=0.1)
        server.ensure_nothing_left()
    finally:
        server.close()


def test_a_process_that_has_left_the_session_is_found_by_its_environment(tmp_path: Path) -> None:
    program = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], "
    server = Supervised(tmp_path, workers=None, prefix=(sys.executable, "-c", program + "start_new_session=True)"))
    try:
        assert server.wait_for_supervisor() == 0
        (child,) = processes.until(server.leftovers, PATIENCE_S, lambda: "nobody")
        assert server.leftovers()[child].session == child
        with pytest.raises(AssertionError, match="left behind"):
            server.ensure_nothing_left(patience_s=0.1)
    finally:
        server.close()


def test_orphans_are_adopted_and_their_exit_codes_told(tmp_path: Path) -> None:
    program = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import sys; sys.exit(5)'])"
    with processes.adopting_orphans():
        server = Supervised(tmp_path, workers=None, prefix=(sys.executable, "-c", program))
        try:
            assert server.wait_for_supervisor() == 0
            (child,) = processes.until(
                lambda: processes.started_in(server.process.pid, "no mark"), PATIENCE_S, lambda: "nobody"
            )
            server.adopt(child)
            assert server.wait_for_supervisor() == 5
            server.ensure_nothing_left()
        finally:
            server.close()


def test_open_fds_are_those_of_the_process() -> None:
    with socket.socket() as sock:
        assert processes.open_fds(os.getpid())[sock.fileno()].startswith("socket:")
    assert sock.fileno() == -1


def test_the_application_behaves_as_its_files_say(tmp_path: Path) -> None:
    app = AppFolder(tmp_path)
    app.set_startup("fail")
    with Supervised(app, workers=None) as server:
        assert server.wait() == 3
    app.set_startup()
    app.set_import("exit 7")
    with Supervised(app, workers=None) as server:
        assert server.wait() == 7
    app.set_import()
    app.write("2", has_syntax_error=True)
    with Supervised(app, workers=None) as server:
        assert server.wait() == 3
    app.write("3")
    app.set_startup("slow 0.1")
    with Supervised(app, workers=None) as server, server.caller() as caller:
        assert caller.get("/version") == b"3"
        assert caller.get("/pid") == str(server.pid).encode()
        assert (caller.pid, caller.version) == (server.pid, "3")
        assert server.started_versions() == {server.pid: "3"}
        assert server.answering({server.pid}) == {server.pid: "3"}
        assert caller.get("/alloc?mb=1") == caller.get("/threads?s=0.01") == b""
        assert caller.get("/?n=5") == b"5 "
        caller.ask("/exit")
        assert server.wait() == 7
    with Supervised(app, workers=None) as server, server.caller() as caller:
        caller.get("/pid")
        caller.ask("/crash")
        assert server.wait() == -signal.SIGSEGV
