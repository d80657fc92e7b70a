"""Real Gunicorn processes with addax's worker: requests, signals, heartbeat, logs.

They run with the Gunicorn of the environment that runs the tests. For another one, install it into an environment of
its own and run this file there, for example::

    python3.13 -m venv /tmp/g23 && /tmp/g23/bin/pip install "gunicorn==23.*" click h11 httptools uvloop pytest
    ADDAX_PURE=1 PYTHONPATH=$PWD/src /tmp/g23/bin/python -m pytest tests/integration/test_gunicorn.py
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import GET, PATIENCE_S, drain_socket
from tests.certificates import Authority

pytestmark = pytest.mark.network

#: Not ``-m gunicorn``: SIGUSR2 runs the file that was run, and Gunicorn's ``__main__.py`` is no file to be run.
COMMAND = os.path.join(sysconfig.get_path("scripts"), "gunicorn")
WORKER = "addax.workers.AddaxWorker"

APP = """
import asyncio, os, sys, time

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if "FIRST_STARTUP_S" in os.environ and not os.path.exists("first"):
            open("first", "w").close()
            await asyncio.sleep(float(os.environ["FIRST_STARTUP_S"]))
        if "FAIL_AT_STARTUP" in os.environ:
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"]
    if path.startswith("/sleep/"):
        print("sleeping", flush=True)
        await asyncio.sleep(float(path[7:]))
    elif path == "/block":
        time.sleep(60)
    body = b"%d" % os.getpid()
    fields = [(b"content-length", b"%d" % len(body)), (b"server", b"mine"), (b"x-scheme", scope["scheme"].encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})
"""


class Gunicorn:
    """The command ``gunicorn``, with what it and its workers write, both streams in one."""

    def __init__(self, folder: Path, *args: str, worker: str = WORKER, env: dict[str, str] | None = None) -> None:
        # HOME: newer versions keep a socket there. No bytecode: files are changed too fast for its time stamps.
        environment = {**os.environ, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
        self.process = subprocess.Popen(
            [sys.executable, COMMAND, "app:app", "-k", worker, *args],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._is_over = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._is_over = True
            self._news.notify_all()

    def has(self, pattern: str, count: int = 1, within_s: float = PATIENCE_S) -> bool:
        """Whether a line in which the pattern is found comes for the ``count``-th time."""
        with self._news:
            self._news.wait_for(lambda: self._is_over or len(self._found(pattern)) >= count, within_s)
            return len(self._found(pattern)) >= count

    def wait_for(self, pattern: str, count: int = 1) -> re.Match[str]:
        """Wait for a line in which the pattern is found, for the ``count``-th time."""
        assert self.has(pattern, count), f"no {pattern!r}, time {count}, in:\n" + "\n".join(self.lines)
        return self._found(pattern)[count - 1]

    def _found(self, pattern: str) -> list[re.Match[str]]:
        return [match for line in self.lines if (match := re.search(pattern, line))]

    def wait_until_started(self, count: int = 1) -> None:
        """Wait until as many workers have begun to serve."""
        self.wait_for("Application startup complete", count)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        match = self.wait_for(r"Listening at: .*https?://([\d.]+):(\d+)")
        return match[1], int(match[2])

    def send_signal(self, number: int) -> None:
        """Send a signal to the arbiter."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end of the arbiter; return its exit code."""
        return self.process.wait(PATIENCE_S)

    def wait_for_all(self) -> None:
        """Wait until no process is left that could write anything."""
        self._reader.join(PATIENCE_S)
        assert not self._reader.is_alive(), "\n".join(self.lines)

    def close(self) -> None:
        """End all of it, whatever it does."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


Start = Callable[..., Gunicorn]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Gunicorn on a free port, in a directory with the application; ended with the test."""
    (tmp_path / "app.py").write_text(APP)
    started: list[Gunicorn] = []

    def start(*args: str, **options: Any) -> Gunicorn:
        started.append(Gunicorn(tmp_path, *(args if "-b" in args else ("-b", "127.0.0.1:0", *args)), **options))
        return started[-1]

    yield start
    for gunicorn in started:
        gunicorn.close()


