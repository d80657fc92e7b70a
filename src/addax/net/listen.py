"""Make the sockets that a server listens on, from host and port, a Unix socket path, or inherited descriptors.

Called by ``server.server``; synchronous, so that a parent process can use it before any loop exists. Only ``resolve``
may wait (for the name service): a server with a running loop calls it in a thread.

Every failure is a StartupError of one line that names the address and, where the platform tells, who holds it.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from addax.core.errors import StartupError
from addax.core.settings import ListenSettings
from addax.net import activation, port_owner, unix_socket
from addax.net.unix_socket import SocketFile

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


class Listener:
    """Listening sockets, and what must be undone at the end.

    Args:
        sockets: they listen, and belong to this object from now on.
        file: the Unix socket's file if it was made here.
    """

    def __init__(self, sockets: Sequence[socket.socket], file: SocketFile | None = None) -> None:
        self.sockets = list(sockets)
        self._file = file

    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """What is bound: ``(host, port)``, or the path of a Unix socket."""
        return [_plain_address(sock) for sock in self.sockets]

    def remove_file(self) -> None:
        """Delete our Unix socket file, so that new clients see at once that nobody is there. Twice is harmless."""
        if self._file is not None:
            self._file.remove()
            self._file = None

    def chown(self, uid: int, gid: int) -> None:
        """Give our Unix socket file to another user."""
        if self._file is not None:
            os.chown(self._file.path, uid, gid)

    def leave_file(self) -> None:
        """Leave our Unix socket file to who goes on listening there."""
        self._file = None

    def close(self) -> None:
        """Delete our Unix socket file, then close the sockets."""
        self.remove_file()
        for sock in self.sockets:
            sock.close()


def resolve(settings: ListenSettings) -> list[Target]:
    """Find the addresses to bind; may wait for the name service.

    Host ``::`` and None both mean all IPv4 and all IPv6 addresses, as two sockets: IPv4 clients then show as what they
    are and not as ``::ffff:…``, which no list of trusted proxies would match.

    Returns:
        At least one target; none for a Unix socket or a descriptor.

    Raises:
        StartupError: the host name is unknown.
    """
    if settings.fd is not None or settings.uds is not None:
        return []
    host, port = settings.host or None, settings.port
    if host is None or host == "::":
        every_ipv4 = Target(socket.AF_INET, ("0.0.0.0", port), True)
        every_ipv6 = Target(socket.AF_INET6, ("::", port, 0, 0), host is None)
        return [every_ipv4, every_ipv6] if host is None else [every_ipv6, every_ipv4]
    try:
        # AI_NUMERICSERV would refuse nothing here: the port is a number already.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StartupError(f"cannot find the address of host {host!r}: {reason}") from error
    return [Target(family, address, True) for family, address in dict.fromkeys((row[0], row[4]) for row in found)]


def needs_lookup(settings: ListenSettings) -> bool:
    """Whether ``resolve`` may wait, because the host is a name."""
    if settings.fd is not None or settings.uds is not None or settings.host in (None, "", "::"):
        return False
    try:
        socket.getaddrinfo(settings.host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return True
    return False


def open_listener(settings: ListenSettings, targets: Sequence[Target] | None = None) -> Listener:
    """Bind and listen.

    Args:
        settings: where. A descriptor goes before a Unix socket, and that before host and port.
        targets: what ``resolve`` returned, if it was called already.

    Raises:
        StartupError: with a line for the log.
    """
    if settings.fd is not None:
        return Listener(_adopt_all(_descriptors(settings.fd), settings.backlog))
    if settings.uds is not None:
        sock, file = unix_socket.listen_at(settings.uds, settings.uds_mode, settings.backlog)
        return Listener([sock], file)
    targets = resolve(settings) if targets is None else targets
    return Listener(_bind_all(targets, settings.backlog, settings.reuse_port))


def check_free(settings: ListenSettings, targets: Sequence[Target]) -> None:
    """Find out early whether the address can be had, without keeping it.

    Cheap, and no promise: somebody may take the address before ``open_listener`` does.

    Raises:
        StartupError: as ``open_listener``.
    """
    if settings.fd is not None:
        _close(_adopt_all(_descriptors(settings.fd), None))
    elif settings.uds is not None:
        unix_socket.check_path(settings.uds)
    else:
        _close(_bind_all(targets, None, settings.reuse_port))


def _descriptors(fd: int | str) -> list[int]:
    return activation.find(fd) if isinstance(fd, str) else [fd]


def _adopt_all(fds: Iterable[int], backlog: int | None) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for fd in fds:
            sockets.append(adopt(fd, backlog))
    except BaseException:
        _close(sockets)
        raise
    return sockets


def adopt(fd: int, backlog: int | None) -> socket.socket:
    """Take a listening stream socket of any family that was inherited; one that is only bound is made to listen.

    Args:
        fd: the descriptor; it is duplicated and stays open.
        backlog: for a socket that is only bound; None: leave it as it is.

    Raises:
        StartupError: it is no such thing.
    """
    try:
        copy = os.dup(fd)
    except (OSError, OverflowError) as error:
        raise StartupError(f"cannot listen on file descriptor {fd}: {_words(error)}") from error
    try:
        sock = socket.socket(fileno=copy)
    except OSError as error:
        os.close(copy)
        raise StartupError(f"cannot listen on file descriptor {fd}: {_words(error)}") from error
    try:
        reason = _why_not_listening(sock)
        if reason:
            raise StartupError(f"cannot listen on file descriptor {fd}: {reason}")
        if backlog is not None:
            sock.listen(backlog)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise StartupError(f"cannot listen on file descriptor {fd}: {_words(error)}") from error
        raise
    return sock


def _why_not_listening(sock: socket.socket) -> str:
    if sock.type != socket.SOCK_STREAM:
        return "it is not a stream socket"
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return ""
    try:
        sock.getpeername()
    except OSError:
        pass
    else:
        return "it is a connection, not a listening socket"
    name = sock.getsockname()
    is_bound = bool(name) if isinstance(name, (str, bytes)) else bool(name[1])
    return "" if is_bound else "it is bound to no address"


def _bind_all(targets: Iterable[Target], backlog: int | None, is_shared: bool) -> list[socket.socket]:
    targets = list(targets)
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
        _close(sockets)
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
    text = f"[Errno {error.errno}] error while attempting to bind on address {address!r}: {_words(error).lower()}"
    if error.errno == errno.EADDRINUSE:
        text += port_owner.describe_port(family, address[0], address[1])
    elif error.errno == errno.EACCES and address[1] < 1024:
        text += " (ports below 1024 need more rights)"
    return StartupError(text)


def _words(error: OSError | OverflowError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _plain_address(sock: socket.socket) -> tuple[str, int] | str:
    name = sock.getsockname()
    if isinstance(name, bytes):
        return os.fsdecode(name)
    return name if isinstance(name, str) else (name[0], name[1])


def _close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
