"""Logging under Gunicorn: what addax logs goes to Gunicorn's loggers, an access line in Gunicorn's format.

Called by ``workers``. The handlers here have no stream of their own: they hand a record to a logger of Gunicorn, and
whatever handlers that has at this moment write it. So reopening files (SIGUSR1), syslog and logging configurations of
the user work as they do for Gunicorn's own lines. Nothing of Gunicorn is imported.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from addax.core.errors import ConfigError
from addax.observe.access import Heads
from addax.observe.atoms import ATOM_NAMES, STATUS_PHRASES, Getter, access_args, find_getter
from addax.observe.escape import escape

_INFO: int = logging.INFO
_NAMED_ATOM = re.compile(r"%\(([^()]*)\)")


class HandOn(logging.Handler):
    """Hands each record on to another logger.

    Args:
        target: the logger.
    """

    def __init__(self, target: logging.Logger) -> None:
        super().__init__()
        self._target = target

    def handle(self, record: logging.LogRecord) -> bool:
        """Called by ``logging``. Without a lock: the handlers of the target have theirs."""
        self._target.handle(record)
        return True


class _Getters(dict[str, Getter]):
    """Finds each atom once; an unknown one is ``-``, as it is for Gunicorn."""

    def __missing__(self, atom: str) -> Getter:
        try:
            getter = find_getter(atom)
        except ConfigError:
            getter = _no_value
        self[atom] = getter
        return getter


def _no_value(_: logging.LogRecord) -> str:
    return "-"


class Atoms(Mapping[str, Any]):
    """The atoms of one access record, worked out when they are asked for.

    It takes the place of the ``dict`` that is the argument of Gunicorn's access records: formatters of users read it.
    """

    __slots__ = ("_getters", "_record")

    def __init__(self, getters: _Getters, record: logging.LogRecord) -> None:
        self._getters = getters
        self._record = record

    def __getitem__(self, atom: str) -> Any:
        return self._getters[atom](self._record)

    def __iter__(self) -> Iterator[str]:
        return iter(ATOM_NAMES)

    def __len__(self) -> int:
        return len(ATOM_NAMES)


class AccessLines(HandOn):
    """Writes access records as Gunicorn would: with its format, to its logger.

    Args:
        target: Gunicorn's access logger.
        line_format: the setting ``access_log_format``.

    Raises:
        ConfigError: no line can be made with this format.
    """

    def __init__(self, target: logging.Logger, line_format: str) -> None:
        super().__init__(target)
        self._format = line_format
        self._getters = _Getters()
        try:
            line_format % Atoms(self._getters, _SAMPLE)
        except (ValueError, TypeError) as error:
            raise ConfigError("access_log_format", f"no line can be made with {line_format!r}: {error}") from error

    def unknown_atoms(self) -> list[str]:
        """Atoms of the format that have no value."""
        return [atom for atom in _NAMED_ATOM.findall(self._format) if self._getters[atom] is _no_value]

    def handle(self, record: logging.LogRecord) -> bool:
        """Called by ``logging``."""
        if access_args(record) is None:
            # Somebody else's.
            return super().handle(record)
        if not self._target.isEnabledFor(_INFO):
            return False
        line = logging.makeLogRecord(record.__dict__)
        line.name = self._target.name
        line.msg = self._format
        line.args = Atoms(self._getters, record)
        return super().handle(line)


class OwnAccess(logging.Handler):
    """For logger classes with an ``access`` of their own, such as Gunicorn's for statsd: calls it for each request.

    Args:
        log: Gunicorn's logger object.
    """

    def __init__(self, log: Any) -> None:
        super().__init__()
        self._log = log

    def handle(self, record: logging.LogRecord) -> bool:
        """Called by ``logging``."""
        args = access_args(record)
        if args is None:
            return False
        try:
            self._call(record, *args)
        except Exception:
            self.handleError(record)
        return True

    def _call(
        self, record: logging.LogRecord, client_addr: str, method: str, target: str, version: str, status: int
    ) -> None:
        values = record.__dict__
        heads = values.get("heads") or Heads()
        path, _, query = target.partition("?")
        response = SimpleNamespace(
            status=f"{status} {STATUS_PHRASES.get(status, '')}".rstrip(),
            status_code=status,
            headers=[(name.decode("latin-1"), escape(value)) for name, value in heads.response],
            sent=values.get("bytes_sent"),
        )
        request = SimpleNamespace(
            method=method,
            uri=target,
            path=path,
            query=query,
            version=tuple(int(part) for part in version.split(".")),
            headers=[(name.decode("latin-1").upper(), escape(value)) for name, value in heads.request],
        )
        environ = {f"HTTP_{name.replace('-', '_')}": value for name, value in request.headers}
        environ |= {
            "REQUEST_METHOD": method,
            "RAW_URI": target,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": f"HTTP/{version}",
            "REMOTE_ADDR": client_addr.rpartition(":")[0] or "-",
            "wsgi.url_scheme": values.get("scheme", "http"),
        }
        self._log.access(response, request, environ, timedelta(seconds=values.get("duration_s") or 0.0))


def connect(error_log: logging.Logger, access: logging.Handler | None) -> None:
    """Attach addax's loggers to Gunicorn's, in place of whatever they had.

    Args:
        error_log: gets all but access lines, from its own level on.
        access: gets the access records; None: there is no access log.
    """
    server = logging.getLogger("addax")
    server.handlers = [HandOn(error_log)]
    server.setLevel(error_log.getEffectiveLevel())
    server.propagate = False
    # Whatever a configuration has said of it: Gunicorn's level holds.
    logging.getLogger("addax.error").setLevel(logging.NOTSET)
    access_log = logging.getLogger("addax.access")
    access_log.handlers = [] if access is None else [access]
    access_log.setLevel(_INFO)
    access_log.propagate = False


#: What a format is tried with.
_SAMPLE = logging.makeLogRecord(
    {
        "args": ("127.0.0.1:1", "GET", "/", "1.1", 200),
        "duration_s": 0.0,
        "bytes_sent": 0,
        "heads": Heads(),
    }
)
