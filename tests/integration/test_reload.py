"""``--reload``: real files, a real browser-like client that waits, and nothing left behind.

``ADDAX_TEST_RELOADS=100`` makes the long test as long as it can be.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import processes
import pytest
from harness import GET, PATIENCE_S, drain_socket
from supervised import Supervised

pytestmark = pytest.mark.network

RELOADS_COUNT = int(os.environ.get("ADDAX_TEST_RELOADS", "12"))


@contextmanager
def reloading(folder: Path, *args: str, **options: Any) -> Iterator[Supervised]:
    # The first line that a start of this kind writes about its address is written before there is a worker.
    with Supervised(folder, "--reload", "--reload-delay", "0.05", *args, workers=None, **options) as server:
        server.wait_for("Addax running on")
        server.wait_for("Started reloader process")
        yield server
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
    assert server.messages()[-1] == f"Stopping reloader process [{server.pid}]"


@pytest.mark.parametrize("backend", ["WatchFiles", "StatReload"])
def test_change_is_served_and_named(tmp_path: Path, backend: str) -> None:
    options: dict[str, Any] = {}
    if backend == "StatReload":
        # As if the package were not installed.
        (tmp_path / "shadow").mkdir()
        (tmp_path / "shadow" / "watchfiles.py").write_text("raise ImportError('not here')")
        options["env"] = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "shadow"), *python_path()])}
    with reloading(tmp_path, **options) as server:
        assert server.wait_for("Started reloader process").endswith(f"using {backend}")
        server.wait_for("started 1")
        with server.caller() as caller:
            assert caller.get("/version") == b"1"
        server.app.write("2")
        line = server.wait_for("detected changes")
        assert line == f"WARNING:  {backend} detected changes in 'app.py'. Reloading..."
        server.wait_for("Finished server process")
        with server.caller() as caller:
            assert caller.get("/version") == b"2"
    assert server.count_lines("Will watch for changes in these directories", str(tmp_path)) == 1


def python_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def test_request_waits_while_the_application_starts(tmp_path: Path) -> None:
    with reloading(tmp_path) as server:
        server.wait_for("started 1")
        server.app.set_startup("slow 1")
        server.app.write("2")
        server.wait_for("startup: slow")
        # Nobody accepts now.
        with server.caller() as caller:
            assert caller.get("/version") == b"2"


def test_mistake_is_shown_and_mended(tmp_path: Path) -> None:
    with reloading(tmp_path) as server:
        server.wait_for("started 1")
        server.app.write("2", has_syntax_error=True)
        server.wait_for("SyntaxError")
        server.wait_for("Waiting for a change to start it again")
        answers: list[bytes] = []
        # A request that comes meanwhile waits, too.
        thread = threading.Thread(target=lambda: answers.append(ask(server.address)))
        thread.start()
        server.app.write("3")
        server.wait_for("started 3")
        thread.join(PATIENCE_S)
        assert answers[0].endswith(b"\r\n\r\n3")


def ask(address: tuple[str, int]) -> bytes:
    with socket.create_connection(address, PATIENCE_S) as client:
        client.sendall(GET % b"/version")
        client.shutdown(socket.SHUT_WR)
        return drain_socket(client)


def test_first_start_with_a_mistake_waits_for_a_change(tmp_path: Path) -> None:
    (tmp_path / "import").write_text("fail")
    with reloading(tmp_path) as server:
        server.wait_for("Waiting for a change to start it again")
        server.app.set_import("")
        server.app.write("2")
        server.wait_for("started 2")


@pytest.mark.parametrize("target", ["/stream?s=600", "/block?s=600", "/sleep?s=600"])
def test_request_that_never_ends_holds_nothing_up(tmp_path: Path, target: str) -> None:
    with reloading(tmp_path) as server:
        server.wait_for("started 1")
        with server.caller() as caller:
            caller.ask(target)
            with server.caller() as other:
                if not target.startswith("/block"):
                    other.get("/pid")
            server.app.write("2")
            server.wait_for("started 2")


def test_includes_and_excludes_are_followed(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "ignored").mkdir()
    with reloading(tmp_path, "--reload-include", "*.html", "--reload-exclude", "ignored") as server:
        server.wait_for("started 1")
        (tmp_path / "ignored" / "x.py").write_text("")
        (tmp_path / "notes.txt").write_text("")
        (tmp_path / "templates" / "page.html").write_text("")
        line = server.wait_for("detected changes")
        assert "'templates/page.html'" in line
        assert "ignored" not in line
        assert "notes" not in line
        server.wait_for("started 1", 2)


@pytest.mark.slow
def test_many_reloads_leave_nothing_behind_and_refuse_nobody(tmp_path: Path) -> None:
    with reloading(tmp_path) as server:
        server.wait_for("started 1")
        stop = threading.Event()
        refused: list[OSError] = []
        answered = [0]

        def knock() -> None:
            while not stop.is_set():
                try:
                    with socket.create_connection(server.address, PATIENCE_S) as client:
                        client.sendall(GET % b"/version")
                        assert client.recv(1000).startswith(b"HTTP/1.1 200")
                        answered[0] += 1
                except OSError as error:
                    refused.append(error)
                stop.wait(0.02)

        thread = threading.Thread(target=knock)
        thread.start()
        try:
            before: dict[int, str] = {}
            for number in range(2, RELOADS_COUNT + 2):
                server.app.write(f"v{number}")
                server.wait_for(f"started v{number}")
                if number == 3:
                    before = server.open_fds()
            after = server.open_fds()
        finally:
            stop.set()
            thread.join()
        assert not refused
        assert answered[0] > RELOADS_COUNT
        assert len(after) <= len(before), (before, after)
        processes.until(lambda: len(server.all_descendants()) == 1, PATIENCE_S, server.describe)
    assert server.count_lines("detected changes") == RELOADS_COUNT


def test_application_object_cannot_be_reloaded(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import addax\nasync def app(*_): ...\naddax.run(app, reload=True, port=0)\n")
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "You must pass the application as an import string to enable 'reload' or 'workers'." in done.stderr
