"""Who holds an address that cannot be bound: the process that listens there, as far as ``/proc`` tells (Linux).

Called by ``net.listen`` and ``net.unix_socket`` to finish an error message, never while serving. Nothing here raises,
and the search is bounded in time: a hint is not worth a slow start.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

#: Most time that the search through all processes may take, in seconds.
SEARCH_S = 0.5
#: A command line may be kilobytes long and hold secrets in its later words.
_COMMAND_WORDS_COUNT = 3
_COMMAND_MAX_CHARS = 80
_LISTEN = "0A"
#: A flag of Unix sockets, __SO_ACCEPTCON.
_UNIX_LISTEN = "00010000"


class _Entry(NamedTuple):
    """One listening socket of ``/proc/net/tcp`` or ``tcp6``."""

    family: int
    address: bytes
    port: int
    uid: int
    inode: int


def describe_port(family: int, host: str, port: int, proc: str = "/proc") -> str:
    """Say who listens at an address.

    Args:
        family: ``socket.AF_INET`` or ``socket.AF_INET6``.
        host: the numeric address that could not be bound.
        port: its port.
        proc: where the proc file system is.

    Returns:
        For example ``" (held by process 4242: python3 -m http.server)"``, with the leading blank, or an empty text.
    """
    try:
        wanted = socket.inet_pton(family, host.partition("%")[0])
        entries = [entry for entry in _listening(proc) if _is_in_the_way(entry, family, wanted, port)]
    except (OSError, ValueError):
        return ""
    if not entries:
        return ""
    pid = _find_process(proc, {f"socket:[{entry.inode}]" for entry in entries})
    if pid is not None:
        return describe_process(pid, proc)
    return f" (held by a process of user {_user_name(entries[0].uid)})"


def describe_path(path: str, pid: int, proc: str = "/proc") -> str:
    """Say who listens on a Unix socket, in the form of ``describe_port``.

    Args:
        path: where.
        pid: the process that has called ``listen`` last: of several that share the socket, any.
        proc: where the proc file system is.
    """
    links = _listening_at(os.path.basename(path), proc).intersection(_links(f"{proc}/{pid}/fd"))
    first = _find_process(proc, links) if links else None
    return describe_process(pid if first is None else first, proc)


def describe_process(pid: int, proc: str = "/proc") -> str:
    """Name a process by its id and the beginning of its command line, in the form of ``describe_port``."""
    if pid == os.getpid():
        return " (held by this very process)"
    command = _command(proc, pid)
    return f" (held by process {pid}: {command})" if command else f" (held by process {pid})"


def _listening(proc: str) -> Iterator[_Entry]:
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            # The one codec that is always loaded: after --user the interpreter may be out of reach.
            with open(f"{proc}/net/{name}", encoding="utf-8", errors="replace") as table:
                rows = [line.split() for line in table]
        except OSError:
            continue
        for row in rows:
            if len(row) > 9 and row[3] == _LISTEN:
                address, _, port = row[1].partition(":")
                yield _Entry(family, _from_hex(address), int(port, 16), int(row[7]), int(row[9]))


def _listening_at(name: str, proc: str) -> set[str]:
    """Links to the Unix sockets that listen at a file of this name; the table has paths as they were bound."""
    found: set[str] = set()
    try:
        with open(f"{proc}/net/unix", encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                words = line.rstrip("\n").split(" ", 6)
                if len(words) == 7 and words[3] == _UNIX_LISTEN:
                    inode, _, path = words[6].lstrip().partition(" ")
                    if os.path.basename(path) == name:
                        found.add(f"socket:[{inode}]")
    except OSError:
        pass
    return found


def _from_hex(text: str) -> bytes:
    # The kernel prints each 32-bit word of a network-order address as a number of the host's own byte order.
    words = (int(text[i : i + 8], 16) for i in range(0, len(text), 8))
    return b"".join(word.to_bytes(4, sys.byteorder) for word in words)


def _is_in_the_way(entry: _Entry, family: int, wanted: bytes, port: int) -> bool:
    if entry.port != port:
        return False
    if entry.family != family:
        # A listener at `::` takes IPv4 connections too, unless it said otherwise, which this table does not show.
        return entry.family == socket.AF_INET6 and not any(entry.address)
    return entry.address == wanted or not any(entry.address) or not any(wanted)


def _find_process(proc: str, links: set[str]) -> int | None:
    deadline = time.monotonic() + SEARCH_S
    try:
        pids = sorted(int(name) for name in os.listdir(proc) if name.isdigit())
    except OSError:
        return None
    # Lowest first: of a parent and its workers that share a socket, the parent is the one to stop.
    for pid in pids:
        if time.monotonic() > deadline:
            return None
        if any(link in links for link in _links(f"{proc}/{pid}/fd")):
            return pid
    return None


def _links(folder: str) -> Iterator[str]:
    """What the descriptors of a process are."""
    try:
        for name in os.listdir(folder):
            try:
                yield os.readlink(f"{folder}/{name}")
            except OSError:
                continue  # closed meanwhile
    except OSError:
        pass  # somebody else's process, or gone


def _command(proc: str, pid: int) -> str:
    try:
        with open(f"{proc}/{pid}/cmdline", "rb") as file:
            words = file.read(4096).split(b"\0")
    except OSError:
        return ""
    text = b" ".join(word for word in words[:_COMMAND_WORDS_COUNT] if word).decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in text)[:_COMMAND_MAX_CHARS].strip()


def _user_name(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)
