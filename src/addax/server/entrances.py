"""Which sockets are encrypted: brings binds, listening sockets, and what makes the protocols of connections together.

Called by ``server.server`` when it opens. What a port speaks is said by its bind, and never guessed from its address.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator, Sequence

from addax.core.settings import Bind
from addax.net.listen import Listener
from addax.server.accepting import MakeProtocol

#: Where HTTPS is spoken if no port of ours is known.
_HTTPS_PORT = 443


def group(
    sockets: Sequence[socket.socket], counts: Sequence[int], binds: Sequence[Bind]
) -> list[Sequence[socket.socket]]:
    """Sockets that were given, by bind, where it is known which is whose; else all of them together.

    Args:
        sockets: in the order of the binds.
        counts: how many each bind has; empty: they are not those of the binds.
        binds: what was configured.
    """
    if sum(counts) != len(sockets) or len(counts) != len(binds):
        return [sockets]
    ends = itertools.accumulate(counts)
    return [sockets[end - count : end] for count, end in zip(counts, ends, strict=True)]


def pair(
    listener: Listener, binds: Sequence[Bind], make_protocol: MakeProtocol, make_clear_protocol: MakeProtocol
) -> Iterator[tuple[socket.socket, MakeProtocol]]:
    """Each socket with what makes the protocols of its connections."""
    for sockets, is_clear in zip(listener.groups, _are_clear(listener, binds), strict=True):
        for sock in sockets:
            yield sock, make_clear_protocol if is_clear else make_protocol


def find_https_port(listener: Listener, binds: Sequence[Bind]) -> int:
    """The first port that is encrypted, for who comes to another one; 443 where only Unix sockets are."""
    for addresses, is_clear in zip(listener.bound, _are_clear(listener, binds), strict=True):
        for address in () if is_clear else addresses:
            if not isinstance(address, str):
                return address[1]
    return _HTTPS_PORT


def _are_clear(listener: Listener, binds: Sequence[Bind]) -> list[bool]:
    """For each group of sockets, whether it is not to be encrypted."""
    if len(listener.groups) != len(binds):
        return [False] * len(listener.groups)
    return [bind.tls is False for bind in binds]
