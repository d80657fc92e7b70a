"""The sockets that a supervisor keeps for its workers."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from addax.core.errors import StartupError
from addax.core.settings import Bind, ListenSettings
from addax.supervise.sockets import WorkerSockets, read_sockets


def copy_all(text: str) -> dict[int, list[list[int]]]:
    """What a new process would inherit."""
    return {number: [[os.dup(fd) for fd in fds] for fds in groups] for number, groups in read_sockets(text).items()}


def test_all_workers_share_one_set() -> None:
    sockets = WorkerSockets(ListenSettings((Bind(port=0),)))
    assert sockets.for_worker(1) is sockets.for_worker(7)
    assert not sockets.are_separate
    sockets.forget(7)
    assert sockets.for_worker(7)
    sockets.close()
    sockets.close()


def test_each_worker_number_has_its_own_on_the_same_port() -> None:
    sockets = WorkerSockets(ListenSettings((Bind(port=0),), reuse_port=True))
    (first,), (second,) = sockets.for_worker(1), sockets.for_worker(2)
    assert first is not second
    assert first.getsockname() == second.getsockname()
    assert sockets.for_worker(2) == [second]
    assert sockets.are_separate
    sockets.forget(2)
    assert second.fileno() == -1
    # The first one keeps the port, whatever becomes of its worker.
    sockets.forget(1)
    assert first.fileno() >= 0
    sockets.close()


def test_successor_takes_what_was_bound(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    settings = ListenSettings((Bind(uds=path),))
    old = WorkerSockets(settings)
    text, fds = old.describe()
    copies = copy_all(text)
    assert len(fds) == 1
    new = WorkerSockets(settings, copies, inherited_files=old.files)
    old.leave_files()
    old.close()
    new.own_files()
    assert new.bound == [[path]]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    new.close()
    assert not os.path.exists(path)


def test_successor_that_gives_up_leaves_the_files(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    settings = ListenSettings((Bind(uds=path),))
    old = WorkerSockets(settings)
    WorkerSockets(settings, copy_all(old.describe()[0]), inherited_files=old.files).close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    old.close()
    assert not os.path.exists(path)


def test_files_stay_while_somebody_else_starts_on_the_same_sockets(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    sockets = WorkerSockets(ListenSettings((Bind(uds=str(path)),)))
    sockets.has_heir = True
    sockets.close()
    assert path.exists()


def test_successor_leaves_a_file_that_somebody_else_has_made_meanwhile(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    settings = ListenSettings((Bind(uds=path),))
    old = WorkerSockets(settings)
    os.unlink(path)
    theirs = WorkerSockets(settings)
    new = WorkerSockets(settings, copy_all(old.describe()[0]), inherited_files=old.files)
    old.leave_files()
    old.close()
    new.own_files()
    new.close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    theirs.close()
    assert not os.path.exists(path)


def test_files_of_given_sockets_are_removed_at_the_end(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(path)
        theirs.listen()
        WorkerSockets.given(ListenSettings((Bind(uds=path), Bind(uds=f"{path}.gone"))), [theirs]).close()
    assert not os.path.exists(path)


def test_successor_of_shared_sockets_shares_them_whatever_it_was_told() -> None:
    old = WorkerSockets(ListenSettings((Bind(port=0),)))
    copies = {0: [[os.dup(old.for_worker(1)[0].fileno())]]}
    new = WorkerSockets(ListenSettings((Bind(port=0),), reuse_port=True), copies)
    assert not new.are_separate
    assert new.for_worker(5)
    old.close()
    new.close()


def test_sockets_of_somebody_else_are_copied() -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        sockets = WorkerSockets.given(ListenSettings(), [theirs])
        assert sockets.bound == [[theirs.getsockname()]]
        sockets.close()
        assert theirs.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_file_of_a_unix_socket_can_be_given_away(tmp_path: Path) -> None:
    sockets = WorkerSockets(ListenSettings((Bind(uds=str(tmp_path / "x.sock")),)))
    sockets.chown(os.getuid(), os.getgid())
    assert (tmp_path / "x.sock").owner() == (tmp_path).owner()
    sockets.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": [1]}', '{"0": 1}', '{"0": ["x"]}'])
def test_what_names_no_sockets_is_refused(text: str) -> None:
    with pytest.raises(StartupError, match="cannot take over sockets"):
        read_sockets(text)


def test_successor_with_fewer_workers_leaves_no_queue_without_a_reader() -> None:
    old = WorkerSockets(ListenSettings((Bind(port=0),), reuse_port=True))
    for number in (1, 2, 3):
        old.for_worker(number)
    copies = copy_all(old.describe()[0])
    new = WorkerSockets(ListenSettings((Bind(port=0),), reuse_port=True), copies, workers_count=2)
    old.close()
    assert [len(new.for_worker(number)) for number in (1, 2)] == [2, 1]
    # A third worker has one of its own, not as many as the first.
    assert len(new.for_worker(3)) == 1
    assert [len(group) for group in new.bound] == [1]
    new.close()


def test_successor_takes_several_binds_and_all_their_files(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a", "b")]
    settings = ListenSettings((Bind(uds=paths[0]), Bind(port=0), Bind(uds=paths[1]), Bind(port=0)))
    old = WorkerSockets(settings)
    text, fds = old.describe()
    assert len(fds) == 4
    new = WorkerSockets(settings, copy_all(text), inherited_files=old.files)
    assert new.bound == old.bound
    old.leave_files()
    old.close()
    new.own_files()
    for path in paths:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
    new.close()
    assert list(tmp_path.iterdir()) == []


def test_several_ports_are_bound_for_each_worker() -> None:
    settings = ListenSettings((Bind(port=0), Bind(host="127.0.0.2", port=0)), reuse_port=True)
    old = WorkerSockets(settings)
    for number in (1, 2, 3):
        old.for_worker(number)
    new = WorkerSockets(settings, copy_all(old.describe()[0]), workers_count=2)
    assert new.bound == old.bound
    assert [len(new.for_worker(number)) for number in (1, 2, 3)] == [4, 2, 2]
    assert [sock.getsockname() for sock in new.for_worker(3)] == [address for (address,) in old.bound]
    old.close()
    new.close()
