"""``--http h11``: field lines cut by h11, in pure Python, on every interpreter."""

from __future__ import annotations

import h11

from addax.core.types import Headers
from addax.http1.grammar import cut_fields
from addax.http1.reader import StrictParser

#: h11 merges and lower-cases the values of these, which hides what is wrong with them.
_REWRITTEN = (b"content-length", b"transfer-encoding")


class H11Parser(StrictParser):
    """``http1.parser.Parser`` with h11."""

    __slots__ = ()

    def cut(self, head: bytes) -> Headers:
        """Cut the field lines of a head."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head) + 1)
        try:
            connection.receive_data(head)
            event = connection.next_event()
        except h11.RemoteProtocolError:
            event = None
        if isinstance(event, h11.Request) and not any(name in _REWRITTEN for name, _ in event.headers):
            return [(bytes(name), bytes(value)) for name, value in event.headers]
        # What may stand in a head is not h11's to say, or the answer would depend on the parser.
        return cut_fields(head)
