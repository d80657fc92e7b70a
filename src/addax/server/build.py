"""The only place that wires objects: settings and an application become what makes the protocol of each connection."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from addax.asgi.proxy_headers import make_rules
from addax.asgi.redirect import redirect_clear, refuse_clear
from addax.asgi.service import Service
from addax.asgi.state import ServerState
from addax.core.errors import ConfigError
from addax.core.registry import PARSERS, WEBSOCKETS, resolve
from addax.core.settings import LogSettings, ProxySettings, Settings, TlsSettings
from addax.core.types import ASGIApp
from addax.core.wire import Connection
from addax.http1.connection import Http1Connection
from addax.http1.encode import DefaultFields
from addax.net.stream import Stream
from addax.net.timers import Wheel
from addax.observe.access import AccessLog
from addax.websocket.codec import Codec

if TYPE_CHECKING:
    from addax.net.tls_layer import TlsPort
    from addax.net.tls_material import TlsMaterial


class Assembly:
    """What one worker serves with.

    Args:
        settings: everything that was configured.
        app: the ASGI 3 application.
        state: the worker's counters.
        lifespan_state: what the application's startup left for its requests.
        loop: the running event loop.
        tls: certificates, where connections are encrypted.
        https_port: where clear HTTP is sent to, with ``--http-redirect``.

    Raises:
        ConfigError: the HTTP parser, the WebSocket codec or a trusted address cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        app: ASGIApp,
        state: ServerState,
        lifespan_state: dict[str, object],
        loop: asyncio.AbstractEventLoop,
        tls: TlsMaterial | None = None,
        https_port: int = 443,
    ) -> None:
        _, parser = resolve("--http", settings.http, PARSERS)
        codec = _find_codec(settings.ws)
        self.wheel = Wheel(loop)
        self.defaults = DefaultFields(settings.http1)
        self.access = _make_access_log(settings.log, loop)
        self._make_service = functools.partial(
            Service,
            settings=settings.http1,
            loop=loop,
            parser=parser,
            state=state,
            lifespan_state=lifespan_state,
            access=self.access,
            proxy=make_rules(settings.proxy) if settings.proxy.enabled else None,
            codec=codec,
            websocket=settings.websocket,
        )
        self.service = self._make_service(app=app)
        try:
            # Somebody's own class that cannot be made is told now: later, each client would be left hanging.
            Http1Connection(self.service, self.defaults)
        except Exception as error:
            raise ConfigError("--http", f"{settings.http!r} cannot be used: {error!r}") from error
        self._proxy = settings.proxy
        self._https_port = https_port
        #: What all encrypted connections share; None: none is.
        self.tls_port: TlsPort | None = None if tls is None else self._make_tls_port(settings.tls, tls)
        #: Makes the protocol of one accepted connection: encrypted, if there is a certificate.
        self.make_protocol = self._find_maker(None if self.tls_port is None else self._make_layer(self.tls_port))
        #: The same where it is not encrypted, though others are.
        self.make_clear_protocol = self.make_protocol
        if self.tls_port is not None:
            make_clear = self._make_redirected if settings.tls.redirects else None
            self.make_clear_protocol = self._find_maker(make_clear)

    def _find_maker(self, make_connection: Callable[[], Connection] | None) -> Callable[[], asyncio.Protocol]:
        """What makes protocols of connections; each begins with the PROXY protocol where that is spoken.

        Args:
            make_connection: makes what understands the bytes after that; None: it is HTTP.
        """
        make_first = make_connection
        if self._proxy.protocol:
            make_first = _make_proxied(self._proxy, self.service, make_connection or self._make_http)

        # It has the methods, but not the base: compiled classes have one, and Stream's is Host.
        make_stream = cast(
            "Callable[..., asyncio.Protocol]", functools.partial(Stream, self.service, self.defaults, self.wheel)
        )
        # Without a function of ours in between, which would cost a twentieth of what is done for a connection.
        return make_stream if make_first is None else lambda: make_stream(make_first())

    def _make_http(self) -> Connection:
        return Http1Connection(self.service, self.defaults)

    def _make_redirected(self) -> Connection:
        return Http1Connection(self._redirecting, self.defaults)

    @functools.cached_property
    def _redirecting(self) -> Service:
        return self._make_service(app=redirect_clear(self.service.app, self._https_port))

    def _make_clear_app(self, redirects: bool) -> ASGIApp:
        """What answers clear HTTP where it ought to be HTTPS."""
        return redirect_clear(self.service.app, self._https_port, keeps_port=True) if redirects else refuse_clear()

    def _make_tls_port(self, settings: TlsSettings, tls: TlsMaterial) -> TlsPort:
        # For who encrypts, and not at each start.
        from addax.net.tls_layer import TlsPort

        answering = self._make_service(app=self._make_clear_app(settings.redirects))

        def make_clear() -> Connection:
            return Http1Connection(answering, self.defaults)

        return TlsPort(
            self.service,
            tls,
            self._make_http,
            make_clear,
            settings.handshake_timeout_s,
            settings.handshakes_max_count,
        )

    @staticmethod
    def _make_layer(port: TlsPort) -> Callable[[], Connection]:
        from addax.net.tls_layer import TlsLayer

        return lambda: TlsLayer(port)

    def flush_access_log(self) -> None:
        """Write the access lines that wait."""
        if self.access is not None:
            self.access.flush()

    def close(self) -> None:
        """Stop the clock work; no connection is left. The access log is complete."""
        self.wheel.close()
        if self.access is not None:
            self.access.close()


def _make_proxied(
    settings: ProxySettings, service: Service, make_next: Callable[[], Connection]
) -> Callable[[], Connection]:
    """What makes the protocol that a connection begins with."""
    from addax.net.proxy_connection import ProxyProtocolConnection

    # Whom to trust holds also where forwarded fields are not looked at (--no-proxy-headers).
    rules = make_rules(dataclasses.replace(settings, enabled=True))
    return lambda: ProxyProtocolConnection(service, rules, make_next)


def _find_codec(name: str) -> type[Codec] | None:
    if name == "none":
        return None
    codec = resolve("--ws", name, WEBSOCKETS)[1]
    if not (isinstance(codec, type) and issubclass(codec, Codec)):
        raise ConfigError("--ws", f"{name!r} is not a subclass of addax.websocket.codec.Codec")
    return codec


def _make_access_log(settings: LogSettings, loop: asyncio.AbstractEventLoop) -> AccessLog | None:
    # Asked once: with nobody to read them, not even the times of a request are taken.
    if not settings.access_log:
        return None
    # In a context of its own: the first line of a batch is not to keep the context of its request alive.
    log = AccessLog(call_later=functools.partial(loop.call_later, context=contextvars.copy_context()))
    return log if log.is_enabled() else None
