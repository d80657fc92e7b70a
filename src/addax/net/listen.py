"""Make the sockets that a server listens on, from all of its binds: TCP addresses, Unix sockets, inherited descriptors.

Called by ``server.server`` and ``supervise.sockets``; synchronous, so that a parent process can use it before any loop
exists. Only ``resolve`` may wait (for the name service): a server with a running loop calls it in a thread.

All binds or none: if one fails, what was opened before it is given back. Every failure is of one line that names the
address and, where the platform tells, who holds it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator, Sequence

from addax.core.errors import ConfigError, StartupError
from addax.core.settings import Bind, ListenSettings
from addax.net import activation, tcp_socket, unix_socket
from addax.net.tcp_socket import Target, words
from addax.net.unix_socket import Owner, SocketFile

#: What is bound: ``(host, port)``, or the path of a Unix socket.
Address = tuple[str, int] | str

#: Where Linux says how long a backlog may be.
_SOMAXCONN_FILE = "/proc/sys/net/core/somaxconn"


class Listener:
    """Listening sockets, and what must be undone at the end.

    Args:
        groups: for each bind its sockets; they listen, and belong to this object from now on.
        files: the files of those Unix sockets that were made here.
    """

    def __init__(self, groups: Iterable[Iterable[socket.socket]], files: Iterable[SocketFile] = ()) -> None:
        self.groups = [list(group) for group in groups]
        self.sockets = [sock for group in self.groups for sock in group]
        self._files = list(files)

    @property
    def addresses(self) -> list[Address]:
        """What is bound, one for each socket."""
        return [_plain_address(sock) for sock in self.sockets]

    @property
    def bound(self) -> list[list[Address]]:
        """What is bound, for each bind."""
        return [[_plain_address(sock) for sock in group] for group in self.groups]

    def remove_files(self) -> None:
        """Delete our Unix socket files, so that new clients see at once that nobody is there. Twice is harmless."""
        for file in self._files:
            file.remove()
        self._files.clear()

    def chown(self, uid: int, gid: int) -> None:
        """Give our Unix socket files to another user, but those whose owner was asked for."""
        for file in self._files:
            file.give_to(uid, gid)

    @property
    def files(self) -> list[SocketFile]:
        """The files of Unix sockets that are deleted at the end."""
        return list(self._files)

    def take_files(self, files: Iterable[SocketFile]) -> None:
        """Delete these at the end, too: who has made them leaves them to this one."""
        self._files.extend(files)

    def leave_files(self) -> None:
        """Leave our Unix socket files to who goes on listening there."""
        self._files.clear()

    def close(self) -> None:
        """Delete our Unix socket files, then close the sockets."""
        self.remove_files()
        for sock in self.sockets:
            sock.close()


# ---- before anything is bound


def resolve(settings: ListenSettings) -> list[list[Target]]:
    """Find the addresses to bind; may wait for the name service.

    Returns:
        For each bind at least one target; none for a Unix socket or a descriptor.

    Raises:
        StartupError: a host name is unknown.
        ConfigError: two binds are the same address.
    """
    found: list[list[Target]] = []
    for bind in settings.binds:
        with _naming(bind, settings):
            found.append(tcp_socket.resolve_host(bind.host, bind.port) if bind.is_tcp else [])
    _leave_ipv4_to_its_own_bind(settings.binds, found)
    _check_distinct(settings.binds, found)
    return found


def _leave_ipv4_to_its_own_bind(binds: Sequence[Bind], found: list[list[Target]]) -> None:
    """Who names ``0.0.0.0`` beside ``::`` means the two families: here ``::`` alone would have been both."""
    ports = {bind.port for bind in binds if bind.is_tcp and bind.host == "0.0.0.0" and bind.port}
    for bind, targets in zip(binds, found, strict=True):
        if bind.is_tcp and bind.host == "::" and bind.port in ports:
            targets[:] = [target for target in targets if target.family == socket.AF_INET6]


def _check_distinct(binds: Sequence[Bind], found: list[list[Target]]) -> None:
    """With SO_REUSEPORT the kernel would let it pass, and without it blame this very process."""
    owners: dict[Target, Bind] = {}
    for bind, targets in zip(binds, found, strict=True):
        for target in targets if bind.port else ():
            owner = owners.setdefault(target._replace(optional=False), bind)
            if owner is not bind:
                raise ConfigError("bind", f"{owner.text!r} and {bind.text!r} are the same address")


def needs_lookup(settings: ListenSettings) -> bool:
    """Whether ``resolve`` may wait, because a host is a name."""
    return any(bind.is_tcp and tcp_socket.needs_lookup(bind.host) for bind in settings.binds)


def find_owners(settings: ListenSettings) -> list[Owner]:
    """Find out who the files of Unix sockets are to belong to.

    Returns:
        One for each bind.

    Raises:
        ConfigError: there is no such user or group, or this process may not give files to them.
    """
    return [unix_socket.find_owner(bind.text, bind.uds_user, bind.uds_group) for bind in settings.binds]


def explain_backlog(backlog: int, file: str = _SOMAXCONN_FILE) -> str | None:
    """Say that the system allows less than what was asked for; None if it does not, or does not tell."""
    try:
        # As bytes: after --user the interpreter may be out of reach, and a codec would be imported from there.
        with open(file, "rb") as stream:
            allowed = int(stream.read())
    except (OSError, ValueError):
        return None
    if backlog <= allowed:
        return None
    return f"--backlog: {backlog} is more than the system allows (net.core.somaxconn {allowed})"


# ---- binding


def open_listener(settings: ListenSettings, targets: Sequence[Sequence[Target]] | None = None) -> Listener:
    """Bind and listen.

    Args:
        settings: where.
        targets: what ``resolve`` returned, if it was called already.

    Raises:
        StartupError: with a line for the log.
        ConfigError: two binds are the same address, or a file cannot be given to its owner.
    """
    owners = find_owners(settings)
    targets = resolve(settings) if targets is None else targets
    groups: list[list[socket.socket]] = []
    files: list[SocketFile] = []
    try:
        for bind, addresses, owner in zip(settings.binds, targets, owners, strict=True):
            with _naming(bind, settings):
                if bind.fd is not None:
                    groups.append(_adopt_all(_descriptors(bind.fd), settings.backlog))
                elif bind.uds is not None:
                    sock, file = unix_socket.listen_at(bind.uds, bind.uds_mode, settings.backlog, owner)
                    groups.append([sock])
                    files.append(file)
                else:
                    groups.append(tcp_socket.bind_all(addresses, settings.backlog, settings.reuse_port))
    except BaseException:
        Listener(groups, files).close()
        raise
    return Listener(groups, files)


def open_beside(listener: Listener, backlog: int) -> Listener:
    """Bind the TCP addresses of a listener once more (``SO_REUSEPORT``).

    Raises:
        StartupError: with a line for the log.
    """
    groups: list[list[socket.socket]] = []
    try:
        for group in listener.groups:
            bound = dict.fromkeys((sock.family, sock.getsockname()) for sock in group)
            targets = [Target(family, address, False) for family, address in bound]
            groups.append(tcp_socket.bind_all(targets, backlog, True))
    except BaseException:
        Listener(groups).close()
        raise
    return Listener(groups)


def check_free(settings: ListenSettings, targets: Sequence[Sequence[Target]]) -> None:
    """Find out early whether all addresses can be had, without keeping them.

    Cheap, and no promise: somebody may take an address before ``open_listener`` does.

    Raises:
        StartupError, ConfigError: as ``open_listener``.
    """
    find_owners(settings)
    for bind, addresses in zip(settings.binds, targets, strict=True):
        with _naming(bind, settings):
            if bind.fd is not None:
                for sock in _adopt_all(_descriptors(bind.fd), None):
                    sock.close()
            elif bind.uds is not None:
                unix_socket.check_path(bind.uds)
            else:
                for sock in tcp_socket.bind_all(addresses, None, settings.reuse_port):
                    sock.close()


@contextlib.contextmanager
def _naming(bind: Bind, settings: ListenSettings) -> Iterator[None]:
    """Where there are several binds, say of which one a failure is."""
    try:
        yield
    except StartupError as error:
        if len(settings.binds) == 1:
            raise
        raise StartupError(f"--bind {bind.text}: {error}") from error


def _descriptors(fd: int | str) -> list[int]:
    return activation.find(fd) if isinstance(fd, str) else [fd]


def _adopt_all(fds: Iterable[int], backlog: int | None) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for fd in fds:
            sockets.append(adopt(fd, backlog))
    except BaseException:
        for sock in sockets:
            sock.close()
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
        raise StartupError(f"cannot listen on file descriptor {fd}: {words(error)}") from error
    try:
        sock = socket.socket(fileno=copy)
    except OSError as error:
        os.close(copy)
        raise StartupError(f"cannot listen on file descriptor {fd}: {words(error)}") from error
    try:
        reason = _why_not_listening(sock)
        if reason:
            raise StartupError(f"cannot listen on file descriptor {fd}: {reason}")
        if backlog is not None:
            sock.listen(backlog)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise StartupError(f"cannot listen on file descriptor {fd}: {words(error)}") from error
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


# ---- in words


def describe(bind: Bind, bound: Sequence[Address], scheme: str) -> tuple[str, str]:
    """Say where clients find a server, in uvicorn's words.

    Args:
        bind: what was asked for.
        bound: what came of it, for the port that the kernel chose.
        scheme: ``http`` or ``https``.

    Returns:
        What it is (empty for a URL), and where.
    """
    if bind.fd is not None:
        # The first character of an abstract socket is no text; "@" is how other programs show it.
        return "socket ", ", ".join(map(str, bound)).replace("\0", "@")
    if bind.uds is not None:
        return "unix socket ", bind.uds
    # The name that was asked for, not what it resolved to: that is what goes into a browser.
    host = bind.host or "0.0.0.0"
    scheme = "http" if bind.tls is False else scheme
    port = bound[0][1] if bind.port == 0 else bind.port
    return "", f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _plain_address(sock: socket.socket) -> Address:
    name = sock.getsockname()
    if isinstance(name, bytes):
        return os.fsdecode(name)
    return name if isinstance(name, str) else (name[0], name[1])
