"""Access records: what is in them, and that nothing a peer sends can break a line."""

from __future__ import annotations

import copy
import io
import json
import logging
import logging.handlers
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from addax.asgi.exchange import HttpExchange
from addax.config.formatters import AccessFormatter, JsonFormatter, TemplateAccessFormatter
from addax.core import clock
from addax.observe.access import ACCESS_FIELDS, MESSAGE, AccessLog, Heads
from addax.observe.escape import escape, escape_text, escape_url, unescape

LOGGER = "addax.test.access"


#: What an exchange has noted unless a test says otherwise.
NOTED: dict[str, Any] = {
    "status": 200,
    "response_headers": [(b"content-type", b"text/plain")],
    "bytes_sent": 12,
    "bytes_received": 3,
    "started_at": 100.0,
    "first_byte_at": 100.25,
    "ended_at": 100.5,
    "outcome": "completed",
}


def make_request(headers: list[tuple[bytes, bytes]] | None = None, **changes: Any) -> HttpExchange:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/a b",
        "query_string": b"x=1",
        "http_version": "1.1",
        "scheme": "https",
        "client": ("127.0.0.1", 40524),
        "headers": headers or [],
    }
    noted = {name: changes.pop(name, value) for name, value in NOTED.items()}
    scope.update(changes)
    exchange = HttpExchange(scope)
    for name, value in noted.items():
        setattr(exchange, name, value)
    return exchange


