"""The access log of a server process has a line for every request that was answered, however the process ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from harness import GET, PATIENCE_S, PROCESS_APP, Process

pytestmark = [pytest.mark.network, pytest.mark.skipif(os.name != "posix", reason="signals and FIFOs")]

#: Starts the server with its standard output in a file, or in a FIFO that the test reads.
TO_LOG = ("sh", "-c", 'exec "$@" >log', "sh")
#: More than two batches of short lines.
COUNT = 1500
LONG_PATH = "/" + "x" * 1500


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(QUIET_APP)
    return tmp_path


QUIET_APP = PROCESS_APP.replace('    print("app:", text, file=sys.stderr, flush=True)', "    pass")


class Client(threading.Thread):
    """Sends one request after the other until it has so many answers or the server ends."""

    def __init__(self, address: tuple[str, int], count: int, path: str = "/") -> None:
        super().__init__(daemon=True)
        self.address = address
        self.count = count
        self.path = path
        self.answered = 0
        self._news = threading.Condition()

    def run(self) -> None:
        data = b""
        with socket.create_connection(self.address, PATIENCE_S) as client:
            for number in range(self.count):
                try:
                    client.sendall(GET % f"{self.path}?{number}".encode())
                    while not data.endswith(b"\r\n\r\nok"):
                        piece = client.recv(65536)
                        if not piece:
                            return
                        data += piece
                except ConnectionError:
                    return
                data = b""
                with self._news:
                    self.answered += 1
                    self._news.notify_all()

    def wait_for(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.answered >= count, PATIENCE_S), self.answered


def numbers(text: str) -> list[int]:
    """Of the requests in an access log, in its order."""
    return [int(number) for number in re.findall(r'"GET /x*\?(\d+) HTTP/1\.1" 200 OK\n', text)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_loses_no_line(folder: Path, number: signal.Signals) -> None:
    process = Process(folder, "--port", "0", prefix=TO_LOG)
    try:
        clients = [Client(process.address, COUNT) for _ in range(3)]
        for client in clients:
            client.start()
        for client in clients:
            client.wait_for(200)
        process.send_signal(number)
        for client in clients:
            client.join(PATIENCE_S)
        process.wait()
    finally:
        process.close()
    lines = (folder / "log").read_text()
    found = numbers(lines)
    assert len(found) == lines.count("\n")
    for client in clients:
        assert client.answered >= 200
    # An answer may be on its way, and lost with the connection, when the server ends.
    assert 0 <= len(found) - sum(client.answered for client in clients) <= len(clients)


def test_the_request_limit_loses_no_line(folder: Path) -> None:
    process = Process(folder, "--port", "0", "--limit-max-requests", "100", prefix=TO_LOG)
    try:
        client = Client(process.address, COUNT)
        client.start()
        client.join(PATIENCE_S)
        process.wait()
    finally:
        process.close()
    assert numbers((folder / "log").read_text()) == list(range(client.answered))
    assert client.answered >= 100


def test_a_slow_reader_holds_the_server_back_and_gets_every_line(folder: Path) -> None:
    os.mkfifo(folder / "log")
    received = bytearray()
    process = Process(folder, "--port", "0", prefix=TO_LOG)
    try:
        # Opening waits for the other side, here and in the shell.
        with (folder / "log").open("rb", buffering=0) as source:
            client = Client(process.address, 300, LONG_PATH)
            client.start()
            # Nobody reads, so at the most the pipe and one batch can be on their way: far less than all of them.
            client.wait_for(20)
            process.send_signal(signal.SIGTERM)
            while piece := source.read(700):
                received += piece
        client.join(PATIENCE_S)
        process.wait()
    finally:
        process.close()
    found = numbers(received.decode())
    assert found == list(range(len(found)))
    assert 0 <= len(found) - client.answered <= 1
    assert len(received.splitlines()) == len(found)


def test_a_line_does_not_wait_long(folder: Path) -> None:
    os.mkfifo(folder / "log")
    process = Process(folder, "--port", "0", prefix=TO_LOG)
    try:
        with (folder / "log").open("rb") as source:
            client = Client(process.address, 1)
            client.start()
            # Returns although nothing else happens in the server.
            assert numbers(source.readline().decode()) == [0]
    finally:
        process.close()


def test_a_reader_that_goes_does_not_cost_requests(folder: Path) -> None:
    os.mkfifo(folder / "log")
    process = Process(folder, "--port", "0", prefix=TO_LOG)
    try:
        with (folder / "log").open("rb", buffering=0) as source:
            address = process.address
            source.close()
            client = Client(address, 300, LONG_PATH)
            client.start()
            client.join(PATIENCE_S)
            assert client.answered == 300
            process.wait_for("BrokenPipeError")
            process.send_signal(signal.SIGTERM)
        process.wait()
    finally:
        process.close()
    assert sum("--- Logging error ---" in line for line in process.lines) == 1


CRASHING = """
import asyncio, sys
from addax import Config, Server
from app import app

class Crashing(Server):
    async def main_loop(self):
        reader, writer = await asyncio.open_connection(*self.addresses[0])
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\\r\\nHost: test\\r\\n\\r\\n")
            await reader.readuntil(b"ok")
        writer.close()
        raise RuntimeError("the server is broken")

Crashing(Config(app, port=0)).run()
"""


def test_a_crash_is_reported_below_the_lines_of_what_was_answered(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASHING],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    before, _, after = done.stdout.partition("Traceback")
    assert before.count('"GET / HTTP/1.1" 200 OK\n') == 3
    assert "RuntimeError: the server is broken" in after
    assert "GET" not in after


FAILING_APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/fail":
        raise RuntimeError("a mistake")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


def test_on_one_stream_access_lines_are_in_order_with_those_of_the_server(folder: Path) -> None:
    (folder / "app.py").write_text(FAILING_APP)
    process = Process(folder, "--port", "0", "--lifespan", "off", prefix=("sh", "-c", 'exec "$@" >&2', "sh"))
    try:
        with socket.create_connection(process.address, PATIENCE_S) as client:
            client.sendall(GET % b"/before" + GET % b"/fail")
            while client.recv(65536):
                pass
        with socket.create_connection(process.address, PATIENCE_S) as client:
            client.sendall(GET % b"/last")
            client.recv(65536)
        process.send_signal(signal.SIGTERM)
        process.wait()
        messages = process.messages()
    finally:
        process.close()
    wanted = ("/before", "Exception in ASGI", "/fail", "/last", "Shutting down", "Finished server process")
    order = [word for line in messages for word in wanted if word in line]
    assert order == list(wanted)
