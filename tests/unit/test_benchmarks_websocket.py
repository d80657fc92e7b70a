"""The client of the WebSocket benchmark, against peers that follow a script: what it takes, what it calls a failure."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

if not hasattr(select, "epoll") or not hasattr(os, "sched_getaffinity"):
    pytest.skip("servers are measured on Linux", allow_module_level=True)

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import ws_load
import ws_measure
from peers import PEERS
from servers import ServerError
from ws_cases import (
    ACCEPT,
    CLOSE,
    COMPRESSED,
    EXCHANGES,
    MASK,
    PING,
    PONG,
    TEXT,
    Exchange,
    compress,
    frame,
)

PATIENCE_S = 10
ECHO, BROADCAST = EXCHANGES["echo-20"], EXCHANGES["broadcast"]
FIRST, SECOND = ECHO.payloads[:2]

Script = Callable[["Peer"], None]


@pytest.fixture(autouse=True)
def _no_wait_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # The peers here do not answer a close frame.
    monkeypatch.setattr(ws_load, "CLOSE_S", 0.0)


class Server:
    """What the client knows of a server that was started."""

    def __init__(self, port: int, name: str = "uvicorn") -> None:
        self.name, self.port, self.peer = name, port, PEERS[name]

    def cpu_s(self) -> float:
        return 1.0


class Peer:
    """The server's end of one connection."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self._data = b""

    def read(self, size: int) -> bytes:
        while len(self._data) < size:
            data = self.link.recv(65536)
            if not data:
                raise EOFError
            self._data += data
        data, self._data = self._data[:size], self._data[size:]
        return data

    def shake_hands(self, *fields: bytes, status: bytes = b"101 Switching Protocols", more: bytes = b"") -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.read(1)
        lines = [b"HTTP/1.1 " + status, b"Sec-WebSocket-Accept: " + ACCEPT, *fields]
        self.link.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + more)


@contextmanager
def serving(script: Script, connections_count: int = 1) -> Iterator[Server]:
    """A server that follows a script on each connection, and its failures after the block."""
    failures: list[BaseException] = []

    def follow(link: socket.socket) -> None:
        with link:
            link.settimeout(PATIENCE_S)
            try:
                script(Peer(link))
            except EOFError:
                pass
            except BaseException as error:
                failures.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        threads: list[threading.Thread] = []

        def accept() -> None:
            for _ in range(connections_count):
                threads.append(threading.Thread(target=follow, args=(listener.accept()[0],)))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        yield Server(listener.getsockname()[1])
        for thread in (accepting, *threads):
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
    assert not failures


def run_once(script: Script, exchange: Exchange = ECHO) -> int:
    """One turn on one connection; returns how many messages were delivered."""
    with serving(script) as server, ws_load.Crowd(server, exchange) as crowd:  # type: ignore[arg-type]
        return crowd.run(0, crowd.add(1))[0]


def test_every_connection_talks_and_messages_are_counted() -> None:
    requests, answers = ECHO.requests(None), ECHO.answers

    def script(peer: Peer) -> None:
        peer.shake_hands()
        while True:
            peer.link.sendall(answers[requests.index(peer.read(len(requests[0])))])

    with serving(script, 3) as server, ws_load.Crowd(server, ECHO) as crowd:  # type: ignore[arg-type]
        parties = crowd.add(3)
        assert crowd.run(0, parties)[0] == 3
        count, times = crowd.run(0.05, parties)
        assert count == len(times) >= 3
        # The others stay idle.
        assert crowd.run(0, parties[:1])[0] == 1


def test_messages_sent_in_one_go_are_all_awaited() -> None:
    batch = EXCHANGES["echo-20-batch"]

    def script(peer: Peer) -> None:
        peer.shake_hands()
        size = len(batch.requests(None)[0])
        assert peer.read(16 * size) == b"".join(batch.requests(None)[:16])
        # Cut where no frame ends.
        answer = b"".join(batch.answers[:16])
        peer.link.sendall(answer[:30])
        peer.link.sendall(answer[30:])

    assert run_once(script, batch) == 16


def test_broadcast_is_over_when_all_have_it() -> None:
    members: list[Peer] = []
    size = len(BROADCAST.requests(None)[0])

    def script(peer: Peer) -> None:
        members.append(peer)
        peer.shake_hands()
        while True:
            number = BROADCAST.requests(None).index(peer.read(size))
            for member in tuple(members):
                member.link.sendall(BROADCAST.answers[number])

    with serving(script, 5) as server, ws_load.Crowd(server, BROADCAST) as crowd:  # type: ignore[arg-type]
        parties = crowd.add(5)
        assert len(parties) == 1
        count, times = crowd.run(0, parties)
        assert (count, len(times)) == (5, 1)


