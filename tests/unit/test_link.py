"""The words between a supervisor and its workers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from addax.core.link import READY, STOP, Link
from addax.core.place import Place


@pytest.fixture
def pair() -> Iterator[tuple[Link, socket.socket]]:
    ours, theirs = socket.socketpair()
    link = Link(ours)
    yield link, theirs
    link.close()
    theirs.close()


def test_words_arrive_whole_and_in_order(pair: tuple[Link, socket.socket]) -> None:
    link, theirs = pair
    other = Link(theirs)
    assert link.send(STOP, handover=True)
    assert link.send(READY)
    assert other.receive() == ([{"kind": "stop", "handover": True}, {"kind": "ready"}], False)
    assert other.receive() == ([], False)


def test_half_a_line_waits_for_its_end(pair: tuple[Link, socket.socket]) -> None:
    link, theirs = pair
    theirs.send(b'{"kind": "sto')
    assert link.receive() == ([], False)
    theirs.send(b'p"}\n{"kind"')
    assert link.receive() == ([{"kind": "stop"}], False)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"1", b'{"kind": 1}', b'{"sort": "stop"}', b"\xff"])
def test_what_is_no_message_is_not_one(pair: tuple[Link, socket.socket], line: bytes) -> None:
    link, theirs = pair
    theirs.send(line + b'\n{"kind": "ready"}\n')
    assert link.receive() == ([{"kind": "ready"}], False)


def test_end_of_the_other_side_is_told_with_its_last_words(pair: tuple[Link, socket.socket]) -> None:
    link, theirs = pair
    theirs.send(b'{"kind": "failed"}\n')
    theirs.close()
    assert link.receive() == ([{"kind": "failed"}], True)
    assert link.receive() == ([], True)
    assert not link.send(STOP)


def test_line_without_an_end_is_the_end(pair: tuple[Link, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    link, theirs = pair
    monkeypatch.setattr("addax.core.link._LINE_MAX_BYTES", 100)
    theirs.send(b"x" * 101)
    assert link.receive() == ([], False)
    theirs.send(b"x")
    assert link.receive() == ([], True)


def test_nobody_waits_for_who_reads_nothing(pair: tuple[Link, socket.socket]) -> None:
    link, _ = pair
    while link.send(STOP, text="x" * 60000):
        pass
    assert not link.send(STOP)


def test_programs_that_are_started_do_not_get_the_link(pair: tuple[Link, socket.socket]) -> None:
    link, _ = pair
    assert not os.get_inheritable(link.fileno())
    link.close()
    assert link.fileno() == -1


def test_place_passes_through_a_command_line() -> None:
    place = Place(2, 3, 4, 5, 6, 7, (8, 9), False)
    assert Place.parse(str(place)) == place
    assert place.fds == [4, 5, 6, 7, 8, 9]
    assert Place(0, 1, 4, 5).fds == [4, 5]
