"""Talks WebSocket to a server over many connections, checks every answer, and takes the server's CPU time.

One thread, raw sockets and frames that were made before: a client of any library would be slower than the servers, and
a server that waits for its client sleeps and wakes up all the time, which is dear. This one makes about a hundred
thousand short messages a second where the fastest of the others answers half of that.
Every message that comes back is compared as a whole with the one that was sent; compressed ones are inflated first.
"""

from __future__ import annotations

import select
import socket
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType

from load import Measure
from servers import Running, ServerError
from ws_cases import (
    ACCEPT,
    CLOSE,
    COMPRESSED,
    DEFLATE_TAIL,
    FINAL,
    MASK,
    PING,
    PONG,
    Exchange,
    frame,
    handshake,
    read_frame,
)

READ_SIZE = 2**18
#: For a handshake, and for anything at all to arrive.
PATIENCE_S = 10.0
#: Beyond the seconds asked for, until all answers have to be there.
LATE_S = 30.0
WARM_UP_S = 0.2
#: For all connections together to be closed by the server.
CLOSE_S = 2.0
_OPCODE = 0x0F
_GOING_AWAY = frame(CLOSE, b"\x03\xe8", MASK)


class NotOfferedError(Exception):
    """A server cannot do what a case needs. Says what."""


class Client:
    """One open WebSocket.

    Args:
        server: for messages and the port.
        path: what to ask for.
        deflate: offer compression.

    Raises:
        NotOfferedError: compression was offered and not accepted.
        ServerError: the handshake failed.
    """

    __slots__ = (
        "_answer",
        "_done_count",
        "_incoming",
        "_inflater",
        "_message",
        "_name",
        "_opcode",
        "_outgoing",
        "_payloads",
        "is_compressed",
        "socket",
        "window_bits",
    )

    def __init__(self, server: Running, path: bytes, deflate: bool = False) -> None:
        self._name = server.name
        self._outgoing: bytes | memoryview = b""
        self._message = b""
        self.is_compressed = False
        self.expect(0, (), b"")
        self.socket = socket.create_connection(("127.0.0.1", server.port), PATIENCE_S)
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._shake_hands(path, deflate)
            self.socket.setblocking(False)
            # What came right behind the handshake: a ping at most.
            sum(self._messages())
        except OSError as error:
            self.socket.close()
            raise ServerError(f"{self._name}: the handshake failed: {error}") from error
        except BaseException:
            self.socket.close()
            raise

    def _shake_hands(self, path: bytes, deflate: bool) -> None:
        self.socket.sendall(handshake(path, deflate))
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = self.socket.recv(65536)
            if not data:
                raise ServerError(f"{self._name} closed the connection without a handshake: {answer[:100]!r}")
            answer += data
        head, _, rest = answer.partition(b"\r\n\r\n")
        self._incoming = bytearray(rest)
        status, *lines = head.split(b"\r\n")
        if not status.startswith(b"HTTP/1.1 101"):
            raise ServerError(f"{self._name} refused the handshake: {status.decode('latin-1')}")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        if fields.get(b"sec-websocket-accept") != ACCEPT:
            raise ServerError(f"{self._name} answered the handshake wrongly: {head!r}")
        accepted = fields.get(b"sec-websocket-extensions", b"").replace(b" ", b"").split(b";")
        self.is_compressed = accepted[0] == b"permessage-deflate"
        if deflate and not self.is_compressed:
            raise NotOfferedError("has not accepted permessage-deflate")
        parameters = dict(parameter.partition(b"=")[::2] for parameter in accepted[1:])
        self.window_bits = int(parameters.get(b"client_max_window_bits") or 15)
        self._inflater = None if b"server_no_context_takeover" in parameters else zlib.decompressobj(-15)

    def expect(self, opcode: int, payloads: Sequence[bytes], answer: bytes) -> None:
        """Say what has to come next.

        Args:
            opcode: of the messages.
            payloads: the messages.
            answer: all bytes of it, as most servers send it.
        """
        self._opcode, self._payloads, self._answer, self._done_count = opcode, payloads, answer, 0

    def send(self, data: bytes) -> bool:
        """Send as much as can be; returns whether that is all."""
        if self._outgoing:
            self._outgoing = bytes(self._outgoing) + data
            return False
        self._outgoing = memoryview(data)
        return self.flush()

    def flush(self) -> bool:
        """Send as much of what is left as can be; returns whether that is all."""
        with suppress(BlockingIOError):
            self._outgoing = self._outgoing[self.socket.send(self._outgoing) :]
        return not self._outgoing

    def receive(self) -> int:
        """Take what has come.

        Returns:
            How many messages it has completed, all of them as expected.

        Raises:
            ServerError: something else came.
        """
        try:
            data = self.socket.recv(READ_SIZE)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ServerError(f"{self._name} broke a connection: {error}") from error
        if not data:
            raise ServerError(f"{self._name} closed a connection")
        if data == self._answer and not self._incoming and not self._done_count and not self._message:
            self._done_count = len(self._payloads)
            return self._done_count
        self._incoming += data
        return sum(self._messages())

    def _messages(self) -> Iterator[int]:
        """1 for each message that is whole."""
        while (found := read_frame(self._incoming)) is not None:
            first, payload, size = found
            del self._incoming[:size]
            if first & _OPCODE == PING:
                self.send(frame(PONG, payload, MASK))
            elif first & _OPCODE == CLOSE:
                raise ServerError(f"{self._name} closed a WebSocket: {payload!r}")
            elif first & _OPCODE != PONG:
                yield self._take(first, payload)

    def _take(self, first: int, payload: bytes) -> int:
        if not self._message:
            # The first frame says what the message is; the first bytes of it are kept in front.
            self._message = bytes((first,))
        self._message += payload
        if not first & FINAL:
            return 0
        kind, message, self._message = self._message[0], self._message[1:], b""
        if kind & COMPRESSED:
            inflater = self._inflater or zlib.decompressobj(-15)
            message = inflater.decompress(message + DEFLATE_TAIL)
        if self._done_count >= len(self._payloads):
            raise ServerError(f"{self._name} sent a message that was not asked for: {message[:50]!r}")
        expected = self._payloads[self._done_count]
        if message != expected or kind & _OPCODE != self._opcode:
            what = f"{message[:50]!r}... ({len(message)} bytes, first byte {kind:#x})"
            raise ServerError(f"{self._name} answered with {what} instead of {expected[:50]!r}...")
        self._done_count += 1
        return 1


