"""One logging record for each finished request.

Called by ``asgi.http_cycle`` when a response has ended or was broken off. Which line is made of the record is up to
the formatter of the handler that gets it (``config.formatters``), so that users' own handlers and formatters work.

The record's message and its five arguments are the ones that formatters written for uvicorn rely on. What they leave
out (duration, bytes, request id ...) is in the record's attributes, see ``AccessLog.record``.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Protocol
from urllib.parse import quote

from addax.core.types import Headers
from addax.observe.escape import escape, escape_text, escape_url

#: ``client_addr, method, path?query, http_version, status``.
MESSAGE = '%s - "%s %s HTTP/%s" %d'

#: Stands in for the status of a response that never began: the client left first (nginx's number for it) ...
STATUS_CLIENT_LEFT = 499
#: ... or the server broke it off (nginx's number again).
STATUS_NO_RESPONSE = 444

#: The attributes that ``AccessLog.record`` adds to a record, besides ``heads``.
ACCESS_FIELDS = (
    "request_id",
    "client_addr",
    "method",
    "path",
    "query",
    "scheme",
    "http_version",
    "status",
    "outcome",
    "duration_s",
    "ttfb_s",
    "bytes_sent",
    "bytes_received",
    "user_agent",
    "referer",
)

_WANTED_FIELDS = frozenset({b"user-agent", b"referer", b"x-request-id"})
_is_plain_path = re.compile(r"[A-Za-z0-9/_.~-]*").fullmatch
_is_request_id = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}").fullmatch

_error_logger = logging.getLogger("addax.error")


class Exchange(Protocol):
    """A request and its response, as far as they went. Filled by ``asgi.http_cycle.HttpCycle``.

    Times are seconds on ``time.monotonic``.
    """

    @property
    def scope(self) -> Mapping[str, Any]:
        """The ASGI ``http`` scope, after proxy headers were applied."""

    @property
    def status(self) -> int:
        """Status of the response; 0 if none was sent."""

    @property
    def response_headers(self) -> Sequence[tuple[bytes, bytes]]:
        """As the application sent them."""

    @property
    def bytes_sent(self) -> int:
        """Bytes of the response body."""

    @property
    def bytes_received(self) -> int:
        """Bytes of the request body."""

    @property
    def started_at(self) -> float:
        """When the request's head was complete."""

    @property
    def first_byte_at(self) -> float:
        """When the response began; 0.0 if it did not."""

    @property
    def ended_at(self) -> float:
        """When the response ended."""

    @property
    def outcome(self) -> str:
        """``completed``, ``disconnected`` (the client left) or ``aborted`` (the server broke it off)."""


class Heads:
    """The header fields of a request and its response, for formatters that name single ones.

    They may hold credentials. So they are one opaque attribute of the record, not two lists that a formatter which
    writes all attributes would write, and they do not leave the process: a pickled record has them no more.
    """

    def __init__(
        self, request: Sequence[tuple[bytes, bytes]] = (), response: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        self.request = request
        self.response = response

    def __repr__(self) -> str:
        return f"<Heads: {len(self.request)} request fields, {len(self.response)} response fields>"

    def __reduce__(self) -> tuple[type[Heads], tuple[()]]:
        return (Heads, ())


class AccessLog:
    """Makes the access records of one worker.

    Args:
        logger: the name of the logger that gets them.
    """

    def __init__(self, logger: str = "addax.access") -> None:
        self._logger = logging.getLogger(logger)
        # The random part keeps the ids of several workers and of several runs apart.
        self._id_prefix = secrets.token_hex(6)
        self._id_count = count(1)

    def is_enabled(self) -> bool:
        """Whether anybody would see the records. Ask once, when the worker starts; handlers added later are missed."""
        return not self._logger.disabled and self._logger.hasHandlers()

    def record(self, exchange: Exchange) -> None:
        """Log an exchange that has ended, at level info. Never raises.

        The record's attributes, all fit to be printed (``observe.escape``):

        - ``request_id``: the request's or else the response's ``x-request-id``, if it is a token of 128 characters at
          the most; otherwise one made up here, unique in all workers
        - ``client_addr`` (``host:port``, empty on a Unix socket), ``method``, ``path`` and ``query`` (percent-encoded),
          ``scheme``, ``http_version``, ``user_agent``, ``referer`` (empty if there was none)
        - ``status``: 499 if the client left before there was one, 444 if the server broke the exchange off before
        - ``outcome``: ``completed``, ``disconnected`` or ``aborted``
        - ``duration_s``: seconds from the request's head to the response's end; ``ttfb_s``: to the response's first
          byte, None if there was none
        - ``bytes_sent``, ``bytes_received``: of the bodies
        - ``heads``: a ``Heads``
        """
        if not self._logger.isEnabledFor(logging.INFO):
            return
        try:
            self._logger.handle(self._make_record(exchange))
        except Exception:
            # An application may have put anything into the scope; its connection must not pay for it.
            _error_logger.exception("A line of the access log could not be written")

    def _make_record(self, exchange: Exchange) -> logging.LogRecord:
        scope = exchange.scope
        fields = _find_wanted(scope["headers"])
        client = scope.get("client")
        client_addr = f"{escape_text(client[0])}:{client[1]}" if client else ""
        method = escape_text(scope["method"])
        path = scope["path"]
        if not _is_plain_path(path):
            path = quote(path, errors="surrogatepass")
        query = escape_url(scope["query_string"])
        version = scope["http_version"]
        status = exchange.status or (STATUS_CLIENT_LEFT if exchange.outcome == "disconnected" else STATUS_NO_RESPONSE)
        # makeRecord rather than info(): the caller's place in the source is always this one, and finding it out by
        # walking the stack costs more than all the rest.
        record = self._logger.makeRecord(
            self._logger.name,
            logging.INFO,
            __file__,
            0,
            MESSAGE,
            (client_addr, method, f"{path}?{query}" if query else path, version, status),
            None,
            "record",
        )
        started_at = exchange.started_at
        first_byte_at = exchange.first_byte_at
        record.__dict__.update(
            {
                "request_id": self._request_id(fields, exchange.response_headers),
                "client_addr": client_addr,
                "method": method,
                "path": path,
                "query": query,
                "scheme": scope.get("scheme", "http"),
                "http_version": version,
                "status": status,
                "outcome": exchange.outcome,
                "duration_s": exchange.ended_at - started_at,
                "ttfb_s": first_byte_at - started_at if first_byte_at else None,
                "bytes_sent": exchange.bytes_sent,
                "bytes_received": exchange.bytes_received,
                "user_agent": escape(fields.get(b"user-agent", b"")),
                "referer": escape(fields.get(b"referer", b"")),
                "heads": Heads(scope["headers"], exchange.response_headers),
            }
        )
        return record

    def _request_id(self, fields: dict[bytes, bytes], response_headers: Sequence[tuple[bytes, bytes]]) -> str:
        given = fields.get(b"x-request-id")
        if given is None or not _is_request_id(given):
            given = _response_request_id(response_headers)
        if given is None:
            return f"{self._id_prefix}-{next(self._id_count):x}"
        return given.decode("ascii")


def _find_wanted(headers: Headers) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _WANTED_FIELDS and name not in found:
            found[name] = value
    return found


def _response_request_id(headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    # The application's own id is better than one that nobody else has seen.
    for name, value in headers:
        if len(name) == 12 and name.lower() == b"x-request-id" and _is_request_id(value):
            return bytes(value)
    return None
