"""Who is the client when proxies stand before the server: whom to trust, and what their fields change in a scope.

``server.build`` makes one ``ProxyRules`` for each worker, by ``make_rules``. A connection asks ``trusts`` once, for its
peer, and calls ``apply`` for each of its requests if the answer was yes. ``ProxyHeadersMiddleware`` is the same for
applications that want to do it themselves, under the name and signature that uvicorn has for it.

The fields pass through trusted proxies, but clients write into them as well: only exactly valid values change a scope,
everything else leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from addax.asgi.forwarded import parse_forwarded, parse_host, parse_port, parse_prefix
from addax.asgi.trusted_peers import TrustedPeers
from addax.core.errors import ConfigError
from addax.core.settings import ProxySettings
from addax.core.types import ASGIApp, Receive, Scope, Send
from addax.core.wire import Peer

_FOR = b"x-forwarded-for"
_PROTO = b"x-forwarded-proto"
_HOST = b"x-forwarded-host"
_PORT = b"x-forwarded-port"
_PREFIX = b"x-forwarded-prefix"
_FORWARDED = b"forwarded"
#: Fields that are read only when ``ProxySettings.fields`` names them: a proxy that does not know one passes it on
#: from the client unseen.
_OPT_IN = {"host": _HOST, "port": _PORT, "prefix": _PREFIX, "forwarded": _FORWARDED}

#: What a proto value means for an HTTP and for a WebSocket scope.
_SCHEMES = {
    "http": {"http": "http", "https": "https", "ws": "http", "wss": "https"},
    "websocket": {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"},
}
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


#: Hosts that are remembered; when there are as many, all are forgotten.
_KNOWN_MAX = 1024


class ProxyRules:
    """What the forwarded fields of trusted peers change.

    ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are always read. ``ProxySettings.fields`` adds ``host``
    (``X-Forwarded-Host`` replaces the Host field), ``port`` (``X-Forwarded-Port``), ``prefix`` (``X-Forwarded-Prefix``
    goes before the root path) and ``forwarded`` (RFC 7239; where it is present, ``X-Forwarded-For``, ``-Proto``,
    ``-Host`` and ``-Port`` are not read).

    Args:
        settings: whom to trust and which fields to read.
        is_strict: as for ``TrustedPeers``.

    Raises:
        ConfigError: a malformed trusted host, or an unknown field.
    """

    def __init__(self, settings: ProxySettings, is_strict: bool = True) -> None:
        unknown = settings.fields - _OPT_IN.keys()
        if unknown:
            raise ConfigError("--forwarded-field", f"{min(unknown)!r} is not one of {', '.join(_OPT_IN)}")
        self._is_enabled = settings.enabled
        self._trusted = TrustedPeers(settings.trusted, is_strict)
        #: Hosts that connections came from: to take an address apart costs more than all else at their beginning.
        #: ``Service.rules_for`` looks here first.
        self.known: dict[str, bool] = {}
        self._wanted = frozenset({_FOR, _PROTO, *(_OPT_IN[name] for name in settings.fields)})

    def trusts(self, peer: Peer) -> bool:
        """Whether the word of this peer is taken; the same for all requests of its connection."""
        if not (self._is_enabled and peer.can_forward):
            return False
        if peer.client is None:
            return self._trusted.everybody or self.names(peer)
        host = peer.client[0]
        known = self.known.get(host)
        if known is None:
            known = self._trusted.everybody or self.names(peer)
            if len(self.known) >= _KNOWN_MAX:
                self.known.clear()
            self.known[host] = known
        return known

    def names(self, peer: Peer) -> bool:
        """Whether this very peer is in the list, by address, network, name or as one on a Unix socket."""
        if peer.client is None:
            return self._trusted.unix and (peer.server is None or peer.server[1] is None)
        # A link-local peer has its interface in the address: `fe80::1%eth0`.
        found = self._trusted.host(peer.client[0].partition("%")[0])
        return found is not None and found[1]

    def apply(self, scope: Scope) -> None:
        """Rewrite ``client``, ``scheme``, ``server``, ``headers`` and the paths of a trusted peer's scope, in place.

        The list of headers is replaced, never changed.
        """
        wanted = self._wanted
        fields = [field for field in scope["headers"] if field[0] in wanted]
        if fields:
            self._rewrite(scope, fields)

    def _rewrite(self, scope: Scope, fields: list[tuple[bytes, bytes]]) -> None:
        values: dict[bytes, list[str]] = {}
        for name, value in fields:
            values.setdefault(name, []).append(value.decode("latin-1").strip(" \t"))
        if _FORWARDED in values:
            self._apply_forwarded(scope, values)
        else:
            self._apply_x_forwarded(scope, values)

    def _apply_x_forwarded(self, scope: Scope, values: dict[bytes, list[str]]) -> None:
        if _PROTO in values:
            _set_scheme(scope, values[_PROTO][-1])
        if _FOR in values:
            entries = ",".join(values[_FOR]).split(",")
            self._set_client(scope, [entry.strip(" \t") for entry in reversed(entries)])
        _set_host(scope, _only(values.get(_HOST)))
        _set_port(scope, _only(values.get(_PORT)))
        _set_prefix(scope, _only(values.get(_PREFIX)))

    def _apply_forwarded(self, scope: Scope, values: dict[bytes, list[str]]) -> None:
        elements = parse_forwarded(values[_FORWARDED])
        hop_count = self._set_client(scope, [element.node for element in elements])
        if hop_count:
            # The outermost trusted proxy wrote this element: it alone saw what the client asked for.
            element = elements[hop_count - 1]
            _set_scheme(scope, element.proto)
            _set_host(scope, element.host)
        _set_prefix(scope, _only(values.get(_PREFIX)))

    def _set_client(self, scope: Scope, nodes: Sequence[str]) -> int:
        """Walk from the nearest hop to the first that is not trusted: that one is the client.

        An entry that is no address ends the walk, for what stands beyond it could be anybody's invention; the client is
        then the farthest trusted hop. If all are to be trusted, the farthest entry is taken and nothing else.

        Returns:
            How many entries were read.
        """
        if self._trusted.everybody:
            node = self._trusted.node(nodes[-1]) if nodes else None
            if node is not None:
                scope["client"] = node[:2]
            return len(nodes)
        hop_count = 0
        for text in nodes:
            hop_count += 1
            node = self._trusted.node(text)
            if node is None:
                break
            scope["client"] = node[:2]
            if not node[2]:
                break
        return hop_count


class HopCountRules(ProxyRules):
    """The same where it is known how many proxies a request comes through (``ProxySettings.hops_count``).

    The client is who the first of them names: that many entries from the right, whoever the proxies after it are. What
    stands further left was there before any of them. With fewer entries a proxy was gone round, and then no field is
    believed at all. In the other fields the same place of a list counts; a single value is that of the first proxy,
    which the others have passed on.
    """

    def __init__(self, settings: ProxySettings) -> None:
        super().__init__(settings)
        assert settings.hops_count is not None
        self._hops_count = settings.hops_count

    def _apply_x_forwarded(self, scope: Scope, values: dict[bytes, list[str]]) -> None:
        entries = ",".join(values.get(_FOR, ())).rsplit(",", self._hops_count)
        if _FOR not in values or len(entries) < self._hops_count:
            return
        self._set_client(scope, [entries[-self._hops_count].strip(" \t")])
        _set_scheme(scope, self._pick(values.get(_PROTO)))
        _set_host(scope, self._pick(values.get(_HOST)))
        _set_port(scope, self._pick(values.get(_PORT)))
        _set_prefix(scope, self._pick(values.get(_PREFIX)))

    def _apply_forwarded(self, scope: Scope, values: dict[bytes, list[str]]) -> None:
        elements = parse_forwarded(values[_FORWARDED])
        if len(elements) < self._hops_count:
            return
        element = elements[self._hops_count - 1]
        self._set_client(scope, [element.node])
        _set_scheme(scope, element.proto)
        _set_host(scope, element.host)
        _set_prefix(scope, self._pick(values.get(_PREFIX)))

    def _pick(self, lines: list[str] | None) -> str:
        """The entry of the first proxy; empty if it cannot be told which one that is."""
        entries = ",".join(lines or ()).rsplit(",", self._hops_count)
        if len(entries) == 1:
            return entries[0]
        return entries[-self._hops_count].strip(" \t") if len(entries) >= self._hops_count else ""


def make_rules(settings: ProxySettings) -> ProxyRules:
    """The rules that the settings ask for.

    Raises:
        ConfigError: as ``ProxyRules``.
    """
    return ProxyRules(settings) if settings.hops_count is None else HopCountRules(settings)


class ProxyHeadersMiddleware:
    """ASGI middleware that believes ``X-Forwarded-For`` and ``X-Forwarded-Proto`` of trusted peers.

    The server does this by itself (``--proxy-headers``); use the middleware where it must happen further inside.

    Args:
        app: the ASGI 3 application.
        trusted_hosts: as ``--forwarded-allow-ips``: a list, or text with commas. What the option would refuse is a name
            here, as in uvicorn, and logged as a warning: programs that have it by mistake go on working.
    """

    def __init__(self, app: ASGIApp, trusted_hosts: Sequence[str] | str = "127.0.0.1") -> None:
        self.app = app
        hosts = trusted_hosts.split(",") if isinstance(trusted_hosts, str) else trusted_hosts
        self.rules = ProxyRules(ProxySettings(trusted=tuple(hosts)), is_strict=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rewrite the scope if its peer is trusted, then call the application."""
        if scope["type"] in _SCHEMES:
            peer = Peer(scope.get("client"), scope.get("server"), scope.get("scheme", "http"))
            if self.rules.trusts(peer):
                self.rules.apply(scope)
        await self.app(scope, receive, send)