def ask(address: Any, path: str = "/", fields: bytes = b"") -> tuple[bytes, bytes]:
    """One request on a connection of its own; returns head and body."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
        client.settimeout(PATIENCE_S)
        client.connect(address)
        client.sendall(b"GET %b HTTP/1.1\r\nHost: test\r\nConnection: close\r\n%b\r\n" % (path.encode(), fields))
        head, _, body = drain_socket(client).partition(b"\r\n\r\n")
        return head, body


# ---- the command line


@pytest.mark.parametrize("worker", [WORKER, "addax.workers.AddaxH11Worker"])
def test_documented_command_line_serves_logs_and_stops(start: Start, worker: str) -> None:
    command = "-w 2 -b 127.0.0.1:0 --access-logfile - --error-logfile - --capture-output"
    gunicorn = start(*command.split(), worker=worker)
    address = gunicorn.address
    gunicorn.wait_until_started(2)
    with socket.create_connection(address) as client:
        client.settimeout(PATIENCE_S)
        for _ in range(2):
            client.sendall(GET % b"/a%20b?x=1")
            head, _, body = client.recv(65536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"connection: close" not in head
            assert body.isdigit()
    gunicorn.wait_for(r'^127\.0\.0\.1 - - \[.+\] "GET /a%20b\?x=1 HTTP/1\.1" 200 \d+ "-" "-"$', 2)
    gunicorn.send_signal(signal.SIGTERM)
    assert gunicorn.wait() == 0
    gunicorn.wait_for_all()
    gunicorn.wait_for(r"\[INFO\] Application shutdown complete\.", 2)
    gunicorn.wait_for("Worker exiting", 2)
    assert not [line for line in gunicorn.lines if "was sent" in line or "ERROR" in line or "exited with" in line]


def test_unix_socket_beside_a_port_with_preload_and_a_quick_stop(start: Start, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    gunicorn = start("-b", f"unix:{path}", "-b", "127.0.0.1:0", "--preload", "--graceful-timeout", "60")
    address = gunicorn.address
    gunicorn.wait_until_started()
    assert ask(address)[1] == ask(path)[1]
    proto = b"X-Forwarded-Proto: https\r\n"
    assert b"x-scheme: https" in ask(path, fields=proto)[0]
    with socket.create_connection(address) as client:
        client.settimeout(PATIENCE_S)
        client.sendall(GET % b"/sleep/60")
        gunicorn.wait_for("sleeping")
        gunicorn.send_signal(signal.SIGINT)
        drain_socket(client)
    assert gunicorn.wait() == 0
    gunicorn.wait_for("Application shutdown complete")
    assert not os.path.exists(path)


def test_startup_failure_ends_gunicorn_with_3(start: Start) -> None:
    # One worker: Gunicorn 27 ends with 1 if it finds a second one dead too while it gives up because of the first.
    gunicorn = start(env={"FAIL_AT_STARTUP": "1"})
    assert gunicorn.wait() == 3
    gunicorn.wait_for_all()
    gunicorn.wait_for(r"\[ERROR\] no database")
    gunicorn.wait_for("Worker failed to boot")
    assert not any("Traceback" in line for line in gunicorn.lines)


def test_setting_that_addax_does_not_have_ends_gunicorn_with_3_and_one_line(start: Start) -> None:
    gunicorn = start("--proxy-protocol")
    assert gunicorn.wait() == 3
    gunicorn.wait_for_all()
    gunicorn.wait_for(r"\[ERROR\] proxy_protocol: (True|'auto') is not available in addax")
    assert not any("Traceback" in line for line in gunicorn.lines)


# ---- TLS


def ask_tls(address: Any, context: ssl.SSLContext) -> tuple[bytes, str, str]:
    """One request; returns its head, the version of TLS, and the serial number of the certificate."""
    with (
        socket.create_connection(address, PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        facts = client.getpeercert()
        assert facts is not None
        return drain_socket(client), client.version() or "", str(facts["serialNumber"])


def test_certificates_of_gunicorn_are_used(start: Start, authority: Authority, tmp_path: Path) -> None:
    files = authority.server("localhost").copy_to(tmp_path)
    served = ["--certfile", str(files.certfile), "--keyfile", str(files.keyfile)]
    clients = ["--ca-certs", str(authority.file), "--cert-reqs", "2", "--ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384"]
    gunicorn = start(*served, *clients)
    address = gunicorn.address
    gunicorn.wait_until_started()
    context = authority.client_context(authority.client())
    head, _, first = ask_tls(address, context)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"x-scheme: https" in head
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    with pytest.raises(OSError, match=r"(?i)handshake"):
        ask_tls(address, context)
    with pytest.raises(OSError):  # noqa: PT011  # an alert, or a reset
        ask_tls(address, authority.client_context())
    authority.server("localhost", "127.0.0.1").copy_to(tmp_path)
    gunicorn.wait_for("Took the changed certificate of localhost")
    assert ask_tls(address, authority.client_context(authority.client()))[2] != first
    gunicorn.send_signal(signal.SIGTERM)
    assert gunicorn.wait() == 0


def test_ssl_context_hook_of_gunicorn_is_called(start: Start, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text(
        "import ssl\n"
        "def ssl_context(conf, default_ssl_context_factory):\n"
        "    context = default_ssl_context_factory()\n"
        "    context.maximum_version = ssl.TLSVersion.TLSv1_2\n"
        "    print('the hook of', conf.proc_name, flush=True)\n"
        "    return context\n"
    )
    gunicorn = start("-c", "settings.py", "--certfile", str(authority.server("localhost").combined), "--name", "shop")
    address = gunicorn.address
    gunicorn.wait_for("the hook of shop")
    head, version, _ = ask_tls(address, authority.client_context())
    assert (head[:15], version) == (b"HTTP/1.1 200 OK", "TLSv1.2")
    gunicorn.send_signal(signal.SIGTERM)
    assert gunicorn.wait() == 0


def test_certificate_that_cannot_be_used_ends_gunicorn_with_3(start: Start, authority: Authority) -> None:
    gunicorn = start("--certfile", str(authority.server("localhost").certfile))
    assert gunicorn.wait() == 3
    gunicorn.wait_for_all()
    gunicorn.wait_for(r"\[ERROR\] keyfile: is needed: ")
    assert not any("Traceback" in line for line in gunicorn.lines)


# ---- the access log


ATOMS = {
    "h": r"127\.0\.0\.1",
    "l": "-",
    "u": "joe",
    "t": r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]",
    "r": r"GET /p\?q=1 HTTP/1\.1",
    "s": "200",
    "m": "GET",
    "U": "/p",
    "q": "q=1",
    "H": r"HTTP/1\.1",
    "b": r"\d+",
    "B": r"\d+",
    "f": "http://from/",
    "a": r"say \\x22hi\\x22",
    "T": "0",
    "D": r"\d+",
    "M": r"\d+",
    "L": r"0\.\d{6}",
    "p": r"<\d+>",
    "{x-request-id}i": "id-7",
    "{Server}o": "mine",
    "{raw_uri}e": r"/p\?q=1",
    "nothing": "-",
}


def test_access_format_with_all_atoms_in_a_file_that_is_reopened(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    line_format = "|".join(f"%({atom})s" for atom in ATOMS)
    gunicorn = start("--access-logfile", str(log), "--access-logformat", line_format)
    address = gunicorn.address
    gunicorn.wait_until_started()
    gunicorn.wait_for(r"\[WARNING\] access_log_format: there is no atom %\(nothing\)s")
    fields = (
        b"Authorization: Basic am9lOnNlY3JldA==\r\nReferer: http://from/\r\n"
        b'User-Agent: say "hi"\r\nX-Request-ID: id-7\r\n'
    )
    count = 1
    ask(address, "/p?q=1", fields)
    assert re.fullmatch(r"\|".join(ATOMS.values()), log.read_text().rstrip("\n"))
    log.rename(tmp_path / "access.log.1")
    gunicorn.send_signal(signal.SIGUSR1)
    gunicorn.wait_for("Handling signal: usr1")
    # The arbiter makes the new file before the worker knows of it.
    while not (log.exists() and log.read_text()):
        ask(address, "/p?q=1", fields)
        count += 1
    assert len(log.read_text().splitlines() + (tmp_path / "access.log.1").read_text().splitlines()) == count
    gunicorn.send_signal(signal.SIGTERM)
    assert gunicorn.wait() == 0


# ---- signals under load


class Load:
    """Clients that send requests, some on connections that they keep, and that mind every failure."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._is_over = False
        self._answered = asyncio.Condition()
        self.pids: list[int] = []
        self.failures: list[str] = []

    async def run(self, story: Callable[[Load], Awaitable[None]]) -> None:
        """Send requests while the story goes on."""
        clients = [asyncio.ensure_future(self._use(keeps)) for keeps in [True] * 6 + [False] * 3]
        self._clients_count = len(clients)
        try:
            await story(self)
        finally:
            self._is_over = True
            await asyncio.gather(*clients)

    async def answers(self, count: int) -> set[int]:
        """Wait for so many more answers; returns the processes that gave them."""
        # Each client may have one on its way that was written earlier.
        begin = len(self.pids) + self._clients_count
        async with self._answered:
            await asyncio.wait_for(
                self._answered.wait_for(lambda: len(self.pids) >= begin + count or bool(self.failures)), PATIENCE_S
            )
        return set(self.pids[begin:])

    async def _use(self, keeps: bool) -> None:
        while not self._is_over:
            try:
                reader, writer = await asyncio.open_connection(*self._address)
                await self._exchange(reader, writer, keeps)
                writer.close()
            except (OSError, EOFError) as error:
                self.failures.append(repr(error))
                return

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keeps: bool) -> None:
        is_last = False
        while not (is_last or self._is_over):
            persistence = b"keep-alive" if keeps else b"close"
            writer.write(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: %b\r\n\r\n" % persistence)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None
            body = await asyncio.wait_for(reader.readexactly(int(length[1])), PATIENCE_S)
            is_last = b"connection: close" in head
            async with self._answered:
                self.pids.append(int(body))
                self._answered.notify_all()
            # So that the clients leave some of the machine to the others.
            await asyncio.sleep(0.005)


def run_load(gunicorn: Gunicorn, story: Callable[[Load], Awaitable[None]]) -> Load:
    load = Load(gunicorn.address)
    asyncio.run(asyncio.wait_for(load.run(story), 3 * PATIENCE_S))
    print(len(load.pids), "answers of", len(set(load.pids)), "processes")
    assert load.failures == []
    return load


async def until(gunicorn: Gunicorn, pattern: str, count: int = 1) -> re.Match[str]:
    """``wait_for`` beside a running load."""
    return await asyncio.to_thread(gunicorn.wait_for, pattern, count)


def test_no_request_is_lost_when_workers_are_restarted_added_and_removed(start: Start) -> None:
    gunicorn = start("-w", "2", "--graceful-timeout", "10")
    gunicorn.wait_until_started(2)

    async def story(load: Load) -> None:
        old = await load.answers(200)
        gunicorn.send_signal(signal.SIGHUP)
        await until(gunicorn, "Worker exiting", 2)
        new = await load.answers(200)
        assert not old & new
        gunicorn.send_signal(signal.SIGTTIN)
        await until(gunicorn, "Application startup complete", 5)
        gunicorn.send_signal(signal.SIGTTOU)
        await until(gunicorn, "Worker exiting", 3)
        await load.answers(200)

    load = run_load(gunicorn, story)
    assert len(load.pids) >= 500
    gunicorn.send_signal(signal.SIGTERM)
    assert gunicorn.wait() == 0


def test_no_request_is_lost_when_the_arbiter_is_upgraded(start: Start) -> None:
    gunicorn = start("--graceful-timeout", "10")
    gunicorn.wait_until_started()

    async def story(load: Load) -> None:
        old = await load.answers(100)
        gunicorn.send_signal(signal.SIGUSR2)
        await until(gunicorn, "Application startup complete", 2)
        gunicorn.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(gunicorn.wait) == 0
        assert not old & await load.answers(400)

    load = run_load(gunicorn, story)
    assert len(load.pids) >= 500
    os.kill(int(gunicorn.wait_for(r"Listening at: \S+ \((\d+)\)", 2)[1]), signal.SIGTERM)
    gunicorn.wait_for_all()
    gunicorn.wait_for("Application shutdown complete", 2)


def test_no_request_is_lost_when_workers_end_after_max_requests(start: Start) -> None:
    gunicorn = start("-w", "2", "--max-requests", "100", "--max-requests-jitter", "20", "--graceful-timeout", "10")
    gunicorn.wait_until_started(2)

    async def story(load: Load) -> None:
        await load.answers(500)
        await until(gunicorn, "Application startup complete", 4)

    load = run_load(gunicorn, story)
    assert len(set(load.pids)) >= 4
    gunicorn.wait_for(r"Maximum request limit of 1[012]\d exceeded", 2)
    gunicorn.send_signal(signal.SIGTERM)
    assert gunicorn.wait() == 0


# ---- heartbeat


def test_blocked_event_loop_is_shown_and_its_worker_replaced(start: Start) -> None:
    gunicorn = start("--timeout", "1")
    address = gunicorn.address
    gunicorn.wait_until_started()
    first = ask(address)[1]
    ask(address, "/block")
    gunicorn.wait_for("WORKER TIMEOUT")
    gunicorn.wait_for(r"\[CRITICAL\] The event loop gave no sign of life")
    gunicorn.wait_for(r"time\.sleep\(60\)")
    gunicorn.wait_until_started(2)
    assert ask(address)[1] != first
    gunicorn.send_signal(signal.SIGTERM)
    assert gunicorn.wait() == 0


def test_slow_startup_and_slow_drain_are_no_reason_to_be_killed(start: Start) -> None:
    # Without a heartbeat Gunicorn would kill the worker within two seconds, and a bit.
    gunicorn = start("--timeout", "1", env={"FIRST_STARTUP_S": "2.8"})
    address = gunicorn.address
    gunicorn.wait_until_started()
    with socket.create_connection(address) as client:
        client.settimeout(PATIENCE_S)
        client.sendall(GET % b"/sleep/2.8")
        gunicorn.wait_for("sleeping")
        # One more, one less: that is the oldest, which gets a SIGTERM every second now.
        gunicorn.send_signal(signal.SIGTTIN)
        gunicorn.wait_for("Handling signal: ttin")
        gunicorn.send_signal(signal.SIGTTOU)
        head, _, body = client.recv(65536).partition(b"\r\n\r\n")
        assert b"connection: close" in head
        assert body.isdigit()
    assert ask(address)[1] != body
    assert not any("WORKER TIMEOUT" in line for line in gunicorn.lines)
    gunicorn.send_signal(signal.SIGTERM)
    assert gunicorn.wait() == 0


def test_workers_end_when_the_arbiter_was_killed(start: Start) -> None:
    gunicorn = start("-w", "2")
    gunicorn.wait_until_started(2)
    gunicorn.send_signal(signal.SIGKILL)
    gunicorn.wait_for("Parent changed, shutting down", 2)
    gunicorn.wait_for_all()
    gunicorn.wait_for("Application shutdown complete", 2)


# ---- reload


def test_reload_serves_what_was_changed_and_shows_what_cannot_be_parsed(start: Start, tmp_path: Path) -> None:
    gunicorn = start("--reload", "--reload-engine", "poll")
    address = gunicorn.address
    gunicorn.wait_until_started()
    first = ask(address)[1]

    def change(text: str, count: int) -> None:
        (tmp_path / "app.py").write_text(text)
        while not gunicorn.has("Worker reloading", count, within_s=1.5):
            # The reloader had not looked at the file before that.
            os.utime(tmp_path / "app.py")
        gunicorn.wait_until_started(count + 1)

    change(APP.replace("async def app", "asink def app"), 1)
    head, body = ask(address)
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"SyntaxError" in body
    change(APP, 2)
    second = ask(address)[1]
    assert second.isdigit()
    assert second != first
    gunicorn.send_signal(signal.SIGTERM)
    assert gunicorn.wait() == 0
