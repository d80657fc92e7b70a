"""What records look like: text, access templates, JSON."""

from __future__ import annotations

import base64
import io
import json
import logging
import logging.handlers
import os
import pickle
import queue
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import addax.logging
from addax.asgi.exchange import HttpExchange
from addax.config.formatters import (
    TRACE_LOG_LEVEL,
    AccessFormatter,
    ColourizedFormatter,
    DefaultFormatter,
    JsonFormatter,
    TemplateAccessFormatter,
)
from addax.core.errors import ConfigError
from addax.observe.access import AccessLog
from addax.observe.atoms import _ATOMS, _CGI_VARIABLES, Template, clf_time

ARGS = ("127.0.0.1:40524", "GET", "/a?x=1", "1.1", 200)
ACCESS_MSG = '%s - "%s %s HTTP/%s" %d'
ACCESS_FMT = '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s'
COLOR_VARIABLES = ("NO_COLOR", "FORCE_COLOR")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in COLOR_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def make_record(msg: str = "hello", args: Any = (), level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    record = logging.LogRecord("addax.error", level, __file__, 1, msg, args, None)
    record.__dict__.update(extra)
    return record


def make_foreign_access_record(status: int = 200) -> logging.LogRecord:
    """As another server makes it: the five arguments, none of our attributes."""
    return make_record(ACCESS_MSG, (*ARGS[:4], status))


def make_access_record(
    request: list[tuple[bytes, bytes]] | None = None, response: list[tuple[bytes, bytes]] | None = None, **changes: Any
) -> logging.LogRecord:
    exchange: dict[str, Any] = {
        "scope": {
            "method": "GET",
            "path": "/a",
            "query_string": b"x=1",
            "http_version": "1.1",
            "scheme": "https",
            "client": ("127.0.0.1", 40524),
            "headers": request or [],
        },
        "status": 200,
        "response_headers": response or [],
        "bytes_sent": 12,
        "bytes_received": 3,
        "started_at": 100.0,
        "first_byte_at": 100.25,
        "ended_at": 101.5,
        "outcome": "completed",
    }
    exchange.update(changes)
    records: list[logging.LogRecord] = []
    logger = logging.getLogger("addax.test.formatters")
    handler = logging.NullHandler()
    handler.handle = records.append  # type: ignore[assignment, method-assign]
    logger.handlers, logger.level, logger.propagate = [handler], logging.INFO, False
    noted = HttpExchange(exchange.pop("scope"))
    for name, value in exchange.items():
        setattr(noted, name, value)
    AccessLog("addax.test.formatters").record(noted)
    return records[0]


# --- Levels and colours -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "prefix", "code"),
    [
        (TRACE_LOG_LEVEL, "TRACE:   ", 34),
        (logging.DEBUG, "DEBUG:   ", 36),
        (logging.INFO, "INFO:    ", 32),
        (logging.WARNING, "WARNING: ", 33),
        (logging.ERROR, "ERROR:   ", 31),
        (logging.CRITICAL, "CRITICAL:", 91),
    ],
)
def test_levelprefix_is_nine_columns_and_coloured(level: int, prefix: str, code: int) -> None:
    logging.addLevelName(TRACE_LOG_LEVEL, "TRACE")
    record = make_record(level=level)
    assert DefaultFormatter("%(levelprefix)s %(message)s", use_colors=False).format(record) == f"{prefix} hello"
    name, padding = prefix.rstrip().rstrip(":"), prefix[len(prefix.rstrip()) :]
    colored = DefaultFormatter("%(levelprefix)s %(message)s", use_colors=True).format(record)
    assert colored == f"\x1b[{code}m{name}\x1b[0m:{padding} hello"


def test_level_of_the_users_own_is_not_coloured() -> None:
    record = make_record(level=42)
    assert DefaultFormatter("%(levelprefix)s", use_colors=True).format(record) == "Level 42:"


def test_color_message_takes_the_place_of_the_message_only_with_colours() -> None:
    record = make_record("on %s", ("here",), color_message="\x1b[1mon\x1b[0m %s")
    assert DefaultFormatter("%(message)s", use_colors=True).format(record) == "\x1b[1mon\x1b[0m here"
    assert DefaultFormatter("%(message)s", use_colors=False).format(record) == "on here"


