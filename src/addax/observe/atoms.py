"""Templates of access lines: text with atoms such as ``%(h)s`` or ``%({user-agent}i)s``, compiled once.

Used by ``config.formatters``, and for Gunicorn's worker by ``_gunicorn_logs``. The atoms are gunicorn's, plus ``st``
and the names of the record's attributes. Their values are in the record's attributes; of a record that was not made by
``observe.access``, its five arguments tell what they can. What is not known is ``-``.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import time
from collections.abc import Callable, Sequence
from logging import LogRecord
from typing import Any

from addax.core.errors import ConfigError
from addax.core.status import PHRASES
from addax.observe.access import Heads
from addax.observe.escape import escape, escape_text
from addax.observe.line import STATUS_CLIENT_LEFT, STATUS_NO_RESPONSE

#: Formats that have a name. The names ``uvicorn`` and ``json`` are formatters of their own, see ``config.formatters``.
NAMED_TEMPLATES: dict[str, str] = {
    "common": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s',
    "combined": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
}

#: Reason phrases, those of the two stand-ins for "no response" included.
STATUS_PHRASES: dict[int, str] = {
    **PHRASES,
    STATUS_CLIENT_LEFT: "Client Closed Request",
    STATUS_NO_RESPONSE: "No Response",
}

Getter = Callable[[LogRecord], Any]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ATOM = re.compile(r"%(?:%|\((?P<atom>[^()]*)\)(?P<width>-?[0-9]*)(?P<kind>[sd])|)")
_BRACED = re.compile(r"\{(?P<name>[^{}]+)\}(?P<source>[ioe])")


def access_args(record: LogRecord) -> tuple[Any, Any, Any, Any, Any] | None:
    """The five arguments of an access record: client_addr, method, path?query, http_version, status.

    A record that went through a ``QueueHandler`` has lost its arguments; then they are made of its attributes. None if
    it is not an access record.
    """
    args = record.args
    if isinstance(args, tuple) and len(args) == 5:
        return args
    values = record.__dict__
    if not isinstance(values.get("heads"), Heads):
        return None
    target = f"{values['path']}?{values['query']}" if values["query"] else values["path"]
    return values["client_addr"], values["method"], target, values["http_version"], values["status"]


class Template:
    """A compiled template.

    Args:
        template: a name in ``NAMED_TEMPLATES``, or a text with at least one atom. ``%%`` is a percent sign; a width may
            stand before the ``s``, and ``d`` is as good as ``s``.

    Raises:
        ConfigError: an unknown atom, a lone ``%``, or no atom at all.
    """

    def __init__(self, template: str) -> None:
        self._getters: list[Getter] = []
        self._line = _ATOM.sub(self._compile_atom, NAMED_TEMPLATES.get(template, template))
        if not self._getters:
            raise _no_atom_error(template)

    def render(self, record: LogRecord) -> str | None:
        """The line for an access record, without an end of line; None if the record is not an access record."""
        if access_args(record) is None:
            return None
        return self._line % tuple([get(record) for get in self._getters])

    def _compile_atom(self, match: re.Match[str]) -> str:
        if match[0] == "%%":
            return match[0]
        atom = match["atom"]
        if atom is None:
            raise ConfigError(
                "--access-format",
                f"the % at character {match.start() + 1} begins no %(atom)s; write %% for a percent sign",
            )
        self._getters.append(find_getter(atom))
        return f"%{match['width']}s"


def find_getter(atom: str) -> Getter:
    """What tells an atom's value of an access record.

    Args:
        atom: what stands between the parentheses, such as ``h`` or ``{user-agent}i``.

    Raises:
        ConfigError: there is no such atom.
    """
    getter = _ATOMS.get(atom)
    if getter is not None:
        return getter
    braced = _BRACED.fullmatch(atom)
    if braced is None:
        raise _unknown_atom_error(atom)
    if braced["source"] == "i":
        return _request_field_getter(braced["name"])
    if braced["source"] == "o":
        return _response_field_getter(braced["name"])
    return _variable_getter(braced["name"])


def _unknown_atom_error(atom: str) -> ConfigError:
    import difflib  # for a mistake only, and not at each start

    known = ", ".join(_ATOMS)
    near = difflib.get_close_matches(atom.lower(), [name for name in _ATOMS if len(name) > 1], 1)
    near = near or [name for name in (atom.swapcase(),) if name in _ATOMS]
    hint = f", did you mean %({near[0]})s?" if near else ";"
    return ConfigError(
        "--access-format", f"unknown atom %({atom})s{hint} Known: {known}, {{header}}i, {{header}}o, {{variable}}e"
    )


def _no_atom_error(template: str) -> ConfigError:
    import difflib  # for a mistake only, and not at each start

    names = ["uvicorn", *NAMED_TEMPLATES, "json"]
    near = difflib.get_close_matches(template, names, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return ConfigError(
        "--access-format", f"{template!r} is not one of {', '.join(names)}, nor a template with %(atom)s in it{hint}"
    )


# --- Single atoms -----------------------------------------------------------------------------------------------------


def _args(record: LogRecord) -> tuple[Any, Any, Any, Any, Any]:
    return access_args(record) or ("", "", "", "", 0)


def _client_host(record: LogRecord) -> str:
    return str(_args(record)[0]).rpartition(":")[0] or "-"


def _client_port(record: LogRecord) -> str:
    return str(_args(record)[0]).rpartition(":")[2] or "-"


def _no_identity(record: LogRecord) -> str:
    return "-"


def _user(record: LogRecord) -> str:
    """The user name of ``Authorization: Basic`` (RFC 7617); never the password."""
    for name, value in _heads(record).request:
        if name == b"authorization" and value[:6].lower() == b"basic ":
            try:
                user = base64.b64decode(value[6:].strip(), validate=True).partition(b":")[0]
            except binascii.Error:
                break
            # The field ends at a space: in the name it must not be one.
            return escape(user).replace(" ", "\\x20") or "-"
    return "-"


def _request_line(record: LogRecord) -> str:
    _, method, target, version, _ = _args(record)
    return f"{method} {target} HTTP/{version}"


def _method(record: LogRecord) -> Any:
    return _args(record)[1]


def _target(record: LogRecord) -> str:
    return str(_args(record)[2])


def _path(record: LogRecord) -> str:
    return str(_args(record)[2]).partition("?")[0]


def _query(record: LogRecord) -> str:
    return str(_args(record)[2]).partition("?")[2]


def _protocol(record: LogRecord) -> str:
    return f"HTTP/{_args(record)[3]}"


def _status(record: LogRecord) -> Any:
    return _args(record)[4]


def _status_phrase(record: LogRecord) -> str:
    return STATUS_PHRASES.get(_args(record)[4], "-")


def _clf_bytes(record: LogRecord) -> Any:
    return record.__dict__.get("bytes_sent") or "-"


def _duration(record: LogRecord, unit: int) -> Any:
    duration_s = record.__dict__.get("duration_s")
    return "-" if duration_s is None else int(duration_s * unit)


def _duration_s(record: LogRecord) -> Any:
    return _duration(record, 1)


def _duration_ms(record: LogRecord) -> Any:
    return _duration(record, 1_000)


def _duration_us(record: LogRecord) -> Any:
    return _duration(record, 1_000_000)


def _process(record: LogRecord) -> str:
    return f"<{record.process or os.getpid()}>"


def clf_time(created: float) -> str:
    """Local time as ``[10/Oct/2000:13:55:36 -0700]``; month names are English whatever the locale is."""
    now = time.localtime(created)
    sign = "-" if now.tm_gmtoff < 0 else "+"
    hours, minutes = divmod(abs(now.tm_gmtoff) // 60, 60)
    return (
        f"[{now.tm_mday:02d}/{_MONTHS[now.tm_mon - 1]}/{now.tm_year}:"
        f"{now.tm_hour:02d}:{now.tm_min:02d}:{now.tm_sec:02d} {sign}{hours:02d}{minutes:02d}]"
    )


class _ClfClock:
    """``clf_time`` is the same for all lines of a second. Replacing one tuple is safe with threads."""

    def __init__(self) -> None:
        self._last = (-1, "")

    def __call__(self, record: LogRecord) -> str:
        second = int(record.created)
        last = self._last
        if last[0] != second:
            last = self._last = (second, clf_time(second))
        return last[1]


class _Attribute:
    """A record's attribute by its name; a time is written in decimal seconds."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, record: LogRecord) -> Any:
        value = record.__dict__.get(self._name)
        if value is None or value == "":
            return "-"
        return f"{value:.6f}" if isinstance(value, float) else value


