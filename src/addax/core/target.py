"""What a request-target means: path, raw path and query of the ASGI scope.

Implements: RFC 9112 §3.2 (forms of the target), RFC 3986 §2.1 (percent-encoding), the ASGI HTTP scope's path fields.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TypeAlias
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
    if match is None or (match[1] and int(match[1]) > 65535):
        return False
    if value.startswith(b"[") and value[1:2] not in b"vV":
        try:
            ipaddress.IPv6Address(value[1 : value.index(b"]")].decode("ascii"))
        except ValueError:
            return False
    return True


#: Path (percent-decoded as UTF-8; what is not UTF-8 becomes U+FFFD), raw path and query as sent, and the authority of
#: the absolute form. A tuple: one is made for every request.
Target: TypeAlias = tuple[str, bytes, bytes, bytes | None]


def decode_path(raw_path: bytes) -> str:
    """Percent-decode a path; an escape that is none stays as it was sent."""
    if raw_path.find(b"%") < 0:
        return raw_path.decode("ascii")
    return unquote_to_bytes(raw_path).decode("utf-8", "replace")


# Targets without anything special that were seen: an application has few that are asked for again and again, and
# taking one apart costs several times a look-up. Small ones only, and cleared when full, so that a peer cannot make
# it grow.
_known: dict[bytes, Target] = {}
_KNOWN_MAX = 1024
_KNOWN_MAX_BYTES = 128


def parse_target(method: str, target: bytes) -> Target:
    """Take a request-target apart.

    Args:
        method: decides whether ``*`` is meant.
        target: not empty.

    Raises:
        RemoteProtocolError: 400, none of the forms that an origin server serves, or not visible ASCII.
    """
    known = _known.get(target)
    if known is not None:
        return known
    if not target.isascii() or not str(target, "ascii").isprintable() or target.find(b" ") >= 0:
        raise RemoteProtocolError("the request-target has a byte that is not visible ASCII")
    # ``find`` and not ``in``: bytes in bytes tries the left side as a number first, and fails, at ten times the cost.
    if target.find(b"#") >= 0:
        raise RemoteProtocolError("a fragment is not part of a request-target")
    if target.startswith(b"/"):
        raw_path, _, query = target.partition(b"?")
        parts = decode_path(raw_path), raw_path, query, None
        if len(target) <= _KNOWN_MAX_BYTES:
            if len(_known) >= _KNOWN_MAX:
                _known.clear()
            _known[target] = parts
        return parts
    if target == b"*" and method == "OPTIONS":
        return "*", target, b"", None
    return _parse_absolute(target)


def _parse_absolute(target: bytes) -> Target:
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise RemoteProtocolError("the request-target has none of the forms of RFC 9112 §3.2")
    authority: bytes = match[1]
    if not is_authority(authority):
        raise RemoteProtocolError("the request-target's authority is not a host with an optional port")
    raw_path = match[2] or b"/"
    return decode_path(raw_path), raw_path, (match[3] or b"?")[1:], authority
