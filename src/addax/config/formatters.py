"""What log records look like: text with or without colours, access lines, JSON.

Named in ``config.log_setup.LOGGING_CONFIG`` and in users' own logging configurations, mostly as ``addax.logging.…``.
``ColourizedFormatter``, ``DefaultFormatter`` and ``AccessFormatter`` have the constructor, the fields and the members
to override of uvicorn's classes of the same name. Every formatter here takes every record: one that is not an access
record is written as a plain message by the access formatters.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from addax.observe.access import Heads
from addax.observe.atoms import STATUS_PHRASES, Template, access_args
from addax.observe.escape import unescape
from addax.observe.line import LineMaker

#: Below DEBUG: every ASGI message.
TRACE_LOG_LEVEL = 5

# The names of ``json``'s escapes do not cover DEL, which is ASCII but not printable.
_DEL = {0x7F: "\\u007f"}


class _Paint:
    """Puts an ANSI SGR code around a text."""

    def __init__(self, code: int) -> None:
        self._start = f"\x1b[{code}m"

    def __call__(self, text: object) -> str:
        return f"{self._start}{text}\x1b[0m"


_bold = _Paint(1)


#: What ``AccessFormatter`` can make without a record.
DIRECT_FORMAT = '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s'


class ColourizedFormatter(logging.Formatter):
    """Adds ``%(levelprefix)s``: the level's name and a colon, nine columns wide, coloured on a terminal.

    With colours, a record's attribute ``color_message`` takes the place of its message.

    Args:
        fmt: as in ``logging.Formatter``.
        datefmt: as in ``logging.Formatter``.
        style: as in ``logging.Formatter``.
        use_colors: True, False, or None (the default) to find out: no if the environment has ``NO_COLOR``, yes if it
            has ``FORCE_COLOR``, otherwise whether the stream of this formatter is a terminal.
    """

    #: How the name of a level is painted; a level that is not here stays as it is.
    level_name_colors: ClassVar[dict[int, Callable[[str], str]]] = {
        TRACE_LOG_LEVEL: _Paint(34),
        logging.DEBUG: _Paint(36),
        logging.INFO: _Paint(32),
        logging.WARNING: _Paint(33),
        logging.ERROR: _Paint(31),
        logging.CRITICAL: _Paint(91),
    }

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        use_colors: bool | None = None,
    ) -> None:
        super().__init__(fmt=fmt, datefmt=datefmt, style=style)
        self.use_colors = self.should_use_colors() if use_colors is None else bool(use_colors)

    def should_use_colors(self) -> bool:
        """Decide for ``use_colors=None``; this class writes to standard output."""
        return _wants_colors(sys.stdout)

    def color_level_name(self, level_name: str, level_no: int) -> str:
        """The name of a level in its colour."""
        paint = self.level_name_colors.get(level_no)
        return level_name if paint is None else paint(level_name)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Called by ``logging.Formatter.format``. The record itself is left as it was, other handlers get it too."""
        copy = _copy_record(record)
        if self.use_colors:
            color_message = record.__dict__.get("color_message")
            if color_message is not None:
                copy.msg = color_message
                copy.message = copy.getMessage()
        copy.__dict__["levelprefix"] = self._level_prefix(record.levelname, record.levelno)
        return super().formatMessage(copy)

    def _level_prefix(self, name: str, level_no: int) -> str:
        padding = " " * (8 - len(name))
        return f"{self.color_level_name(name, level_no) if self.use_colors else name}:{padding}"


class DefaultFormatter(ColourizedFormatter):
    """For the server's own lines, which go to standard error."""

    def should_use_colors(self) -> bool:
        """Decide for ``use_colors=None``; this class writes to standard error."""
        return _wants_colors(sys.stderr)


