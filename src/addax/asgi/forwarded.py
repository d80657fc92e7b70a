"""What proxies write into forwarded fields: addresses with ports, host names, path prefixes, RFC 7239 elements.

Pure text in, checked values out: ``proxy_headers`` decides whom to believe, this decides what is well formed. Every
function takes bytes that a stranger may have written, says None to all that is not exactly right, and needs time in
proportion to their length.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

#: The longest host name in DNS; also bounds what is looked up and remembered.
HOST_MAX_CHARS = 253
_PREFIX_MAX_CHARS = 1024
#: Proxies in a row; a longer ``Forwarded`` is a client's doing.
_ELEMENT_MAX_COUNT = 64

_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LABEL = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
# RFC 3986 §3.3 pchar, without percent-encoding (the root path is decoded text) and without the comma (a list).
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+;=:@-]+)+/?")

# RFC 9110 §5.6.2 token, §5.6.4 quoted-string.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*"'
_PAIR = re.compile(rf"({_TOKEN})=(?:({_TOKEN})|({_QUOTED}))")
_ESCAPED = re.compile(r"\\(.)")
#: A quote that no odd number of backslashes precedes.
_BARE_QUOTE = re.compile(r'(?<!\\)(?:\\\\)*"')
# RFC 7239 §6: node-port may be an obfuscated identifier; it says nothing, and the address before it still counts.
_OBFUSCATED_PORT = re.compile(r"(.*):_[A-Za-z0-9._-]+", re.DOTALL)


class Element(NamedTuple):
    """One hop of a ``Forwarded`` field; the parameter ``by`` and unknown ones are dropped. Empty text: not said."""

    #: As ``split_host_port`` takes it.
    node: str
    proto: str
    host: str


def parse_ip(text: str) -> IPAddress | None:
    """An IP address in its text form; IPv4-mapped IPv6 (RFC 4291 §2.5.5.2) becomes IPv4, zones are not taken."""
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def parse_port(text: str) -> int | None:
    """A port, 1-65535, digits only."""
    if _PORT.fullmatch(text) is None or int(text) > 65535:
        return None
    return int(text)


def split_host_port(text: str) -> tuple[str, int] | None:
    """Split ``host``, ``host:port``, ``[v6]``, ``[v6]:port`` or bare IPv6; the host is not checked here.

    Returns:
        Host without brackets, and port, 0 if there is none. None if the brackets or the port are wrong.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        colon, digits = rest[:1], rest[1:]
        if not bracket or ":" not in host or colon not in ("", ":"):
            return None
    elif text.count(":") == 1:
        host, colon, digits = text.partition(":")
    else:
        return text, 0
    if not colon:
        return host, 0
    port = parse_port(digits)
    return None if port is None else (host, port)


def parse_host(text: str) -> tuple[str, int] | None:
    """A Host field value (RFC 9110 §7.2): DNS name, IPv4 or bracketed IPv6, with or without a port.

    Returns:
        Host (IPv6 without brackets) and port, 0 if there is none.
    """
    if len(text) > HOST_MAX_CHARS + len(":65535"):
        return None
    parts = split_host_port(text)
    if parts is None:
        return None
    host = parts[0]
    if text.startswith("["):
        return parts if parse_ip(host) is not None else None
    if len(host) > HOST_MAX_CHARS or _HOST_NAME.fullmatch(host) is None:
        return None
    # A last label of digits makes it an IPv4 address, and then it must be a valid one.
    if host.rstrip(".").rpartition(".")[2].isdigit() and parse_ip(host) is None:
        return None
    return parts


def parse_prefix(text: str) -> str | None:
    """A path prefix such as ``/api/v1``.

    Returns:
        The prefix without a slash at its end, so ``""`` for ``/``. None if it is not a clean absolute path.
    """
    if text == "/":
        return ""
    if len(text) > _PREFIX_MAX_CHARS or _PREFIX.fullmatch(text) is None:
        return None
    if ".." in text or "/./" in f"{text}/":
        return None
    return text.rstrip("/")


def parse_forwarded(lines: list[str]) -> list[Element]:
    """Read ``Forwarded`` fields (RFC 7239 §4) from the last hop to the first, as far as they are well formed.

    Each proxy adds at the right end, and what stands to the left may have been written by anybody: so the reading goes
    from right to left, and a quote that a client left open at the left cannot swallow what a proxy wrote after it.

    Args:
        lines: values of all ``Forwarded`` fields, in the order of the wire.

    Returns:
        Elements, last first, up to the first one that is malformed, and 64 at the most.
    """
    elements: list[Element] = []
    for line in reversed(lines):
        for text in _split_from_right(line, ","):
            element = None if text is None else _parse_element(text)
            if element is None or len(elements) == _ELEMENT_MAX_COUNT:
                return elements
            elements.append(element)
    return elements


def _split_from_right(text: str, separator: str) -> Iterator[str | None]:
    """Split outside quoted strings, last piece first; None at the end if what is left has an open quote.

    A separator is inside a quoted string exactly if the number of bare quotes to its right is odd: that needs no
    knowledge of what is to its left.
    """
    waiting: list[str] = []
    is_quoted = False
    for piece in reversed(text.split(separator)):
        waiting.append(piece)
        quotes = len(_BARE_QUOTE.findall(piece)) if "\\" in piece else piece.count('"')
        is_quoted ^= quotes % 2 == 1
        if not is_quoted:
            yield separator.join(reversed(waiting))
            waiting.clear()
    if waiting:
        yield None


def _parse_element(text: str) -> Element | None:
    """Read ``for=…;proto=…``; white space around the semicolons, which the RFC does not allow, is common and taken."""
    values: dict[str, str] = {}
    for piece in _split_from_right(text, ";"):
        piece = (piece or "").strip(" \t")
        if not piece:
            continue
        pair = _PAIR.fullmatch(piece)
        if pair is None:
            return None
        name, token, quoted = pair.groups()
        name = name.lower()
        if name in values:
            # RFC 7239 §4: "Each parameter MUST NOT occur more than once per field-value."
            return None
        values[name] = token if quoted is None else _ESCAPED.sub(r"\1", quoted[1:-1])
    return Element(_read_node(values.get("for", "")), values.get("proto", ""), values.get("host", ""))


def _read_node(text: str) -> str:
    obfuscated = _OBFUSCATED_PORT.fullmatch(text)
    if obfuscated is not None:
        text = obfuscated[1]
    if text.count(":") > 1 and not text.startswith("["):
        # RFC 7239 §6: an IPv6 address is always in brackets.
        return ""
    return text