def test_formatting_leaves_the_record_alone() -> None:
    record = make_record("on %s", ("here",), color_message="x %s")
    DefaultFormatter("%(levelprefix)s %(message)s", use_colors=True).format(record)
    assert "levelprefix" not in record.__dict__
    assert record.msg == "on %s"
    access = make_foreign_access_record()
    AccessFormatter(ACCESS_FMT, use_colors=True).format(access)
    assert "status_code" not in access.__dict__


@pytest.mark.parametrize(("style", "fmt"), [("{", "{levelprefix} {message}"), ("$", "$levelprefix $message")])
def test_other_styles(style: Any, fmt: str) -> None:
    assert ColourizedFormatter(fmt, None, style, False).format(make_record()) == "INFO:     hello"


@pytest.mark.parametrize(
    ("environment", "on_terminal", "elsewhere"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_colours_are_found_out(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], on_terminal: bool, elsewhere: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert ColourizedFormatter().use_colors is AccessFormatter().use_colors is on_terminal
    assert DefaultFormatter().use_colors is elsewhere
    assert DefaultFormatter(use_colors=True).use_colors is True
    assert AccessFormatter(use_colors=False).use_colors is False


def test_colours_are_off_without_a_usable_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Terminal()
    closed.close()
    monkeypatch.setattr(closed, "isatty", io.StringIO.isatty.__get__(closed))
    for stream in (None, object(), closed):
        monkeypatch.setattr(sys, "stderr", stream)
        assert DefaultFormatter().use_colors is False


# --- AccessFormatter --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "text", "code"),
    [
        (103, "103 Early Hints", 97),
        (200, "200 OK", 32),
        (307, "307 Temporary Redirect", 33),
        (404, "404 Not Found", 31),
        (444, "444 No Response", 31),
        (499, "499 Client Closed Request", 31),
        (500, "500 Internal Server Error", 91),
        (599, "599", 91),
    ],
)
def test_access_formatter_writes_the_line_of_uvicorn(status: int, text: str, code: int) -> None:
    record = make_foreign_access_record(status)
    line = AccessFormatter(ACCESS_FMT, use_colors=False).format(record)
    assert line == f'INFO:     127.0.0.1:40524 - "GET /a?x=1 HTTP/1.1" {text}'
    colored = AccessFormatter("%(request_line)s %(status_code)s", use_colors=True).format(record)
    assert colored == f"\x1b[1mGET /a?x=1 HTTP/1.1\x1b[0m \x1b[{code}m{text}\x1b[0m"


def test_access_formatter_with_a_status_of_no_class() -> None:
    assert AccessFormatter("%(status_code)s", use_colors=True).format(make_foreign_access_record(999)) == "999"


def test_access_formatter_over_a_unix_socket_has_an_empty_client() -> None:
    record = make_record(ACCESS_MSG, ("", *ARGS[1:]))
    assert AccessFormatter(ACCESS_FMT, use_colors=False).format(record) == 'INFO:      - "GET /a?x=1 HTTP/1.1" 200 OK'


def test_access_formatter_can_use_the_attributes() -> None:
    line = AccessFormatter("%(status)d %(duration_s).3f %(outcome)s", use_colors=False).format(make_access_record())
    assert line == "200 1.500 completed"


def test_access_formatter_writes_other_records_as_plain_lines() -> None:
    assert AccessFormatter(ACCESS_FMT, use_colors=False).format(make_record("note")) == "INFO:     note"
    assert AccessFormatter(ACCESS_FMT, use_colors=True).format(make_record("note")) == "\x1b[32mINFO\x1b[0m:     note"


def test_access_formatter_subclass_overrides_as_with_uvicorn() -> None:
    class Shouting(AccessFormatter):
        def get_status_code(self, status_code: int) -> str:
            return f"!{status_code}!"

        def formatMessage(self, record: logging.LogRecord) -> str:
            record.__dict__["mine"] = "me"
            return super().formatMessage(record)

    assert Shouting("%(mine)s %(status_code)s", use_colors=False).format(make_foreign_access_record()) == "me !200!"


@pytest.mark.parametrize(("query", "target"), [(b"x=1", "/a?x=1"), (b"", "/a")])
def test_access_formatters_work_behind_a_queue(query: bytes, target: str) -> None:
    record = make_access_record()
    record.__dict__["query"] = query.decode()
    waiting: queue.Queue[logging.LogRecord] = queue.Queue()
    logging.handlers.QueueHandler(waiting).handle(record)
    queued = waiting.get_nowait()
    assert not queued.args
    line = AccessFormatter(ACCESS_FMT, use_colors=False).format(queued)
    assert line == f'INFO:     127.0.0.1:40524 - "GET {target} HTTP/1.1" 200 OK'
    assert TemplateAccessFormatter("%(r)s %(b)s").format(queued) == f"GET {target} HTTP/1.1 12"


# --- Templates --------------------------------------------------------------------------------------------------------

REQUEST = [
    (b"user-agent", b"curl/8"),
    (b"referer", b"http://a/"),
    (b"authorization", b"Basic " + base64.b64encode(b"al ice:secret")),
    (b"accept", b"a"),
    (b"accept", b"b"),
    (b"x-request-id", b"id-1"),
]
RESPONSE = [(b"Content-Type", b"text/plain"), (b"x-who", b'"me"')]


@pytest.mark.parametrize(
    ("atom", "text"),
    [
        ("h", "127.0.0.1"),
        ("l", "-"),
        ("u", "al\\x20ice"),
        ("r", "GET /a?x=1 HTTP/1.1"),
        ("m", "GET"),
        ("U", "/a"),
        ("q", "x=1"),
        ("H", "HTTP/1.1"),
        ("s", "200"),
        ("st", "OK"),
        ("B", "12"),
        ("b", "12"),
        ("f", "http://a/"),
        ("a", "curl/8"),
        ("T", "1"),
        ("M", "1500"),
        ("D", "1500000"),
        ("L", "1.500000"),
        ("p", "<PID>"),
        ("{User-Agent}i", "curl/8"),
        ("{accept}i", "a, b"),
        ("{missing}i", "-"),
        ("{content-type}o", "text/plain"),
        ("{x-who}o", "\\x22me\\x22"),
        ("{ADDAX_TEST_VARIABLE}e", "va\\x22lue"),
        ("{addax_test_variable}e", "va\\x22lue"),
        ("{ADDAX_TEST_MISSING}e", "-"),
        ("{REMOTE_ADDR}e", "127.0.0.1"),
        ("{http_user_agent}e", "curl/8"),
        ("{wsgi.url_scheme}e", "https"),
        ("client_addr", "127.0.0.1:40524"),
        ("request_id", "id-1"),
        ("scheme", "https"),
        ("outcome", "completed"),
        ("duration_s", "1.500000"),
        ("ttfb_s", "0.250000"),
        ("bytes_sent", "12"),
        ("bytes_received", "3"),
    ],
)
def test_atom(monkeypatch: pytest.MonkeyPatch, atom: str, text: str) -> None:
    monkeypatch.setenv("ADDAX_TEST_VARIABLE", 'va"lue')
    record = make_access_record(REQUEST, RESPONSE)
    text = text.replace("PID", str(os.getpid()))
    assert TemplateAccessFormatter(f"<%({atom})s>").format(record) == f"<{text}>"


def test_atoms_of_a_foreign_record_tell_what_the_arguments_tell() -> None:
    template = TemplateAccessFormatter(
        '%(h)s %(u)s "%(r)s" %(s)s %(b)s %(B)s "%(f)s" %(T)s %(D)s %(L)s %({a}i)s %({a}o)s'
    )
    assert template.format(make_foreign_access_record()) == '127.0.0.1 - "GET /a?x=1 HTTP/1.1" 200 - - "-" - - - - -'


def test_atoms_of_an_answer_without_body_first_byte_and_client() -> None:
    record = make_access_record(bytes_sent=0, first_byte_at=0.0, status=0, outcome="disconnected")
    assert TemplateAccessFormatter("%(b)s %(B)s %(ttfb_s)s %(s)s %(st)s").format(record) == (
        "- 0 - 499 Client Closed Request"
    )
    assert TemplateAccessFormatter("%(h)s").format(make_record(ACCESS_MSG, ("", *ARGS[1:]))) == "-"


@pytest.mark.parametrize("value", [b"Basic ???", b"Bearer abc", b"Basic ", b"Basic " + base64.b64encode(b":pw")])
def test_user_of_other_credentials_is_a_dash(value: bytes) -> None:
    assert TemplateAccessFormatter("%(u)s").format(make_access_record([(b"authorization", value)])) == "-"


def test_common_and_combined() -> None:
    record = make_access_record(REQUEST)
    when = clf_time(record.created)
    common = f'127.0.0.1 - al\\x20ice {when} "GET /a?x=1 HTTP/1.1" 200 12'
    assert TemplateAccessFormatter("common").format(record) == common
    assert TemplateAccessFormatter("combined").format(record) == f'{common} "http://a/" "curl/8"'


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system cannot change its time zone")
@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC0", "[10/Oct/2000:20:55:36 +0000]"),
        ("PDT7", "[10/Oct/2000:13:55:36 -0700]"),
        ("IST-5:30", "[11/Oct/2000:02:25:36 +0530]"),
        ("NST3:30", "[10/Oct/2000:17:25:36 -0330]"),
    ],
)
def test_time_has_the_local_offset(monkeypatch: pytest.MonkeyPatch, zone: str, text: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert clf_time(971211336.9) == text
    finally:
        monkeypatch.undo()
        time.tzset()


def test_time_moves_on_with_the_second() -> None:
    formatter = TemplateAccessFormatter("%(t)s")
    record = make_foreign_access_record()
    for created in (1000.0, 1000.9, 1001.0):
        record.created = created
        assert formatter.format(record) == clf_time(created)


def test_template_with_widths_percent_signs_and_kinds() -> None:
    record = make_foreign_access_record()
    assert TemplateAccessFormatter("100%% %(m)6s|%(m)-6s|%(s)d").format(record) == "100%    GET|GET   |200"


def test_template_writes_other_records_as_messages() -> None:
    assert TemplateAccessFormatter("%(h)s").format(make_record("note %d", (1,))) == "note 1"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("%(Q)s", "unknown atom %(Q)s, did you mean %(q)s? Known: h, l, u, t, r,"),
        ("%(requestid)s", "unknown atom %(requestid)s, did you mean %(request_id)s?"),
        ("%(zz)s", "unknown atom %(zz)s; Known: h, l,"),
        ("%({x}z)s", "unknown atom %({x}z)s; Known"),
        ("%({}i)s", "unknown atom %({}i)s; Known"),
        ("%(h)s 100%", "the % at character 10 begins no %(atom)s; write %% for a percent sign"),
        ("%(h)q", "the % at character 1 begins no"),
        ("%h %s", "the % at character 1 begins no"),
        (
            "combind",
            "'combind' is not one of uvicorn, common, combined, json, nor a template with %(atom)s in it; did you ",
        ),
        ("", "'' is not one of uvicorn, common, combined, json, nor a template with %(atom)s in it"),
    ],
)
def test_template_that_cannot_be_used(template: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Template(template)
    assert caught.value.option == "--access-format"
    assert caught.value.reason.startswith(reason)
    assert "\n" not in caught.value.reason


# --- JSON -------------------------------------------------------------------------------------------------------------


def as_json(record: logging.LogRecord, formatter: JsonFormatter | None = None) -> dict[str, Any]:
    line = (formatter or JsonFormatter()).format(record)
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert isinstance(entry, dict)
    return entry


def test_json_of_a_plain_record() -> None:
    record = make_record("on %s", ("here\n\x7f\u2028",), color_message="no")
    record.created = 971211336.000125
    assert as_json(record) == {
        "time": "2000-10-10T20:55:36.000125Z",
        "level": "INFO",
        "logger": "addax.error",
        "message": "on here\n\x7f\u2028",
    }


def test_json_time_moves_on_with_the_second() -> None:
    formatter = JsonFormatter()
    times = []
    for created in (0.0, 0.5, 1.25):
        record = make_record()
        record.created = created
        times.append(as_json(record, formatter)["time"])
    assert times == ["1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:00.500000Z", "1970-01-01T00:00:01.250000Z"]


def test_json_of_an_exception_and_a_stack() -> None:
    record = make_record()
    try:
        raise ValueError("broken")
    except ValueError:
        record.exc_info = sys.exc_info()
    record.msg = "on its own\n"
    record.stack_info = "Stack (most recent call last):\n  here"
    entry = as_json(record)
    assert entry["exception"].startswith("Traceback (most recent call last):\n")
    assert entry["exception"].endswith("ValueError: broken")
    assert entry["stack"].endswith("here")
    assert entry["message"] == "on its own"
    record.exc_text = "made before"
    assert as_json(record)["exception"] == "made before"


def test_json_extras_of_any_kind() -> None:
    record = make_record(user=7, tags=["a"], when=pytest, levelprefix="no", message="no")
    record.__dict__["level"] = "x"
    entry = as_json(record)
    assert (entry["user"], entry["tags"], entry["level_"], entry["level"]) == (7, ["a"], "x", "INFO")
    assert entry["when"].startswith("<module 'pytest'")
    assert entry["message"] == "hello"
    assert "levelprefix" not in entry


def test_json_extras_that_json_cannot_say_become_text() -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    cycle: list[Any] = []
    cycle.append(cycle)
    entry = as_json(make_record(nan=float("nan"), keys={(1, 2): 3}, cycle=cycle, bad=Unprintable(), no=None, one=1))
    assert (entry["nan"], entry["keys"], entry["cycle"]) == ("nan", "{(1, 2): 3}", "[[...]]")
    assert (entry["bad"], entry["no"], entry["one"]) == ("<Unprintable>", None, 1)


def test_json_of_an_access_record_is_flat() -> None:
    entry = as_json(make_access_record([*REQUEST[2:], (b"user-agent", b'a"b\\')], started_at=100.1))
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "INFO",
        "logger": "addax.test.formatters",
        "message": '127.0.0.1:40524 - "GET /a?x=1 HTTP/1.1" 200',
        "request_id": "id-1",
        "client_addr": "127.0.0.1:40524",
        "method": "GET",
        "path": "/a",
        "query": "x=1",
        "scheme": "https",
        "http_version": "1.1",
        "status": 200,
        "outcome": "completed",
        "duration_s": 1.4,
        "ttfb_s": 0.15,
        "bytes_sent": 12,
        "bytes_received": 3,
        "user_agent": 'a"b\\',
        "referer": "",
    }


