"""A client that speaks TLS with a ``TlsLayer``, without a socket: OpenSSL on this side too, on ``testing.FakeHost``."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from addax import testing
from addax.asgi.redirect import redirect_clear, refuse_clear
from addax.asgi.service import Service
from addax.core.settings import Http1Settings
from addax.core.types import ASGIApp
from addax.core.wire import Connection, Peer
from addax.http1.connection import Http1Connection
from addax.http1.encode import DefaultFields
from addax.net.tls_layer import TlsLayer, TlsPort
from addax.net.tls_material import TlsMaterial

#: What a record of TLS begins with.
ALERT, HANDSHAKE, APPLICATION_DATA = 21, 22, 23


def make_port(
    app: ASGIApp,
    material: TlsMaterial,
    *,
    parser: str = "auto",
    redirect_to: int | None = None,
    handshake_timeout_s: float = 10.0,
    handshakes_max_count: int = 1024,
    settings: Http1Settings | None = None,
    **service: Any,
) -> TlsPort:
    """An encrypted port, as ``server.build`` makes one.

    Args:
        app: ASGI 3 application.
        material: certificates.
        parser: as for ``testing.make_service``, which gets the further arguments too.
        redirect_to: the port that clear HTTP is sent to; None: it is refused.
        handshake_timeout_s: as of ``TlsPort``.
        handshakes_max_count: likewise.
        settings: of HTTP.
    """
    settings = settings or Http1Settings()

    def make(application: ASGIApp) -> tuple[Service, Callable[[], Connection]]:
        made = testing.make_service(application, parser=parser, settings=settings, **service)
        return made, lambda: Http1Connection(made, DefaultFields(settings))

    serving, make_http = make(app)
    _, make_clear = make(refuse_clear() if redirect_to is None else redirect_clear(app, redirect_to, keeps_port=True))
    return TlsPort(serving, material, make_http, make_clear, handshake_timeout_s, handshakes_max_count)


class TlsClient:
    """One connection.

    Args:
        port: of the server.
        context: the client's; None: it speaks no TLS, and only ``fake`` is of use.
        name: of the host, for SNI.
        peer: who the client is.
        first: what understands the first bytes; None: a ``TlsLayer``.
        session: of an earlier connection, to be resumed.
        host: what takes the ciphertext; None: a new ``FakeHost``.

    Attributes:
        fake: ciphertext.
        tls: this side's OpenSSL.
        plain: what the server has said, decrypted.
        is_closed: the server has said ``close_notify``.
        fault: what OpenSSL thinks of what the server has said, an alert for example.
    """

    def __init__(
        self,
        port: TlsPort,
        context: ssl.SSLContext | None = None,
        name: str | None = "a.example",
        *,
        peer: Peer = testing.PEER,
        first: Connection | None = None,
        session: ssl.SSLSession | None = None,
        host: testing.FakeHost | None = None,
    ) -> None:
        self.fake = testing.FakeClient(port.service, peer=peer)
        if host is not None:
            host.on_event, host.on_resume = self.fake.host.on_event, self.fake.host.on_resume
            self.fake.host = host
        self.fake.host.deadline = None
        self.layer = TlsLayer(port) if first is None else first
        self.fake.host.attach(self.layer, peer)
        self.plain = bytearray()
        self.is_closed = False
        self.fault: ssl.SSLError | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._taken_count = 0
        if context is not None:
            self.tls = context.wrap_bio(
                self._incoming, self._outgoing, server_side=False, server_hostname=name, session=session
            )

    @property
    def is_open(self) -> bool:
        return self.fake.is_open

    @property
    def records(self) -> list[int]:
        """Kinds of the server's records."""
        return [record[0] for record in split_records(bytes(self.fake.host.written))]

    def hello(self) -> bytes:
        """The first flight."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()

    def finish(self) -> bytes:
        """The next flight, to what the server has said since; the last one, if it is TLS 1.3."""
        self._take()
        self.tls.do_handshake()
        return self._outgoing.read()

    async def handshake(self, step: int | None = None, before: bytes = b"") -> TlsClient:
        """All of it.

        Args:
            step: send in pieces of so many bytes.
            before: comes in the same piece as the first flight.

        Raises:
            OSError: it has failed.
        """
        await self.fake.send(before + self.hello(), step)
        while True:
            self._take()
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                flight = self._outgoing.read()
                if not flight:
                    raise ConnectionResetError("the server has nothing more to say") from None
                await self.fake.send(flight, step)
            else:
                break
        await self.fake.send(self._outgoing.read(), step)
        self.pull()
        return self

    def encrypt(self, data: bytes, record: int = 16384) -> bytes:
        """Ciphertext of it, in records of so many bytes."""
        for start in range(0, len(data), record):
            self.tls.write(data[start : start + record])
        return self._outgoing.read()

    def farewell(self) -> bytes:
        """This side's ``close_notify``."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
        return self._outgoing.read()

    async def send(self, data: bytes, step: int | None = None, record: int = 16384) -> None:
        """Encrypt and send, in pieces of so many bytes of ciphertext; then look what the server says."""
        await self.fake.send(self.encrypt(data, record), step)
        self.pull()

    def pull(self) -> None:
        """Decrypt what the server has said."""
        self._take()
        while self.fault is None and not self.is_closed:
            try:
                piece = self.tls.read(65536)
            except ssl.SSLWantReadError:
                return
            except ssl.SSLZeroReturnError:
                # Both sides have said it.
                piece = b""
            except ssl.SSLError as error:
                self.fault = error
                return
            self.plain += piece
            self.is_closed = not piece

    def responses(self, *methods: str) -> list[testing.Response]:
        """What the server has answered."""
        self.pull()
        assert not self.fake.host.faults
        return testing.parse_responses(bytes(self.plain), methods, closed=self.fake.host.ending is not None)

    def _take(self) -> None:
        new = bytes(self.fake.host.written[self._taken_count :])
        self._taken_count += len(new)
        self._incoming.write(new)


def split_records(data: bytes) -> list[bytes]:
    """Records of TLS, all of them whole."""
    records = []
    while data:
        size = 5 + int.from_bytes(data[3:5], "big")
        assert len(data) >= size, "half a record"
        records.append(data[:size])
        data = data[size:]
    return records