def _only(values: list[str] | None) -> str:
    """The value of a field that must not be repeated; empty if it is, for then one of them is a client's."""
    return values[0] if values is not None and len(values) == 1 else ""


def _set_scheme(scope: Scope, proto: str) -> None:
    scheme = _SCHEMES[scope["type"]].get(proto)
    if scheme is not None:
        scope["scheme"] = scheme


def _set_host(scope: Scope, host: str) -> None:
    if host and parse_host(host) is not None:
        rest = [field for field in scope["headers"] if field[0] != b"host"]
        scope["headers"] = [(b"host", host.encode("ascii")), *rest]


def _set_port(scope: Scope, digits: str) -> None:
    """The port that the client connected to, in ``server`` and where the Host field does not have one there too.

    Applications build their own URLs from the Host field, and few look at ``server``.
    """
    port = parse_port(digits)
    if port is None:
        return
    value = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    host = parse_host(value)
    server = scope.get("server")
    if server is not None and server[1] is not None:
        scope["server"] = (server[0], port)
    elif host is not None:
        scope["server"] = (host[0], port)
    if host is not None and host[1] == 0 and port != _DEFAULT_PORTS.get(scope.get("scheme", "http")):
        _set_host(scope, f"{value}:{port}")


def _set_prefix(scope: Scope, text: str) -> None:
    """Put a prefix before the root path, and so before the paths, which begin with the root path."""
    prefix = parse_prefix(text)
    if not prefix:
        return
    scope["root_path"] = prefix + scope.get("root_path", "")
    if scope["path"].startswith("/"):
        scope["path"] = prefix + scope["path"]
        if scope.get("raw_path") is not None:
            scope["raw_path"] = prefix.encode("ascii") + scope["raw_path"]
