"""What a request-target means: path, raw path and query of the ASGI scope.

Implements: RFC 9112 §3.2 (forms of the target), RFC 3986 §2.1 (percent-encoding), the ASGI HTTP scope's path fields.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from addax.core.errors import RemoteProtocolError

#: uri-host [":" port] (RFC 9110 §7.2, RFC 3986 §3.2.2). Empty hosts are refused: the http scheme has none (RFC 9110
#: §4.2.1).
_AUTHORITY = re.compile(
    rb"(?:\[(?:[0-9A-Fa-f:.]+|[vV][0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+)\]"
    rb"|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)"
    rb"(?::([0-9]{0,5}))?"
)
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?]*)(/[^?]*)?(\?.*)?", re.DOTALL)


def is_authority(value: bytes) -> bool:
    """Whether this is a host with an optional port, and nothing else."""
    match = _AUTHORITY.fullmatch(value)
    return match is not None and (not match[1] or int(match[1]) <= 65535)


class Target:
    """A request-target taken apart.

    Attributes:
        path: percent-decoded as UTF-8; what is not UTF-8 becomes U+FFFD.
        raw_path: as sent, without the query.
        query: as sent, without the question mark.
        authority: of the absolute form; None in the others.
    """

    __slots__ = ("authority", "path", "query", "raw_path")

    def __init__(self, path: str, raw_path: bytes, query: bytes, authority: bytes | None) -> None:
        self.path = path
        self.raw_path = raw_path
        self.query = query
        self.authority = authority


def decode_path(raw_path: bytes) -> str:
    """Percent-decode a path; an escape that is none stays as it was sent."""
    if b"%" not in raw_path:
        return raw_path.decode("ascii")
    return unquote_to_bytes(raw_path).decode("utf-8", "replace")


def parse_target(method: str, target: bytes) -> Target:
    """Take a request-target apart.

    Args:
        method: decides whether ``*`` is meant.
        target: visible ASCII, not empty.

    Raises:
        RemoteProtocolError: 400, none of the forms that an origin server serves.
    """
    if b"#" in target:
        raise RemoteProtocolError("a fragment is not part of a request-target")
    if target.startswith(b"/"):
        raw_path, _, query = target.partition(b"?")
        return Target(decode_path(raw_path), raw_path, query, None)
    if target == b"*" and method == "OPTIONS":
        return Target("*", target, b"", None)
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise RemoteProtocolError("the request-target has none of the forms of RFC 9112 §3.2")
    authority: bytes = match[1]
    if not is_authority(authority):
        raise RemoteProtocolError("the request-target's authority is not a host with an optional port")
    raw_path = match[2] or b"/"
    return Target(decode_path(raw_path), raw_path, (match[3] or b"?")[1:], authority)
