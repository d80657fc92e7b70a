"""The two sides of a connection: what carries bytes (Host), and what understands them (Connection).

``net.stream.Stream`` and ``testing.FakeHost`` are Hosts; ``http1.connection.Http1Connection`` is a Connection. Neither
side imports the other, so that a protocol can be driven without a socket, and a transport without a protocol.

Host is a base class, so that a compiled connection asks its host without a look-up. Connection is a structural type:
its implementers have bases of their own (compiled classes cannot have several), and prove that they fit with a guard
line for the type checker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:
    from addax.core.report import InProgress


class Peer:
    """Who is at the other end, and at which of our addresses; the same for all requests of a connection.

    Args:
        client: the peer's ``(host, port)``; None on a Unix socket.
        server: our ``(host, port)``, or ``(path, None)`` on a Unix socket.
        scheme: ``http`` or ``https``.
        can_forward: False: its forwarded fields are not believed, whoever is trusted. For peers that a proxy has told
            of, instead of those that the connection comes from.
        tls: the ASGI extension ``tls``, for an encrypted connection; it is part of every scope.
    """

    __slots__ = ("can_forward", "client", "scheme", "server", "tls")

    def __init__(
        self,
        client: tuple[str, int] | None,
        server: tuple[str, int | None] | None,
        scheme: str = "http",
        can_forward: bool = True,
        tls: dict[str, Any] | None = None,
    ) -> None:
        self.client = client
        self.server = server
        self.scheme = scheme
        self.can_forward = can_forward
        self.tls = tls

    def __repr__(self) -> str:
        return f"Peer(client={self.client!r}, server={self.server!r}, scheme={self.scheme!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Peer):
            return NotImplemented
        return (self.client, self.server, self.scheme, self.can_forward) == (
            other.client,
            other.server,
            other.scheme,
            other.can_forward,
        )

    def __hash__(self) -> int:
        return hash((self.client, self.server, self.scheme))


def write_nothing(data: bytes) -> None:
    """Stands in for a transport that is not there yet or not any more."""


class Host:
    """What a Connection may ask of the thing that carries its bytes."""

    __slots__ = ("write",)

    def __init__(self) -> None:
        #: Sends bytes; never waits. After a close it does nothing. An attribute, so that it can be the transport's own
        #: method.
        self.write: Callable[[bytes], None] = write_nothing

    async def send_file(self, file: BinaryIO, offset: int, count: int) -> bool:
        """Send part of an open regular file with the kernel's help, after what was written before.

        Returns:
            False if this host has no such help; nothing was sent then, and the caller reads the file itself.

        Raises:
            OSError: the connection broke.
        """
        raise NotImplementedError

    def write_buffer_size(self) -> int:
        """How many written bytes the peer has not taken yet."""
        raise NotImplementedError

    def discarded(self) -> None:
        """Bytes came after ``close`` or ``linger``, and were thrown away."""
        raise NotImplementedError

    def close(self) -> None:
        """Close after what was written has been sent; the peer gets the write timeout to take it."""
        raise NotImplementedError

    def linger(self) -> None:
        """Stop sending, discard what arrives, then close: the peer can still read the answer (RFC 9112 §9.6)."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Take no more bytes from the peer. Calling it twice is the same as once."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """Undo ``pause_reading``."""
        raise NotImplementedError

    def set_deadline(self, when: float) -> None:
        """Ask for ``deadline_reached`` at ``when``, seconds on ``core.clock.now``, or soon after it; or ``NEVER``."""
        raise NotImplementedError

    def replace(self, connection: Connection, leftover: bytes, peer: Peer | None = None) -> None:
        """Hand the transport over to another protocol, with the bytes that it already has.

        Args:
            connection: is told ``connected``, and gets what comes from now on.
            leftover: bytes that its predecessor has not used.
            peer: who it shall think is at the other end; None: whom the transport knows.
        """
        raise NotImplementedError


class Connection(Protocol):
    """A protocol on one transport. All calls come from the event loop's thread."""

    def connected(self, host: Host, peer: Peer) -> None:
        """The first call, once."""

    def receive_data(self, data: bytes) -> None:
        """Bytes from the peer. Never raises: the peer's faults become an answer, ours are logged."""

    def receive_eof(self) -> bool:
        """The peer will send no more. Returns True to keep the sending side open for answers on their way."""

    def write_paused(self) -> None:
        """More than ``write_buffer_bytes`` wait for the peer."""

    def write_resumed(self) -> None:
        """The peer has taken most of what waited."""

    def deadline_reached(self) -> None:
        """The time given to ``set_deadline`` has come."""

    def start_draining(self, rest_s: float | None = None) -> None:
        """The worker stops: finish what is in progress, take nothing new.

        Args:
            rest_s: how long an idle connection must have been idle before it is closed, in seconds; None: as the
                protocol finds right.
        """

    def notify_disconnect(self) -> None:
        """The worker will not wait much longer: tell the application of the request in progress."""

    def in_progress(self) -> InProgress | None:
        """The request whose application runs now. Asked by a thread that looks what holds the event loop."""

    def lost(self, error: Exception | None) -> None:
        """The last call, once: the transport is gone."""
