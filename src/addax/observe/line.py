"""uvicorn's access line straight from an exchange, without a logging record between them.

Called by ``observe.access`` where nobody but the built-in handler and formatter would see that record. The line is byte
for byte what ``config.formatters.AccessFormatter`` makes of the record (``tests/unit/test_access_line.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from addax.observe.escape import escape_path, escape_text, escape_url

#: Stands in for the status of a response that never began: the client left first (nginx's number for it) ...
STATUS_CLIENT_LEFT = 499
#: ... or the server broke it off (nginx's number again).
STATUS_NO_RESPONSE = 444

#: Clients whose text is remembered; when there are as many, all are forgotten.
REMEMBERED_MAX_COUNT = 1024
#: What is longer is not remembered: names of clients may come from a proxy's field.
_BEGINNING_MAX_CHARS = 128

#: HTTP's statuses have three digits.
_STATUS_COUNT = 1000

#: There is nothing to escape in these.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"})


def logged_status(status: int, outcome: str) -> int:
    """The status of a response, or what stands in for it if there was none."""
    return status or (STATUS_CLIENT_LEFT if outcome == "disconnected" else STATUS_NO_RESPONSE)


def client_text(client: Any) -> str:
    """``host:port`` of a scope's client, fit to be printed; empty if there is none."""
    return f"{escape_text(client[0])}:{client[1]}" if client else ""


class LineMaker:
    """Makes lines.

    Args:
        prefix: what is before the client's address.
        start, end: what is before and after the request line.
        status_text: number, phrase and colour of a status code.
        terminator: ends each line.
    """

    __slots__ = (
        "_beginning",
        "_beginnings",
        "_client",
        "_end",
        "_endings",
        "_prefix",
        "_start",
        "_status_text",
        "_terminator",
    )

    def __init__(
        self, prefix: str, start: str, end: str, status_text: Callable[[int], str], terminator: str = "\n"
    ) -> None:
        self._prefix = prefix
        self._start = start
        self._end = end
        self._status_text = status_text
        self._terminator = terminator
        #: Everything before the method, by client; the last client and its beginning.
        self._beginnings: dict[Any, str] = {}
        self._client: Any = None
        self._beginning = f"{prefix}{start}"
        #: Everything behind the path, by status, of HTTP/1.1.
        self._endings: list[str | None] = [None] * _STATUS_COUNT

    def make(self, scope: dict[str, Any], status: int, outcome: str) -> str:
        """The line, its end included, of an exchange that has ended; as ``asgi.exchange.HttpExchange`` has these."""
        # All requests of a connection have the same tuple in their scopes, unless a proxy or the application tells
        # another.
        client = scope.get("client")
        beginning = self._beginning if client is self._client else self._find_beginning(client)
        method = scope["method"]
        if method != "GET" and method not in _METHODS:
            method = escape_text(method)
        path = escape_path(scope["path"])
        query = scope["query_string"]
        if query:
            path = f"{path}?{escape_url(query)}"
        if not status:
            status = logged_status(status, outcome)
        version = scope["http_version"]
        if version != "1.1" or status < 0 or status >= _STATUS_COUNT:
            ending = self._make_ending(version, status)
        else:
            known = self._endings[status]
            if known is None:
                known = self._endings[status] = self._make_ending(version, status)
            ending = known
        return f"{beginning}{method} {path}{ending}"

    def _find_beginning(self, client: Any) -> str:
        if type(client) is not tuple or len(client) != 2 or type(client[0]) is not str or type(client[1]) is not int:
            # Not one of ours. Two that are equal, such as 1 and True, may have two texts.
            return f"{self._prefix}{client_text(client)}{self._start}"
        beginning = self._beginnings.get(client)
        if beginning is None:
            beginning = f"{self._prefix}{client_text(client)}{self._start}"
            if len(beginning) <= _BEGINNING_MAX_CHARS:
                if len(self._beginnings) >= REMEMBERED_MAX_COUNT:
                    self._beginnings.clear()
                self._beginnings[client] = beginning
        self._client = client
        self._beginning = beginning
        return beginning

    def _make_ending(self, version: Any, status: int) -> str:
        return f" HTTP/{version}{self._end}{self._status_text(int(status))}{self._terminator}"