class FloorClient(Client):
    """Takes whatever has the right length: floors know no frames."""

    __slots__ = ()

    def receive(self) -> int:
        """As ``Client.receive``, without a look at what came."""
        with suppress(BlockingIOError):
            self._incoming += self.socket.recv(READ_SIZE)
        if len(self._incoming) < len(self._answer):
            return 0
        assert len(self._incoming) == len(self._answer)
        self._incoming.clear()
        return len(self._payloads)


class Party:
    """Clients that wait for the same message, and the one that sends it: for an echo that is one alone."""

    __slots__ = ("left_count", "members", "sender", "sent_at", "turn")

    def __init__(self, members: Sequence[Client], turn: int) -> None:
        self.members = members
        self.sender = members[0]
        self.turn = turn
        self.left_count = 0
        self.sent_at = 0.0


class Crowd:
    """Connections of one case to one server, open until the end of the ``with`` block.

    Args:
        server: to be talked to.
        exchange: what to say.
    """

    def __init__(self, server: Running, exchange: Exchange) -> None:
        self._server = server
        self._exchange = exchange
        self._clients: dict[int, Client] = {}
        self._parties: dict[int, Party] = {}
        self._turns: list[tuple[bytes, Sequence[bytes], bytes]] = []
        self._poll = select.epoll()

    def add(self, count: int) -> list[Party]:
        """Open more connections.

        Returns:
            Who talks to whom among them.

        Raises:
            NotOfferedError: the server cannot do what the case needs.
            ServerError: a handshake failed.
        """
        exchange, clients = self._exchange, []
        make = FloorClient if self._server.peer.is_floor else Client
        for _ in range(count):
            client = make(self._server, exchange.path, exchange.deflate)
            self._clients[client.socket.fileno()] = client
            self._poll.register(client.socket.fileno(), select.EPOLLIN)
            clients.append(client)
        parties = []
        for members in [clients] if exchange.is_broadcast else [[client] for client in clients]:
            # Each begins at another message.
            parties.append(Party(members, len(self._parties)))
            self._parties |= {member.socket.fileno(): parties[-1] for member in members}
        if not self._turns:
            self._turns = self._make_turns(clients[0].window_bits if exchange.deflate else None)
        return parties

    def _make_turns(self, window_bits: int | None) -> list[tuple[bytes, Sequence[bytes], bytes]]:
        exchange, step = self._exchange, self._exchange.batch_count
        requests = exchange.requests(window_bits)
        answers = requests if self._server.name == "floor-answer" else exchange.answers
        return [
            (b"".join(requests[at : at + step]), exchange.payloads[at : at + step], b"".join(answers[at : at + step]))
            for at in range(0, len(requests), step)
        ]

    def run(self, seconds: float, parties: Sequence[Party]) -> tuple[int, list[float]]:
        """Talk, one turn after the other, and wait for the last answers.

        Args:
            seconds: begin no turn after; 0: one turn each.
            parties: who talks; the others stay idle.

        Returns:
            How many messages were delivered, and for each turn how long it took, in seconds.

        Raises:
            ServerError: something was answered wrongly, late or not at all.
        """
        clock, poll, clients, party_of = time.perf_counter, self._poll.poll, self._clients, self._parties
        end = clock() + seconds
        give_up_at = end + LATE_S
        delivered_count, times = 0, []
        busy_count = len(parties)
        for party in parties:
            self._say(party, clock())
        while busy_count:
            events = poll(PATIENCE_S)
            if not events or clock() > give_up_at:
                raise ServerError(f"{self._server.name} does not answer {self._exchange.name} in time")
            for number, event in events:
                client = clients[number]
                if event & select.EPOLLOUT and client.flush():
                    self._poll.modify(number, select.EPOLLIN)
                if event == select.EPOLLOUT:
                    continue
                count = client.receive()
                if not count:
                    continue
                delivered_count += count
                party = party_of[number]
                party.left_count -= count
                if party.left_count == 0:
                    now = clock()
                    times.append(now - party.sent_at)
                    if now < end:
                        self._say(party, now)
                    else:
                        busy_count -= 1
        return delivered_count, times

    def _say(self, party: Party, now: float) -> None:
        data, payloads, answer = self._turns[party.turn % len(self._turns)]
        party.turn += 1
        party.sent_at = now
        party.left_count = len(payloads) * len(party.members)
        for member in party.members:
            member.expect(self._exchange.opcode, payloads, answer)
        if not party.sender.send(data):
            self._poll.modify(party.sender.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def wait(self, seconds: float) -> None:
        """Say nothing for a while, and answer pings.

        Raises:
            ServerError: a connection was closed, or a message came.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for number, _event in self._poll.poll(left):
                self._clients[number].receive()

    def close(self) -> None:
        """Say good-bye, and wait a moment until the server has closed all connections."""
        # A floor does not understand it.
        give_up_at = time.monotonic() + (0 if self._server.peer.is_floor else CLOSE_S)
        for client in self._clients.values():
            with suppress(OSError):
                client.send(_GOING_AWAY)
        for client in self._clients.values():
            client.socket.settimeout(max(give_up_at - time.monotonic(), 0.001))
            with suppress(OSError):
                while client.socket.recv(READ_SIZE):
                    pass
            client.socket.close()
        self._clients.clear()
        self._poll.close()

    def __enter__(self) -> Crowd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def load(server: Running, exchange: Exchange, seconds: float, connections_count: int | None = None) -> Measure:
    """Put load on a server with one case.

    Args:
        server: to be talked to.
        exchange: what to say.
        seconds: how long.
        connections_count: how many; None: as many as the case has.

    Returns:
        CPU time and rate are of a message that was delivered, latency is of a turn: from the first byte that is sent
        to the last that comes back, to all who receive it.

    Raises:
        NotOfferedError: the server cannot do what the case needs.
        ServerError: a handshake failed, or something was answered wrongly, late or not at all.
    """
    with Crowd(server, exchange) as crowd:
        parties = crowd.add(connections_count or exchange.connections_count)
        crowd.run(WARM_UP_S, parties)
        before, begun = server.cpu_s(), time.perf_counter()
        count, times = crowd.run(seconds, parties)
        cpu_s, wall_s = server.cpu_s() - before, time.perf_counter() - begun
    times.sort()
    return Measure(
        cpu_us=cpu_s / count * 1e6,
        rate=count / wall_s,
        p50_ms=times[len(times) // 2] * 1000,
        p99_ms=times[len(times) * 99 // 100] * 1000,
    )
