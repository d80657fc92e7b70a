"""Begin and end accepting connections on sockets that listen, so that no connection that was accepted is lost."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

MakeProtocol = Callable[[], asyncio.Protocol]

#: One turn of the loop by way of a timer; see ``close_servers``.
_TIMER_TURN_S = 0.001
#: Turns in which bytes that had reached the machine before the stop are read.
_READ_TURNS_COUNT = 4
#: Most connections that are taken from one queue at the end; a flood must not keep the server from stopping.
_TAKE_MAX_COUNT = 4096


async def open_server(make_protocol: MakeProtocol, sock: socket.socket, backlog: int) -> asyncio.AbstractServer:
    """Accept connections on a socket."""
    loop = asyncio.get_running_loop()
    if sock.family != getattr(socket, "AF_UNIX", None):
        return await loop.create_server(make_protocol, sock=sock, backlog=backlog)
    # From 3.13 on the loop would delete the socket's file at the end, also one that belongs to a parent or to systemd;
    # `net.listen` deletes what is ours.
    options: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
    return await loop.create_unix_server(make_protocol, sock=sock, backlog=backlog, **options)


async def close_servers(
    servers: Sequence[asyncio.AbstractServer],
    entrances: Sequence[tuple[socket.socket, MakeProtocol]],
    is_handover: bool = False,
) -> None:
    """Stop accepting, but first take every connection that the kernel has already accepted on our behalf.

    Such a client has sent its request and would get a reset. What arrives between the last ``accept`` and the close is
    lost, for there is no way to close only the entrance of a queue; that is microseconds.

    Args:
        servers: of the loop.
        entrances: the sockets that they accept from, each with ``make_protocol`` as of ``open_server``.
        is_handover: other processes accept from the same queues: what waits there is left to them.
    """
    # asyncio gives an accepted socket its transport one turn later, and drops it if the server was closed in between. A
    # timer's callback runs after the accepts of its turn, so what it wakes runs after their transports are made.
    await asyncio.sleep(_TIMER_TURN_S)
    waiting: list[tuple[socket.socket, MakeProtocol]] = []
    for sock, make_protocol in () if is_handover else entrances:
        waiting += [(connection, make_protocol) for connection in _accept_waiting(sock)]
    for server in servers:
        server.close()
    loop = asyncio.get_running_loop()
    attached = [loop.connect_accepted_socket(make_protocol, connection) for connection, make_protocol in waiting]
    await asyncio.gather(*attached, return_exceptions=True)
    for _ in range(_READ_TURNS_COUNT):
        await asyncio.sleep(0)


def _accept_waiting(sock: socket.socket) -> list[socket.socket]:
    waiting: list[socket.socket] = []
    for _ in range(_TAKE_MAX_COUNT):
        try:
            connection, _peer = sock.accept()
        except OSError:
            # Nobody waits any more (the socket does not block), or it is closed already, or no descriptor is left.
            break
        connection.setblocking(False)
        waiting.append(connection)
    return waiting
