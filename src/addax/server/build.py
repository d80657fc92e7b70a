"""The only place that wires objects: settings and an application become what makes the protocol of each connection."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
from collections.abc import Callable
from typing import cast

from addax.asgi.proxy_headers import ProxyRules
from addax.asgi.service import Service
from addax.asgi.state import ServerState
from addax.core.errors import ConfigError
from addax.core.registry import PARSERS, WEBSOCKETS, resolve
from addax.core.settings import LogSettings, ProxySettings, Settings
from addax.core.types import ASGIApp
from addax.core.wire import Connection
from addax.http1.connection import Http1Connection
from addax.http1.encode import DefaultFields
from addax.net.stream import Stream
from addax.net.timers import Wheel
from addax.observe.access import AccessLog
from addax.websocket.codec import Codec


class Assembly:
    """What one worker serves with.

    Args:
        settings: everything that was configured.
        app: the ASGI 3 application.
        state: the worker's counters.
        lifespan_state: what the application's startup left for its requests.
        loop: the running event loop.

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
    ) -> None:
        _, parser = resolve("--http", settings.http, PARSERS)
        codec = _find_codec(settings.ws)
        self.wheel = Wheel(loop)
        self.defaults = DefaultFields(settings.http1)
        self.access = _make_access_log(settings.log, loop)
        self.service = Service(
            app=app,
            settings=settings.http1,
            loop=loop,
            parser=parser,
            state=state,
            lifespan_state=lifespan_state,
            access=self.access,
            proxy=ProxyRules(settings.proxy) if settings.proxy.enabled else None,
            codec=codec,
            websocket=settings.websocket,
        )
        self._make_first = _find_first(settings.proxy, self.service, self.defaults)
        try:
            # Somebody's own class that cannot be made is told now: later, each client would be left hanging.
            Http1Connection(self.service, self.defaults)
        except Exception as error:
            raise ConfigError("--http", f"{settings.http!r} cannot be used: {error!r}") from error

    def make_protocol(self) -> asyncio.Protocol:
        """Make the protocol of one accepted connection."""
        # It has the methods, but not the base: compiled classes have one, and Stream's is Host.
        first = None if self._make_first is None else self._make_first()
        return cast("asyncio.Protocol", Stream(self.service, self.defaults, self.wheel, first))

    def flush_access_log(self) -> None:
        """Write the access lines that wait."""
        if self.access is not None:
            self.access.flush()

    def close(self) -> None:
        """Stop the clock work; no connection is left. The access log is complete."""
        self.wheel.close()
        if self.access is not None:
            self.access.close()


def _find_first(settings: ProxySettings, service: Service, defaults: DefaultFields) -> Callable[[], Connection] | None:
    """What makes the protocol that a connection begins with; None: it is HTTP."""
    if not settings.protocol:
        return None
    from addax.net.proxy_connection import ProxyProtocolConnection

    # Whom to trust holds also where forwarded fields are not looked at (--no-proxy-headers).
    rules = ProxyRules(dataclasses.replace(settings, enabled=True))
    return lambda: ProxyProtocolConnection(service, defaults, rules)


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