def test_json_message_of_an_access_record_follows_the_access_format() -> None:
    record = make_access_record()
    assert as_json(record, JsonFormatter("%(m)s %(s)s"))["message"] == "GET 200"
    assert as_json(make_record("note"), JsonFormatter("%(m)s"))["message"] == "note"
    with pytest.raises(ConfigError):
        JsonFormatter("%(nope)s")


def test_json_of_an_access_record_that_a_filter_has_changed() -> None:
    record = make_access_record()
    record.__dict__["user_agent"] = None
    del record.__dict__["duration_s"]
    entry = as_json(record)
    assert entry["user_agent"] is None
    assert "duration_s" not in entry


def test_json_of_a_record_from_another_process() -> None:
    record = pickle.loads(pickle.dumps(make_access_record(REQUEST)))
    entry = as_json(record)
    assert entry["request_id"] == "id-1"
    assert "secret" not in json.dumps(entry)


def test_public_names() -> None:
    assert addax.logging.AccessFormatter is AccessFormatter
    assert set(addax.logging.__all__) == {
        "TRACE_LOG_LEVEL",
        "AccessFormatter",
        "AccessHandler",
        "ColourizedFormatter",
        "DefaultFormatter",
        "JsonFormatter",
        "ServerHandler",
        "TemplateAccessFormatter",
    }


def test_documentation_lists_every_atom() -> None:
    text = (Path(__file__).parents[2] / "docs" / "logging.md").read_text(encoding="utf-8")
    assert [name for name in _ATOMS if f"| `%({name})s` |" not in text] == []
    assert [name for name in _CGI_VARIABLES if name not in text.replace("wsgi.url_scheme", "WSGI.URL_SCHEME")] == []
