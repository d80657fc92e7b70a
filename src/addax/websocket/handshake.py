"""The opening handshake: what a client must have said, and the fields that accept it.

That the request is GET over HTTP/1.1 with ``upgrade: websocket`` and has no body is HTTP's business and decided before;
so are Date, Server and the status line of the answer.

Implements: RFC 6455 §4.2 (server's side of the handshake), §4.4 (versions), §10.2 (origin), §11.3 (fields).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha1

from addax.core.errors import LocalProtocolError, RemoteProtocolError
from addax.core.headers import encode_fields
from addax.core.settings import WebSocketSettings
from addax.core.types import Headers
from addax.websocket.deflate import DeflateParameters, negotiate

#: Appended to the key (RFC 6455 §1.3).
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: 16 bytes as base64: of the last letter, only two bits are used.
_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: An origin as browsers write it (RFC 6454 §6.2): scheme, host, port unless it is the scheme's own.
_ORIGIN = re.compile(r"([a-z][a-z0-9+.\-]*://)(\*\.)?([a-z0-9_\-][a-z0-9_.\-]*|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http://": "80", "https://": "443", "ws://": "80", "wss://": "443"}

#: Fields of the answer that are not for the application to say.
_OWN_FIELDS = frozenset(
    (
        b"upgrade",
        b"connection",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"transfer-encoding",
        b"content-length",
    )
)


class Opening:
    """What a client said in its handshake.

    Attributes:
        key: its Sec-WebSocket-Key.
        subprotocols: in the order of its preference, as offered.
        deflate: what can be agreed about compression; None: nothing, or it is switched off.
    """

    __slots__ = ("deflate", "key", "subprotocols")

    def __init__(self, key: bytes, subprotocols: list[str], deflate: DeflateParameters | None) -> None:
        self.key = key
        self.subprotocols = subprotocols
        self.deflate = deflate


#: Field lines of handshakes, and bounds of what is kept of them. What is a client's own, or its secret, is not.
_shared_fields: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
_SHARED_MAX_COUNT = 256
_SHARED_MAX_BYTES = 256
_UNSHARED_FIELDS = frozenset((b"sec-websocket-key", b"cookie", b"authorization", b"x-forwarded-for", b"forwarded"))


def read_opening(method: str, headers: Headers, settings: WebSocketSettings) -> Opening:
    """Check a handshake.

    Args:
        method: of the request.
        headers: names lower-cased, values without surrounding white space.
        settings: whether compression is agreed to, and whose pages may connect.

    Raises:
        RemoteProtocolError: its ``status`` is that of the response: 426, not version 13 (the answer is to say
            ``sec-websocket-version: 13``); 403, a page of an origin that may not connect; 400, all the rest.
    """
    if method != "GET":
        raise RemoteProtocolError("a WebSocket handshake is a GET request")
    version: list[bytes] = []
    key: list[bytes] = []
    origin: list[bytes] = []
    protocols: list[bytes] = []
    extensions: list[bytes] = []
    for name, value in headers:
        if name == b"sec-websocket-version":
            version.append(value)
        elif name == b"sec-websocket-key":
            key.append(value)
        elif name == b"sec-websocket-protocol":
            protocols.append(value)
        elif name == b"sec-websocket-extensions":
            extensions.append(value)
        elif name == b"origin":
            origin.append(value)
    # Before the rest: another version may mean other things by it.
    if version != [b"13"]:
        raise RemoteProtocolError("Sec-WebSocket-Version is not 13", 426)
    if len(key) != 1 or _KEY.fullmatch(key[0]) is None:
        raise RemoteProtocolError("Sec-WebSocket-Key is not 16 bytes as base64")
    subprotocols = _read_subprotocols(b",".join(protocols)) if protocols else []
    deflate = negotiate(b", ".join(extensions)) if extensions else None
    if len(origin) > 1:
        raise RemoteProtocolError("more than one Origin field")
    # No browser leaves Origin out; whatever else connects could say in it what it likes (RFC 6455 §10.2).
    if settings.allowed_origins and origin and not _is_allowed(origin[0], settings.allowed_origins):
        raise RemoteProtocolError("pages of this origin may not connect", 403)
    return Opening(key[0], subprotocols, deflate if settings.deflate else None)


def share_fields(headers: Headers) -> None:
    """Put one object in the place of every field line that other WebSockets have as well.

    A scope lives as long as its WebSocket, and most clients say the same of themselves: but for the key, a thousand
    idle ones need not keep a thousand copies.

    Args:
        headers: changed in place.
    """
    for index, field in enumerate(headers):
        name, value = field
        if len(value) > _SHARED_MAX_BYTES or name in _UNSHARED_FIELDS:
            continue
        known = _shared_fields.get(field)
        if known is None:
            if len(_shared_fields) >= _SHARED_MAX_COUNT:
                _shared_fields.clear()
            _shared_fields[field] = field
        else:
            headers[index] = known


def _read_subprotocols(value: bytes) -> list[str]:
    subprotocols: dict[str, None] = {}
    for member in value.split(b","):
        member = member.strip(b" \t")
        if not member:
            # As in all lists (RFC 9110 §5.6.1.2).
            continue
        if _TOKEN.fullmatch(member) is None:
            raise RemoteProtocolError("Sec-WebSocket-Protocol is not a list of tokens")
        subprotocol = member.decode("ascii")
        if subprotocol in subprotocols:
            raise RemoteProtocolError("Sec-WebSocket-Protocol names one subprotocol twice")
        subprotocols[subprotocol] = None
    return list(subprotocols)


# ---- origins ---------------------------------------------------------------------------------------------------------


def is_origin_pattern(text: str) -> bool:
    """Whether this may stand in ``allowed_origins``.

    That is an origin (``https://example.com``, ``http://localhost:3000``), all subdomains of a host
    (``https://*.example.com``, not itself), ``null`` (pages without an origin), or ``*`` (all).
    """
    return text in ("*", "null") or _normal_origin(text) is not None


def _is_allowed(origin: bytes, allowed_origins: tuple[str, ...]) -> bool:
    exact, parents = _read_patterns(allowed_origins)
    if "*" in exact:
        return True
    # Latin-1 takes all bytes; those outside of ASCII match nothing.
    text = origin.decode("latin-1")
    normal = "null" if text == "null" else _normal_origin(text)
    if normal is None or "*" in normal:
        return False
    if normal in exact:
        return True
    scheme, separator, host = normal.partition("://")
    # All the parents of a.b.example.com, from the longest.
    while separator:
        _, separator, host = host.partition(".")
        if separator and f"{scheme}://{host}" in parents:
            return True
    return False


@lru_cache(maxsize=16)
def _read_patterns(allowed_origins: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """The origins that may connect, and those of which the subdomains may."""
    exact, parents = set(), set()
    for pattern in allowed_origins:
        normal = pattern if pattern in ("*", "null") else _normal_origin(pattern)
        if normal is None:
            # Refused where options are checked; lets nobody in.
            continue
        if "://*." in normal:
            parents.add(normal.replace("://*.", "://"))
        else:
            exact.add(normal)
    return frozenset(exact), frozenset(parents)


def _normal_origin(text: str) -> str | None:
    """Lower case, and no port where it is the scheme's own; None if it is no origin."""
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        return None
    scheme, star, host, port = match.groups()
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}{star or ''}{host}"
    return f"{scheme}{star or ''}{host}:{port}"


# ---- the answer ------------------------------------------------------------------------------------------------------


def accept_value(key: bytes) -> bytes:
    """Value of Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 §4.2.2)."""
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


def response_fields(opening: Opening, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The field lines that accept a handshake, each with its line end.

    Args:
        opening: of the request.
        subprotocol: chosen by the application from those offered; None or empty: none.
        headers: the application's own. A ``sec-websocket-protocol`` among them is taken as ``subprotocol``, which is
            what some applications do.

    Returns:
        Lines from ``upgrade`` on; of Date and Server only what the application has set.

    Raises:
        LocalProtocolError: the subprotocol was not offered, or is named in two ways that differ; or a header that HTTP
            does not allow, or that only the server may set.
    """
    fields = []
    for name, value in headers:
        lower = name.lower() if isinstance(name, bytes) else name
        if lower == b"sec-websocket-protocol":
            named = value.decode("latin-1") if isinstance(value, bytes) else value
            if subprotocol and subprotocol != named:
                raise LocalProtocolError(
                    f"two subprotocols are chosen: {subprotocol!r}, and {named!r} by a sec-websocket-protocol header"
                )
            subprotocol = named
        elif lower in _OWN_FIELDS:
            raise LocalProtocolError(f"header {name!r} of a WebSocket handshake is the server's to set")
        else:
            fields.append((name, value))
    own = b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: %b\r\n" % accept_value(opening.key)
    if subprotocol:
        if subprotocol not in opening.subprotocols:
            raise LocalProtocolError(
                f"subprotocol {subprotocol!r} was not offered by the client, which offered {opening.subprotocols!r}"
            )
        own += b"sec-websocket-protocol: %b\r\n" % subprotocol.encode("ascii")
    if opening.deflate is not None:
        own += b"sec-websocket-extensions: %b\r\n" % opening.deflate.response
    lines, _, _ = encode_fields(fields)
    return own + lines
