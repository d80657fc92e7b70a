"""A connection that has said nothing yet when its worker stops: for ``tls_layer`` and ``proxy_connection``.

Once it speaks HTTP, ``Http1Connection.start_draining`` knows.
"""

from __future__ import annotations

from addax.core.wire import Host
from addax.http1 import connection


def is_kept(host: Host, now: float, connected_at: float, rest_s: float | None, bound_s: float) -> bool:
    """Keep it for a moment: its first words, and with them a request, may be on their way.

    Args:
        host: is given a deadline, if it is kept.
        now: the time, in seconds.
        connected_at: since when it is there.
        rest_s: how long it must have been silent before it is closed, see ``Http1Connection.start_draining``.
        bound_s: how long it might be silent anyway.

    Returns:
        False: it has been silent for long enough, and is to be closed.
    """
    rest_until = connected_at + min(connection.DRAIN_REST_S if rest_s is None else rest_s, bound_s)
    if now >= rest_until:
        return False
    host.set_deadline(rest_until)
    return True
