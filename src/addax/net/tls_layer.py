"""TLS between a host and the connection above it, without a socket: ciphertext on one side, requests on the other.

A ``Connection`` for the host below, which carries ciphertext, and a ``Host`` for the connection above, which sees
plain bytes. It is OpenSSL on two memory buffers (``ssl.MemoryBIO``), so it works on every loop and after a PROXY
header, and costs less than the loops' own TLS (``docs/architecture.md`` has the measurement). ``server.build`` gives
one to each ``Stream`` of a port that is encrypted; all of a worker share a ``TlsPort``.

Implements: RFC 8446 §6.1 and RFC 5246 §7.2.1 (close_notify before the end, and after the peer's the sending side may go
on), RFC 9112 §9.8 (an end without close_notify is an end, since framing tells whether a message is whole).
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from addax.asgi.service import Service
from addax.core.report import InProgress
from addax.core.wire import Connection, Host, Peer, write_nothing
from addax.net.resting import is_kept
from addax.net.tls_material import TlsMaterial
from addax.observe.line import client_text

_logger = logging.getLogger("addax.error")

#: The most that a record holds (RFC 8446 §5.1), so what one call of OpenSSL gives at most.
_RECORD_BYTES = 16384
#: What OpenSSL is given at once. Its buffers stay as large as they have been once, and most connections are idle:
#: without a bound, each that has sent a body of 1 MiB would keep 1.3 MiB of memory to its end (measured).
_FEED_BYTES = 32768
#: What TLS may say on its own account to a peer that takes nothing.
_UNREAD_MAX_BYTES = 4096
#: Of a long body, how much ciphertext may collect before it is handed on.
_FLUSH_BYTES = 262144
#: What the first record of TLS begins with (RFC 8446 §5.1: type handshake).
_HANDSHAKE_TYPE = 0x16


#: In the place of the buffers of a connection that is over.
_NO_BYTES = ssl.MemoryBIO()


class TlsPort:
    """What the TLS connections of one worker share.

    Args:
        service: knows the time, and the bounds of HTTP.
        material: certificates and rules; may be replaced at any time, for connections that come later.
        make_connection: makes what speaks inside of TLS.
        make_clear: makes what answers a client that speaks HTTP without TLS.
        handshake_timeout_s: how long a handshake may take, from the moment the connection was made.
        handshakes_max_count: how many may be in progress; for one more the oldest is given up.
    """

    def __init__(
        self,
        service: Service,
        material: TlsMaterial,
        make_connection: Callable[[], Connection],
        make_clear: Callable[[], Connection],
        handshake_timeout_s: float,
        handshakes_max_count: int,
    ) -> None:
        self.service = service
        self.material = material
        self.make_connection = make_connection
        self.make_clear = make_clear
        self.handshake_timeout_s = handshake_timeout_s
        self._handshakes_max_count = handshakes_max_count
        #: Handshakes in progress, the oldest first.
        self._handshakes: dict[TlsLayer, None] = {}

    def begin(self, layer: TlsLayer) -> None:
        """A handshake begins. Too many: who has waited longest gives way, as that is who means to wait."""
        if len(self._handshakes) >= self._handshakes_max_count:
            next(iter(self._handshakes)).give_way()
        self._handshakes[layer] = None

    def end(self, layer: TlsLayer) -> None:
        """It is over, one way or another; twice is harmless."""
        self._handshakes.pop(layer, None)


class TlsLayer(Host):
    """One connection's TLS. Fills ``core.wire.Connection`` too.

    Args:
        port: shared by the worker's connections.
    """

    __slots__ = (
        "_connected_at",
        "_has_peer_closed",
        "_host",
        "_incoming",
        "_inner",
        "_is_deaf",
        "_is_draining",
        "_is_over",
        "_is_partial",
        "_is_write_paused",
        "_material",
        "_object",
        "_outgoing",
        "_peer",
        "_port",
        "_read",
        "_rest_s",
        "_write",
    )

    def __init__(self, port: TlsPort) -> None:
        super().__init__()
        self._port = port
        #: What speaks inside; None until the handshake is complete.
        self._inner: Connection | None = None
        #: OpenSSL; None until the peer has said something, for a silent one is to cost nothing.
        self._object: ssl.SSLObject | None = None
        self._incoming: Any = None
        self._outgoing: Any = None
        self._read: Any = None
        self._write: Any = None
        #: Nothing is sent or decrypted any more.
        self._is_over = False
        #: What comes is thrown away: that, or the peer has said close_notify.
        self._is_deaf = False
        self._has_peer_closed = False
        #: OpenSSL has a part of a record already, and so more may come out than goes in.
        self._is_partial = False
        self._is_write_paused = False
        self._is_draining = False
        self._rest_s: float | None = None

    # ---- Connection: what the host below tells

    def connected(self, host: Host, peer: Peer) -> None:
        """The first call, once."""
        self._host = host
        self._peer = peer
        self._connected_at = self._port.service.now()
        self._port.begin(self)
        host.set_deadline(self._connected_at + self._port.handshake_timeout_s)

    def receive_data(self, data: bytes) -> None:
        """Ciphertext from the peer; never raises."""
        if self._inner is None or self._is_deaf:
            self._receive_early(data)
            return
        plain: bytes | None
        try:
            plain = self._decrypt(data)
        except ssl.SSLWantReadError:
            plain = None
            self._is_partial = True
        except ssl.SSLError as error:
            # What came before it in this piece was genuine, but OpenSSL would encrypt no answer to it.
            self._fail(error)
            return
        if self._outgoing.pending and not self._speak():
            return
        if plain:
            self._inner.receive_data(plain)
        if self._has_peer_closed:
            self._end_of_peer()

    def receive_eof(self) -> bool:
        """The peer has closed the transport's half. Inside, that is said once, after close_notify or here."""
        if self._inner is None:
            self._forget_handshake()
            return False
        if self._has_peer_closed:
            return not self._is_over
        self._has_peer_closed = True
        return self._inner.receive_eof()

    def write_paused(self) -> None:
        """Too much waits for the peer."""
        self._is_write_paused = True
        if self._inner is not None:
            self._inner.write_paused()

    def write_resumed(self) -> None:
        """The peer has taken enough."""
        self._is_write_paused = False
        if self._inner is not None:
            self._inner.write_resumed()
        if self._object is not None:
            # Last, as the host may say at once that this is too much again.
            self._speak()

    def deadline_reached(self) -> None:
        """The handshake was to be complete by now; later it is a matter of the connection inside."""
        if self._inner is not None:
            self._inner.deadline_reached()
        else:
            self._refuse("the handshake did not end in time")

    def start_draining(self, rest_s: float | None = None) -> None:
        """The worker stops: see ``Http1Connection.start_draining``. A handshake that has begun has its time."""
        self._is_draining = True
        self._rest_s = rest_s
        if self._inner is not None:
            self._inner.start_draining(rest_s)
        elif self._object is None and not self._is_over:
            port = self._port
            if not is_kept(self._host, port.service.now(), self._connected_at, rest_s, port.handshake_timeout_s):
                self._refuse("the server stops")

    def notify_disconnect(self) -> None:
        """The worker will not wait much longer: tell the request in progress."""
        if self._inner is not None:
            self._inner.notify_disconnect()

    def in_progress(self) -> InProgress | None:
        """The request whose application runs now."""
        return None if self._inner is None else self._inner.in_progress()

    def lost(self, error: Exception | None) -> None:
        """The last call, once: the transport is gone."""
        self._stop()
        self._lose(error)

    # ---- Host: what the connection inside asks

    async def send_file(self, file: BinaryIO, offset: int, count: int) -> bool:
        """The kernel cannot encrypt for us: the caller reads the file itself."""
        return False

    def write_buffer_size(self) -> int:
        """How many bytes, encrypted, the peer has not taken yet."""
        return self._host.write_buffer_size()

    def discarded(self) -> None:
        """Bytes came that nobody will look at."""
        self._host.discarded()

    def close(self) -> None:
        """Say so to the peer, and close."""
        if not self._is_over:
            self._say_goodbye()
            self._host.close()

    def linger(self) -> None:
        """Say so to the peer, and discard what arrives, undeciphered."""
        if not self._is_over:
            self._say_goodbye()
            self._host.linger()

    def abort(self) -> None:
        """Close at once; the peer sees that it was cut off."""
        self._stop()
        self._host.abort()

    def pause_reading(self) -> None:
        """Take no more bytes from the peer."""
        self._host.pause_reading()

    def resume_reading(self) -> None:
        """Undo ``pause_reading``."""
        self._host.resume_reading()

    def set_deadline(self, when: float) -> None:
        """Ask for ``deadline_reached``."""
        self._host.set_deadline(when)

    def replace(self, connection: Connection, leftover: bytes, peer: Peer | None = None) -> None:
        """Hand what is inside over to another protocol."""
        self._inner = connection
        connection.connected(self, self._peer if peer is None else peer)
        if leftover:
            connection.receive_data(leftover)

    # ---- the handshake

    def give_way(self) -> None:
        """Too many handshakes are in progress."""
        self._refuse("too many handshakes are in progress")

    def _receive_early(self, data: bytes) -> None:
        if self._is_deaf:
            # Not even looked at: OpenSSL would keep what comes after close_notify, without a bound.
            self._host.discarded()
            return
        if self._object is None:
            if data[0] != _HANDSHAKE_TYPE:
                self._take_clear(data)
                return
            self._open()
        tls = self._object
        assert tls is not None
        try:
            self._incoming.write(data)
            self._material.do_handshake(tls)
        except ssl.SSLWantReadError:
            self._flush()
        except OSError as error:
            # As ssl's errors are.
            self._fail(error)
        else:
            self._flush()
            self._complete(tls)

    def _open(self) -> None:
        if self._is_draining:
            # It has begun, and has its time.
            self._host.set_deadline(self._connected_at + self._port.handshake_timeout_s)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._material = self._port.material
        self._object = self._material.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._read = self._object.read
        self._write = self._object.write

    def _complete(self, tls: ssl.SSLObject) -> None:
        """The handshake has succeeded: HTTP begins."""
        self._forget_handshake()
        try:
            # Of the material that it began with: another one may be in use by now.
            facts = self._material.describe(tls)
        except (OSError, ValueError) as error:
            # The client's certificate is genuine, and has a name that cannot be read as text.
            self._fail(error)
            return
        peer = self._peer
        self._peer = Peer(peer.client, peer.server, "https", peer.can_forward, facts)
        self.write = self._encrypt
        has_more = bool(self._incoming.pending)
        inner = self._inner = self._port.make_connection()
        inner.connected(self, self._peer)
        if self._is_write_paused:
            # The host says so once, and may have said it of the handshake.
            inner.write_paused()
        if self._is_draining:
            # A request that is here already is not to be lost because the time for idle connections is over.
            inner.start_draining(None if has_more else self._rest_s)
        if has_more:
            self._is_partial = True
            self.receive_data(b"")

    def _take_clear(self, data: bytes) -> None:
        """No TLS. If it looks like HTTP, it is answered as HTTP; else nobody would understand an answer."""
        if not data[:1].isalpha():
            self._refuse("what came is neither TLS nor HTTP")
            return
        self._stop()
        clear = self._port.make_clear()
        self._host.replace(clear, b"", self._peer)
        if self._is_draining:
            clear.start_draining(None)
        clear.receive_data(data)

    def _forget_handshake(self) -> None:
        self._port.end(self)

    # ---- inside

    def _decrypt(self, data: bytes) -> bytes:
        """What is in all records that are whole.

        Raises:
            ssl.SSLWantReadError: none is.
            ssl.SSLError: one is not genuine, or is no record.
        """
        incoming = self._incoming
        # Room for what can be in it, and not more: most requests are far smaller than a record may be.
        room = len(data)
        if room > _FEED_BYTES:
            return self._decrypt_much(data)
        if self._is_partial or room > _RECORD_BYTES:
            room = _RECORD_BYTES
        incoming.write(data)
        plain: bytes = self._read(room)
        self._is_partial = False
        if not plain:
            self._has_peer_closed = True
        elif incoming.pending:
            pieces = [plain]
            self._read_rest(pieces)
            return b"".join(pieces)
        return plain

    def _decrypt_much(self, data: bytes) -> bytes:
        """More has come than OpenSSL is given at once."""
        pieces: list[bytes] = []
        view = memoryview(data)
        for start in range(0, len(data), _FEED_BYTES):
            self._incoming.write(view[start : start + _FEED_BYTES])
            self._read_rest(pieces)
            if self._has_peer_closed:
                break
        return b"".join(pieces)

    def _read_rest(self, pieces: list[bytes]) -> None:
        """More records than one have come."""
        incoming = self._incoming
        self._is_partial = False
        while incoming.pending:
            try:
                piece = self._read(_RECORD_BYTES)
            except ssl.SSLWantReadError:
                self._is_partial = True
                return
            if not piece:
                self._has_peer_closed = True
                return
            pieces.append(piece)

    def _speak(self) -> bool:
        """Send what TLS says on its own account, a new key for example. False: that is the end."""
        if not self._is_write_paused:
            self._flush()
        elif self._outgoing.pending > _UNREAD_MAX_BYTES:
            # It would never end: who asks for new keys again and again, and takes none of them.
            _logger.debug("%s - TLS connection closed: the client takes no answer", client_text(self._peer.client))
            self.abort()
            return False
        return True

    def _end_of_peer(self) -> None:
        """The peer has said that it sends no more."""
        self._is_deaf = True
        if self._is_over or self._inner is None:
            return
        if not self._inner.receive_eof():
            self.close()

    def _encrypt(self, data: bytes) -> None:
        """``write``, once the handshake is complete."""
        if not data:
            return
        try:
            if len(data) <= _FEED_BYTES:
                self._write_all(data)
                self._host.write(self._outgoing.read())
            else:
                self._encrypt_much(data)
        except ssl.SSLError as error:
            self._fail(error)

    def _encrypt_much(self, data: bytes) -> None:
        """A long body."""
        view = memoryview(data)
        pieces: list[bytes] = []
        size = 0
        for start in range(0, len(data), _FEED_BYTES):
            self._write_all(view[start : start + _FEED_BYTES])
            pieces.append(self._outgoing.read())
            size += len(pieces[-1])
            if size >= _FLUSH_BYTES:
                self._host.write(b"".join(pieces))
                pieces.clear()
                size = 0
        if pieces:
            self._host.write(b"".join(pieces))

    def _write_all(self, data: bytes | memoryview) -> None:
        count = self._write(data)
        while count < len(data):
            # OpenSSL takes all that it is given, as long as Python does not ask it to take a part.
            count += self._write(memoryview(data)[count:])

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._host.write(self._outgoing.read())

    def _say_goodbye(self) -> None:
        """close_notify, the last that is sent: without it the peer could not tell the end from a cut."""
        if self._inner is not None and self._object is not None:
            try:
                self._object.unwrap()
            except OSError:
                # It waits for the peer's, as a rule, and we do not.
                pass
            self._flush()
        self._stop()

    def _stop(self) -> None:
        """Nothing is sent or decrypted any more: OpenSSL's memory is not kept for who lingers, or refers to us."""
        self._is_over = self._is_deaf = True
        self.write = write_nothing
        self._forget_handshake()
        if self._object is not None:
            self._object = self._read = self._write = None
            self._incoming = self._outgoing = _NO_BYTES

    def _refuse(self, reason: str) -> None:
        """Close before the handshake is complete."""
        if not self._is_over:
            _logger.debug("%s - TLS connection closed: %s", client_text(self._peer.client), reason)
            self._say_goodbye()
            self._host.close()

    def _fail(self, error: Exception) -> None:
        """What the peer sent is no TLS, or not to be trusted: tell it, by the alert that OpenSSL has ready."""
        if self._is_over:
            return
        _logger.debug("%s - TLS connection failed: %s", client_text(self._peer.client), _reason_of(error))
        if self._object is not None:
            self._flush()
        self._stop()
        self._host.linger()
        # The host keeps the transport, for the alert to be read; nobody inside is to wait for that. Not in this moment:
        # one of its own calls may have led here.
        self._port.service.loop.call_soon(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        """What is inside hears of its end, once."""
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.lost(error)


def _reason_of(error: Exception) -> Any:
    """OpenSSL's reason without its source line."""
    return getattr(error, "reason", None) or error


if TYPE_CHECKING:

    def _is_connection(layer: TlsLayer) -> Connection:
        return layer
