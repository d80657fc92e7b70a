"""The hosts that are served (``--allowed-host``): how patterns are written, and whether a request's Host is among them.

``config.texts`` reads the patterns with ``parse_pattern``; ``Service`` makes one ``AllowedHosts`` for each worker. A
connection asks it about each request, with the scope that the application would get.

Implements: RFC 9110 §4.2.3 (hosts are compared without regard to case, an absent or empty port is the scheme's own),
§7.4 (rejecting misdirected requests); RFC 1034 §3.1 (a dot at the end says only that the name is complete).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

from addax.core.types import Scope

_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_NAME_MAX_CHARS = 253
_PORT_MAX = 65535
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
#: Host fields that were found allowed; when there are as many, all are forgotten. Others are not remembered, or anybody
#: could push these out.
_KNOWN_MAX = 1024


class Pattern(NamedTuple):
    """One host, or all below it."""

    #: In the form in which hosts are compared: lower case, no dot at the end, IPv6 without brackets and shortened.
    host: str
    #: None: any.
    port: int | None
    #: Written as ``*.host``: the hosts below it are meant, and not itself.
    is_parent: bool


def parse_pattern(text: str) -> Pattern:
    """Read ``example.com``, ``*.example.com``, ``192.0.2.7`` or ``[2001:db8::1]``, with or without ``:port``.

    Raises:
        ValueError: it is none of these; the message is the reason.
    """
    given = text
    if text.count(":") > 1 and not text.startswith("["):
        text = f"[{text}]"
    if "://" in given or "/" in given:
        raise ValueError(f"{given!r} is not a host: leave scheme and path out")
    if not text.isascii():
        raise ValueError(f"{given!r} is not ASCII: write the name as clients send it, xn--…")
    if text.startswith("."):
        raise ValueError(f"{given!r} is not a host: write *{text} for all names below it")
    is_parent = text.startswith("*.")
    parts = _split(text[2:] if is_parent else text)
    if parts is None or (":" not in parts[0] and not _is_name(parts[0])):
        raise ValueError(f"{given!r} is not a host name, *.name or IP address, with or without a port")
    host, digits = parts
    # No top-level domain is a number: such a last label makes it an IPv4 address.
    is_ipv4 = ":" not in host and host.rpartition(".")[2].isdigit()
    if is_parent and (":" in host or is_ipv4):
        raise ValueError(f"{given!r}: nothing is below an IP address")
    if is_ipv4 and not _is_ipv4(host):
        raise ValueError(f"{given!r} is not an IP address")
    return Pattern(host, int(digits) if digits else None, is_parent)


class AllowedHosts:
    """Whether the host of a request is one of those that are served.

    Args:
        patterns: as ``parse_pattern`` takes them.

    Raises:
        ValueError: a pattern is none.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        #: Host, and the ports at which it is served; None: at all.
        self._hosts: dict[str, frozenset[int] | None] = {}
        self._parents: dict[str, frozenset[int] | None] = {}
        self._known: set[tuple[str, bytes]] = set()
        for text in patterns:
            host, port, is_parent = parse_pattern(text)
            table = self._parents if is_parent else self._hosts
            ports = table.get(host, frozenset())
            table[host] = None if port is None or ports is None else ports | {port}

    def allows(self, scope: Scope) -> bool:
        """Whether the application may have this request. One without a Host field (HTTP/1.0) names no host of ours."""
        for name, value in scope["headers"]:
            if name == b"host":
                key = (scope["scheme"], value)
                if key in self._known:
                    return True
                if not self._look_up(*key):
                    return False
                if len(self._known) >= _KNOWN_MAX:
                    self._known.clear()
                self._known.add(key)
                return True
        return False

    def _look_up(self, scheme: str, value: bytes) -> bool:
        # Latin-1 takes all bytes; those outside of ASCII match nothing.
        parts = _split(value.decode("latin-1"))
        if parts is None:
            return False
        host, digits = parts
        port = int(digits) if digits else _DEFAULT_PORTS.get(scheme, 0)
        if host in self._hosts and _has_port(self._hosts[host], port):
            return True
        # What stands before the parent is to be a name as well: "a%2f.example.com" is a host to RFC 3986, and a path to
        # applications that make URLs of it.
        if not self._parents or not _is_name(host):
            return False
        # All the parents of a.b.example.com, from the longest.
        while (dot := host.find(".")) >= 0:
            host = host[dot + 1 :]
            if host in self._parents and _has_port(self._parents[host], port):
                return True
        return False


def make_filter(patterns: tuple[str, ...]) -> AllowedHosts | None:
    """The filter for these patterns; None if every host is served: there are none, or ``*`` is among them."""
    return AllowedHosts(patterns) if patterns and "*" not in patterns else None


def _has_port(ports: frozenset[int] | None, port: int) -> bool:
    return ports is None or port in ports


def _split(text: str) -> tuple[str, str] | None:
    """Host, as hosts are compared, and the digits of the port, perhaps none; None if it cannot be taken apart."""
    if text.startswith("["):
        literal, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return None
        try:
            # A zone means something on the client's machine only.
            host = ipaddress.IPv6Address(literal).compressed if "%" not in literal else ""
        except ValueError:
            return None
        digits = rest[1:]
    else:
        host, _, digits = text.partition(":")
        host = host.lower()
        if host.endswith("."):
            host = host[:-1]
    if not host or (digits and not (digits.isascii() and digits.isdigit() and len(digits) <= 5)):
        return None
    return None if digits and int(digits) > _PORT_MAX else (host, digits)


def _is_name(host: str) -> bool:
    return len(host) <= _NAME_MAX_CHARS and _NAME.fullmatch(host) is not None


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
