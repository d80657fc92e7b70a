"""What a supervisor inherits from the one before it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

import pytest

from addax.core.errors import StartupError
from addax.supervise.orphan import start_orphan
from addax.supervise.upgrade import VARIABLE, starting_directory, take_inheritance

PATIENCE_S = 10.0


def set_variable(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    monkeypatch.setenv(VARIABLE, json.dumps(fields))


def test_nothing_is_inherited_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert take_inheritance() is None


def test_inheritance_is_taken_once_and_tells_its_predecessor(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    sock = os.open(os.devnull, os.O_RDONLY)
    set_variable(monkeypatch, parent=os.getppid(), notify_fd=theirs.detach(), sockets=json.dumps({"0": [[sock]]}))
    found = take_inheritance()
    assert found is not None
    assert found.sockets == {0: [[sock]]}
    assert VARIABLE not in os.environ
    os.close(sock)

    async def main() -> None:
        released = asyncio.Event()
        found.tell_ready(asyncio.get_running_loop(), released.set)
        assert ours.recv(100) == b"ready\n"
        assert not released.is_set()
        ours.close()
        await asyncio.wait_for(released.wait(), PATIENCE_S)

    asyncio.run(main())


def test_predecessor_that_is_gone_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    set_variable(monkeypatch, parent=os.getppid(), notify_fd=theirs.detach(), sockets="{}")
    found = take_inheritance()
    assert found is not None
    ours.close()

    async def main() -> None:
        released = asyncio.Event()
        found.tell_ready(asyncio.get_running_loop(), released.set)
        await asyncio.wait_for(released.wait(), PATIENCE_S)

    asyncio.run(main())


def test_files_are_known_by_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    files = [["/run/app/http.sock", 7, 8]]
    with ours, theirs:
        set_variable(monkeypatch, parent=os.getppid(), notify_fd=theirs.fileno(), sockets="{}", files=files)
        found = take_inheritance()
        assert found is not None
        assert [(file.path, file.identity) for file in found.files] == [("/run/app/http.sock", (7, 8))]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"parent": "x", "notify_fd": 1, "sockets": "{}"}',
        '{"parent": 1, "notify_fd": 1, "sockets": "{}", "files": [["/x", 1]]}',
        '{"parent": 1, "notify_fd": 1, "sockets": "{}", "files": [[1, 1, 1]]}',
    ],
)
def test_what_is_not_from_a_supervisor_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(StartupError, match=VARIABLE):
        take_inheritance()


def test_variable_of_somebody_elses_child_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # It was left in an environment; the descriptors could be anything here.
    set_variable(monkeypatch, parent=os.getpid(), notify_fd=1, sockets="{}")
    with pytest.raises(StartupError, match="has not started this one"):
        take_inheritance()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not tell who has made a socket")
def test_who_was_adopted_knows_its_predecessor_by_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    set_variable(monkeypatch, parent=os.getpid(), notify_fd=theirs.fileno(), sockets="{}")
    found = take_inheritance()
    assert found is not None
    assert found.parent == os.getpid()
    ours.close()
    theirs.close()


@pytest.mark.skipif(sys.platform != "linux", reason="made for systemd")
def test_orphan_inherits_what_it_is_given_and_has_another_parent(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    code = (
        f"import os, socket; s = socket.socket(fileno={theirs.fileno()}); s.send(b'%s %d %d' % (os.environb[b'WORD'], "
    )
    code += "os.getpid(), os.getppid())); s.recv(1)"
    pid = start_orphan([sys.executable, "-c", code], str(tmp_path), {"WORD": "hello"}, [theirs.fileno()])
    theirs.close()
    ours.settimeout(PATIENCE_S)
    word, its_pid, its_parent = ours.recv(100).split()
    assert (word, int(its_pid)) == (b"hello", pid)
    assert int(its_parent) != os.getpid()
    ours.close()


def test_orphan_in_a_directory_that_is_gone_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        start_orphan([sys.executable], str(tmp_path / "gone"), {}, [])


def test_directory_is_named_as_it_was_when_the_process_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "release-1").mkdir()
    (tmp_path / "current").symlink_to("release-1")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    assert starting_directory() == str(tmp_path / "current")
    # Set by a shell that was somewhere else.
    monkeypatch.setenv("PWD", str(tmp_path))
    assert starting_directory() == str(tmp_path / "release-1")
    monkeypatch.setenv("PWD", "")
    assert starting_directory() == str(tmp_path / "release-1")
