"""The sockets that a supervisor keeps for its workers."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from addax.core.errors import StartupError
from addax.core.settings import ListenSettings
from addax.supervise.sockets import WorkerSockets, read_sockets


def test_all_workers_share_one_set() -> None:
    sockets = WorkerSockets(ListenSettings(port=0))
    assert sockets.for_worker(1) is sockets.for_worker(7)
    assert not sockets.are_separate
    sockets.forget(7)
    assert sockets.for_worker(7)
    sockets.close()
    sockets.close()


def test_each_worker_number_has_its_own_on_the_same_port() -> None:
    sockets = WorkerSockets(ListenSettings(port=0, reuse_port=True))
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
    settings = ListenSettings(uds=str(tmp_path / "x.sock"))
    old = WorkerSockets(settings)
    text, fds = old.describe()
    copies = {number: [os.dup(fd) for fd in found] for number, found in read_sockets(text).items()}
    assert len(fds) == 1
    new = WorkerSockets(settings, copies)
    old.leave_file()
    old.close()
    assert new.addresses == [settings.uds]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(settings.uds or "")
    new.close()
    assert not os.path.exists(settings.uds or "")


def test_successor_of_shared_sockets_shares_them_whatever_it_was_told() -> None:
    old = WorkerSockets(ListenSettings(port=0))
    copies = {0: [os.dup(old.for_worker(1)[0].fileno())]}
    new = WorkerSockets(ListenSettings(port=0, reuse_port=True), copies)
    assert not new.are_separate
    assert new.for_worker(5)
    old.close()
    new.close()


def test_sockets_of_somebody_else_are_copied() -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        sockets = WorkerSockets.given(ListenSettings(), [theirs])
        assert sockets.addresses == [theirs.getsockname()]
        sockets.close()
        assert theirs.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_file_of_a_unix_socket_can_be_given_away(tmp_path: Path) -> None:
    sockets = WorkerSockets(ListenSettings(uds=str(tmp_path / "x.sock")))
    sockets.chown(os.getuid(), os.getgid())
    assert (tmp_path / "x.sock").owner() == (tmp_path).owner()
    sockets.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": [1]}', '{"0": 1}', '{"0": ["x"]}'])
def test_what_names_no_sockets_is_refused(text: str) -> None:
    with pytest.raises(StartupError, match="cannot take over sockets"):
        read_sockets(text)


def test_successor_with_fewer_workers_leaves_no_queue_without_a_reader() -> None:
    old = WorkerSockets(ListenSettings(port=0, reuse_port=True))
    for number in (1, 2, 3):
        old.for_worker(number)
    copies = {number: [os.dup(fd) for fd in fds] for number, fds in read_sockets(old.describe()[0]).items()}
    new = WorkerSockets(ListenSettings(port=0, reuse_port=True), copies, workers_count=2)
    old.close()
    assert [len(new.for_worker(number)) for number in (1, 2)] == [2, 1]
    # A third worker has one of its own, not as many as the first.
    assert len(new.for_worker(3)) == 1
    assert len(new.addresses) == 1
    new.close()
