"""A connection that begins with a header of the PROXY protocol (``--proxy-protocol``), and is another one after it.

``server.build`` gives one to each ``Stream`` where the option is on; without it, nothing of this is imported. Only
peers whom ``--forwarded-allow-ips`` trusts may speak: a server that took the header from anybody, or guessed whether
there is one, would let each client choose its address (§5 of the specification).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from addax.asgi.proxy_headers import ProxyRules
from addax.asgi.service import Service
from addax.core.errors import RemoteProtocolError
from addax.core.report import InProgress
from addax.core.wire import Connection, Host, Peer
from addax.net.proxy_protocol import ProxyHeader, decode
from addax.net.resting import is_kept
from addax.observe.line import client_text

_logger = logging.getLogger("addax.error")


class ProxyProtocolConnection:
    """Reads the header, then hands the host over. Fills ``core.wire.Connection``.

    Args:
        service: knows the time, and how long a header may take.
        rules: whose headers are believed.
        make_next: makes what understands the bytes after the header, of HTTP or of TLS.
    """

    __slots__ = (
        "_connected_at",
        "_data",
        "_host",
        "_is_draining",
        "_is_over",
        "_make_next",
        "_peer",
        "_rest_s",
        "_rules",
        "_service",
    )

    def __init__(self, service: Service, rules: ProxyRules, make_next: Callable[[], Connection]) -> None:
        self._service = service
        self._rules = rules
        self._make_next = make_next
        #: What has come of the header.
        self._data = b""
        #: Closed, or handed over.
        self._is_over = False
        self._is_draining = False
        self._rest_s: float | None = None

    def connected(self, host: Host, peer: Peer) -> None:
        """The first call, once."""
        self._host = host
        self._peer = peer
        self._connected_at = self._service.now()
        if self._rules.trusts(peer):
            host.set_deadline(self._connected_at + self._service.settings.head_timeout_s)
        else:
            self._refuse("the peer is not among --forwarded-allow-ips")

    def receive_data(self, data: bytes) -> None:
        """Bytes from the peer; never raises."""
        if self._is_over:
            self._host.discarded()
            return
        self._data = self._data + data if self._data else data
        try:
            decoded = decode(self._data)
        except RemoteProtocolError as error:
            self._refuse(error.reason)
            return
        if decoded is not None:
            self._hand_over(*decoded)

    def receive_eof(self) -> bool:
        """The peer will send no more."""
        if self._data:
            self._refuse("the PROXY header ended in the middle")
        else:
            # That a port is open is all that some health checks want to know.
            self._close()
        return False

    def deadline_reached(self) -> None:
        """The header was to be here by now."""
        if self._data:
            self._refuse("the PROXY header did not arrive in time")
        else:
            self._close()

    def start_draining(self, rest_s: float | None = None) -> None:
        """The worker stops: see ``Http1Connection.start_draining``. A header that has begun has its time."""
        self._is_draining = True
        self._rest_s = rest_s
        if self._data or self._is_over:
            return
        service = self._service
        if not is_kept(self._host, service.now(), self._connected_at, rest_s, service.settings.head_timeout_s):
            self._close()

    def write_paused(self) -> None:
        """Nothing is written here."""

    def write_resumed(self) -> None:
        """Nothing is written here."""

    def notify_disconnect(self) -> None:
        """There is no request yet."""

    def in_progress(self) -> InProgress | None:
        """There is no request yet."""
        return None

    def lost(self, error: Exception | None) -> None:
        """The last call, once: the transport is gone."""
        self._is_over = True

    def _hand_over(self, header: ProxyHeader, size: int) -> None:
        """From here on it is a connection as if the client had made it."""
        leftover = self._data[size:]
        self._is_over = True
        self._data = b""
        following = self._make_next()
        self._host.replace(following, b"", self._find_peer(header))
        if self._is_draining:
            # A request that is here already is not to be lost because the time for idle connections is over.
            following.start_draining(None if leftover else self._rest_s)
        if leftover:
            following.receive_data(leftover)

    def _find_peer(self, header: ProxyHeader) -> Peer:
        """Who speaks from here on, and whether forwarded fields are believed of it.

        A proxy that hands bytes on has not written these fields. So its own trust does not count for a client that it
        does not know (UNKNOWN), nor does ``*``, which is for who may speak to this port, for one that it names.
        """
        peer = self._peer
        if not header.is_relayed:
            return peer
        if not header.has_addresses:
            return Peer(peer.client, peer.server, peer.scheme, False)
        named = Peer(header.client, header.server, peer.scheme)
        return Peer(named.client, named.server, named.scheme, self._rules.names(named))

    def _refuse(self, reason: str) -> None:
        """Close without an answer: the other side would not understand it, or is not to be told anything."""
        if not self._is_over:
            _logger.info(
                "%s - Connection closed, because of --proxy-protocol: %s", client_text(self._peer.client), reason
            )
        self._close()

    def _close(self) -> None:
        self._is_over = True
        self._data = b""
        self._host.close()


if TYPE_CHECKING:

    def _is_connection(connection: ProxyProtocolConnection) -> Connection:
        return connection