class Keeper(logging.Handler):
    """Keeps the records that it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    logger = logging.getLogger(LOGGER)
    handler = Keeper()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield handler
    logger.handlers = []
    logger.filters = []
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
    logger.disabled = False


def record_of(keeper: Keeper, request: HttpExchange) -> logging.LogRecord:
    AccessLog(LOGGER).record(request)
    return keeper.records[-1]


# --- The record -------------------------------------------------------------------------------------------------------


def test_record_has_the_five_arguments_that_formatters_for_uvicorn_rely_on(keeper: Keeper) -> None:
    record = record_of(keeper, make_request())
    assert record.msg == MESSAGE
    assert record.args == ("127.0.0.1:40524", "GET", "/a%20b?x=1", "1.1", 200)
    assert record.getMessage() == '127.0.0.1:40524 - "GET /a%20b?x=1 HTTP/1.1" 200'
    assert (record.name, record.levelno, record.exc_info) == (LOGGER, logging.INFO, None)


def test_record_carries_every_field_as_attribute(keeper: Keeper) -> None:
    headers = [(b"user-agent", b"curl/8"), (b"referer", b"http://a/"), (b"x-request-id", b"req-7")]
    record = record_of(keeper, make_request(headers))
    assert {name: record.__dict__[name] for name in ACCESS_FIELDS} == {
        "request_id": "req-7",
        "client_addr": "127.0.0.1:40524",
        "method": "GET",
        "path": "/a%20b",
        "query": "x=1",
        "scheme": "https",
        "http_version": "1.1",
        "status": 200,
        "outcome": "completed",
        "duration_s": 0.5,
        "ttfb_s": 0.25,
        "bytes_sent": 12,
        "bytes_received": 3,
        "user_agent": "curl/8",
        "referer": "http://a/",
    }


def test_record_without_query_client_and_fields(keeper: Keeper) -> None:
    record = record_of(keeper, make_request(query_string=b"", client=None, path="/plain"))
    assert record.args == ("", "GET", "/plain", "1.1", 200)
    assert (record.__dict__["user_agent"], record.__dict__["referer"]) == ("", "")


@pytest.mark.parametrize(("outcome", "status"), [("disconnected", 499), ("aborted", 444)])
def test_record_of_a_response_that_never_began_has_a_number(keeper: Keeper, outcome: str, status: int) -> None:
    record = record_of(keeper, make_request(status=0, outcome=outcome, first_byte_at=0.0))
    assert isinstance(record.args, tuple)
    assert record.args[4] == record.__dict__["status"] == status
    assert record.__dict__["ttfb_s"] is None
    assert record.__dict__["outcome"] == outcome
    json.loads(JsonFormatter().format(record))


def test_record_of_a_response_that_has_just_ended_asks_the_clock(keeper: Keeper) -> None:
    before = clock.now()
    record = record_of(keeper, make_request(started_at=before, ended_at=0.0))
    assert 0 <= record.__dict__["duration_s"] <= clock.now() - before


def test_record_keeps_the_first_of_repeated_fields(keeper: Keeper) -> None:
    record = record_of(keeper, make_request([(b"user-agent", b"one"), (b"user-agent", b"two")]))
    assert record.__dict__["user_agent"] == "one"


def test_record_of_a_path_with_lone_surrogates(keeper: Keeper) -> None:
    record = record_of(keeper, make_request(path="/\udce9"))
    assert record.__dict__["path"] == "/%ED%B3%A9"


# --- Request ids ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [b"", b"a" * 129, b"a b", b'a"b', b"a\x85", b"a\nb"])
def test_request_id_that_is_no_token_is_replaced(keeper: Keeper, bad: bytes) -> None:
    made_up = record_of(keeper, make_request([(b"x-request-id", bad)])).__dict__["request_id"]
    assert made_up.endswith("-1")
    assert made_up.isascii()
    assert made_up.isprintable()


def test_request_id_of_128_characters_is_kept(keeper: Keeper) -> None:
    assert record_of(keeper, make_request([(b"x-request-id", b"a" * 128)])).__dict__["request_id"] == "a" * 128


def test_request_id_of_the_response_is_taken_when_the_request_has_none(keeper: Keeper) -> None:
    request = make_request(response_headers=[(b"content-type", b"text/a"), (b"X-Request-ID", b"made-by-app")])
    assert record_of(keeper, request).__dict__["request_id"] == "made-by-app"


def test_request_ids_are_unique_in_a_worker_and_between_workers(keeper: Keeper) -> None:
    for log in (AccessLog(LOGGER), AccessLog(LOGGER)):
        for _ in range(3):
            log.record(make_request())
    assert len({record.__dict__["request_id"] for record in keeper.records}) == 6


# --- Whether to log ---------------------------------------------------------------------------------------------------


def test_is_enabled_follows_handlers_and_disabled(keeper: Keeper) -> None:
    log = AccessLog(LOGGER)
    logger = logging.getLogger(LOGGER)
    assert log.is_enabled()
    logger.disabled = True
    assert not log.is_enabled()
    logger.disabled = False
    logger.handlers = []
    assert not log.is_enabled()


def test_record_builds_nothing_below_the_level(keeper: Keeper) -> None:
    logging.getLogger(LOGGER).setLevel(logging.WARNING)
    AccessLog(LOGGER).record(None)  # type: ignore[arg-type]  # would fail if it were looked at
    assert keeper.records == []


def test_record_respects_filters_of_the_logger(keeper: Keeper) -> None:
    logging.getLogger(LOGGER).addFilter(lambda record: record.__dict__["path"] != "/health")
    AccessLog(LOGGER).record(make_request(path="/health"))
    AccessLog(LOGGER).record(make_request(path="/other"))
    assert [record.__dict__["path"] for record in keeper.records] == ["/other"]


def test_record_of_a_scope_that_the_application_broke_is_an_error_line(
    keeper: Keeper, caplog: pytest.LogCaptureFixture
) -> None:
    request = make_request()
    del request.scope["path"]
    with caplog.at_level(logging.ERROR, "addax.error"):
        AccessLog(LOGGER).record(request)
    assert keeper.records == []
    assert "A line of the access log could not be written" in caplog.text


# --- Hostile peers ----------------------------------------------------------------------------------------------------

HOSTILE = [bytes([code]) for code in range(256)] + [
    "\u2028".encode(),
    "\u2029".encode(),
    "\u0085".encode(),
    "\u202e".encode(),
    "\U000e0001".encode(),
    b"\r\nINFO: forged",
    b"\x1b[2J",
    b'" 200 1 "',
    b"\\",
]


@pytest.mark.parametrize(
    "formatter", [AccessFormatter('"%(request_line)s" "%(user_agent)s"'), TemplateAccessFormatter()]
)
def test_text_formats_have_no_unprintable_character_and_no_foreign_quote(
    keeper: Keeper, formatter: logging.Formatter
) -> None:
    quotes = formatter.format(record_of(keeper, make_request([(b"user-agent", b"x")]))).count('"')
    for bad in HOSTILE:
        text = b"x" + bad + b"y"
        request = make_request(
            [(b"user-agent", text), (b"referer", text), (b"x-request-id", text)],
            path="/" + text.decode("latin-1"),
            query_string=text,
            method="G" + text.decode("latin-1"),
            client=(text.decode("latin-1"), 1),
        )
        line = formatter.format(record_of(keeper, request))
        assert line.isprintable(), (bad, line)
        assert line.count('"') == quotes, (bad, line)


def test_json_is_one_line_of_printable_ascii_and_gives_the_text_back(keeper: Keeper) -> None:
    formatter = JsonFormatter()
    for bad in HOSTILE:
        text = b"x" + bad + b"y"
        line = formatter.format(record_of(keeper, make_request([(b"user-agent", text)], query_string=text)))
        assert line.isascii()
        assert line.isprintable()
        try:
            expected = text.decode()
        except UnicodeDecodeError:
            expected = text.decode("latin-1")
        assert json.loads(line)["user_agent"] == expected


def test_escape_forms() -> None:
    assert escape(b'a"b\\c\x00\x7f') == "a\\x22b\\x5cc\\x00\\x7f"
    assert escape("é\u0085\u2028\U000e0001".encode()) == "é\\x85\\u2028\\U000e0001"
    assert escape(b"\xff\\") == "\\xff\\x5c"
    assert escape_text("é") == "é"


@pytest.mark.parametrize("text", ["", "plain", 'a"b', "\\x22", "\\", "é\u2028\U000e0001\x00", "\\\\u2028"])
def test_unescape_undoes_escape(text: str) -> None:
    assert unescape(escape_text(text)) == text
    assert unescape(escape(text.encode())) == text


def test_escape_url_leaves_what_is_plain_and_what_was_encoded() -> None:
    plain = b"a=%20&b[]=c|{d}^`'~!*()<>;,+$@:?/#"
    assert escape_url(plain) == plain.decode()
    assert escape_url(plain + b'" \\\xff\x00') == plain.decode() + "%22%20%5C%FF%00"


# --- Header fields ----------------------------------------------------------------------------------------------------


def test_heads_do_not_show_and_do_not_travel() -> None:
    heads = Heads([(b"authorization", b"secret")], [(b"set-cookie", b"secret"), (b"a", b"b")])
    assert repr(heads) == "<Heads: 1 request fields, 2 response fields>"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert list(pickle.loads(pickle.dumps(heads, protocol)).request) == []
    assert list(copy.copy(heads).response) == []


def test_record_can_be_sent_by_a_socket_handler_without_header_fields(keeper: Keeper) -> None:
    record = record_of(keeper, make_request([(b"authorization", b"secret")]))
    handler = logging.handlers.SocketHandler("127.0.0.1", 1)
    data = handler.makePickle(record)
    handler.close()
    assert b"secret" not in data
    assert pickle.loads(data[4:])["bytes_sent"] == 12


def test_record_goes_through_the_handlers_of_the_logger(keeper: Keeper) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TemplateAccessFormatter("%(m)s %(U)s %(s)s"))
    logging.getLogger(LOGGER).addHandler(handler)
    AccessLog(LOGGER).record(make_request())
    assert stream.getvalue() == "GET /a%20b 200\n"
