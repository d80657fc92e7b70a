"""One line, or one logging record, for each finished request.

Called by ``http1.connection`` when a response has ended or was broken off. There are three ways, and ``AccessLog``
looks which one the logging configuration allows:

1. The built-in handler alone, with a formatter that can do without a record: ``observe.line`` makes the line, and it
   waits in the handler's batch (``observe.batch``).
2. The built-in handler alone, with any other formatter: a record is made and formatted, and the line waits as above.
3. Anything else (users' handlers, filters ...): a record is made and handed to ``logging``.

The record's message and its five arguments are the ones that formatters written for uvicorn rely on. What they leave
out (duration, bytes, request id ...) is in the record's attributes, see ``AccessLog.record``.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from itertools import count
from types import FunctionType
from typing import Any

from addax.asgi.exchange import ExchangeLog, HttpExchange
from addax.core import clock
from addax.core.types import Headers
from addax.observe.batch import BatchWriter
from addax.observe.escape import escape, escape_path, escape_text, escape_url
from addax.observe.handler import AccessHandler
from addax.observe.line import LineMaker, client_text, logged_status

#: ``client_addr, method, path?query, http_version, status``.
MESSAGE = '%s - "%s %s HTTP/%s" %d'

#: How long a line may wait for others to be written with, in seconds ...
DELAY_S = 0.1
#: ... and how long where somebody is looking at a terminal.
TERMINAL_DELAY_S = 0.01

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
_is_request_id = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}").fullmatch

_INFO: int = logging.INFO

_LOGGING = vars(logging)
#: What a record passes on its way to the built-in handler: where each method is, and its name.
_ON_THE_WAY = (
    (vars(logging.Logger), "makeRecord"),
    (vars(logging.Logger), "handle"),
    (vars(logging.Logger), "callHandlers"),
    (vars(logging.Handler), "handle"),
    (vars(logging.Handler), "format"),
)

_error_logger = logging.getLogger("addax.error")


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


class AccessLog(ExchangeLog):
    """Makes the access lines and records of one worker.

    Changes of the logging configuration while the worker runs are noticed: handlers and filters that are added or
    removed (``Logger.addHandler``, ``dictConfig`` ...) at the next line; anything else (levels, another formatter, a
    list of handlers put in the place of the old one) at the first line after those that wait, ``DELAY_S`` later at the
    latest.

    Args:
        logger: the name of the logger that gets them.
        call_later: the event loop's; called with a delay in seconds and a function. None: no line waits for others.
    """

    __slots__ = (
        "_batch",
        "_call_later",
        "_formatter",
        "_handler",
        "_handler_filters",
        "_handlers",
        "_id_count",
        "_id_prefix",
        "_is_timer_set",
        "_line_maker",
        "_logger",
        "_logger_filters",
    )

    def __init__(
        self, logger: str = "addax.access", call_later: Callable[[float, Callable[[], None]], Any] | None = None
    ) -> None:
        self._logger = logging.getLogger(logger)
        self._call_later = call_later
        # The random part keeps the ids of several workers and of several runs apart.
        self._id_prefix = os.urandom(6).hex()
        self._id_count = count(1)
        #: The handler whose batch gets the lines; None: records go to the logger.
        self._handler: AccessHandler | None = None
        self._batch: BatchWriter | None = None
        self._formatter: logging.Formatter | None = None
        #: Makes the lines; None: the formatter does.
        self._line_maker: LineMaker | None = None
        self._handlers: list[logging.Handler] = []
        self._logger_filters: list[Any] = []
        self._handler_filters: list[Any] = []
        self._is_timer_set = False

    def is_enabled(self) -> bool:
        """Whether anybody would see the records. Ask once, when the worker starts; handlers added later are missed."""
        return not self._logger.disabled and self._logger.hasHandlers()

    def record(self, exchange: HttpExchange) -> None:
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
        try:
            # The second test costs next to nothing, the full one as much as a line: so that is made once for a batch.
            if not (self._is_timer_set and self._is_unchanged()):
                if not self._logger.isEnabledFor(_INFO):
                    return
                self._find_way()
            batch = self._batch
            if batch is None:
                self._logger.handle(self._make_record(exchange))
                return
            maker = self._line_maker
            if maker is not None:
                batch.add(maker.make(exchange.scope, exchange.status, exchange.outcome))
            else:
                self._add_formatted(batch, self._make_record(exchange))
            if not self._is_timer_set:
                self._set_timer()
        except Exception:
            # An application may have put anything into the scope; its connection must not pay for it.
            _error_logger.exception("A line of the access log could not be written")

    def flush(self) -> None:
        """Write the lines that wait."""
        if self._batch is not None:
            self._batch.flush()

    def close(self) -> None:
        """Write the lines that wait, and let none wait from now on: the event loop may end."""
        self._call_later = None
        self._is_timer_set = False
        self.flush()

    # ---- which way

    def _find_way(self) -> None:
        handler = self._only_handler()
        self._handlers = self._logger.handlers
        self._logger_filters = self._logger.filters
        self._handler_filters = [] if handler is None else handler.filters
        formatter = None if handler is None else handler.formatter
        if handler is not self._handler or formatter is not self._formatter:
            # What waits was made for the way before.
            self.flush()
        self._handler = handler
        self._formatter = formatter
        self._batch = None if handler is None else handler.batch
        make_line_maker = getattr(formatter, "line_maker", None)
        if handler is None or make_line_maker is None or logging.getLogRecordFactory() is not logging.LogRecord:
            self._line_maker = None
        else:
            self._line_maker = make_line_maker(handler.terminator)

    def _only_handler(self) -> AccessHandler | None:
        """The built-in handler, if nobody else sees the records, nor could change or stop them."""
        logger = self._logger
        handlers = logger.handlers
        if len(handlers) != 1 or type(handlers[0]) is not AccessHandler:
            return None
        handler = handlers[0]
        if logger.propagate and logger.parent is not None:
            return None
        if logger.filters or handler.filters or handler.level > _INFO or handler.formatter is None:
            return None
        # Libraries that collect logs put themselves into these methods.
        return handler if type(logger) is logging.Logger and _is_way_free() else None

    def _is_unchanged(self) -> bool:
        """Whether the handlers and filters are as ``_find_way`` has found them."""
        # The lists themselves, which the methods of loggers and handlers change in place.
        handlers = self._handlers
        return (
            len(handlers) == 1
            and handlers[0] is self._handler
            and not self._logger_filters
            and not self._handler_filters
        )

    # ---- lines that wait

    def _add_formatted(self, batch: BatchWriter, record: logging.LogRecord) -> None:
        handler = self._handler
        assert handler is not None
        try:
            line = handler.format(record) + handler.terminator
        except Exception:
            handler.handleError(record)
        else:
            batch.add(line)

    def _set_timer(self) -> None:
        """Once for all lines that come until it fires."""
        call_later = self._call_later
        if call_later is None:
            self.flush()
            return
        assert self._handler is not None
        call_later(TERMINAL_DELAY_S if self._handler.is_terminal() else DELAY_S, self._timer_fired)
        self._is_timer_set = True

    def _timer_fired(self) -> None:
        self._is_timer_set = False
        self.flush()

    # ---- records

    def _make_record(self, exchange: HttpExchange) -> logging.LogRecord:
        scope = exchange.scope
        fields = _find_wanted(scope["headers"])
        client_addr = client_text(scope.get("client"))
        method = escape_text(scope["method"])
        path = escape_path(scope["path"])
        query = escape_url(scope["query_string"])
        version = scope["http_version"]
        status = logged_status(exchange.status, exchange.outcome)
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
        ended_at = exchange.ended_at or clock.now()
        # A response that went out in one piece began when it ended.
        first_byte_at = exchange.first_byte_at or (ended_at if exchange.status else 0.0)
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
                "duration_s": ended_at - started_at,
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


def _is_way_free() -> bool:
    """Whether all methods that a record passes on its way to the built-in handler are those of ``logging``."""
    for owner, name in _ON_THE_WAY:
        method = owner.get(name)
        # Wrappers imitate names, and some imitate every attribute; the type cannot be imitated.
        if type(method) is not FunctionType or method.__globals__ is not _LOGGING:
            return False
    return True