_ATOMS: dict[str, Getter] = {
    "h": _client_host,
    "l": _no_identity,
    "u": _user,
    "t": _ClfClock(),
    "r": _request_line,
    "m": _method,
    "U": _path,
    "q": _query,
    "H": _protocol,
    "s": _status,
    "st": _status_phrase,
    "B": _Attribute("bytes_sent"),
    "b": _clf_bytes,
    "f": _Attribute("referer"),
    "a": _Attribute("user_agent"),
    "T": _duration_s,
    "M": _duration_ms,
    "D": _duration_us,
    "L": _Attribute("duration_s"),
    "p": _process,
}
_ATOMS.update(
    {
        name: _Attribute(name)
        for name in (
            "client_addr",
            "request_id",
            "scheme",
            "outcome",
            "duration_s",
            "ttfb_s",
            "bytes_sent",
            "bytes_received",
        )
    }
)

#: Atoms without braces.
ATOM_NAMES = tuple(_ATOMS)

# --- Atoms with a name in braces --------------------------------------------------------------------------------------

_NO_HEADS = Heads()

#: CGI names that ``%({name}e)s`` knows; every other name is one of the server's environment.
_CGI_VARIABLES: dict[str, Getter] = {
    "REMOTE_ADDR": _client_host,
    "REMOTE_PORT": _client_port,
    "REMOTE_USER": _user,
    "REQUEST_METHOD": _method,
    "RAW_URI": _target,
    "PATH_INFO": _path,
    "QUERY_STRING": _query,
    "SERVER_PROTOCOL": _protocol,
    "WSGI.URL_SCHEME": _Attribute("scheme"),
}


def _heads(record: LogRecord) -> Heads:
    heads = record.__dict__.get("heads")
    return heads if isinstance(heads, Heads) else _NO_HEADS


def _join_values(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    values = [value for key, value in headers if key.lower() == name]
    return escape(b", ".join(values)) if values else "-"


def _request_field_getter(name: str) -> Getter:
    wanted = name.lower().encode()
    return lambda record: _join_values(_heads(record).request, wanted)


def _response_field_getter(name: str) -> Getter:
    wanted = name.lower().encode()
    return lambda record: _join_values(_heads(record).response, wanted)


def _variable_getter(name: str) -> Getter:
    upper = name.upper()
    if upper in _CGI_VARIABLES:
        return _CGI_VARIABLES[upper]
    if upper.startswith("HTTP_") or upper in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        return _request_field_getter(upper.removeprefix("HTTP_").replace("_", "-"))
    value = escape_text(os.environ.get(name, os.environ.get(upper, "-")))
    return lambda record: value