def test_ping_is_answered_and_a_fragmented_message_taken() -> None:
    pongs = []

    def script(peer: Peer) -> None:
        peer.shake_hands()
        peer.read(len(ECHO.requests(None)[0]))
        peer.link.sendall(bytes((TEXT, 5)) + FIRST[:5] + frame(PING, b"") + frame(PONG, b"unasked"))
        peer.link.sendall(bytes((0x80, 15)) + FIRST[5:])
        pongs.append(peer.read(6))

    assert run_once(script) == 1
    assert pongs == [frame(PONG, b"", MASK)]


def test_idle_connections_answer_pings() -> None:
    pongs = []

    def script(peer: Peer) -> None:
        # The first one comes together with the handshake.
        peer.shake_hands(more=frame(PING, b"here?"))
        pongs.append(peer.read(11))
        peer.link.sendall(frame(PING, b"there?"))
        pongs.append(peer.read(12))
        # That ends the wait: a peer that closes is a failure.
        peer.link.sendall(frame(CLOSE, b"\x03\xe9"))

    with serving(script) as server, ws_load.Crowd(server, ECHO) as crowd:  # type: ignore[arg-type]
        crowd.add(1)
        with pytest.raises(ServerError, match="closed a WebSocket"):
            crowd.wait(PATIENCE_S)
    assert pongs == [frame(PONG, b"here?", MASK), frame(PONG, b"there?", MASK)]


@pytest.mark.parametrize("takeover", [True, False])
def test_compressed_answers_are_inflated_and_compared(takeover: bool) -> None:
    exchange = EXCHANGES["echo-20-deflate"]
    more = b"" if takeover else b"; server_no_context_takeover"

    def script(peer: Peer) -> None:
        peer.shake_hands(b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10" + more)
        for number in range(2):
            request = exchange.requests(10)[number]
            assert peer.read(len(request)) == request
            peer.link.sendall(frame(TEXT, compress(exchange.payloads[number], 15), flags=COMPRESSED))

    with serving(script) as server, ws_load.Crowd(server, exchange) as crowd:  # type: ignore[arg-type]
        parties = crowd.add(1)
        assert [crowd.run(0, parties)[0] for _ in range(2)] == [1, 1]


def test_a_server_without_compression_is_no_failure() -> None:
    with pytest.raises(ws_load.NotOfferedError, match="permessage-deflate"):
        run_once(lambda peer: peer.shake_hands(), EXCHANGES["echo-4k-deflate"])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (frame(TEXT, SECOND), "instead of"),
        (frame(TEXT, FIRST[:-1] + b"X"), "instead of"),
        (frame(TEXT, FIRST + b"X"), "instead of"),
        (frame(2, FIRST), "instead of"),
        (frame(CLOSE, b"\x03\xf3"), "closed a WebSocket"),
        (b"", "closed a connection"),
    ],
)
def test_a_wrong_answer_is_a_failure(answer: bytes, reason: str) -> None:
    def script(peer: Peer) -> None:
        peer.shake_hands()
        peer.read(len(ECHO.requests(None)[0]))
        peer.link.sendall(answer)

    with pytest.raises(ServerError, match=reason):
        run_once(script)


def test_a_message_nobody_asked_for_is_a_failure() -> None:
    def script(peer: Peer) -> None:
        peer.shake_hands()
        peer.read(len(ECHO.requests(None)[0]))
        peer.link.sendall(ECHO.answers[0] + ECHO.answers[0])

    with pytest.raises(ServerError, match="not asked for"):
        run_once(script)


@pytest.mark.parametrize(
    ("status", "fields", "reason"),
    [
        (b"403 Forbidden", (), "refused the handshake: HTTP/1.1 403 Forbidden"),
        (b"101 Switching Protocols", (b"Sec-WebSocket-Accept: AAAA",), "answered the handshake wrongly"),
    ],
)
def test_a_bad_handshake_is_a_failure(status: bytes, fields: tuple[bytes, ...], reason: str) -> None:
    with pytest.raises(ServerError, match=reason):
        run_once(lambda peer: peer.shake_hands(*fields, status=status))


def test_who_takes_part() -> None:
    assert ws_measure.able(["uvicorn", "granian", "fastpysgi"]) == ["uvicorn", "uvicorn-wsproto", "granian"]
    assert ws_measure.able(["gunicorn"]) == ["gunicorn"]
    assert ws_measure.able(["gunicorn", "gunicorn-fast", "floor-app"]) == ["gunicorn-fast", "floor-app"]