class AccessFormatter(ColourizedFormatter):
    """For access records: adds ``%(client_addr)s``, ``%(request_line)s`` and ``%(status_code)s`` (number and phrase).

    They are made of the record's five arguments, so that records from elsewhere are as good as addax's own. The
    attributes of addax's own (``addax.observe.access.AccessLog.record``) can be used in ``fmt`` too.
    """

    #: How a status code is painted, by its first digit.
    status_code_colours: ClassVar[dict[int, Callable[[str], str]]] = {
        1: _Paint(97),
        2: _Paint(32),
        3: _Paint(33),
        4: _Paint(31),
        5: _Paint(91),
    }

    #: The last result of ``line_maker``, and what it was made for.
    _made: tuple[tuple[str, str], LineMaker] | None = None

    def line_maker(self, terminator: str) -> LineMaker | None:
        """What makes the same lines as ``format`` without a record; None if this formatter needs one.

        Args:
            terminator: put after each line.
        """
        style = self._style
        # A subclass may override anything; other fields need a record.
        if type(self) is not AccessFormatter or type(style) is not logging.PercentStyle or style._fmt != DIRECT_FORMAT:
            return None
        prefix = self._level_prefix(logging.getLevelName(logging.INFO), logging.INFO)
        made = self._made
        if made is None or made[0] != (prefix, terminator):
            start, end = f"{_bold('|') if self.use_colors else '|'}".split("|")
            maker = LineMaker(f"{prefix} ", f' - "{start}', f'{end}" ', self.get_status_code, terminator)
            made = self._made = ((prefix, terminator), maker)
        return made[1]

    def get_status_code(self, status_code: int) -> str:
        """Number and phrase, painted if colours are on."""
        phrase = STATUS_PHRASES.get(status_code)
        text = str(status_code) if phrase is None else f"{status_code} {phrase}"
        paint = self.status_code_colours.get(status_code // 100) if self.use_colors else None
        return text if paint is None else paint(text)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Called by ``logging.Formatter.format``."""
        args = access_args(record)
        if args is None:
            return _PLAIN_COLORED.formatMessage(record) if self.use_colors else _PLAIN.formatMessage(record)
        client_addr, method, target, version, status = args
        request_line = f"{method} {target} HTTP/{version}"
        copy = _copy_record(record)
        copy.__dict__.update(
            client_addr=client_addr,
            request_line=_bold(request_line) if self.use_colors else request_line,
            status_code=self.get_status_code(int(status)),
        )
        return super().formatMessage(copy)


class TemplateAccessFormatter(logging.Formatter):
    """For access records: one line made from a template.

    Args:
        template: ``common``, ``combined``, or a text with atoms (``docs/logging.md`` lists them).

    Raises:
        ConfigError: the template has an unknown atom.
    """

    def __init__(self, template: str = "combined") -> None:
        super().__init__("%(message)s")
        self._template = Template(template)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without an end of line."""
        line = self._template.render(record)
        return super().format(record) if line is None else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for any record: ``time``, ``level``, ``logger``, ``message``, ``exception``, and extras.

    ``time`` is RFC 3339 in UTC with microseconds; ``exception`` and ``stack`` are texts with line feeds and are there
    only if the record has them. Extras are the record's attributes beyond those that every record has; the fields of
    an access record are among them, exactly as the peer sent them. What JSON cannot say becomes text. Everything is
    written in ASCII, so no character from outside can end the line.

    Args:
        access_format: what ``message`` says in an access record: ``uvicorn`` or ``json`` leave it as it was logged,
            anything else is a template as for ``TemplateAccessFormatter``.

    Raises:
        ConfigError: the template has an unknown atom.
    """

    def __init__(self, access_format: str = "uvicorn") -> None:
        super().__init__()
        self._template = None if access_format in ("uvicorn", "json") else Template(access_format)
        self._last_second = (-1, "")

    def format(self, record: logging.LogRecord) -> str:
        """The JSON text, without an end of line."""
        entry: dict[str, Any] = {
            "time": self._time(record.created),
            "level": record.levelname,
            "logger": record.name,
            # A line feed at the end is for texts, where it keeps a traceback apart.
            "message": record.getMessage().rstrip("\n"),
        }
        if record.exc_text:
            entry["exception"] = record.exc_text
        elif record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = self.formatStack(record.stack_info)
        if isinstance(record.__dict__.get("heads"), Heads):
            self._add_access(entry, record)
        else:
            _add_extras(entry, record)
        return _dump(entry)

    def _add_access(self, entry: dict[str, Any], record: logging.LogRecord) -> None:
        if self._template is not None:
            entry["message"] = self._template.render(record) or entry["message"]
        _add_extras(entry, record)
        # A user's filter may have changed or removed any of them.
        for name in ("client_addr", "method", "user_agent", "referer"):
            if isinstance(entry.get(name), str):
                entry[name] = unescape(entry[name])
        for name in ("duration_s", "ttfb_s"):
            if isinstance(entry.get(name), float):
                entry[name] = round(entry[name], 6)

    def _time(self, created: float) -> str:
        second = int(created)
        last = self._last_second
        if last[0] != second:
            last = self._last_second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
        return f"{last[1]}.{int((created - second) * 1_000_000):06d}Z"


#: What every record has (``taskName`` since Python 3.12), what formatters leave there, and what is no field.
_NO_EXTRAS = frozenset(logging.makeLogRecord({}).__dict__) | {
    "taskName",
    "message",
    "asctime",
    "color_message",
    "levelprefix",
    "heads",
}

_encode = json.JSONEncoder(allow_nan=False, default=str, separators=(",", ":")).encode

_PLAIN = ColourizedFormatter("%(levelprefix)s %(message)s", use_colors=False)
_PLAIN_COLORED = ColourizedFormatter("%(levelprefix)s %(message)s", use_colors=True)


def _add_extras(entry: dict[str, Any], record: logging.LogRecord) -> None:
    for name, value in record.__dict__.items():
        if name not in _NO_EXTRAS:
            # An extra must not pass for the time or the message of the record.
            entry[f"{name}_" if name in entry else name] = value


def _dump(entry: dict[str, Any]) -> str:
    try:
        text = _encode(entry)
    except Exception:
        # NaN, keys that are not text, cycles, a __str__ that raises: no reason to lose the line.
        text = _encode({name: _plain_value(value) for name, value in entry.items()})
    return text.translate(_DEL) if "\x7f" in text else text


def _plain_value(value: object) -> object:
    if isinstance(value, (str, int)) or value is None:
        return value
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _copy_record(record: logging.LogRecord) -> logging.LogRecord:
    # Half the time of copy.copy, which goes through __reduce_ex__.
    copy = object.__new__(type(record))
    copy.__dict__.update(record.__dict__)
    return copy


def _wants_colors(stream: Any) -> bool:
    """No-color.org and force-color.org: set and not empty decides; NO_COLOR wins."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    # No stream at all under pythonw.exe; no isatty on some objects that stand in for one; ValueError once it is closed.
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False
