"""Sockets that systemd has passed: which are taken, and what is said of those that cannot be."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from addax.config.binds import parse_bind
from addax.core.errors import StartupError
from addax.core.settings import Bind, ListenSettings
from addax.net import activation, listen


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """Three sockets that listen, on neighbouring descriptors; the environment speaks of them."""
    first = 200
    sockets = []
    for index in range(3):
        with socket.create_server(("127.0.0.1", 0)) as sock:
            os.dup2(sock.fileno(), first + index)
        sockets.append(socket.socket(fileno=first + index))
    monkeypatch.setattr(activation, "_FIRST_FD", first)
    monkeypatch.setattr(activation, "_passed", [])
    monkeypatch.setenv("LISTEN_FDS", "3")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDNAMES", "web:admin:web")
    yield sockets
    for sock in sockets:
        sock.close()


def addresses(option: str) -> list[object]:
    listener = listen.open_listener(ListenSettings((Bind(fd=option),)))
    try:
        return list(listener.addresses)
    finally:
        listener.close()


def names(sockets: list[socket.socket]) -> list[object]:
    return [sock.getsockname() for sock in sockets]


def test_all_sockets_are_taken_and_kept_to_this_process(sockets: list[socket.socket]) -> None:
    assert all(sock.get_inheritable() for sock in sockets)
    listen.check_free(ListenSettings((Bind(fd="systemd"),)), [[]])
    assert addresses("systemd") == names(sockets)
    assert not any(sock.get_inheritable() for sock in sockets)
    assert not {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} & os.environ.keys()
    # A second life of the same server.
    assert addresses("systemd") == names(sockets)


def test_sockets_of_a_name_are_taken(sockets: list[socket.socket]) -> None:
    assert addresses("systemd:web") == names([sockets[0], sockets[2]])
    assert addresses("systemd:admin") == names([sockets[1]])


def test_sockets_that_were_passed_are_one_bind_among_others(sockets: list[socket.socket]) -> None:
    binds = tuple(map(parse_bind, ("127.0.0.1:0", "systemd:web", "systemd:admin")))
    listener = listen.open_listener(ListenSettings(binds))
    try:
        first, web, admin = listener.bound
        assert (len(first), web, admin) == (1, names([sockets[0], sockets[2]]), names([sockets[1]]))
        assert listen.describe(binds[2], admin, "http") == ("socket ", str(sockets[1].getsockname()))
    finally:
        listener.close()
    with pytest.raises(StartupError) as caught:
        listen.open_listener(ListenSettings((*binds, parse_bind("systemd:api"))))
    reason = "systemd has passed no socket of the name 'api'; there is: web, admin"
    assert str(caught.value) == f"--bind systemd:api: {reason}"


def test_sockets_without_names_are_called_unknown(
    sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_FDNAMES", "web")
    assert addresses("systemd:unknown") == names(sockets[1:])


def refusal(option: str) -> str:
    with pytest.raises(StartupError) as caught:
        listen.open_listener(ListenSettings((Bind(fd=option),)))
    return str(caught.value)


def test_name_that_was_not_passed_is_refused_with_those_that_were(sockets: list[socket.socket]) -> None:
    assert refusal("systemd:api") == "systemd has passed no socket of the name 'api'; there is: web, admin"


def test_sockets_of_another_process_are_refused(sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    assert f"are for process 1 (LISTEN_PID), and this one is {os.getpid()}" in refusal("systemd")
    monkeypatch.delenv("LISTEN_PID")
    assert "are for process (none)" in refusal("systemd")


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        (None, "LISTEN_FDS says that systemd has passed no socket"),
        ("0", "systemd has passed no socket"),
        ("many", "LISTEN_FDS is 'many', which is no number"),
        ("4", "descriptor 203, which LISTEN_FDS speaks of: "),
    ],
)
def test_what_is_not_there_is_refused(
    sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch, count: str | None, reason: str
) -> None:
    if count is None:
        monkeypatch.delenv("LISTEN_FDS")
    else:
        monkeypatch.setenv("LISTEN_FDS", count)
    assert reason in refusal("systemd")


def test_socket_that_is_not_for_serving_is_refused(sockets: list[socket.socket]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        os.dup2(datagrams.fileno(), sockets[1].fileno())
    assert refusal("systemd") == "cannot listen on file descriptor 201: it is not a stream socket"
