"""What the integration tests share: servers in this process or in one of their own, and a small raw HTTP client."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from addax.config.config import Config
from addax.core.types import Message, Receive, Scope, Send
from addax.server.server import Server

#: Longest wait for anything that ought to happen; only a broken server gets near it.
PATIENCE_S = 15.0

GET = b"GET %b HTTP/1.1\r\nHost: test\r\n\r\n"


# ---- in this process


class App:
    """An application whose requests do what their path says, and that notes what happens to it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        #: Set when a request has arrived in the place where it waits.
        self.waiting = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        self.events.append(scope["path"])
        try:
            await getattr(self, scope["path"].strip("/") or "index")(scope, receive, send)
        except asyncio.CancelledError as error:
            self.events.append(f"cancelled: {error}")
            raise

    async def _live(self, receive: Receive, send: Send) -> None:
        for event in ("startup", "shutdown"):
            await receive()
            self.events.append(event)
            await send({"type": f"lifespan.{event}.complete"})

    async def index(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"ok")

    async def released(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.waiting.set()
        await self.release.wait()
        await respond(send, b"released")

    async def forever(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.waiting.set()
        await asyncio.get_running_loop().create_future()

    async def notice(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.waiting.set()
        shutdown = scope["extensions"]["addax.shutdown"]
        await shutdown.wait()
        await respond(send, b"told" if shutdown.is_set() else b"not told")

    async def disconnect(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begin ", "more_body": True})
        assert (await receive())["type"] == "http.request"
        self.waiting.set()
        self.events.append((await receive())["type"])
        await send({"type": "http.response.body", "body": b"end"})

    async def stubborn(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.waiting.set()
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.events.append("ignored a cancellation")

    async def background(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"ok", connection=b"close")
        self.waiting.set()
        await self.release.wait()
        self.events.append("background done")

    async def flood(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self.waiting.set()
        while True:
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})


async def respond(send: Callable[[Message], Awaitable[None]], body: bytes, **headers: bytes) -> None:
    fields = [(b"content-length", b"%d" % len(body))] + [(name.encode(), value) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def make_config(app: Any, **options: Any) -> Config:
    """A Config on a free port of loopback that leaves logging alone."""
    return Config(app, **{"host": "127.0.0.1", "port": 0, "log_config": None, "access_log": False, **options})


def make_server(app: Any, server_class: type[Server] = Server, **options: Any) -> Server:
    """A server that takes no signals."""
    return server_class(make_config(app, **options), handle_signals=False)


async def connect(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the first address of a server."""
    address = server.addresses[0]
    if isinstance(address, str):
        return await asyncio.open_unix_connection(address)
    return await asyncio.open_connection(*address)


async def begin(server: Server, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request and leave the answer to be read."""
    reader, writer = await connect(server)
    writer.write(GET % path.encode())
    return reader, writer


async def read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Read until the server closes; a reset counts as the end."""
    data = b""
    try:
        while chunk := await asyncio.wait_for(reader.read(65536), PATIENCE_S):
            data += chunk
    except ConnectionError:
        pass
    writer.close()
    try:
        await writer.wait_closed()
    except ConnectionError:
        pass
    return data


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    """Read one answer with a Content-Length; return its body."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    return await asyncio.wait_for(reader.readexactly(int(length[1])), PATIENCE_S)


async def logged(log: Callable[[], list[str]], text: str) -> None:
    """Wait until a line that holds ``text`` has been logged in this loop."""
    while not any(text in line for line in log()):  # noqa: ASYNC110  # logging wakes nobody; the test is bounded
        await asyncio.sleep(0)


async def soon(event: asyncio.Event) -> None:
    """Wait for an event, but not for ever."""
    await asyncio.wait_for(event.wait(), PATIENCE_S)


# ---- in a process of its own

#: Served by the processes; reports on standard error what happens to it.
PROCESS_APP = """
import asyncio, os, sys, time

def say(text):
    print("app:", text, file=sys.stderr, flush=True)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        say("startup")
        if "HANG_AT_STARTUP" in os.environ:
            await asyncio.get_running_loop().create_future()
        if "FAIL_AT_STARTUP" in os.environ:
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        say("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"]
    say(path)
    try:
        if path == "/slow":
            await scope["extensions"]["addax.shutdown"].wait()
            say("told")
        elif path == "/disconnect":
            while (await receive())["type"] != "http.disconnect":
                say("reading")
            say("disconnect")
        elif path == "/forever":
            await asyncio.get_running_loop().create_future()
        elif path == "/signal":
            os.kill(os.getpid(), int(scope["query_string"]))
    except asyncio.CancelledError:
        say("cancelled")
        raise
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


class Process:
    """``python -m addax`` with what it writes to standard error."""

    def __init__(self, folder: Path, *args: str, prefix: tuple[str, ...] = (), **options: Any) -> None:
        environment = {**os.environ, **options.pop("env", {})}
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "addax", "app:app", *args],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            **options,
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, text: str, count: int = 1) -> str:
        """Wait for a line that holds ``text``, for the ``count``-th time; return it."""

        def found() -> list[str]:
            return [line for line in self.lines if text in line]

        with self._news:
            is_there = self._news.wait_for(lambda: len(found()) >= count, PATIENCE_S)
            assert is_there, f"no {text!r} in:\n" + "\n".join(self.lines)
            return found()[count - 1]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the banner."""
        match = re.search(r"https?://\[?([^\]/]*?)\]?:(\d+) ", self.wait_for("Addax running on http"))
        assert match is not None
        return match[1], int(match[2])

    def send_signal(self, number: int) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end; return the exit code, negative for a signal."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def messages(self) -> list[str]:
        """What was logged, without level."""
        return [re.sub(r"^[A-Z]+: +", "", line) for line in self.lines]

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextmanager
def request(address: Any, path: str) -> Iterator[socket.socket]:
    """Send a request from this thread; the answer is left to be read."""
    with socket.socket(socket.AF_UNIX) if isinstance(address, str) else socket.create_connection(address) as client:
        if isinstance(address, str):
            client.connect(address)
        client.settimeout(PATIENCE_S)
        client.sendall(GET % path.encode())
        yield client


def drain_socket(client: socket.socket) -> bytes:
    """Read until the server closes."""
    data = b""
    try:
        while chunk := client.recv(65536):
            data += chunk
    except ConnectionError:
        pass
    return data
