"""What all connections of a worker share, put together once by ``server.build``."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import TYPE_CHECKING, Any

from addax.asgi.allowed_hosts import make_filter
from addax.asgi.exchange import ExchangeLog
from addax.asgi.scope import ScopeFactory
from addax.asgi.state import ServerState
from addax.core import clock
from addax.core.settings import Http1Settings, WebSocketSettings
from addax.core.types import ASGIApp
from addax.core.wire import Peer

if TYPE_CHECKING:
    from addax.asgi.proxy_headers import ProxyRules


class Service:
    """The application and everything that serving one of its requests needs.

    Args:
        app: the ASGI 3 application.
        settings: bounds and habits of its connections.
        loop: the event loop that all of this runs in.
        lifespan_state: ``scope["state"]`` as the lifespan left it; each request gets a shallow copy.
        state: counters.
        parser: fills ``http1.parser.Parser``.
        codec: fills ``websocket.codec.Codec``; None: no WebSocket is spoken, and who asks for one gets plain HTTP.
        websocket: bounds and habits of WebSockets.
        access: where finished requests are recorded; None: nowhere.
        proxy: whose forwarded fields are believed; None: nobody's.
    """

    __slots__ = (
        "_known_peers",
        "access",
        "app",
        "codec",
        "concurrency_max_count",
        "context",
        "gathers_writes",
        "hosts",
        "loop",
        "now",
        "parser",
        "proxy",
        "scopes",
        "settings",
        "starts_at_once",
        "state",
        "task_options",
        "websocket",
    )

    def __init__(
        self,
        app: ASGIApp,
        settings: Http1Settings,
        loop: asyncio.AbstractEventLoop,
        parser: Any,
        state: ServerState,
        lifespan_state: dict[str, Any] | None = None,
        access: ExchangeLog | None = None,
        proxy: ProxyRules | None = None,
        codec: Any = None,
        websocket: WebSocketSettings | None = None,
    ) -> None:
        self.app = app
        self.settings = settings
        self.loop = loop
        #: ``core.clock.now``, an attribute away instead of three.
        self.now = clock.now
        #: Tasks can begin before they are scheduled (Python 3.12), and nobody wants them made otherwise.
        self.starts_at_once = (
            sys.version_info >= (3, 12) and loop.get_task_factory() is None and not settings.reset_contextvars
        )
        #: uvloop sends what was written in one turn at once; other loops ask the kernel for each piece.
        self.gathers_writes = not type(loop).__module__.startswith("uvloop")
        #: How a task is made that begins at once. No name: each option costs.
        self.task_options: dict[str, Any] = {"loop": loop, "eager_start": True}
        self.concurrency_max_count = settings.concurrency_max_count
        #: Which hosts are served; None: all.
        self.hosts = make_filter(settings.allowed_hosts)
        #: What callbacks run in that no application's context may reach.
        self.context = contextvars.copy_context()
        self.parser = parser
        self.codec = codec
        self.websocket = WebSocketSettings() if websocket is None else websocket
        self.state = state
        self.scopes = ScopeFactory(settings.root_path, {} if lifespan_state is None else lifespan_state, state.shutdown)
        self.access = access
        self.proxy = proxy
        self._known_peers: dict[str, bool] = {} if proxy is None else proxy.known

    def rules_for(self, peer: Peer) -> ProxyRules | None:
        """What is done with the forwarded fields of a connection; None: they are not believed."""
        proxy = self.proxy
        if proxy is None or not peer.can_forward:
            return None
        client = peer.client
        # As ``ProxyRules.trusts`` does, without the call: most connections come from few hosts.
        is_trusted = None if client is None else self._known_peers.get(client[0])
        if is_trusted is None:
            is_trusted = proxy.trusts(peer)
        return proxy if is_trusted else None
