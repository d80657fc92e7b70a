"""The two sides of a connection: what carries bytes (Host), and what understands them (Connection).

``net.stream.Stream`` and ``testing.FakeHost`` are Hosts; ``http1.connection.Http1Connection`` is a Connection. Neither
side imports the other, so that a protocol can be driven without a socket, and a transport without a protocol.

Structural types only: nothing inherits from them at run time (compiled classes cannot have several bases), and each
implementer proves that it fits with a guard line for the type checker.
"""

from __future__ import annotations

from typing import BinaryIO, NamedTuple, Protocol


class Peer(NamedTuple):
    """Who is at the other end, and at which of our addresses; the same for all requests of a connection."""

    #: Peer's ``(host, port)``; None on a Unix socket.
    client: tuple[str, int] | None
    #: Our ``(host, port)``, or ``(path, None)`` on a Unix socket.
    server: tuple[str, int | None] | None
    #: ``http`` or ``https``.
    scheme: str


class Host(Protocol):
    """What a Connection may ask of the thing that carries its bytes."""

    def write(self, data: bytes) -> None:
        """Send bytes; never waits. After a close it does nothing."""

    async def send_file(self, file: BinaryIO, offset: int, count: int) -> bool:
        """Send part of an open regular file with the kernel's help, after what was written before.

        Returns:
            False if this host has no such help; nothing was sent then, and the caller reads the file itself.

        Raises:
            OSError: the connection broke.
        """

    def write_buffer_size(self) -> int:
        """How many written bytes the peer has not taken yet."""

    def discarded(self) -> None:
        """Bytes came after ``close`` or ``linger``, and were thrown away."""

    def close(self) -> None:
        """Close after what was written has been sent; the peer gets the write timeout to take it."""

    def linger(self) -> None:
        """Stop sending, discard what arrives, then close: the peer can still read the answer (RFC 9112 §9.6)."""

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""

    def pause_reading(self) -> None:
        """Take no more bytes from the peer. Calling it twice is the same as once."""

    def resume_reading(self) -> None:
        """Undo ``pause_reading``."""

    def set_deadline(self, when: float | None) -> None:
        """Ask for ``deadline_reached`` at ``when``, seconds on ``core.clock.now``, or soon after it; None: never."""

    def replace(self, connection: Connection, leftover: bytes) -> None:
        """Hand the transport over to another protocol, with the bytes that it already has."""


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

    def start_draining(self) -> None:
        """The worker stops: finish what is in progress, take nothing new."""

    def notify_disconnect(self) -> None:
        """The worker will not wait much longer: tell the application of the request in progress."""

    def lost(self, error: Exception | None) -> None:
        """The last call, once: the transport is gone."""
