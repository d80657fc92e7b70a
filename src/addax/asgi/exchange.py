"""What is noted of a request and its response while they go on, and who is told at the end."""

from __future__ import annotations

from typing import Any

from addax.core.clock import now
from addax.core.types import Headers

_NO_FIELDS: Headers = []


class HttpExchange:
    """A request and its response, as far as they went, for an access log. Made only where there is one.

    Args:
        scope: of the request; proxy headers were applied.

    Attributes:
        status: of the response; 0 if none was sent.
        response_headers: as the application sent them.
        bytes_sent: of the response body.
        bytes_received: of the request body.
        started_at: when the request's head was complete, seconds on ``core.clock.now``, as all times here.
        first_byte_at: when the response began; 0.0 if it did not, or only with its last bytes.
        ended_at: when the response ended; 0.0: just now, so that nobody asks the clock for a line that does not tell.
        outcome: ``completed``, ``disconnected`` (the client left) or ``aborted`` (the server broke it off).
    """

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "ended_at",
        "first_byte_at",
        "outcome",
        "response_headers",
        "scope",
        "started_at",
        "status",
    )

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope
        self.status = 0
        self.response_headers: Headers = _NO_FIELDS
        self.bytes_sent = 0
        self.bytes_received = 0
        self.started_at = now()
        self.first_byte_at = 0.0
        self.ended_at = 0.0
        self.outcome = "completed"

    def note_sent(self, count: int) -> None:
        """So many bytes of the body are on their way."""
        self.bytes_sent += count
        if self.first_byte_at == 0.0:
            self.first_byte_at = now()


class ExchangeLog:
    """Where exchanges that have ended are recorded; filled by ``observe.access.AccessLog``."""

    __slots__ = ()

    def record(self, exchange: HttpExchange) -> None:
        """Take down an exchange that has just ended. Never raises."""
        raise NotImplementedError
