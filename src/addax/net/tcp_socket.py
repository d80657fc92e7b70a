"""Listen on TCP addresses: what a host name stands for, the same port for all of them, and why one cannot be had.

Called by ``net.listen``. Only ``resolve_host`` may wait, for the name service.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from addax.core.errors import StartupError
from addax.net import port_owner

#: Port 0 means the same free port for every address: how often to look for one that is free for all of them.
_SAME_PORT_TRIES = 32
#: The machine lacks this address family or this address.
_NOT_HERE = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})


class Target(NamedTuple):
    """One address to bind."""

    family: int
    #: As ``socket.bind`` takes it.
    address: tuple[Any, ...]
    #: Go on without it where the machine lacks its address family; at least one target must succeed.
    optional: bool


def resolve_host(host: str | None, port: int) -> list[Target]:
    """Find the addresses to bind; may wait for the name service.

    Host ``::`` and None both mean all IPv4 and all IPv6 addresses, as two sockets: IPv4 clients then show as what they
    are and not as ``::ffff:…``, which no list of trusted proxies would match.

    Raises:
        StartupError: the host name is unknown.
    """
    if not host or host == "::":
        every_ipv4 = Target(socket.AF_INET, ("0.0.0.0", port), True)
        every_ipv6 = Target(socket.AF_INET6, ("::", port, 0, 0), not host)
        return [every_ipv6, every_ipv4] if host else [every_ipv4, every_ipv6]
    try:
        # AI_NUMERICSERV would refuse nothing here: the port is a number already.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StartupError(f"cannot find the address of host {host!r}: {reason}") from error
    return [Target(family, address, True) for family, address in dict.fromkeys((row[0], row[4]) for row in found)]


def needs_lookup(host: str | None) -> bool:
    """Whether ``resolve_host`` may wait, because the host is a name."""
    if host in (None, "", "::"):
        return False
    try:
        socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return True
    return False


def bind_all(targets: Sequence[Target], backlog: int | None, is_shared: bool) -> list[socket.socket]:
    """Bind all addresses of one host, with the same free port for all of them where it is 0.

    Args:
        targets: what ``resolve_host`` has found.
        backlog: as of ``listen(2)``; None: do not listen.
        is_shared: other sockets may be bound beside these (``SO_REUSEPORT``).

    Raises:
        StartupError: an address cannot be had.
    """
    for _ in range(_SAME_PORT_TRIES - 1):
        try:
            return _bind_once(targets, backlog, is_shared)
        except _FreePortTaken:
            continue
    return _bind_once(targets, backlog, is_shared)


class _FreePortTaken(StartupError):
    """The port that the kernel chose for the first address is taken at another one."""


def _bind_once(targets: Sequence[Target], backlog: int | None, is_shared: bool) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: StartupError | None = None
    chosen_port = 0
    try:
        for target in targets:
            address = target.address
            if chosen_port:
                address = (address[0], chosen_port, *address[2:])
            try:
                sock = _bind(target.family, address, backlog, is_shared)
            except OSError as error:
                failure = _failure(target.family, address, error)
                if target.optional and error.errno in _NOT_HERE:
                    missing = failure
                    continue
                if chosen_port and error.errno == errno.EADDRINUSE:
                    raise _FreePortTaken(*failure.args) from error
                raise failure from error
            sockets.append(sock)
            if address[1] == 0:
                chosen_port = sock.getsockname()[1]
        if not sockets and missing is not None:
            raise missing
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind(family: int, address: tuple[Any, ...], backlog: int | None, is_shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix" and sys.platform != "cygwin":
            # On Windows the same option would let two servers share a port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            sock.bind(address)
        except OverflowError as error:
            raise OSError(errno.EINVAL, str(error)) from error
        if backlog is not None:
            # Two sockets may be bound to one address as long as neither listens: this call is what decides.
            sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _failure(family: int, address: tuple[Any, ...], error: OSError) -> StartupError:
    text = f"[Errno {error.errno}] error while attempting to bind on address {address!r}: {words(error).lower()}"
    if error.errno == errno.EADDRINUSE:
        text += port_owner.describe_port(family, address[0], address[1])
    elif error.errno == errno.EACCES and address[1] < 1024:
        text += " (ports below 1024 need more rights)"
    elif error.errno == errno.EINVAL and family == socket.AF_INET6 and _lacks_interface(address):
        text += f" (a link-local address needs its interface, as in {address[0]}%eth0)"
    return StartupError(text)


def _lacks_interface(address: tuple[Any, ...]) -> bool:
    return address[3] == 0 and ipaddress.IPv6Address(address[0]).is_link_local


def words(error: OSError | OverflowError) -> str:
    """What is wrong, without the number."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
