"""Whom to trust: the list of ``--forwarded-allow-ips``, what may stand in it, and who is in it.

``proxy_headers`` asks about peers and about the hops that a field names. ``config.texts`` reads the option with
``parse_item``, so that a mistake is found before anything starts. A list that trusts nobody it was meant for is only a
nuisance; one that trusts somebody else is a hole, so nothing that looks like an address and is none is guessed at.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from addax.asgi.forwarded import HOST_MAX_CHARS, IPAddress, parse_ip, split_host_port
from addax.core.errors import ConfigError

_logger = logging.getLogger("addax.error")

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_OPTION = "--forwarded-allow-ips"
_EVERYBODY = "*"
_UNIX = "unix:"
#: RFC 4291 §2.5.5.2. Addresses in it are looked up as IPv4, so networks in it have to be IPv4 too.
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
#: Addresses whose trust is remembered; more are looked up again.
_CACHE_COUNT = 4096


class TrustedPeers:
    """The hosts of ``--forwarded-allow-ips``.

    Args:
        items: IP addresses, CIDR networks, names, ``unix:`` for peers on a Unix socket, ``*`` for everybody. What is
            empty is left out.
        is_strict: False: a malformed item is a name, as in uvicorn's middleware, and there is a warning about it.

    Raises:
        ConfigError: an item is malformed.
    """

    def __init__(self, items: Iterable[str], is_strict: bool = True) -> None:
        self.everybody = False
        self._names: set[str] = set()
        self._addresses: set[IPAddress] = set()
        self._networks: list[Network] = []
        for item in map(str.strip, items):
            if item:
                self._add(item, is_strict)
        self._lookup = lru_cache(_CACHE_COUNT)(self._look_up)

    @property
    def unix(self) -> bool:
        """Whether peers on a Unix socket are trusted as such."""
        return _UNIX in self._names

    def node(self, text: str) -> tuple[str, int, bool] | None:
        """Read one entry of a forwarded field.

        Returns:
            Address as normalised text (or a trusted name), port (0 if there is none), and whether it is trusted as
            such, which ``*`` does not count for; None if it is neither an address nor a trusted name.
        """
        if text in self._names:
            return text, 0, True
        parts = split_host_port(text)
        if parts is None:
            return None
        host, port = parts
        found = self.host(host)
        return None if found is None else (found[0], port, found[1])

    def host(self, host: str) -> tuple[str, bool] | None:
        """The same for a host without a port."""
        return self._lookup(host) if len(host) <= HOST_MAX_CHARS else None

    def _look_up(self, host: str) -> tuple[str, bool] | None:
        if host in self._names:
            return host, True
        address = parse_ip(host)
        if address is None:
            return None
        is_trusted = address in self._addresses or any(address in network for network in self._networks)
        return str(address), is_trusted

    def _add(self, item: str, is_strict: bool) -> None:
        try:
            parsed = parse_item(item)
        except ValueError as error:
            if is_strict:
                raise ConfigError(_OPTION, str(error)) from error
            _logger.warning("Trusted hosts: %s. It is taken for a name, which no address is equal to.", error)
            parsed = item
        if parsed == _EVERYBODY:
            self.everybody = True
        elif isinstance(parsed, str):
            self._names.add(parsed)
        elif isinstance(parsed, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
            self._addresses.add(parsed)
        else:
            self._networks.append(parsed)


def parse_item(item: str) -> Network | IPAddress | str:
    """Read one item of the list, without white space around it.

    Returns:
        An address or a network, IPv4 where it is IPv4 mapped into IPv6; or as it is what is compared as text: a name,
        ``unix:`` or ``*``.

    Raises:
        ValueError: it is malformed; the message has the item, and what would be right.
    """
    if item in (_EVERYBODY, _UNIX):
        return item
    address = parse_ip(item)
    if address is not None:
        return address
    _check_marks(item)
    if "/" in item:
        return _parse_network(item)
    if ":" in item:
        raise ValueError(f"{item!r} is not an IP address{_meant(item)}")
    if not any(character.isalpha() for character in item):
        raise ValueError(f"{item!r} is not an IP address such as 10.0.0.1, nor a network such as 10.0.0.0/8")
    return item


def _check_marks(item: str) -> None:
    """Find what belongs into no address, network or name."""
    if not item:
        raise ValueError("an item is empty: there are two commas in a row, or one at an end")
    if any(character.isspace() or not character.isprintable() for character in item):
        raise ValueError(f"{item!r} holds white space or control characters: write a comma between items")
    if _EVERYBODY in item:
        raise ValueError(f"{item!r} is not a pattern: write a network such as 10.0.0.0/8, or * alone for everybody")
    if item.startswith((_UNIX, "/")):
        raise ValueError(f"{item!r} names a path, and peers on a Unix socket have none: write unix: for all of them")
    if "://" in item:
        raise ValueError(f"{item!r} is a URL: write the address alone")


def _meant(text: str) -> str:
    """For an address with too much around it, the question whether the address was meant."""
    parts = split_host_port(text)
    host = (text if parts is None else parts[0]).partition("%")[0]
    return f"; did you mean {host}, without port, zone or brackets?" if parse_ip(host) is not None else ""


def _parse_network(item: str) -> Network:
    host, _, prefix = item.partition("/")
    address = None if "%" in host else _parse_plain_ip(host)
    if address is None:
        raise ValueError(f"{item!r} is not a network such as 10.0.0.0/8 or 2001:db8::/32{_meant(host)}")
    try:
        network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
    except ValueError:
        bits_count = address.max_prefixlen
        reason = f"write a number from 0 to {bits_count} behind the slash, as in {address}/{bits_count}"
        raise ValueError(f"{item!r} is not a network: {reason}") from None
    if network.network_address != address:
        raise ValueError(f"{item!r} is an address inside of a network; did you mean {network}, or {address} alone?")
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        return ipaddress.ip_network(f"{mapped}/{network.prefixlen - _MAPPED.prefixlen}")
    return network


def _parse_plain_ip(text: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
