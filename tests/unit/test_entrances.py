"""Which sockets are encrypted."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from addax.core.settings import Bind
from addax.net.listen import Listener
from addax.server.entrances import find_https_port, group, pair


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[list[socket.socket]]:
    """Two of TCP and one Unix socket."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        found.append(stack.enter_context(socket.socket(socket.AF_UNIX)))
        found[2].bind(str(tmp_path / "s"))
        yield found


def make_tls() -> Any:
    raise AssertionError


def make_clear() -> Any:
    raise AssertionError


CLEAR, COMMON = Bind(tls=False), Bind()


@pytest.mark.parametrize(
    ("counts", "binds", "sizes"),
    [
        ((1, 2), (COMMON, CLEAR), [1, 2]),
        ((3, 0), (COMMON, CLEAR), [3, 0]),
        ((), (COMMON, CLEAR), [3]),
        ((1, 1), (COMMON, CLEAR), [3]),
        ((1, 2), (COMMON,), [3]),
        ((3,), (COMMON,), [3]),
    ],
)
def test_sockets_that_were_given_are_told_apart_where_their_binds_are_known(
    sockets: list[socket.socket], counts: tuple[int, ...], binds: tuple[Bind, ...], sizes: list[int]
) -> None:
    groups = group(sockets, counts, binds)
    assert [len(one) for one in groups] == sizes
    assert [sock for one in groups for sock in one] == sockets


def test_what_a_socket_speaks_is_said_by_its_bind(sockets: list[socket.socket]) -> None:
    listener = Listener([sockets[:1], sockets[1:]])
    found = list(pair(listener, (CLEAR, COMMON), make_tls, make_clear))
    assert found == [(sockets[0], make_clear), (sockets[1], make_tls), (sockets[2], make_tls)]
    # Somebody else's sockets: all are what the certificate says.
    assert {make for _, make in pair(Listener([sockets]), (CLEAR, COMMON), make_tls, make_clear)} == {make_tls}


def test_port_of_https_is_the_first_that_is_encrypted(sockets: list[socket.socket]) -> None:
    listener = Listener([sockets[:1], sockets[2:], sockets[1:2]])
    ports = [sock.getsockname()[1] for sock in sockets[:2]]
    assert find_https_port(listener, (CLEAR, COMMON, COMMON)) == ports[1]
    assert find_https_port(listener, (COMMON, COMMON, CLEAR)) == ports[0]
    assert find_https_port(listener, (CLEAR, COMMON, CLEAR)) == 443
